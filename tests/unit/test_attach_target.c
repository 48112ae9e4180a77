/* SPDX-License-Identifier: ISC */
/* The words of a target, and where a function lies in an ELF file. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/perf_event.h>
#include <string.h>

#include "common/attach_target.h"
#include "common/memfd.h"
#include "unit.h"
#include "verifyd/elf_symbol.h"

#define LEN(s) s, strlen(s)

START_TEST (symbols) {
	char longest[TARGET_SYMBOL_MAX + 2];

	ck_assert(target_is_symbol(LEN("vfs_read")));
	ck_assert(target_is_symbol(LEN("_ZN3foo3barEv.isra.0")));
	ck_assert(!target_is_symbol(LEN("")));
	ck_assert(!target_is_symbol(LEN("vfs_*")));
	ck_assert(!target_is_symbol(LEN("a b")));
	ck_assert(!target_is_symbol(LEN("a/b")));
	ck_assert(!target_is_symbol("a\0b", 3));
	memset(longest, 'x', sizeof(longest));
	ck_assert(target_is_symbol(longest, TARGET_SYMBOL_MAX));
	ck_assert(!target_is_symbol(longest, TARGET_SYMBOL_MAX + 1));
}
END_TEST

START_TEST (tracepoints_stay_below_events) {
	static const char *const bad[] = { "", "sched", "sched/", "/x", "a/b/c",
		"../x", "a/..", "a/b.c", "a/b ", "./b" };
	size_t i;

	ck_assert(target_is_tracepoint("sched/sched_switch"));
	for (i = 0; i < nitems(bad); i++)
		ck_assert_msg(!target_is_tracepoint(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST (binaries) {
	static const char *const bad[] = { "", "/", "bin/x", "/bin/../x",
		"/bin/.", "//bin", "/bin/", "/.." };
	size_t i;

	ck_assert(target_is_binary(LEN("/usr/bin/x")));
	ck_assert(target_is_binary(LEN("/opt/.hidden/..x")));
	/* only the bytes that are meant */
	ck_assert(target_is_binary("/bin/x:main", 6));
	for (i = 0; i < nitems(bad); i++)
		ck_assert_msg(!target_is_binary(LEN(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST (events_and_hooks) {
	static const char names[] = TARGET_EVENT_NAMES;
	struct target_event event;
	uint32_t family, hook;
	const char *p;
	size_t len;

	for (p = names; *p != '\0'; p += len + (p[len] == ' ')) {
		len = strcspn(p, " ");
		ck_assert_msg(target_find_event(p, len, &event) == 0, "%s", p);
	}
	ck_assert_int_eq(target_find_event(LEN("cycles"), &event), 0);
	ck_assert_uint_eq(event.type, PERF_TYPE_HARDWARE);
	ck_assert_uint_eq(event.config, PERF_COUNT_HW_CPU_CYCLES);
	ck_assert_int_eq(target_find_event("cycles!", 6, &event), 0);
	ck_assert_int_eq(target_find_event(LEN("cycle"), &event), -ENOENT);
	ck_assert_int_eq(target_find_event(LEN(""), &event), -ENOENT);

	ck_assert_int_eq(target_find_hook("ipv6/forward", &family, &hook), 0);
	ck_assert_uint_eq(family, NFPROTO_IPV6);
	ck_assert_uint_eq(hook, NF_INET_FORWARD);
	ck_assert_int_eq(
	    target_find_hook("ipv5/forward", &family, &hook), -ENOENT);
	ck_assert_int_eq(target_find_hook("ipv4/", &family, &hook), -ENOENT);
	ck_assert_int_eq(
	    target_find_hook("ipv4/forward2", &family, &hook), -ENOENT);
}
END_TEST

/* This test's own file: what a linker makes. */
__attribute__((noinline, used)) void lie_here(void);
void
lie_here(void)
{
	__asm__ volatile("");
}

START_TEST (a_function_in_a_file) {
	_cleanup_fd_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	uint8_t there[16];
	char error[256];
	uint64_t offset;

	ck_assert_int_eq(
	    elf_symbol_offset(fd, "lie_here", &offset, error, sizeof(error)),
	    0);
	ck_assert_int_eq(
	    pread(fd, there, sizeof(there), (off_t)offset), (int)sizeof(there));
	ck_assert_mem_eq(there, (const void *)(uintptr_t)lie_here, 4);
	ck_assert_int_eq(
	    elf_symbol_offset(fd, "lie_there", &offset, error, sizeof(error)),
	    -ENOENT);
	ck_assert_ptr_nonnull(strstr(error, "no function \"lie_there\""));
	/* data is no function */
	ck_assert_int_eq(
	    elf_symbol_offset(fd, "environ", &offset, error, sizeof(error)),
	    -ENOENT);
}
END_TEST

START_TEST (files_that_are_none) {
	static const char *const bad[] = { "#!/bin/sh\n", "\177ELF", "",
		"\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\76\0\1\0\0\0" };
	char error[256];
	uint64_t offset;
	size_t i;

	for (i = 0; i < nitems(bad); i++) {
		_cleanup_fd_ int fd =
		    memfd_from_bytes("bad", bad[i], strlen(bad[i]));

		ck_assert_int_lt(
		    elf_symbol_offset(fd, "x", &offset, error, sizeof(error)),
		    0);
		ck_assert_str_ne(error, "");
	}
}
END_TEST

UNIT_MAIN("attach_target", symbols, tracepoints_stay_below_events, binaries,
    events_and_hooks, a_function_in_a_file, files_that_are_none)
