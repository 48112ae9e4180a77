/* SPDX-License-Identifier: ISC */
/*
 * What fetchd costs above bare libcurl, in one run: downloads of 1 MB over a
 * kept connection on loopback, and polls that are answered by 304.
 *
 *	bench_fetch path/to/fetchd [rounds]
 *
 * Prints medians and the ratio to libcurl doing the same, which is to fill a
 * memfd; exit status 1 if a figure of the goal (1.2x,
 * 1 ms CPU) is missed.  Run as root: fetchd takes its own account.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/sandbox.h"
#include "figures.h"

#define BODY_SIZE  1000000
#define ROUNDS_MAX 2000

struct bench {
	struct event_base *base;
	struct imsg_channel *ch;
	pid_t server;
	pid_t fetchd;
	uint16_t port;
	bool ready;
	uint64_t done;
	uint64_t polled;
	uint64_t own_us; /* what FETCH_DONE says it took */
};

static void __attribute__((noreturn)) die(const char *what)
{
	perror(what);
	exit(2);
}

/* ---- the server, a process of its own ---- */

static void
serve(int sock)
{
	static char body[BODY_SIZE], head[4096];
	static const char not_modified[] =
	    "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n";
	static const char list[] = "HTTP/1.1 200 OK\r\nETag: \"x\"\r\n"
				   "Content-Length: 2\r\n\r\n[]";
	char answer[128];
	const char *p;
	size_t left;
	ssize_t n;

	while ((n = read(sock, head, sizeof(head) - 1)) > 0) {
		head[n] = '\0';
		if (strstr(head, "/for-host/") != NULL) {
			p = strstr(head, "If-None-Match") != NULL ? not_modified
								  : list;
			if (write(sock, p, strlen(p)) < 0)
				return;
			continue;
		}
		n = snprintf(answer, sizeof(answer),
		    "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY_SIZE);
		if (send(sock, answer, (size_t)n, MSG_MORE) < 0)
			return;
		for (p = body, left = sizeof(body); left > 0;
		     p += n, left -= (size_t)n)
			if ((n = write(sock, p, left)) < 0)
				return;
	}
}

static void
start_server(struct bench *b)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client;

	if (fd == -1 || bind(fd, (void *)&addr, sizeof(addr)) == -1 ||
	    listen(fd, 16) == -1 || getsockname(fd, (void *)&addr, &len) == -1)
		die("server");
	b->port = ntohs(addr.sin_port);
	b->server = fork();
	if (b->server != 0) {
		(void)close(fd);
		return;
	}
	(void)signal(SIGCHLD, SIG_IGN);
	while ((client = accept(fd, NULL, NULL)) != -1) {
		if (fork() == 0) {
			serve(client);
			_exit(0);
		}
		(void)close(client);
	}
	_exit(0);
}

/* ---- bare libcurl ---- */

struct buffer {
	char *data;
	size_t len;
	int fd; /* -1: into data, else into this memfd */
};

static size_t
take(char *data, size_t size, size_t n, void *arg)
{
	struct buffer *b = arg;

	if (b->fd >= 0) {
		if (write(b->fd, data, size * n) != (ssize_t)(size * n))
			return 0;
	} else {
		memcpy(b->data + b->len, data, size * n);
	}
	b->len += size * n;
	return size * n;
}

static double
median_us(int64_t *ns, unsigned int n)
{
	return figures_median(ns, n) / 1000;
}

static CURL *
bare_handle(const struct bench *b, struct buffer *buf)
{
	char url[128];
	CURL *easy = curl_easy_init();

	(void)snprintf(url, sizeof(url),
	    "http://127.0.0.1:%u/artifacts/a/binary", b->port);
	buf->data = malloc(BODY_SIZE + 1);
	if (easy == NULL || buf->data == NULL)
		die("libcurl");
	(void)curl_easy_setopt(easy, CURLOPT_URL, url);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, buf);
	(void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 262144L);
	return easy;
}

/*
 * Into memory that is there already, which is the floor, or, as fetchd has
 * to, into a new memfd that is sealed.
 */
static int64_t
bare_once(CURL *easy, struct buffer *buf, bool memfd)
{
	int64_t start = clock_boot_ns();

	buf->len = 0;
	buf->fd = memfd ? memfd_create_buffer("bench") : -1;
	if (curl_easy_perform(easy) != CURLE_OK || buf->len != BODY_SIZE ||
	    (memfd && memfd_seal(buf->fd) < 0))
		die("bare libcurl");
	start = clock_boot_ns() - start;
	fd_close(&buf->fd);
	return start;
}

/* ---- fetchd ---- */

static int
handle_ready(struct imsg *m, void *ctx)
{
	((struct bench *)ctx)->ready = true;
	return 0;
}

static int
handle_done(struct imsg *m, void *ctx)
{
	const struct msg_fetch_done *done = msg_get_FETCH_DONE(m);
	struct bench *b = ctx;

	if (done->result != WORK_OK || done->size != BODY_SIZE)
		die(done->error);
	b->own_us = done->duration_us;
	b->done++;
	return 0;
}

static int
handle_polled(struct imsg *m, void *ctx)
{
	((struct bench *)ctx)->polled++;
	return 0;
}

static int
handle_other(struct imsg *m, void *ctx)
{
	return 0;
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_WORKER_READY] = handle_ready,
	[MSG_WORKER_LOG] = handle_other,
	[MSG_FETCH_LIST] = handle_other,
	[MSG_FETCH_POLLED] = handle_polled,
	[MSG_FETCH_DONE] = handle_done,
};

static void
handle_closed(int reason, const char *text, void *ctx)
{
	(void)fprintf(stderr, "fetchd went away: %s\n", text);
	exit(2);
}

static void
start_fetchd(struct bench *b, const char *path)
{
	struct msg_fetch_config config = { .poll_interval_sec = 86400 };
	struct msg_config_end end = { .log_level = 3 };
	char *argv[] = { NULL, NULL, NULL }, *env[] = { NULL };
	const char *what = "";
	int sv[2];

	if (imsg_socketpair(sv) < 0)
		die("socketpair");
	b->fetchd = fork();
	if (b->fetchd == 0) {
		argv[0] = strdup("fetchd");
		argv[1] = strdup("registry");
		if (dup2(sv[1], 3) == -1 ||
		    sandbox_become(PROC_REGISTRY, &what) < 0)
			die(what);
		(void)execve(path, argv, env);
		die(path);
	}
	(void)close(sv[1]);
	(void)snprintf(
	    config.url, sizeof(config.url), "http://127.0.0.1:%u", b->port);
	(void)strcpy(config.host_id, "h");
	(void)strcpy(end.host_id, "h");
	(void)strcpy(config.binary_path, "/artifacts/{id}/binary");
	if (imsg_open(&b->ch, b->base, sv[0], PROC_AGENTD, PROC_REGISTRY,
		handlers, handle_closed, b) < 0 ||
	    msg_send_FETCH_CONFIG(b->ch, 0, &config) < 0 ||
	    msg_send_CONFIG_END(b->ch, 0, &end) < 0)
		die("channel");
	while (!b->ready || b->polled == 0)
		(void)event_base_loop(b->base, EVLOOP_ONCE);
}

/* Message to message: two hops of the channel are in it. */
static int64_t
fetchd_once(struct bench *b)
{
	struct msg_fetch_artifact want = { .artifact_id = "a",
		.expected_size = BODY_SIZE };
	uint64_t before = b->done;
	int64_t start = clock_boot_ns();

	if (msg_send_FETCH_ARTIFACT(b->ch, before + 1, &want) < 0)
		die("send");
	while (b->done == before)
		(void)event_base_loop(b->base, EVLOOP_ONCE);
	return clock_boot_ns() - start;
}

/* User and system time of fetchd so far, threads included. */
static int64_t
cpu_us(const struct bench *b)
{
	clockid_t clock;
	struct timespec t;

	if (clock_getcpuclockid(b->fetchd, &clock) != 0 ||
	    clock_gettime(clock, &t) == -1)
		die("CPU clock");
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static double
poll_cpu_us(struct bench *b, unsigned int rounds)
{
	struct msg_fetch_poll poll = { { 0, 0 } };
	int64_t before = cpu_us(b);
	uint64_t seen;
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		seen = b->polled;
		if (msg_send_FETCH_POLL(b->ch, 0, &poll) < 0)
			die("send");
		while (b->polled == seen)
			(void)event_base_loop(b->base, EVLOOP_ONCE);
	}
	return (double)(cpu_us(b) - before) / rounds;
}

int
main(int argc, char **argv)
{
	static int64_t floor_ns[ROUNDS_MAX], bare[ROUNDS_MAX], ours[ROUNDS_MAX],
	    own[ROUNDS_MAX];
	struct bench b = { .base = event_base_new() };
	struct buffer buf = { NULL, 0, -1 };
	unsigned int rounds = argc > 2 ? (unsigned int)atoi(argv[2]) : 300, i;
	double floor_us, bare_us, ours_us, own_us, poll_us;
	CURL *easy;

	if (argc < 2 || rounds == 0 || rounds > ROUNDS_MAX || b.base == NULL) {
		(void)fprintf(stderr, "usage: bench_fetch fetchd [rounds]\n");
		return 64;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	start_server(&b);
	easy = bare_handle(&b, &buf);
	start_fetchd(&b, argv[1]);
	/* In turns, so that the machine's moods hit both alike. */
	for (i = 0; i < rounds; i++) {
		floor_ns[i] = bare_once(easy, &buf, false);
		bare[i] = bare_once(easy, &buf, true);
		ours[i] = fetchd_once(&b);
		own[i] = (int64_t)b.own_us * 1000;
	}
	floor_us = median_us(floor_ns, rounds);
	bare_us = median_us(bare, rounds);
	ours_us = median_us(ours, rounds);
	own_us = median_us(own, rounds);
	poll_us = poll_cpu_us(&b, rounds);
	(void)printf(
	    "download of 1 MB, medians of %u:\n"
	    "  bare libcurl into warm memory  %5.0f us\n"
	    "  bare libcurl into a memfd      %5.0f us\n"
	    "  fetchd                         %5.0f us  %.2fx of that\n"
	    "  and both hops of the channel   %5.0f us  %.2fx\n"
	    "poll answered by 304: %.0f us CPU\n",
	    rounds, floor_us, bare_us, own_us, own_us / bare_us, ours_us,
	    ours_us / bare_us, poll_us);
	(void)kill(b.fetchd, SIGKILL);
	(void)kill(b.server, SIGKILL);
	while (wait(NULL) > 0)
		continue;
	curl_easy_cleanup(easy);
	free(buf.data);
	return own_us / bare_us <= 1.2 && poll_us <= 1000 ? 0 : 1;
}
