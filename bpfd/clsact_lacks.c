/* SPDX-License-Identifier: ISC */
/*
 * What a filter needs of the kernel beside BPF, often a module each: the
 * clsact qdisc, and the classifier "bpf".  Both are asked for before anything
 * is loaded, without making anything.
 */
#include "bpfd/clsact.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pkt_sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpfd/corebtf.h"
#include "bpfd/rtnl.h"

#define LOOPBACK_IFINDEX 1

/*
 * Asked with an attribute that is wrong wherever the kind is known: the kernel
 * says ENOENT only where it is not, and could not load its module.
 */
static bool
has_qdisc(const struct kernel *k)
{
	const struct tcmsg tc = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = LOOPBACK_IFINDEX,
		.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
		.tcm_parent = TC_H_CLSACT,
	};
	struct rtnl_request r;

	rtnl_init(&r, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc));
	rtnl_add(&r, TCA_KIND, "clsact", sizeof("clsact"));
	rtnl_add_u32(&r, TCA_INGRESS_BLOCK, 0);
	return rtnl_ask(k->tc_fd, &r, NULL, NULL, NULL) != -ENOENT;
}

/*
 * In a block that there is none of, the kernel finds the classifier, loading
 * its module, before it misses the block: the answer is the same either way.
 */
static int
want_classifier(const struct kernel *k)
{
	const struct tcmsg tc = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = (int)TCM_IFINDEX_MAGIC_BLOCK,
		.tcm_block_index = UINT32_MAX,
		.tcm_info = TC_H_MAKE(1u << 16, 0),
	};
	struct rtnl_request r;

	rtnl_init(
	    &r, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &tc, sizeof(tc));
	rtnl_add(&r, TCA_KIND, "bpf", sizeof("bpf"));
	return rtnl_ask(k->tc_fd, &r, NULL, NULL, NULL);
}

bool
clsact_btf_has(int fd, const char *name)
{
	char buf[65536];
	size_t len = strlen(name) + 1, kept = 0;
	ssize_t n;

	/* Names end with a zero; what might be the start of one is kept. */
	while ((n = read(fd, buf + kept, sizeof(buf) - kept)) > 0) {
		kept += (size_t)n;
		if (memmem(buf, kept, name, len) != NULL)
			return true;
		if (kept >= len) {
			memmove(buf, buf + kept - (len - 1), len - 1);
			kept = len - 1;
		}
	}
	return n < 0; /* not known */
}

/*
 * No request tells without a qdisc.  A module shows in sysfs; what is built
 * in has its types in the kernel's BTF.  Without either, attaching tells.
 */
static bool
has_classifier(const struct kernel *k)
{
	_cleanup_fd_ int module = -1, fd = -1;
	bool built_in;

	if (k->cls_bpf_built_in != NULL && *k->cls_bpf_built_in)
		return true;

	/* Newer kernels may look in another order, and tell. */
	if (want_classifier(k) == -ENOENT)
		return false;
	module = open("/sys/module/cls_bpf", O_PATH | O_CLOEXEC);
	if (module != -1 || errno != ENOENT)
		return true;
	fd = open(COREBTF_VMLINUX, O_RDONLY | O_CLOEXEC);
	built_in = fd == -1 || clsact_btf_has(fd, "cls_bpf_head");
	/* Milliseconds, since it is read by the page. */
	if (k->cls_bpf_built_in != NULL)
		*k->cls_bpf_built_in = built_in;
	return built_in;
}

const char *
clsact_lacks(const struct kernel *k)
{
	if (!has_qdisc(k))
		return "this kernel has no clsact qdisc "
		       "(CONFIG_NET_SCH_INGRESS, module sch_ingress)";
	if (!has_classifier(k))
		return "this kernel has no tc filters by BPF "
		       "(CONFIG_NET_CLS_BPF, module cls_bpf)";
	return NULL;
}
