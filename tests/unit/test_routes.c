/* SPDX-License-Identifier: ISC */
/*
 * Requests and their answers without a connection, and with many threads.
 */
#include "unit.h"

#include <pthread.h>
#include <string.h>
#include <zlib.h>

#include "apid/routes.h"
#include "common/clock.h"
#include "common/memfd.h"
#include "synthetic.h"

struct fixture {
	struct store store;
	struct routes routes;
	struct synthetic spec;
};

static void
open_fixture(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->spec.host_id = "host-001";
	f->spec.programs = 3;
	f->spec.ttl_sec = 60;
	f->spec.content = 1;
	store_init(&f->store);
	routes_init(&f->routes, &f->store, "host-001");
}

static void
close_fixture(struct fixture *f)
{
	routes_clear(&f->routes);
	store_clear(&f->store);
}

static void
publish(struct fixture *f)
{
	_cleanup_fd_ int fd = -1;
	const char *what;
	void *bytes;
	size_t len;

	f->spec.generation++;
	f->spec.boot_ns = clock_boot_ns();
	f->spec.wall_ns = clock_wall_ns();
	synthetic_snapshot(&f->spec, &bytes, &len);
	fd = memfd_from_bytes("snapshot", bytes, len);
	free(bytes);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_put(&f->store, fd, &what), 0);
}

static struct reply
ask(struct fixture *f, struct request req)
{
	struct reply reply = { 0 };

	if (req.method == NULL)
		req.method = "GET";
	ck_assert_int_eq(routes_answer(&f->routes, &req, &reply), 0);
	ck_assert_ptr_nonnull(reply.answer);
	return reply;
}

static unsigned int
status_of(struct fixture *f, struct request req)
{
	struct reply reply = ask(f, req);

	answer_unref(reply.answer);
	return reply.status;
}

/* True if the reply's bytes hold TEXT. */
static bool
holds(const struct reply *reply, const char *text)
{
	return memmem(reply->bytes, reply->len, text, strlen(text)) != NULL;
}

START_TEST (nothing_is_known_before_the_first_snapshot) {
	struct fixture f;
	struct reply reply;

	open_fixture(&f);
	ck_assert_uint_eq(
	    status_of(&f, (struct request){ .path = "/status" }), 503);
	reply = ask(&f, (struct request){ .path = "/healthz" });
	ck_assert_uint_eq(reply.status, 503);
	ck_assert(holds(&reply, "\"status\":\"unhealthy\""));
	answer_unref(reply.answer);
	publish(&f);
	ck_assert_uint_eq(
	    status_of(&f, (struct request){ .path = "/status" }), 200);
	close_fixture(&f);
}
END_TEST

START_TEST (refusals) {
	struct fixture f;
	struct reply reply;

	open_fixture(&f);
	publish(&f);
	ck_assert_uint_eq(
	    status_of(&f, (struct request){ .path = "/nope" }), 404);
	ck_assert_uint_eq(status_of(&f, (struct request){ .path = "" }), 404);
	reply = ask(&f,
	    (struct request){
		.path = "/status", .method = "POST", .has_body = true });
	ck_assert_uint_eq(reply.status, 405);
	ck_assert(holds(&reply, "\r\nAllow: GET, HEAD\r\n"));
	ck_assert(holds(&reply, "\r\nConnection: close\r\n"));
	ck_assert(reply.close);
	answer_unref(reply.answer);
	reply =
	    ask(&f, (struct request){ .path = "/status", .has_body = true });
	ck_assert_uint_eq(reply.status, 413);
	ck_assert(reply.close);
	answer_unref(reply.answer);
	close_fixture(&f);
}
END_TEST

START_TEST (token_guards_all_but_health_and_the_page) {
	struct fixture f;

	open_fixture(&f);
	f.routes.token = "t0k";
	publish(&f);
	ck_assert_uint_eq(
	    status_of(&f, (struct request){ .path = "/metrics" }), 401);
	ck_assert_uint_eq(status_of(&f,
			      (struct request){ .path = "/metrics",
				  .authorization = "Bearer t0k" }),
	    200);
	ck_assert_uint_eq(
	    status_of(&f, (struct request){ .path = "/healthz" }), 200);
	ck_assert_uint_eq(status_of(&f, (struct request){ .path = "/" }), 200);
	close_fixture(&f);
}
END_TEST

START_TEST (a_document_is_rendered_once) {
	struct fixture f;
	uint64_t renders;
	int i;

	open_fixture(&f);
	publish(&f);
	/* The second may change once on the way. */
	for (i = 0; i < 100; i++)
		(void)status_of(&f,
		    (struct request){ .path = "/status",
			.accept_encoding = i % 2 ? "gzip" : NULL });
	renders = atomic_load(&f.routes.renders);
	ck_assert_uint_ge(renders, 1);
	ck_assert_uint_le(renders, 2);
	publish(&f);
	(void)status_of(&f, (struct request){ .path = "/status" });
	ck_assert_uint_gt(atomic_load(&f.routes.renders), renders);
	close_fixture(&f);
}
END_TEST

START_TEST (head_and_not_modified_have_no_body) {
	struct fixture f;
	struct reply got, head, same;
	char etag[ANSWER_ETAG_SIZE];

	open_fixture(&f);
	publish(&f);
	got = ask(&f, (struct request){ .path = "/programs" });
	head =
	    ask(&f, (struct request){ .path = "/programs", .method = "HEAD" });
	ck_assert_uint_lt(head.len, got.len);
	ck_assert_mem_eq(head.bytes + head.len - 4, "\r\n\r\n", 4);
	ck_assert(holds(&head, "Content-Length: "));
	memcpy(etag, got.answer->etag, sizeof(etag));
	same = ask(
	    &f, (struct request){ .path = "/programs", .if_none_match = etag });
	ck_assert_uint_eq(same.status, 304);
	ck_assert_mem_eq(same.bytes, "HTTP/1.1 304 Not Modified\r\n", 27);
	ck_assert_mem_eq(same.bytes + same.len - 4, "\r\n\r\n", 4);
	ck_assert(holds(&same, etag));
	answer_unref(got.answer);
	answer_unref(head.answer);
	answer_unref(same.answer);
	f.spec.content++;
	publish(&f);
	ck_assert_uint_eq(
	    status_of(&f,
		(struct request){ .path = "/programs", .if_none_match = etag }),
	    200);
	close_fixture(&f);
}
END_TEST

START_TEST (gzip_unpacks_to_the_plain_body) {
	struct fixture f;
	struct reply plain, packed;
	unsigned char out[65536];
	z_stream z = { 0 };

	open_fixture(&f);
	publish(&f);
	/* Both of the same second. */
	do {
		plain = ask(&f, (struct request){ .path = "/programs" });
		packed = ask(&f,
		    (struct request){
			.path = "/programs", .accept_encoding = "gzip" });
		if (plain.answer->spec.wall_ns == packed.answer->spec.wall_ns)
			break;
		answer_unref(plain.answer);
		answer_unref(packed.answer);
	} while (true);
	ck_assert(holds(&packed, "\r\nContent-Encoding: gzip\r\n"));
	ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in =
	    (Bytef *)(uintptr_t)(packed.bytes + packed.answer->head_len);
	z.avail_in = (uInt)(packed.len - packed.answer->head_len);
	z.next_out = out;
	z.avail_out = sizeof(out);
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert_uint_eq(z.total_out, plain.len - plain.answer->head_len);
	ck_assert_mem_eq(
	    out, plain.bytes + plain.answer->head_len, z.total_out);
	(void)inflateEnd(&z);
	answer_unref(plain.answer);
	answer_unref(packed.answer);
	close_fixture(&f);
}
END_TEST

START_TEST (a_bad_snapshot_changes_nothing) {
	struct fixture f;
	_cleanup_fd_ int fd = memfd_from_bytes("snapshot", "garbage", 7);
	const char *what;

	open_fixture(&f);
	publish(&f);
	ck_assert_int_eq(store_put(&f.store, fd, &what), -EBADMSG);
	ck_assert_str_eq(what, "header");
	ck_assert_uint_eq(store_generation(&f.store), 1);
	ck_assert_uint_eq(
	    status_of(&f, (struct request){ .path = "/status" }), 200);
	close_fixture(&f);
}
END_TEST

static void *
hammer(void *arg)
{
	static const char *const paths[] = { "/healthz", "/status", "/metrics",
		"/programs" };
	struct fixture *f = arg;
	struct reply reply;
	int i;

	for (i = 0; i < 400; i++) {
		reply = ask(f,
		    (struct request){ .path = paths[i % 4],
			.accept = i % 3 ? NULL : "text/plain",
			.accept_encoding = i % 5 ? NULL : "gzip" });
		ck_assert_uint_eq(reply.status, 200);
		answer_unref(reply.answer);
	}
	return NULL;
}

START_TEST (threads_read_while_snapshots_change) {
	pthread_t threads[4];
	struct fixture f;
	size_t i;

	open_fixture(&f);
	publish(&f);
	for (i = 0; i < nitems(threads); i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, hammer, &f), 0);
	for (i = 0; i < 100; i++) {
		f.spec.programs = (uint32_t)(1 + i % 7);
		publish(&f);
	}
	for (i = 0; i < nitems(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	close_fixture(&f);
}
END_TEST

UNIT_MAIN("routes", nothing_is_known_before_the_first_snapshot, refusals,
    token_guards_all_but_health_and_the_page, a_document_is_rendered_once,
    head_and_not_modified_have_no_body, gzip_unpacks_to_the_plain_body,
    a_bad_snapshot_changes_nothing, threads_read_while_snapshots_change)
