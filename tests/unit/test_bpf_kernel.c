/* SPDX-License-Identifier: ISC */
/* bpfd: what is read of the kernel's files, and paths of cgroups. */
#include <errno.h>

#include "bpfd/kernel.h"
#include "unit.h"

START_TEST (word_in_a_list) {
	ck_assert(kernel_list_has("lockdown,yama,bpf", "bpf"));
	ck_assert(kernel_list_has("bpf\n", "bpf"));
	ck_assert(kernel_list_has("none [integrity] bpf", "integrity"));
	ck_assert(!kernel_list_has("lockdown,bpfx,xbpf", "bpf"));
	ck_assert(!kernel_list_has("", "bpf"));
	ck_assert(!kernel_list_has(",,", "bpf"));
}
END_TEST

START_TEST (cgroup_below_the_root) {
	static const char root[] = "/sys/fs/cgroup";

	ck_assert_str_eq(
	    kernel_cgroup_relative(root, "/sys/fs/cgroup/web"), "web");
	ck_assert_str_eq(kernel_cgroup_relative(root, "/web/a"), "web/a");
	ck_assert_str_eq(kernel_cgroup_relative(root, "web"), "web");
	ck_assert_str_eq(kernel_cgroup_relative(root, "/"), ".");
	ck_assert_str_eq(kernel_cgroup_relative(root, root), ".");
	ck_assert_str_eq(kernel_cgroup_relative(root, "//web"), "web");
	/* a sibling of the root is not below it: looked for, not found */
	ck_assert_str_eq(kernel_cgroup_relative(root, "/sys/fs/cgroup2/x"),
	    "sys/fs/cgroup2/x");
	ck_assert_str_eq(kernel_cgroup_relative("", "/web"), "web");
}
END_TEST

START_TEST (memlock_of_fdinfo) {
	ck_assert_uint_eq(
	    kernel_parse_memlock("pos:\t0\nmemlock:\t4096\nmap_id:\t7\n"),
	    4096);
	ck_assert_uint_eq(kernel_parse_memlock("map_id:\t7\n"), 0);
	ck_assert_uint_eq(kernel_parse_memlock(""), 0);
	ck_assert_uint_eq(kernel_parse_memlock("memlock:\t"), 0);
}
END_TEST

START_TEST (interface_names) {
	struct kernel k;

	ck_assert_int_eq(kernel_open(&k, ""), 0);
	ck_assert_int_gt(kernel_interface(&k, "lo"), 0);
	ck_assert_int_eq(kernel_interface(&k, "no-such-one"), -ENODEV);
	ck_assert_int_eq(
	    kernel_interface(&k, "longer-than-a-name-may-be"), -EINVAL);
	kernel_close(&k);
}
END_TEST

START_TEST (cgroup_root_that_is_not_there) {
	struct kernel k;

	ck_assert_int_eq(kernel_open(&k, "/no/such/mount"), -ENOENT);
	kernel_close(&k);
}
END_TEST

START_TEST (no_way_out_of_the_root) {
	struct kernel k;

	ck_assert_int_eq(kernel_open(&k, "/proc/"), 0);
	ck_assert_str_eq(k.cgroup_root, "/proc");
	ck_assert_int_eq(kernel_open_cgroup(&k, "sys/../../etc"), -EXDEV);
	ck_assert_int_eq(kernel_open_cgroup(&k, "self"), -ELOOP);
	ck_assert_int_eq(kernel_open_cgroup(&k, "/proc/none"), -ENOENT);
	ck_assert_int_eq(kernel_open_cgroup(&k, "version"), -ENOTDIR);
	kernel_close(&k);
}
END_TEST

UNIT_MAIN("bpf_kernel", word_in_a_list, cgroup_below_the_root,
    memlock_of_fdinfo, interface_names, cgroup_root_that_is_not_there,
    no_way_out_of_the_root)
