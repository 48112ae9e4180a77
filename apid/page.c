/* SPDX-License-Identifier: ISC */
#include "apid/page.h"

#include <string.h>

#include "common/clock.h"
#include "page_stamp.h" /* a comment; see meson.build */

/*
 * The files as they lie in the source tree, put into the executable by the
 * assembler: nothing has to be opened in the sandbox.
 */
#define EMBED(symbol, file)                                                    \
	__asm__(".section .rodata\n"                                           \
		".global " #symbol "\n.global " #symbol "_end\n" #symbol ":\n" \
		".incbin \"" AEGIS_PAGE_DIR "/" file "\"\n" #symbol "_end:\n"  \
		".byte 0\n"                                                    \
		".previous\n");                                                \
	extern const char symbol[], symbol##_end[]

EMBED(page_html, "page.html");
EMBED(page_script, "page.js");
EMBED(page_style, "page.css");

/*
 * What the page may do: run its own script, wear its own style, ask its own
 * API, and nothing else.  No inline script or style, no frame around it.
 */
#define PAGE_POLICY                                                            \
	"Content-Security-Policy: default-src 'none'; script-src 'self'; "     \
	"style-src 'self'; connect-src 'self'; img-src data:; base-uri "       \
	"'none'; form-action 'none'; frame-ancestors 'none'\r\n"               \
	"Referrer-Policy: no-referrer\r\n"                                     \
	"X-Frame-Options: DENY\r\n"

struct answer *
page_answer(enum page_file file)
{
	const struct {
		const char *begin, *end, *type, *extra;
	} files[PAGE_FILE_MAX] = {
		[PAGE_HTML] = { page_html, page_html_end,
		    "text/html; charset=utf-8", PAGE_POLICY },
		[PAGE_SCRIPT] = { page_script, page_script_end,
		    "text/javascript; charset=utf-8", NULL },
		[PAGE_STYLE] = { page_style, page_style_end,
		    "text/css; charset=utf-8", NULL },
	};
	const struct answer_spec spec = {
		.status = 200,
		.type = files[file].type,
		.extra = files[file].extra,
		.wall_ns = clock_wall_ns(),
	};

	return answer_build(&spec, files[file].begin,
	    (size_t)(files[file].end - files[file].begin));
}
