/* SPDX-License-Identifier: ISC */
#include "bpfd/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
failure_set(
    struct failure *f, enum work_result result, int r, const char *fmt, ...)
{
	va_list ap;

	if (f->result != WORK_OK)
		return r;
	f->result = result;
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	str_scrub(f->text, sizeof(f->text));
	return r;
}

void
failure_add(struct failure *f, const char *fmt, ...)
{
	size_t len = strlen(f->text);
	va_list ap;

	if (len + sizeof("; ") >= sizeof(f->text))
		return;
	(void)memcpy(f->text + len, "; ", sizeof("; "));
	len += 2;
	va_start(ap, fmt);
	(void)vsnprintf(f->text + len, sizeof(f->text) - len, fmt, ap);
	va_end(ap);
	str_scrub(f->text, sizeof(f->text));
}

enum work_result
failure_kind(int r)
{
	switch (-r) {
	case ENOMEM:
	case ENOBUFS:
	case EAGAIN:
	case EINTR:
	case EBUSY:
	case EMFILE:
	case ENFILE:
	case ENODEV:
	case ENXIO:
		return WORK_TRANSIENT;
	default:
		return WORK_REFUSED;
	}
}
