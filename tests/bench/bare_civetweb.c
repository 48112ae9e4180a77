/* SPDX-License-Identifier: ISC */
/*
 * The floor for apid: civetweb as it comes, a handler that writes one string
 * made before.  bench_api measures both.
 *
 *	bare_civetweb port bytes
 *
 * Ends with its standard input.
 */
#include <civetweb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct page {
	char *bytes;
	size_t len;
};

static int
handle_request(struct mg_connection *conn)
{
	const struct page *page = mg_get_user_context_data(conn);

	(void)mg_write(conn, page->bytes, page->len);
	return 200;
}

int
main(int argc, char **argv)
{
	const struct mg_callbacks callbacks = {
		.begin_request = handle_request,
	};
	const char *options[] = { "listening_ports", argc > 1 ? argv[1] : "0",
		"num_threads", "50", "enable_keep_alive", "yes",
		"keep_alive_timeout_ms", "5000", "tcp_nodelay", "1", NULL };
	struct page page;
	size_t body;
	int head;
	char c;

	if (argc != 3)
		return 64;
	body = strtoul(argv[2], NULL, 10);
	page.bytes = malloc(body + 256);
	if (page.bytes == NULL)
		return 1;
	head = snprintf(page.bytes, 256,
	    "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
	    "Content-Type: application/json\r\n\r\n",
	    body);
	page.len = (size_t)head + body;
	memset(page.bytes + head, 'x', body);
	(void)mg_init_library(MG_FEATURES_DEFAULT);
	if (mg_start(&callbacks, &page, options) == NULL)
		return 1;
	(void)printf("listening\n");
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		continue;
	_exit(0);
}
