/* SPDX-License-Identifier: ISC */
#include "apid/server.h"

#include <civetweb.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "aegis_config.h"
#include "apid/crowd.h"
#include "apid/tls.h"
#include "common/limits.h"

/*
 * civetweb gives a thread to each connection, idle ones too, so threads are
 * what a slow client uses up: there are many, they cost little, and crowd.c
 * keeps some free.
 */
#define THREADS        256
#define KEEP_ALIVE_MAX 128 /* with more connections none is kept open */
#define THREAD_STACK   (256 * 1024)

/* What has not begun by then was not made. */
#define BEGIN_SEC 5

#define TEXT_OF(x)     #x
#define NUMBER_TEXT(x) TEXT_OF(x)

struct server {
	struct mg_context *ctx;
	struct routes *routes;
	struct crowd *crowd;
	struct tls_watch watch;
	void *tls_ctx;
	pthread_t starter; /* the thread that started civetweb */
	char *text;        /* where its messages go while it starts */
	size_t text_size;
	int listener; /* civetweb's number for our socket; not owned */
	pthread_mutex_t starting; /* held until it is there */
	sem_t begun;              /* by each thread of civetweb */
	atomic_int connections;   /* that have a thread */
};

/*
 * A request is read within 3 s, headers of 8 KB at most; a connection may
 * wait 5 s for its next request.
 */
static const char *const options_plain[] = {
	"listening_ports",
	"127.0.0.1:0", /* see take_over_listener() */
	"num_threads",
	NUMBER_TEXT(THREADS),
	"connection_queue",
	"64",
	"max_request_size",
	"8192",
	"request_timeout_ms",
	"3000",
	"enable_keep_alive",
	"yes",
	"keep_alive_timeout_ms",
	"5000",
	"tcp_nodelay",
	"1",
	"enable_directory_listing",
	"no",
	"enable_auth_domain_check",
	"no",
	NULL,
};

#if AEGIS_SANITIZED
/*
 * ThreadSanitizer takes it for a race that crowd.c looks at descriptors while
 * civetweb, and OpenSSL under it, use and close them.  It does so on purpose,
 * see there; and what else orders the calls of these two cannot be seen, as
 * they are built without it.
 */
const char *__tsan_default_suppressions(void);

const char *
__tsan_default_suppressions(void)
{
	return "called_from_lib:libcivetweb.so\n"
	       "called_from_lib:libcrypto.so\n";
}
#endif

static struct server *
server_of(const struct mg_connection *conn)
{
	return mg_get_user_context_data(conn);
}

static void
send_reply(struct mg_connection *conn, const char *bytes, size_t len)
{
	/* One write: several small ones halve the throughput. */
	(void)mg_write(conn, bytes, len);
}

/* One pass over the headers for all that matter. */
static void
read_headers(const struct mg_request_info *info, struct request *req)
{
	const struct {
		const char *name;
		const char **value;
	} wanted[] = {
		{ "Accept", &req->accept },
		{ "Accept-Encoding", &req->accept_encoding },
		{ "Authorization", &req->authorization },
		{ "If-None-Match", &req->if_none_match },
	};
	const struct mg_header *h;
	size_t k;
	int i;

	for (i = 0; i < info->num_headers; i++) {
		h = &info->http_headers[i];
		for (k = 0; k < nitems(wanted); k++)
			if (strcasecmp(h->name, wanted[k].name) == 0)
				*wanted[k].value = h->value;
		if (strcasecmp(h->name, "Transfer-Encoding") == 0)
			req->has_body = true;
	}
}

/* Every request comes here before civetweb looks at it itself. */
static int
handle_request(struct mg_connection *conn)
{
	const struct mg_request_info *info = mg_get_request_info(conn);
	struct server *server = server_of(conn);
	struct request req = {
		.method = info->request_method,
		.path = info->local_uri != NULL ? info->local_uri : "",
		.has_body = info->content_length > 0,
	};
	static const char no_memory[] = "HTTP/1.1 503 Service Unavailable\r\n"
					"Content-Length: 0\r\n"
					"Cache-Control: no-store\r\n\r\n";
	struct reply reply = { 0 };

	read_headers(info, &req);
	if (routes_answer(server->routes, &req, &reply) < 0) {
		send_reply(conn, no_memory, sizeof(no_memory) - 1);
		return 503;
	}
	/*
	 * A body is never read: what follows the headers is not looked at.
	 * And when threads get scarce nobody keeps one for a next request.
	 */
	if (reply.close || atomic_load(&server->connections) > KEEP_ALIVE_MAX)
		mg_disable_connection_keep_alive(conn);
	send_reply(conn, reply.bytes, reply.len);
	answer_unref(reply.answer);
	return (int)reply.status;
}

static int
handle_opened(const struct mg_connection *conn, void **conn_data)
{
	struct server *server = server_of(conn);

	atomic_fetch_add(&server->connections, 1);
	crowd_note(server->crowd);
	return 0;
}

/* civetweb tells of a TLS connection only when its handshake is over. */
static void
handle_handshake(void *arg)
{
	const struct server *server = arg;

	crowd_note(server->crowd);
}

static void
handle_closed(const struct mg_connection *conn)
{
	atomic_fetch_sub(&server_of(conn)->connections, 1);
}

/*
 * civetweb calls a method that it does not know a bad request.  It has read
 * it by then: TRACE and whatever else gets the answer of all other methods.
 */
static bool
is_unknown_method(const struct mg_connection *conn)
{
	const struct mg_request_info *info = mg_get_request_info(conn);
	const char *m = info != NULL ? info->request_method : NULL;

	/* The version is read last: with one the line was well formed. */
	return m != NULL && info->http_version != NULL && m[0] != '\0' &&
	    m[strspn(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-")] == '\0';
}

/* civetweb could not make a request of what came: JSON like all errors. */
static int
handle_http_error(struct mg_connection *conn, int status, const char *message)
{
	struct answer *a;

	/* Its message repeats the client's bytes; ours does not. */
	if (status == 400 && is_unknown_method(conn))
		a = routes_refuse_method(true);
	else
		a = answer_build_error((unsigned int)status, NULL, true,
		    answer_status_text((unsigned int)status));
	mg_disable_connection_keep_alive(conn);
	if (a != NULL)
		send_reply(conn, a->bytes, a->len);
	answer_unref(a);
	return 0;
}

/*
 * civetweb's own messages: while it starts they say why it does not; later
 * they are about single clients, which are nobody's business.
 */
static int
handle_log(const struct mg_connection *conn, const char *message)
{
	struct server *server;

	if (conn == NULL)
		return 1;
	server = mg_get_user_context_data(conn);
	/* Where they go is known, and changed, by that thread alone. */
	if (server != NULL && pthread_equal(server->starter, pthread_self()) &&
	    server->text != NULL)
		(void)snprintf(
		    server->text, server->text_size, "civetweb: %s", message);
	return 1;
}

static int
handle_ssl_ctx(void **ctx, void *user_data)
{
	const struct server *server = user_data;

	/* Called with NULL to make one, and again when it is released. */
	if (*ctx == NULL)
		*ctx = server->tls_ctx;
	return 1;
}

/*
 * civetweb finds a library that is loaded already by its soname, and so
 * takes ours for libssl.so and libcrypto.so.
 */
static int
load_shims(const char *dir, char *text, size_t size)
{
	static const char *const names[] = { "apid-crypto.so", "apid-ssl.so" };
	char path[AEGIS_PATH_SIZE];
	size_t i;

	for (i = 0; i < nitems(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		/* Never closed: civetweb keeps what it found. */
		if (dlopen(path, RTLD_NOW | RTLD_LOCAL) == NULL) {
			(void)snprintf(
			    text, size, "cannot load TLS: %s", dlerror());
			return -ENOENT;
		}
	}
	return 0;
}

int
server_load(const char *tls_dir, char *text, size_t size)
{
	unsigned int got;
	int r;

	if (tls_dir == NULL) {
		(void)mg_init_library(MG_FEATURES_DEFAULT);
		return 0;
	}
	r = load_shims(tls_dir, text, size);
	if (r < 0)
		return r;
	got = mg_init_library(MG_FEATURES_TLS);
	if (!(got & MG_FEATURES_TLS)) {
		(void)snprintf(text, size,
		    "AGENT_HTTP_CERT asks for TLS, but civetweb cannot use the "
		    "OpenSSL of this machine: libssl3 3.0 is what it was "
		    "tested with");
		return -ENOENT;
	}
	return 0;
}

/* The descriptor that listens on PORT of 127.0.0.1 in this process. */
static int
find_listener(int port)
{
	struct sockaddr_in addr;
	struct rlimit limit;
	socklen_t len;
	int fd, max = 1024, on;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536)
		max = (int)limit.rlim_cur;
	for (fd = 3; fd < max; fd++) {
		len = sizeof(on);
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) ==
			-1 ||
		    !on)
			continue;
		len = sizeof(addr);
		if (getsockname(fd, (struct sockaddr *)&addr, &len) == 0 &&
		    addr.sin_family == AF_INET && ntohs(addr.sin_port) == port)
			return fd;
	}
	return -ENOENT;
}

/*
 * A thread of civetweb begins.  The one that accepts (kind 0) may not look at
 * a socket before it is ours: a poll(2) that began with the old one would go
 * on waiting for that, and nobody would be let in for two seconds.
 */
static void *
handle_thread(const struct mg_context *ctx, int kind)
{
	struct server *server = mg_get_user_data(ctx);

	(void)sem_post(&server->begun);
	if (kind == 0) {
		(void)pthread_mutex_lock(&server->starting);
		(void)pthread_mutex_unlock(&server->starting);
	}
	return NULL;
}

/*
 * civetweb starts without complaint when there are fewer threads to be had,
 * even where the one that accepts is not among them.
 */
static int
await_threads(struct server *server, char *text, size_t size)
{
	const int all = THREADS + 1;
	struct timespec until;
	int got;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += BEGIN_SEC;
	for (got = 0; got < all; got++)
		while (sem_clockwait(&server->begun, CLOCK_MONOTONIC, &until) ==
		    -1)
			if (errno != EINTR)
				goto fewer;
	return 0;
fewer:
	(void)snprintf(text, size,
	    "civetweb has %d of %d threads: raise the limit of processes of "
	    "apid's account, which all agents on a host share",
	    got, all);
	return -EAGAIN;
}

/*
 * civetweb was started on a port of its own choice on the loopback address;
 * put our socket in the place of that one.  It only polls and accepts, which
 * is the same for every family.
 */
static int
take_over_listener(struct server *server, int fd)
{
	struct mg_server_port port;
	int theirs;

	if (mg_get_server_ports(server->ctx, 1, &port) != 1)
		return -EIO;
	theirs = find_listener(port.port);
	if (theirs < 0)
		return theirs;
	if (dup3(fd, theirs, O_CLOEXEC) == -1)
		return -errno;
	server->listener = theirs;
	return 0;
}

/* Threads of civetweb get the default size: it has no option for it. */
static void
set_thread_stack(size_t size)
{
	pthread_attr_t attr;

	if (pthread_getattr_default_np(&attr) != 0)
		return;
	if (pthread_attr_setstacksize(&attr, size) == 0)
		(void)pthread_setattr_default_np(&attr);
	(void)pthread_attr_destroy(&attr);
}

int
server_start(struct server **out, struct event_base *base,
    struct routes *routes, int fd, void *tls_ctx, char *text, size_t size)
{
	const struct mg_callbacks callbacks = {
		.begin_request = handle_request,
		.log_message = handle_log,
		.http_error = handle_http_error,
		.init_connection = handle_opened,
		.connection_closed = handle_closed,
		.init_thread = handle_thread,
		.external_ssl_ctx = tls_ctx != NULL ? handle_ssl_ctx : NULL,
	};
	const char *options[nitems(options_plain)];
	_cleanup_fd_ int owned = fd;
	struct server *server;
	int r;

	(void)snprintf(text, size, "civetweb does not start");
	server = calloc(1, sizeof(*server));
	if (server == NULL)
		return -ENOMEM;
	server->routes = routes;
	server->tls_ctx = tls_ctx;
	server->listener = -1;
	(void)pthread_mutex_init(&server->starting, NULL);
	(void)sem_init(&server->begun, 0, 0);
	server->starter = pthread_self();
	server->text = text;
	server->text_size = size;
	r = crowd_open(&server->crowd, base);
	if (r < 0) {
		server_stop(server);
		return r;
	}
	memcpy(options, options_plain, sizeof(options));
	if (tls_ctx != NULL) {
		options[1] = "127.0.0.1:0s";
		server->watch = (struct tls_watch){
			.handshake = handle_handshake,
			.arg = server,
		};
		tls_watch(tls_ctx, &server->watch);
	}
	set_thread_stack(THREAD_STACK);
	(void)pthread_mutex_lock(&server->starting);
	server->ctx = mg_start(&callbacks, server, options);
	server->text = NULL;
	/* Not released: the thread that accepts may be waiting there... */
	if (server->ctx == NULL)
		return -EAGAIN;
	r = take_over_listener(server, owned);
	(void)pthread_mutex_unlock(&server->starting);
	if (r == 0)
		r = await_threads(server, text, size);
	if (r == -EAGAIN) /* ...or others be about to come. */
		return r;
	if (r < 0) {
		server_stop(server);
		return r;
	}
	*out = server;
	return 0;
}

void
server_stop(struct server *server)
{
	if (server == NULL)
		return;
	/* Wakes the thread that accepts, which else sleeps on. */
	if (server->listener >= 0)
		(void)shutdown(server->listener, SHUT_RDWR);
	if (server->ctx != NULL)
		mg_stop(server->ctx);
	if (server->tls_ctx != NULL)
		tls_watch(server->tls_ctx, NULL);
	crowd_close(server->crowd);
	(void)pthread_mutex_destroy(&server->starting);
	(void)sem_destroy(&server->begun);
	free(server);
}
