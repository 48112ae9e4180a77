/* SPDX-License-Identifier: ISC */
#include "common/attach.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

static void
expect(const char *section, enum attach_kind kind, const char *target)
{
	enum attach_kind got;
	const char *at;

	ck_assert_msg(attach_from_section(section, &got, &at) == 0,
	    "section %s is not known", section);
	ck_assert_msg(got == kind, "section %s is kind %s", section,
	    attach_row(got)->name);
	if (target == NULL)
		ck_assert_ptr_null(at);
	else
		ck_assert_str_eq(at, target);
}

START_TEST (sections_name_their_kind) {
	expect("xdp", ATTACH_XDP, NULL);
	expect("xdp.frags", ATTACH_XDP, NULL);
	expect("tc", ATTACH_TCX_INGRESS, NULL);
	expect("tcx/egress", ATTACH_TCX_EGRESS, NULL);
	expect("cgroup_skb/egress", ATTACH_CGROUP_SKB_EGRESS, NULL);
	expect("cgroup/connect4", ATTACH_CGROUP_CONNECT4, NULL);
	expect("sockops", ATTACH_SOCK_OPS, NULL);
	expect("lsm/bprm_check_security", ATTACH_LSM, "bprm_check_security");
	expect("lsm.s/file_open", ATTACH_LSM, "file_open");
	expect("lsm_cgroup/socket_bind", ATTACH_LSM_CGROUP, "socket_bind");
	expect("fentry/do_unlinkat", ATTACH_FENTRY, "do_unlinkat");
	expect("fexit", ATTACH_FEXIT, NULL);
	expect("raw_tp/sched_switch", ATTACH_RAW_TP, "sched_switch");
	/* libbpf: declared, but not loaded by itself */
	expect("?xdp", ATTACH_XDP, NULL);
}
END_TEST

START_TEST (other_sections_are_not_guessed) {
	static const char *const bad[] = { "", "?", "xd", "xdpx", "xdp/",
		"xdp/eth0", "lsm/", "lsmx/a", "fentry.x/a", "cgroup/connect",
		"cgroup/connect44", ".text", "license", "socket" };
	enum attach_kind kind;
	const char *target;
	size_t i;

	for (i = 0; i < nitems(bad); i++)
		ck_assert_msg(
		    attach_from_section(bad[i], &kind, &target) == -ENOENT,
		    "section '%s' was taken", bad[i]);
}
END_TEST

/* Whatever the table grows: each row can be found by what it says. */
START_TEST (rows_are_whole) {
	const struct attach_row *row;
	enum attach_kind kind;
	const char *target;
	char section[64];
	uint32_t i, j;
	size_t len;

	for (i = 0; i < ATTACH_KIND_MAX; i++) {
		row = attach_row(i);
		ck_assert_ptr_nonnull(row);
		for (j = 0; j < i; j++)
			ck_assert_str_ne(row->name, attach_row(j)->name);
		len = strcspn(row->sections, " +");
		ck_assert_uint_gt(len, 0);
		memcpy(section, row->sections, len);
		section[len] = '\0';
		ck_assert_int_eq(
		    attach_from_section(section, &kind, &target), 0);
		ck_assert_uint_eq(kind, i);
		ck_assert_str_ne(attach_target_name(row->target), "unknown");
	}
	ck_assert_ptr_null(attach_row(ATTACH_KIND_MAX));
	ck_assert_ptr_null(attach_row(UINT32_MAX));
}
END_TEST

UNIT_MAIN("attach", sections_name_their_kind, other_sections_are_not_guessed,
    rows_are_whole)
