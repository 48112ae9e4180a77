/* SPDX-License-Identifier: ISC */
/*
 * The table as a table: what no row may ever say.  That the kernel does what
 * the table says is for tests/integration/test_sandbox.py.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <string.h>
#include <sys/capability.h>

#include "common/sandbox.h"
#include "common/sandbox_rows.h"
#include "tests/unit/unit.h"

static bool
list_allows(const struct sandbox_call *calls, const char *name)
{
	for (; calls != NULL && calls->name != NULL; calls++)
		if (calls->error == 0 && strcmp(calls->name, name) == 0)
			return true;
	return false;
}

static bool
row_allows(const struct sandbox_row *row, const char *name)
{
	unsigned int i;

	for (i = 0; i < SANDBOX_MAX_SETS; i++)
		if (list_allows(row->sets[i], name))
			return true;
	return list_allows(row->calls, name);
}

START_TEST (no_row_allows_what_breaks_out) {
	static const char *const never[] = { "execve", "execveat", "fork",
		"vfork", "ptrace", "process_vm_readv", "process_vm_writev",
		"mount", "umount2", "pivot_root", "chroot", "setns", "unshare",
		"init_module", "finit_module", "kexec_load", "keyctl",
		"io_uring_setup", "userfaultfd", "setuid", "setresuid",
		"setgid", "setgroups", "capset", "kill", "tkill",
		"pidfd_send_signal", "pidfd_getfd", "personality",
		"open_by_handle_at", "mknod", "mknodat" };
	int role;
	size_t i;

	for (role = 0; role < PROC_MAX; role++) {
		if (sandbox_rows[role].deny)
			continue;
		for (i = 0; i < nitems(never); i++)
			ck_assert_msg(
			    !row_allows(&sandbox_rows[role], never[i]),
			    "%s may %s", proc_name((enum proc_role)role),
			    never[i]);
	}
}
END_TEST

/* Calls whose arguments decide must never stand without them. */
static void
expect_arguments(const struct sandbox_call *calls)
{
	static const char *const argued[] = { "bpf", "ioctl", "socket",
		"socketpair", "clone", "fcntl", "prctl", "mmap", "mprotect",
		"prlimit64", "tgkill", "sendmsg", "sendmmsg" };
	size_t i;

	for (; calls != NULL && calls->name != NULL; calls++)
		for (i = 0; i < nitems(argued); i++)
			ck_assert_msg(strcmp(calls->name, argued[i]) != 0 ||
				calls->arg_count > 0 || calls->error != 0,
			    "%s without its argument", calls->name);
}

START_TEST (arguments_are_filtered) {
	unsigned int i;
	int role;

	for (role = 0; role < PROC_MAX; role++) {
		if (sandbox_rows[role].deny)
			continue;
		expect_arguments(sandbox_rows[role].calls);
		for (i = 0; i < SANDBOX_MAX_SETS; i++)
			expect_arguments(sandbox_rows[role].sets[i]);
	}
}
END_TEST

static bool
allows_bpf(const struct sandbox_row *row, uint64_t command)
{
	const struct sandbox_call *call;

	for (call = row->calls; call != NULL && call->name != NULL; call++)
		if (strcmp(call->name, "bpf") == 0 &&
		    call->args[0].value == command)
			return true;
	return false;
}

START_TEST (bpf_is_bpfds) {
	static const uint64_t authority[] = { BPF_PROG_LOAD, BPF_LINK_CREATE,
		BPF_LINK_UPDATE, BPF_RAW_TRACEPOINT_OPEN, BPF_MAP_UPDATE_ELEM,
		BPF_PROG_ATTACH, BPF_OBJ_PIN, BPF_OBJ_GET };
	size_t i;
	int role;

	for (role = 0; role < PROC_MAX; role++) {
		if (role == PROC_BPF || sandbox_rows[role].deny)
			continue;
		if (role != PROC_AGENTD)
			ck_assert(!row_allows(&sandbox_rows[role], "bpf"));
		for (i = 0; i < nitems(authority); i++)
			ck_assert(
			    !allows_bpf(&sandbox_rows[role], authority[i]));
	}
	ck_assert(allows_bpf(&sandbox_rows[PROC_BPF], BPF_PROG_LOAD));
}
END_TEST

START_TEST (capabilities_and_accounts_are_the_designs) {
	const uint64_t loader = (UINT64_C(1) << CAP_BPF) |
	    (UINT64_C(1) << CAP_PERFMON) | (UINT64_C(1) << CAP_NET_ADMIN);
	int role, other;

	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++) {
		const struct sandbox_row *row = &sandbox_rows[role];

		ck_assert_uint_eq(row->caps, role == PROC_BPF ? loader : 0);
		ck_assert_uint_eq(row->bounding, row->caps);
		ck_assert_ptr_nonnull(row->user);
		ck_assert_str_eq(row->user, sandbox_user((enum proc_role)role));
		ck_assert_uint_gt(row->nofile, 16);
		ck_assert(!row->deny && !row->paths_free);
		/* One uid a process: descriptors in flight, signals. */
		for (other = PROC_FIRST_WORKER; other < role; other++)
			ck_assert_str_ne(row->user, sandbox_rows[other].user);
	}
	ck_assert_ptr_null(sandbox_user(PROC_AGENTD));
	/* The spawner hands on no more than it holds. */
	ck_assert_uint_eq(loader & ~sandbox_rows[PROC_SPAWN].caps, 0);
	/* What starting workers takes is gone from agentd. */
	ck_assert_uint_eq(sandbox_rows[PROC_AGENTD].bounding &
		((UINT64_C(1) << CAP_SETUID) | (UINT64_C(1) << CAP_SETPCAP) |
		    loader),
	    0);
}
END_TEST

/* A misspelt name would silently allow nothing, or deny nothing. */
static void
expect_known(const struct sandbox_call *calls)
{
	for (; calls != NULL && calls->name != NULL; calls++)
		ck_assert_msg(seccomp_syscall_resolve_name(calls->name) !=
			__NR_SCMP_ERROR,
		    "libseccomp knows no %s", calls->name);
}

START_TEST (names_are_known) {
	unsigned int i;
	int role;

	for (role = 0; role < PROC_MAX; role++) {
		expect_known(sandbox_rows[role].calls);
		for (i = 0; i < SANDBOX_MAX_SETS; i++)
			expect_known(sandbox_rows[role].sets[i]);
	}
	expect_known(sandbox_sanitizer_calls);
}
END_TEST

START_TEST (grants_have_a_bound) {
	struct sandbox_grants g = { 0 };
	unsigned int i;

	for (i = 0; i < SANDBOX_MAX_DIRS; i++)
		ck_assert_int_eq(sandbox_grant_dir(&g, 0, false), 0);
	ck_assert_int_eq(sandbox_grant_dir(&g, 0, false), -ENOSPC);
	for (i = 0; i < SANDBOX_MAX_PORTS; i++) {
		ck_assert_int_eq(sandbox_grant_connect(&g, 1), 0);
		ck_assert_int_eq(sandbox_grant_bind(&g, 1), 0);
	}
	ck_assert_int_eq(sandbox_grant_connect(&g, 1), -ENOSPC);
	ck_assert_int_eq(sandbox_grant_bind(&g, 1), -ENOSPC);
}
END_TEST

START_TEST (others_have_no_gate) {
	const char *what;

	ck_assert_int_eq(sandbox_enter(PROC_CTL, NULL), -EINVAL);
	ck_assert_int_eq(
	    sandbox_enter((enum proc_role)PROC_MAX, NULL), -EINVAL);
	ck_assert_int_eq(sandbox_become(PROC_AGENTD, &what), -EINVAL);
	ck_assert_int_eq(sandbox_become(PROC_CTL, &what), -EINVAL);
	/* A worker that is still root, or may gain privileges, gets no
	 * further: it was not started by the spawner. */
	ck_assert_int_eq(sandbox_enter(PROC_VERIFY, NULL), -EPERM);
}
END_TEST

UNIT_MAIN("sandbox", no_row_allows_what_breaks_out, arguments_are_filtered,
    bpf_is_bpfds, capabilities_and_accounts_are_the_designs, names_are_known,
    grants_have_a_bound, others_have_no_gate)
