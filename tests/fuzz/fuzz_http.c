/* SPDX-License-Identifier: ISC */
/*
 * Requests as anybody on the network writes them, past civetweb's own parser:
 * lines of method, path, Authorization, Accept, Accept-Encoding and
 * If-None-Match.  Every request has an answer, whole and within its buffer;
 * without the token nothing but /healthz and the page says anything.
 */
#include <stdint.h>
#include <string.h>

#include "apid/negotiate.h"
#include "apid/routes.h"
#include "common/clock.h"
#include "common/memfd.h"
#include "tests/unit/synthetic.h"

#define LINES 6
#define TOKEN "a-token-that-is-long-enough"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store store;
static struct routes routes[2]; /* without and with a token */

static void
begin(void)
{
	struct synthetic spec = {
		.generation = 1,
		.content = 1,
		.host_id = "host",
		.programs = 2,
		.mixed = 1,
		.rollbacks = 2,
		.boot_ns = clock_boot_ns(),
		.wall_ns = clock_wall_ns(),
		.ttl_sec = 60,
	};
	const char *what;
	void *bytes;
	size_t len;
	int fd;

	store_init(&store);
	synthetic_snapshot(&spec, &bytes, &len);
	fd = memfd_from_bytes("snapshot", bytes, len);
	free(bytes);
	if (fd < 0 || store_put(&store, fd, &what) < 0)
		abort();
	(void)close(fd);
	routes_init(&routes[0], &store, "host");
	routes_init(&routes[1], &store, "host");
	routes[1].token = TOKEN;
}

static void
check(const struct request *req, struct routes *rt)
{
	struct reply reply = { 0 };
	bool open;

	if (routes_answer(rt, req, &reply) < 0 || reply.answer == NULL ||
	    reply.len < 12 || memcmp(reply.bytes, "HTTP/1.1 ", 9) != 0)
		abort();
	open = strcmp(req->path, "/healthz") == 0 ||
	    strcmp(req->path, "/") == 0 || strcmp(req->path, "/page.js") == 0 ||
	    strcmp(req->path, "/page.css") == 0;
	if (rt->token != NULL && !open &&
	    (reply.status == 200 || reply.status == 304) &&
	    !negotiate_bearer(req->authorization, TOKEN))
		abort();
	if (reply.status == 200 && strcmp(req->method, "GET") != 0 &&
	    strcmp(req->method, "HEAD") != 0)
		abort();
	answer_unref(reply.answer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool begun;
	char *text = malloc(size + 1), *rest, *line[LINES] = { NULL };
	struct request req;
	size_t i;

	if (text == NULL)
		return 0;
	if (!begun)
		begin();
	begun = true;
	memcpy(text, data, size);
	text[size] = '\0';
	rest = text;
	for (i = 0; i < LINES && rest != NULL; i++)
		line[i] = strsep(&rest, "\n");
	req = (struct request){
		.method = line[0],
		.path = line[1] != NULL ? line[1] : "/",
		.authorization = line[2],
		.accept = line[3],
		.accept_encoding = line[4],
		.if_none_match = line[5],
		.has_body = size % 2,
	};
	check(&req, &routes[0]);
	check(&req, &routes[1]);
	free(text);
	return 0;
}
