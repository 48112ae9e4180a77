/* SPDX-License-Identifier: ISC */
/*
 * The page for people: three files built into the executable, which ask the
 * API for everything else.
 */
#ifndef APID_PAGE_H
#define APID_PAGE_H

#include <stdbool.h>

#include "apid/answer.h"

enum page_file { PAGE_HTML = 0, PAGE_SCRIPT, PAGE_STYLE, PAGE_FILE_MAX };

/*
 * One of the files.  One reference, owned by the caller;
 * NULL: no memory.
 */
struct answer *page_answer(enum page_file file);

#endif
