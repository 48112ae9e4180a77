/* SPDX-License-Identifier: ISC */
/* bpfd: tc filters in rtnetlink's messages, and whose they are. */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <string.h>

#include "bpfd/clsact.h"
#include "bpfd/rtnl.h"
#include "unit.h"

START_TEST (names_say_whose) {
	char name[CLSACT_NAME_SIZE];
	bool made;

	clsact_format_name(0x1a2b3c4d, false, "prog", name);
	ck_assert_str_eq(name, "aegisflux-1a2b3c4d:prog");
	ck_assert(clsact_is_ours(0x1a2b3c4d, name, &made));
	ck_assert(!made);
	clsact_format_name(0x4d, true, "", name);
	ck_assert_str_eq(name, "aegisflux-0000004d+");
	ck_assert(clsact_is_ours(0x4d, name, &made));
	ck_assert(made);
	/* another agent's, and what only looks like ours */
	ck_assert(!clsact_is_ours(0x4e, name, NULL));
	ck_assert(!clsact_is_ours(0x4d, "aegisflux-0000004d", NULL));
	ck_assert(!clsact_is_ours(0x4d, "aegisflux-0000004dx", NULL));
	ck_assert(!clsact_is_ours(0x4d, "aegisflux-", NULL));
	ck_assert(!clsact_is_ours(0x4d, "", NULL));
	ck_assert(!clsact_is_ours(0, "aegisflux-0000004d:", NULL));
}
END_TEST

START_TEST (when_a_filter_is_meant) {
	struct loadplan_attach a = { .kind = ATTACH_TCX_EGRESS };
	struct kernel k = { .has_tcx = true };

	ck_assert(!clsact_is_meant(&a, &k));
	a.priority = 1;
	ck_assert(clsact_is_meant(&a, &k));
	a.priority = 0;
	k.has_tcx = false;
	ck_assert(clsact_is_meant(&a, &k));
	a.kind = ATTACH_NETFILTER;
	a.priority = 7;
	ck_assert(!clsact_is_meant(&a, &k));
}
END_TEST

/* A filter as the kernel tells of it. */
static void
make(struct rtnl_request *r, const char *kind, const char *name)
{
	const struct tcmsg tc = {
		.tcm_ifindex = 5,
		.tcm_handle = 3,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
		.tcm_info = TC_H_MAKE(50u << 16, 0x300),
	};
	struct rtattr *nest;

	rtnl_init(r, RTM_NEWTFILTER, 0, &tc, sizeof(tc));
	rtnl_add(r, TCA_KIND, kind, strlen(kind) + 1);
	nest = rtnl_nest(r, TCA_OPTIONS);
	rtnl_add(r, TCA_BPF_NAME, name, strlen(name) + 1);
	rtnl_add_u32(r, TCA_BPF_ID, 77);
	rtnl_nest_end(r, nest);
	rtnl_add_u32(r, TCA_CHAIN, 0);
}

START_TEST (a_filter_is_read) {
	struct rtnl_request r;
	struct clsact_seen seen;
	char longer[CLSACT_NAME_SIZE + 1];

	make(&r, "bpf", "aegisflux-00000001:x");
	ck_assert(clsact_parse(&r.header, &seen));
	ck_assert_uint_eq(seen.filter.ifindex, 5);
	ck_assert_uint_eq(seen.filter.handle, 3);
	ck_assert_uint_eq(seen.filter.priority, 50);
	ck_assert_uint_eq(seen.filter.egress, 1);
	ck_assert_uint_eq(seen.filter.prog_id, 77);
	ck_assert_str_eq(seen.name, "aegisflux-00000001:x");
	/* another kind's options mean something else */
	make(&r, "u32", "aegisflux-00000001:x");
	ck_assert(clsact_parse(&r.header, &seen));
	ck_assert_str_eq(seen.name, "");
	ck_assert_uint_eq(seen.filter.prog_id, 0);
	/* a name that is too long is nobody's we know */
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	make(&r, "bpf", longer);
	ck_assert(clsact_parse(&r.header, &seen));
	ck_assert_str_eq(seen.name, "");
}
END_TEST

START_TEST (what_is_no_filter) {
	struct rtnl_request r;
	struct clsact_seen seen;
	uint32_t len;

	/* the priority itself, without a filter */
	make(&r, "bpf", "x");
	((struct tcmsg *)NLMSG_DATA(&r.header))->tcm_handle = 0;
	ck_assert(!clsact_parse(&r.header, &seen));
	make(&r, "bpf", "x");
	r.header.nlmsg_type = RTM_DELTFILTER;
	ck_assert(!clsact_parse(&r.header, &seen));
	/* cut anywhere, nothing is read past the end */
	make(&r, "bpf", "aegisflux-00000001:x");
	for (len = r.header.nlmsg_len; len > sizeof(r.header); len--) {
		r.header.nlmsg_len = len;
		memset(r.bytes + len, 0xff, sizeof(r.bytes) - len);
		if (clsact_parse(&r.header, &seen))
			ck_assert_uint_eq(seen.filter.handle, 3);
	}
}
END_TEST

/* The kernel's answer to a request of LEN bytes that it refused. */
static void
refuse(struct rtnl_request *r, uint16_t flags, uint32_t len, const char *words)
{
	struct nlmsgerr e = { .error = -EINVAL, .msg.nlmsg_len = len };

	rtnl_init(r, NLMSG_ERROR, flags, &e, sizeof(e));
	if (!(flags & NLM_F_CAPPED))
		r->header.nlmsg_len += len - (uint32_t)sizeof(e.msg);
	rtnl_add(r, NLMSGERR_ATTR_MSG, words, strlen(words) + 1);
}

START_TEST (the_kernels_own_words) {
	char text[RTNL_TEXT_SIZE], longer[2 * RTNL_TEXT_SIZE];
	struct rtnl_request r;

	refuse(&r, NLM_F_ACK_TLVS | NLM_F_CAPPED, 100, "Not so");
	rtnl_words(&r.header, text);
	ck_assert_str_eq(text, "Not so");
	refuse(&r, NLM_F_ACK_TLVS, 48, "Nor so");
	rtnl_words(&r.header, text);
	ck_assert_str_eq(text, "Nor so");
	/* an older kernel */
	refuse(&r, 0, 48, "Nor so");
	rtnl_words(&r.header, text);
	ck_assert_str_eq(text, "");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	longer[3] = '\n';
	refuse(&r, NLM_F_ACK_TLVS | NLM_F_CAPPED, 48, longer);
	rtnl_words(&r.header, text);
	ck_assert_uint_eq(strlen(text), RTNL_TEXT_SIZE - 1);
	ck_assert_int_eq(text[3], '?');
	/* what it says was asked is longer than what is there */
	refuse(&r, NLM_F_ACK_TLVS, 48, "x");
	((struct nlmsgerr *)NLMSG_DATA(&r.header))->msg.nlmsg_len = UINT32_MAX;
	rtnl_words(&r.header, text);
	ck_assert_str_eq(text, "");
}
END_TEST

/* ---- a kernel with one filter of ours, that answers as it is told ---- */

struct pretender {
	int fd;
	int look_error;   /* 0: it shows the filter */
	int delete_error; /* 0: it says that it has removed it, */
	bool keeps_it;    /* which is not so */
	int make_error;   /* to what would make something */
	unsigned int looks, deletes, makes;
};

static void
say(struct pretender *p, const struct nlmsghdr *asked, int error)
{
	const struct nlmsgerr e = { .error = error, .msg = *asked };
	struct rtnl_request r;

	rtnl_init(&r, NLMSG_ERROR, NLM_F_CAPPED, &e, sizeof(e));
	r.header.nlmsg_seq = asked->nlmsg_seq;
	ck_assert_int_gt(
	    (int)send(p->fd, r.bytes, r.header.nlmsg_len, MSG_NOSIGNAL), 0);
}

static void
show(struct pretender *p, const struct nlmsghdr *asked)
{
	struct rtnl_request r;

	make(&r, "bpf", "aegisflux-00000001:x");
	r.header.nlmsg_seq = asked->nlmsg_seq;
	ck_assert_int_gt(
	    (int)send(p->fd, r.bytes, r.header.nlmsg_len, MSG_NOSIGNAL), 0);
}

static void *
pretend(void *arg)
{
	struct pretender *p = arg;
	struct rtnl_request r;

	while (recv(p->fd, r.bytes, sizeof(r.bytes), 0) > 0) {
		switch (r.header.nlmsg_type) {
		case RTM_GETTFILTER:
			p->looks++;
			if (p->look_error == 0)
				show(p, &r.header);
			say(p, &r.header, p->look_error);
			break;
		case RTM_DELTFILTER:
			p->deletes++;
			if (p->delete_error == 0 && !p->keeps_it)
				p->look_error = -ENOENT;
			say(p, &r.header, p->delete_error);
			break;
		default:
			p->makes++;
			say(p, &r.header, p->make_error);
			break;
		}
	}
	return NULL;
}

static const char *lacked;

static int
detach(const struct kernel *k)
{
	const struct tc_filter filter = { 5, 3, 77, 50, 1, 0 };

	return clsact_detach(k, &filter);
}

static int
ask_what_it_lacks(const struct kernel *k)
{
	lacked = clsact_lacks(k);
	return 0;
}

static int
with(struct pretender *p, int (*what)(const struct kernel *k))
{
	struct kernel k = { .filter_owner = 1 };
	pthread_t thread;
	int sv[2], r;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	k.tc_fd = sv[0];
	p->fd = sv[1];
	ck_assert_int_eq(pthread_create(&thread, NULL, pretend, p), 0);
	r = what(&k);
	ck_assert_int_eq(shutdown(sv[0], SHUT_RDWR), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	(void)close(sv[0]);
	(void)close(sv[1]);
	return r;
}

START_TEST (gone_is_what_is_not_to_be_seen) {
	struct pretender p = { 0 };

	ck_assert_int_eq(with(&p, detach), 0);
	ck_assert_uint_eq(p.deletes, 1);
	p = (struct pretender){ .keeps_it = true };
	ck_assert_int_eq(with(&p, detach), -EBUSY);
}
END_TEST

START_TEST (a_refusal_is_told) {
	struct pretender p = { .delete_error = -EPERM };

	ck_assert_int_eq(with(&p, detach), -EPERM);
	ck_assert_uint_eq(p.deletes, 1);
	/* Nor does it say that what cannot be seen has gone. */
	p = (struct pretender){ .look_error = -ENOBUFS };
	ck_assert_int_eq(with(&p, detach), -ENOBUFS);
	ck_assert_uint_eq(p.deletes, 0);
}
END_TEST

/* Before it is looked for, and in between. */
START_TEST (with_its_interface_it_is_gone) {
	struct pretender p = { .look_error = -ENODEV };

	ck_assert_int_eq(with(&p, detach), -ENOENT);
	ck_assert_uint_eq(p.deletes, 0);
	p = (struct pretender){ .delete_error = -ENODEV };
	ck_assert_int_eq(with(&p, detach), -ENOENT);
}
END_TEST

START_TEST (what_a_kernel_lacks_is_named) {
	struct pretender p = { .make_error = -ENOENT };

	(void)with(&p, ask_what_it_lacks);
	ck_assert_ptr_nonnull(lacked);
	ck_assert_ptr_nonnull(strstr(lacked, "sch_ingress"));
	ck_assert_uint_eq(p.makes, 1);
	/* Whatever else it says: attaching will tell. */
	p = (struct pretender){ .make_error = -EPERM };
	(void)with(&p, ask_what_it_lacks);
	ck_assert(lacked == NULL || strstr(lacked, "sch_ingress") == NULL);
	ck_assert_uint_eq(p.makes, 2);
}
END_TEST

/* Wherever it stands; all of it, with its end. */
START_TEST (names_are_found_in_btf) {
	static const char name[] = "cls_bpf_head";
	static char bytes[200000];
	size_t at;
	int fd;

	for (at = 65536 - 2 * sizeof(name); at < 65536 + 2; at++) {
		memset(bytes, 'x', sizeof(bytes));
		memcpy(bytes + at, name, sizeof(name));
		fd = memfd_create("btf", MFD_CLOEXEC);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(
		    (int)write(fd, bytes, sizeof(bytes)), (int)sizeof(bytes));
		ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
		ck_assert(clsact_btf_has(fd, name));
		ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
		ck_assert(!clsact_btf_has(fd, "cls_bpf_hea"));
		ck_assert(!clsact_btf_has(fd, name)); /* at its end */
		(void)close(fd);
	}
	/* What cannot be read does not say that there is none. */
	ck_assert(clsact_btf_has(-1, name));
}
END_TEST

UNIT_MAIN("clsact", names_say_whose, when_a_filter_is_meant, a_filter_is_read,
    what_is_no_filter, the_kernels_own_words, gone_is_what_is_not_to_be_seen,
    a_refusal_is_told, with_its_interface_it_is_gone,
    what_a_kernel_lacks_is_named, names_are_found_in_btf)
