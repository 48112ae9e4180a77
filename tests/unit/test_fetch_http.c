/* SPDX-License-Identifier: ISC */
/*
 * The rules for an answer, fed by hand; and the client against a server in a
 * child, with limits shorter than those that fetchd uses.
 */
#include "fetchd/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/strnum.h"
#include "fetchd/http_check.h"
#include "unit.h"

/* ---- the rules ---- */

static const struct http_limits rules = {
	.body_max = 100, .min_rate = 10, .min_rate_sec = 3
};
static struct http_check c;

static int
line(const char *text)
{
	return http_check_header(&c, text, strlen(text));
}

static void
begin(uint64_t expected, const char *status)
{
	http_check_start(&c, rules.body_max, expected);
	ck_assert_int_eq(line(status), 0);
}

static int
end_with(int code, int os_errno, const char *text)
{
	struct http_end end = { code, os_errno, text };

	http_check_verdict(&c, &end, &rules);
	ck_assert((c.fault != 0) == (c.text[0] != '\0'));
	return c.fault;
}

START_TEST (test_good_answers) {
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(line("Content-Length: 100\r\n"), 0);
	ck_assert_int_eq(line("Content-Length: 100\r\n"), 0);
	ck_assert_int_eq(line("Content-Encoding: identity\r\n"), 0);
	ck_assert_int_eq(line("transfer-encoding: chunked\r\n"), 0);
	ck_assert_int_eq(line("\r\n"), 0);
	ck_assert_int_eq(http_check_body(&c, 100), 0);
	ck_assert_int_eq(end_with(CURLE_OK, 0, ""), 0);
	begin(0, "HTTP/1.1 304 Not Modified\r\n");
	/* Of what a 200 would have: it binds nobody here. */
	ck_assert_int_eq(line("Content-Length: 5000\r\n"), 0);
	ck_assert_int_eq(end_with(CURLE_OK, 0, ""), 0);
	/* An interim answer's headers are not the answer's. */
	begin(5, "HTTP/1.1 103 Early\r\n");
	ck_assert_int_eq(line("Content-Length: 7\r\n"), 0);
	ck_assert_int_eq(line("HTTP/1.1 200 OK\r\n"), 0);
	ck_assert_int_eq(line("Content-Length: 5\r\n"), 0);
	ck_assert_int_eq(http_check_body(&c, 5), 0);
	ck_assert_int_eq(end_with(CURLE_OK, 0, ""), 0);
}
END_TEST

START_TEST (test_lengths) {
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(line("Content-Length: 101\r\n"), -EFBIG);
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(http_check_body(&c, 100), 0);
	ck_assert_int_eq(http_check_body(&c, 1), -EFBIG);
	/* The first fault stays, whatever comes after it. */
	ck_assert_int_eq(http_check_body(&c, 1), -EFBIG);
	ck_assert_int_eq(line("X: y\r\n"), -EFBIG);
	ck_assert_int_eq(end_with(CURLE_WRITE_ERROR, 0, "x"), -EFBIG);
	begin(50, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(line("Content-Length: 49\r\n"), -EMSGSIZE);
	begin(50, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(http_check_body(&c, 51), -EMSGSIZE);
	begin(50, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(http_check_body(&c, 49), 0);
	ck_assert_int_eq(end_with(CURLE_OK, 0, ""), -EMSGSIZE);
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(line("Content-Length: 10\r\n"), 0);
	ck_assert_int_eq(line("content-length: 11\r\n"), -EPROTO);
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(line("Content-Length: 0x10\r\n"), -EPROTO);
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(line("Content-Length: 10, 10\r\n"), -EPROTO);
}
END_TEST

START_TEST (test_headers) {
	static const char *const hidden[][2] = {
		{ "Content-Length", "1" },
		{ "Content-Encoding", "gzip" },
		{ "Transfer-Encoding", "gzip, chunked" },
	};
	char text[2000];
	size_t i;
	int n;

	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(line("Content-Encoding: gzip\r\n"), -EPROTO);
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(line("Transfer-Encoding: gzip, chunked\r\n"), -EPROTO);
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(http_check_header(&c, "X: a\0b\r\n", 8), -EPROTO);
	/* What matters is not to be hidden behind blanks. */
	for (i = 0; i < nitems(hidden); i++) {
		begin(0, "HTTP/1.1 200 OK\r\n");
		(void)snprintf(text, sizeof(text), "%s:%300s%s\r\n",
		    hidden[i][0], "", hidden[i][1]);
		ck_assert_int_eq(line(text), -EPROTO);
		ck_assert_ptr_nonnull(strstr(c.text, hidden[i][0]));
	}
	begin(0, "HTTP/1.1 200 OK\r\n");
	(void)snprintf(text, sizeof(text), "X-Else:%300s1\r\n", "");
	ck_assert_int_eq(line(text), 0);
	(void)snprintf(text, sizeof(text), "HTTP/1.1 404 %0300d\r\n", 0);
	ck_assert_int_eq(line(text), 0);
	ck_assert_uint_eq(c.status, 404);
	begin(0, "HTTP/1.1 200 OK\r\n");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (n = 0; n < 100 && line(text) == 0; n++)
		continue;
	ck_assert_int_eq(c.fault, -EMSGSIZE);
	ck_assert_int_lt(n, 34);
}
END_TEST

START_TEST (test_error_pages) {
	begin(0, "HTTP/1.1 500 Oops\r\n");
	ck_assert_int_eq(http_check_body(&c, 60000), 0);
	ck_assert_int_eq(http_check_body(&c, 60000), -EPROTO);
	begin(0, "HTTP/1.1 403 No\r\n");
	ck_assert_int_eq(end_with(CURLE_OK, 0, ""), -EPROTO);
	ck_assert_ptr_nonnull(strstr(c.text, "credentials"));
	/* No status at all, and a partial answer, are no good answers. */
	http_check_start(&c, 100, 0);
	ck_assert_int_eq(end_with(CURLE_OK, 0, ""), -EPROTO);
	begin(0, "HTTP/1.1 206 Partial\r\n");
	ck_assert_int_eq(end_with(CURLE_OK, 0, ""), -EPROTO);
}
END_TEST

START_TEST (test_words) {
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(
	    end_with(CURLE_COULDNT_CONNECT, ECONNREFUSED, "after 7 ms"),
	    -ECONNREFUSED);
	/* The same failure has the same words. */
	ck_assert_str_eq(c.text, "cannot connect: Connection refused");
	http_check_start(&c, 100, 0);
	ck_assert_int_eq(end_with(CURLE_OPERATION_TIMEDOUT, 0,
			     "Operation too slow. Less than 10 bytes"),
	    -ETIMEDOUT);
	ck_assert_str_eq(c.text, "the server says nothing for 3 s");
	begin(0, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_eq(end_with(CURLE_OPERATION_TIMEDOUT, 0,
			     "Operation too slow. Less than 10 bytes"),
	    -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(c.text, "less than 10 bytes/s for 3 s"));
}
END_TEST

/* ---- the client ---- */

static struct {
	pid_t pid;
	char url[64];
} server;

static void
write_text(int sock, const char *text)
{
	size_t len = strlen(text);

	if (write(sock, text, len) != (ssize_t)len)
		_exit(1);
}

/* "/drip": a byte every 20 ms; "/hop": to itself, slowly; else "ok". */
static void
serve(int sock)
{
	char head[4096];
	ssize_t n;

	while ((n = read(sock, head, sizeof(head) - 1)) > 0) {
		head[n] = '\0';
		if (strncmp(head, "GET /drip", 9) == 0) {
			write_text(sock,
			    "HTTP/1.1 200 OK\r\n"
			    "Content-Length: 1000000\r\n\r\n");
			for (;;) {
				write_text(sock, "x");
				(void)usleep(20000);
			}
		} else if (strncmp(head, "GET /hop", 8) == 0) {
			(void)usleep(150000);
			write_text(sock,
			    "HTTP/1.1 302 Found\r\nLocation: /hop\r\n"
			    "Content-Length: 0\r\n\r\n");
		} else {
			write_text(sock,
			    "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n"
			    "Retry-After: 7\r\nContent-Length: 2\r\n\r\nok");
		}
	}
}

/* A socket that has a port, and the URL of that; nobody listens there yet. */
static int
take_port(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (void *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(getsockname(fd, (void *)&addr, &len), 0);
	(void)snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%u",
	    ntohs(addr.sin_port));
	return fd;
}

static void
start_server(void)
{
	int fd = take_port(), client;

	ck_assert_int_eq(listen(fd, 16), 0);
	server.pid = fork();
	if (server.pid != 0) {
		(void)close(fd);
		return;
	}
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGCHLD, SIG_IGN);
	(void)setpgid(0, 0);
	/* It does not outlive a test that failed, nor hold its output open. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((client = accept(fd, NULL, NULL)) != -1) {
		if (fork() == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(client);
			_exit(0);
		}
		(void)close(client);
	}
	_exit(0);
}

static void
stop_server(void)
{
	(void)setpgid(server.pid, server.pid);
	(void)kill(-server.pid, SIGKILL);
	(void)waitpid(server.pid, NULL, 0);
}

struct result {
	struct http *http;
	unsigned int done;
	struct http_answer last;
	size_t bytes;
	int body_error;
};

static int
take_body(const void *data, size_t len, void *ctx)
{
	struct result *r = ctx;

	r->bytes += len;
	return r->body_error;
}

static void
take_answer(const struct http_answer *answer, void *ctx)
{
	struct result *r = ctx;

	r->done++;
	r->last = *answer;
}

static struct http_request *
get_path(struct result *r, const char *path, const struct http_limits *limits)
{
	char url[128];
	struct http_get get = { .url = url,
		.limits = limits,
		.body = take_body,
		.done = take_answer,
		.ctx = r };
	struct http_request *req;

	(void)snprintf(url, sizeof(url), "%s%s", server.url, path);
	ck_assert_int_eq(http_start(r->http, &get, &req), 0);
	return req;
}

static struct event_base *base;

static struct http *
open_client_alone(void)
{
	static const struct secrets none;
	char error[AEGIS_TEXT_SIZE];
	struct http *h;

	ck_assert_int_eq(http_global_init(), 0);
	base = event_base_new();
	ck_assert_ptr_nonnull(base);
	ck_assert_int_eq(
	    http_new(&h, base, server.url, &none, error, sizeof(error)), 0);
	return h;
}

static struct http *
open_client(void)
{
	start_server();
	return open_client_alone();
}

static void
close_client_alone(struct http *h)
{
	http_free(h);
	event_base_free(base);
}

static void
close_client(struct http *h)
{
	close_client_alone(h);
	stop_server();
}

static void
run_until(struct result *r, unsigned int done)
{
	while (r->done < done)
		ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
}

/* More than the slowest machine needs for an answer. */
static const struct http_limits ample = {
	.body_max = 1000000,
	.connect_timeout_ms = 50000,
	.total_timeout_ms = 50000,
	.min_rate = 1,
	.min_rate_sec = 50,
};

START_TEST (test_answer) {
	struct result r = { .http = open_client() };

	ck_assert_int_eq(http_set_header(r.http, "X-A", "1"), 0);
	ck_assert_int_eq(http_set_header(r.http, "X-A", "2"), 0);
	ck_assert_int_eq(http_set_header(r.http, "X-B", "1"), 0);
	ck_assert_int_eq(http_set_header(r.http, "X-B", NULL), 0);
	(void)get_path(&r, "/", &ample);
	/* Never from within the start. */
	ck_assert_uint_eq(r.done, 0);
	run_until(&r, 1);
	ck_assert_int_eq(r.last.result, 0);
	ck_assert_uint_eq(r.last.status, 200);
	ck_assert_uint_eq(r.last.size, 2);
	ck_assert_str_eq(r.last.etag, "\"e\"");
	ck_assert_str_eq(r.last.retry_after, "7");
	ck_assert_str_eq(r.last.error, "");
	close_client(r.http);
}
END_TEST

START_TEST (test_total_time) {
	struct result r = { .http = open_client() };
	struct http_limits brief = ample;

	brief.total_timeout_ms = 400;
	/* All of it would take hours. */
	(void)get_path(&r, "/drip", &brief);
	run_until(&r, 1);
	ck_assert_int_eq(r.last.result, -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(r.last.error, "/drip"));
	/* Redirects do not start it anew. */
	(void)get_path(&r, "/hop", &brief);
	run_until(&r, 2);
	ck_assert_int_eq(r.last.result, -ETIMEDOUT);
	close_client(r.http);
}
END_TEST

START_TEST (test_cancel_leaves_others) {
	struct result r = { .http = open_client() }, s = { .http = r.http };
	struct http_request *one = get_path(&r, "/drip", &ample);

	(void)get_path(&s, "/", &ample);
	http_cancel(one);
	run_until(&s, 1);
	ck_assert_int_eq(s.last.result, 0);
	ck_assert_uint_eq(r.done, 0);
	/* And one that is under way when all ends. */
	(void)get_path(&r, "/drip", &ample);
	(void)event_base_loop(base, EVLOOP_ONCE);
	close_client(r.http);
	ck_assert_uint_eq(r.done, 0);
}
END_TEST

START_TEST (test_body_refused) {
	struct result r = { .http = open_client(), .body_error = -ENOSPC };

	(void)get_path(&r, "/", &ample);
	run_until(&r, 1);
	ck_assert_int_eq(r.last.result, -ENOSPC);
	ck_assert_ptr_nonnull(strstr(r.last.error, "No space left"));
	close_client(r.http);
}
END_TEST

START_TEST (test_no_server) {
	int port = take_port(); /* so that nobody else has it */
	struct result r = { .http = open_client_alone() };

	(void)get_path(&r, "/", &ample);
	run_until(&r, 1);
	ck_assert_int_eq(r.last.result, -ECONNREFUSED);
	ck_assert_uint_eq(r.last.status, 0);
	close_client_alone(r.http);
	(void)close(port);
}
END_TEST

UNIT_MAIN("fetch_http", test_good_answers, test_lengths, test_headers,
    test_error_pages, test_words, test_answer, test_total_time,
    test_cancel_leaves_others, test_body_refused, test_no_server)
