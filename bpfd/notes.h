/* SPDX-License-Identifier: ISC */
/*
 * What libbpf and the kernel's verifier say while an object is loaded,
 * and how a sentence for people is found in it.
 */
#ifndef BPFD_NOTES_H
#define BPFD_NOTES_H

#include <stddef.h>

#include "common/limits.h"

#define NOTES_TEXT_SIZE 1024

/* libbpf's warnings during one load, without the verifier's log in them. */
struct notes {
	char text[NOTES_TEXT_SIZE];        /* "first; second; third" */
	char program[AEGIS_BPF_NAME_SIZE]; /* which failed to load, or "" */
};

/*
 * From now on, in this thread, libbpf's warnings go to NOTES (zeroed here);
 * NULL: nowhere.  Nothing of libbpf's ever goes to standard error.
 */
void notes_begin(struct notes *notes);

/* One line of libbpf's, as its print callback got it. */
void notes_add_line(struct notes *notes, const char *line);

/*
 * The end of a verifier log of at most MAX bytes, from the beginning of a
 * line: its offset in LOG, whose length is LEN.
 */
size_t notes_log_tail(const char *log, size_t len, size_t max);

/*
 * The line that says why the verifier refused: the last one that is not
 * its statistics.  Copied into OUT, cut to SIZE; "" if the log is empty.
 */
void notes_log_reason(const char *log, size_t len, char *out, size_t size);

#endif
