/* SPDX-License-Identifier: ISC */
/* bpfd: what is found out about attachments before anything is loaded. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "bpfd/attach.h"
#include "unit.h"

struct fixture {
	struct loadplan_header header;
	struct loadplan_prog prog;
	struct loadplan_attach attach;
	struct loadplan plan;
	struct kernel kernel;
	struct failure failure;
};

static void
set_up(struct fixture *f, enum attach_kind kind, const char *target)
{
	memset(f, 0, sizeof(*f));
	f->header.prog_count = f->header.attach_count = 1;
	(void)strcpy(f->prog.name, "it");
	f->attach.kind = kind;
	(void)strcpy(f->attach.target, target);
	f->plan.header = &f->header;
	f->plan.progs = &f->prog;
	f->plan.attaches = &f->attach;
	ck_assert_int_eq(kernel_open(&f->kernel, "/proc"), 0);
	f->kernel.has_btf = f->kernel.has_tcx = true;
	f->kernel.lsm_known = f->kernel.lsm_bpf = true;
	f->kernel.lockdown = false;
}

static int
check(struct fixture *f)
{
	int r = attach_check(&f->plan, &f->kernel, &f->failure);

	kernel_close(&f->kernel);
	return r;
}

START_TEST (types_are_what_libbpf_says) {
	const struct attach_row *row;
	enum bpf_attach_type attach_type;
	enum bpf_prog_type type;
	uint32_t kind;
	char section[64];

	for (kind = 0; kind < ATTACH_KIND_MAX; kind++) {
		row = attach_row(kind);
		(void)snprintf(section, sizeof(section), "%.*s/x",
		    (int)strcspn(row->sections, " +"), row->sections);
		if (strchr(row->sections, '+') == NULL)
			section[strlen(section) - 2] = '\0';
		ck_assert_int_ne(attach_prog_type(kind), BPF_PROG_TYPE_UNSPEC);
		if (libbpf_prog_type_by_name(section, &type, &attach_type) != 0)
			continue; /* newer than this libbpf: tcx */
		ck_assert_msg(attach_prog_type(kind) == type, "%s", row->name);
		if (row->method == METHOD_LINK_CGROUP)
			ck_assert_msg(attach_expected_type(kind) == attach_type,
			    "%s", row->name);
	}
	ck_assert_int_eq(
	    attach_prog_type(ATTACH_KIND_MAX), BPF_PROG_TYPE_UNSPEC);
}
END_TEST

START_TEST (interface_there_and_not) {
	struct fixture f;

	set_up(&f, ATTACH_XDP, "lo");
	ck_assert_int_eq(check(&f), 0);
	set_up(&f, ATTACH_XDP, "nope0");
	ck_assert_int_eq(check(&f), -ENODEV);
	ck_assert_int_eq(f.failure.result, WORK_TRANSIENT);
	ck_assert_str_eq(
	    f.failure.text, "xdp: interface \"nope0\" does not exist");
}
END_TEST

START_TEST (cgroup_there_and_not) {
	struct fixture f;

	set_up(&f, ATTACH_SOCK_OPS, "/sys");
	ck_assert_int_eq(check(&f), 0);
	set_up(&f, ATTACH_SOCK_OPS, "none");
	ck_assert_int_eq(check(&f), -ENOENT);
	ck_assert_int_eq(f.failure.result, WORK_TRANSIENT);
	ck_assert_ptr_nonnull(strstr(f.failure.text, "\"none\""));
	set_up(&f, ATTACH_SOCK_OPS, "../etc");
	ck_assert_int_eq(check(&f), -EXDEV);
	ck_assert_int_eq(f.failure.result, WORK_REFUSED);
}
END_TEST

START_TEST (what_the_kernel_lacks_is_named) {
	struct fixture f;

	set_up(&f, ATTACH_LSM, "file_open");
	f.kernel.lsm_bpf = false;
	ck_assert_int_eq(check(&f), -EOPNOTSUPP);
	ck_assert_str_eq(f.failure.text,
	    "lsm: this kernel was booted without bpf in its lsm= list");
	/* securityfs is not mounted: nothing is known, so try */
	set_up(&f, ATTACH_LSM, "file_open");
	f.kernel.lsm_known = f.kernel.lsm_bpf = false;
	ck_assert_int_eq(check(&f), 0);
	set_up(&f, ATTACH_TCX_EGRESS, "lo");
	f.kernel.has_tcx = false;
	ck_assert_int_eq(check(&f), 0); /* by a filter: clsact.h */
	set_up(&f, ATTACH_FENTRY, "vfs_read");
	f.kernel.has_btf = false;
	ck_assert_int_eq(check(&f), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(f.failure.text, "BTF"));
	set_up(&f, ATTACH_CGROUP_DEVICE, "x");
	fd_close(&f.kernel.cgroup_fd);
	ck_assert_int_eq(check(&f), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(f.failure.text, "cgroup2"));
	ck_assert_int_eq(f.failure.result, WORK_REFUSED);
}
END_TEST

START_TEST (hints_for_eperm) {
	struct fixture f;

	set_up(&f, ATTACH_LSM, "file_open");
	ck_assert_ptr_nonnull(
	    strstr(attach_refusal_hint(&f.plan, "it", &f.kernel), "LSM"));
	ck_assert_ptr_nonnull(strstr(
	    attach_refusal_hint(&f.plan, "other", &f.kernel), "PERFMON"));
	f.kernel.lockdown = true;
	ck_assert_ptr_nonnull(
	    strstr(attach_refusal_hint(&f.plan, "it", &f.kernel), "lockdown"));
	kernel_close(&f.kernel);
}
END_TEST

UNIT_MAIN("bpf_attach", types_are_what_libbpf_says, interface_there_and_not,
    cgroup_there_and_not, what_the_kernel_lacks_is_named, hints_for_eperm)
