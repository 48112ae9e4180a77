/* SPDX-License-Identifier: ISC */
/*
 * The words of an attachment's target: which are well-formed, and what they
 * mean to the kernel.  verifyd, which makes a plan, agentd's broker and bpfd,
 * which carry it out, read them alike.
 */
#ifndef COMMON_ATTACH_TARGET_H
#define COMMON_ATTACH_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/* The kernel's KSYM_NAME_LEN before 6.1; longer names are Rust's. */
#define TARGET_SYMBOL_MAX 127

/* LEN bytes: a symbol of the kernel or of an ELF file. */
bool target_is_symbol(const char *text, size_t len);

/*
 * "category/name": one directory below another in tracefs, and so without
 * dots.
 */
bool target_is_tracepoint(const char *text);

/* LEN bytes: an absolute path without "." and ".." in it. */
bool target_is_binary(const char *text, size_t len);

/* A perf event by its name: software, or of the processor. */
struct target_event {
	uint32_t type;   /* PERF_TYPE_SOFTWARE, _HARDWARE */
	uint64_t config; /* PERF_COUNT_* */
};

/* LEN bytes, as perf(1) calls it.  0 or -ENOENT. */
int target_find_event(
    const char *text, size_t len, struct target_event *event) _must_check_;

/* All names, for people. */
#define TARGET_EVENT_NAMES                                                     \
	"cpu-clock task-clock page-faults minor-faults major-faults "          \
	"context-switches cpu-migrations alignment-faults emulation-faults "   \
	"cycles instructions cache-references cache-misses branches "          \
	"branch-misses bus-cycles"

/*
 * "ipv4/local_in": netfilter's protocol family and the number of the hook.
 * 0 or -ENOENT.
 */
int target_find_hook(
    const char *text, uint32_t *family, uint32_t *hook) _must_check_;

/* Samples a second that perf_event may ask for. */
#define TARGET_FREQUENCY_DEFAULT 99
#define TARGET_FREQUENCY_MAX     10000

#endif
