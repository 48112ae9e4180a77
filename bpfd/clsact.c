/* SPDX-License-Identifier: ISC */
#include "bpfd/clsact.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <stdio.h>
#include <string.h>

#define MARK     "aegisflux-"
#define MARK_LEN (sizeof(MARK) - 1 + 8) /* and the owner in hex */

bool
clsact_is_meant(const struct loadplan_attach *a, const struct kernel *k)
{
	return (a->kind == ATTACH_TCX_INGRESS ||
		   a->kind == ATTACH_TCX_EGRESS) &&
	    (a->priority != 0 || !k->has_tcx);
}

static const char *
way_of(const struct loadplan_attach *a)
{
	return a->kind == ATTACH_TCX_EGRESS ? "tc/egress" : "tc/ingress";
}

/* ---- names ---- */

void
clsact_format_name(uint32_t owner, bool made_qdisc, const char *program,
    char out[CLSACT_NAME_SIZE])
{
	(void)snprintf(out, CLSACT_NAME_SIZE, MARK "%08x%c%s", owner,
	    made_qdisc ? '+' : ':', program);
}

bool
clsact_is_ours(uint32_t owner, const char *name, bool *made_qdisc)
{
	char mark[CLSACT_NAME_SIZE];

	clsact_format_name(owner, false, "", mark);
	if (strncmp(name, mark, MARK_LEN) != 0 ||
	    (name[MARK_LEN] != ':' && name[MARK_LEN] != '+'))
		return false;
	if (made_qdisc != NULL)
		*made_qdisc = name[MARK_LEN] == '+';
	return true;
}

/* ---- messages ---- */

static uint32_t
parent_of(bool egress)
{
	return TC_H_MAKE(
	    TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

static struct tcmsg
address(const struct tc_filter *f)
{
	return (struct tcmsg){
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = (int)f->ifindex,
		.tcm_handle = f->handle,
		.tcm_parent = parent_of(f->egress != 0),
		.tcm_info =
		    TC_H_MAKE((uint32_t)f->priority << 16, htons(ETH_P_ALL)),
	};
}

static void
copy_text(const struct rtattr *attr, char *out, size_t size)
{
	size_t len = attr == NULL ? 0 : RTA_PAYLOAD(attr);

	memset(out, 0, size);
	if (len > 0 && len <= size && memchr(RTA_DATA(attr), '\0', len) != NULL)
		memcpy(out, RTA_DATA(attr), len);
}

bool
clsact_parse(const struct nlmsghdr *h, struct clsact_seen *seen)
{
	const struct rtattr *attrs, *options, *inner, *id;
	const struct tcmsg *tc = NLMSG_DATA(h);
	size_t len;

	memset(seen, 0, sizeof(*seen));
	attrs = rtnl_attrs(h, sizeof(*tc), &len);
	if (attrs == NULL || h->nlmsg_type != RTM_NEWTFILTER ||
	    tc->tcm_handle == 0 || tc->tcm_ifindex <= 0)
		return false;
	seen->filter.ifindex = (uint32_t)tc->tcm_ifindex;
	seen->filter.handle = tc->tcm_handle;
	seen->filter.priority = (uint16_t)(tc->tcm_info >> 16);
	seen->filter.egress = tc->tcm_parent == parent_of(true);
	copy_text(
	    rtnl_find(attrs, len, TCA_KIND, 1), seen->kind, sizeof(seen->kind));
	options = rtnl_find(attrs, len, TCA_OPTIONS, 0);
	if (options == NULL || strcmp(seen->kind, "bpf") != 0)
		return true;
	inner = RTA_DATA(options);
	len = RTA_PAYLOAD(options);
	copy_text(rtnl_find(inner, len, TCA_BPF_NAME, 1), seen->name,
	    sizeof(seen->name));
	id = rtnl_find(inner, len, TCA_BPF_ID, sizeof(uint32_t));
	if (id != NULL)
		seen->filter.prog_id = rtnl_u32(id);
	return true;
}

static void
take_one(const struct nlmsghdr *h, void *ctx)
{
	struct clsact_seen *seen = ctx, one;

	if (clsact_parse(h, &one))
		*seen = one;
}

int
clsact_look(const struct kernel *k, const struct tc_filter *at,
    struct clsact_seen *seen)
{
	const struct tcmsg tc = address(at);
	struct rtnl_request r;
	int error;

	memset(seen, 0, sizeof(*seen));
	rtnl_init(&r, RTM_GETTFILTER, 0, &tc, sizeof(tc));
	rtnl_add(&r, TCA_KIND, "bpf", sizeof("bpf"));
	error = rtnl_ask(k->tc_fd, &r, take_one, seen, NULL);
	/* No such interface, no qdisc, another kind: all the same. */
	if (error == -ENODEV || error == -EINVAL)
		return -ENOENT;
	if (error == 0 && !tc_filter_same_place(&seen->filter, at))
		return -ENOENT;
	return error;
}

int
clsact_look_ours(const struct kernel *k, const struct tc_filter *at)
{
	struct clsact_seen seen;
	int r = clsact_look(k, at, &seen);

	if (r < 0)
		return r;
	return clsact_is_ours(k->filter_owner, seen.name, NULL) &&
		seen.filter.prog_id == at->prog_id
	    ? 0
	    : -ENOENT;
}

/* ---- making ---- */

/* Make or delete an interface's clsact qdisc. */
static int
ask_qdisc(const struct kernel *k, uint32_t ifindex, uint16_t type,
    uint16_t flags, char *text)
{
	const struct tcmsg tc = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = (int)ifindex,
		.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
		.tcm_parent = TC_H_CLSACT,
	};
	struct rtnl_request r;

	rtnl_init(&r, type, flags, &tc, sizeof(tc));
	rtnl_add(&r, TCA_KIND, "clsact", sizeof("clsact"));
	return rtnl_ask(k->tc_fd, &r, NULL, NULL, text);
}

static int
make_qdisc(const struct kernel *k, uint32_t ifindex, bool *made, char *text)
{
	int error = ask_qdisc(
	    k, ifindex, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, text);

	*made = error == 0;
	return error == -EEXIST ? 0 : error;
}

static int
delete_qdisc(const struct kernel *k, uint32_t ifindex)
{
	return ask_qdisc(k, ifindex, RTM_DELQDISC, 0, NULL);
}

/* Create or replace; *FILTER is then what the kernel says it is. */
static int
put_filter(const struct kernel *k, struct tc_filter *filter, uint16_t how,
    int prog_fd, char *text)
{
	const struct tcmsg tc = address(filter);
	struct bpf_prog_info info = { 0 };
	struct clsact_seen seen = { 0 };
	uint32_t len = sizeof(info);
	char name[CLSACT_NAME_SIZE];
	struct rtnl_request r;
	struct rtattr *nest;
	int error;

	text[0] = '\0';
	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len) < 0)
		return -errno;
	clsact_format_name(
	    k->filter_owner, filter->made_qdisc != 0, info.name, name);
	rtnl_init(&r, RTM_NEWTFILTER,
	    (uint16_t)(NLM_F_CREATE | NLM_F_ECHO | how), &tc, sizeof(tc));
	rtnl_add(&r, TCA_KIND, "bpf", sizeof("bpf"));
	nest = rtnl_nest(&r, TCA_OPTIONS);
	rtnl_add_u32(&r, TCA_BPF_FD, (uint32_t)prog_fd);
	rtnl_add(&r, TCA_BPF_NAME, name, strlen(name) + 1);
	rtnl_add_u32(&r, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	rtnl_nest_end(&r, nest);
	error = rtnl_ask(k->tc_fd, &r, take_one, &seen, text);
	if (error < 0)
		return error;
	if (seen.filter.handle == 0 || seen.filter.prog_id != info.id)
		return -EPROTO; /* it did not say what it made */
	seen.filter.made_qdisc = filter->made_qdisc;
	*filter = seen.filter;
	return 0;
}

struct occupied {
	struct clsact_seen first; /* of the priority; handle 0: none */
	uint16_t priority;
	size_t filters; /* in that direction, all priorities */
};

static void
count_filters(const struct nlmsghdr *h, void *ctx)
{
	struct occupied *o = ctx;
	struct clsact_seen seen;

	if (!clsact_parse(h, &seen))
		return;
	o->filters++;
	if (o->first.filter.handle == 0 && seen.filter.priority == o->priority)
		o->first = seen;
}

int
clsact_dump(const struct kernel *k, uint32_t ifindex, bool egress,
    rtnl_each each, void *ctx)
{
	const struct tcmsg tc = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = (int)ifindex,
		.tcm_parent = parent_of(egress),
	};
	struct rtnl_request r;

	rtnl_init(&r, RTM_GETTFILTER, NLM_F_DUMP, &tc, sizeof(tc));
	return rtnl_ask(k->tc_fd, &r, each, ctx, NULL);
}

/* The kernel did not take it: why. */
static int
refuse(const struct kernel *k, const struct loadplan_attach *a,
    const struct place *place, int r, const char *words, struct failure *f)
{
	struct occupied o = { .priority = (uint16_t)a->priority };
	const char *way = way_of(a);

	if (r == -EINVAL && a->priority != 0 &&
	    clsact_dump(k, place->ifindex, a->kind == ATTACH_TCX_EGRESS,
		count_filters, &o) == 0 &&
	    o.first.filter.handle != 0)
		return failure_set(f, WORK_TRANSIENT, -EBUSY,
		    "%s: priority %d of interface \"%s\" belongs to a filter "
		    "of kind \"%s\", handle 0x%x: another one is needed (%s)",
		    way, a->priority, place->interface, o.first.kind,
		    o.first.filter.handle, words);
	return failure_set(f, failure_kind(r), r,
	    "%s: cannot attach to interface \"%s\": %s%s%s", way,
	    place->interface, strerror(-r), words[0] == '\0' ? "" : ": ",
	    words);
}

int
clsact_attach(const struct kernel *k, const struct loadplan_attach *a,
    const struct place *place, int prog_fd, struct tc_filter *out,
    struct failure *f)
{
	struct tc_filter filter = {
		.ifindex = place->ifindex,
		.priority = (uint16_t)a->priority,
		.egress = a->kind == ATTACH_TCX_EGRESS,
	};
	char words[RTNL_TEXT_SIZE];
	bool made;
	int r;

	memset(out, 0, sizeof(*out));
	r = make_qdisc(k, place->ifindex, &made, words);
	if (r < 0)
		return failure_set(f, failure_kind(r), r,
		    "%s: cannot give interface \"%s\" a clsact qdisc: %s%s%s",
		    way_of(a), place->interface, strerror(-r),
		    words[0] == '\0' ? "" : ": ", words);
	filter.made_qdisc = made;
	r = put_filter(k, &filter, NLM_F_EXCL, prog_fd, words);
	if (r < 0) {
		if (made)
			(void)delete_qdisc(k, place->ifindex);
		return refuse(k, a, place, r, words, f);
	}
	*out = filter;
	return 0;
}

int
clsact_replace(const struct kernel *k, struct tc_filter *filter, int prog_fd)
{
	struct tc_filter new = *filter;
	char words[RTNL_TEXT_SIZE];
	int r;

	/* Where there is none, it would be made. */
	r = clsact_look_ours(k, filter);
	if (r == 0)
		r = put_filter(k, &new, NLM_F_REPLACE, prog_fd, words);
	if (r == 0)
		*filter = new;
	return r;
}

/* ---- undoing ---- */

static bool
is_empty(const struct kernel *k, uint32_t ifindex)
{
	struct occupied o = { 0 };

	return clsact_dump(k, ifindex, false, count_filters, &o) == 0 &&
	    clsact_dump(k, ifindex, true, count_filters, &o) == 0 &&
	    o.filters == 0;
}

static int
delete_filter(const struct kernel *k, const struct tc_filter *filter)
{
	const struct tcmsg tc = address(filter);
	struct rtnl_request r;

	rtnl_init(&r, RTM_DELTFILTER, 0, &tc, sizeof(tc));
	rtnl_add(&r, TCA_KIND, "bpf", sizeof("bpf"));
	return rtnl_ask(k->tc_fd, &r, NULL, NULL, NULL);
}

int
clsact_detach(const struct kernel *k, const struct tc_filter *filter)
{
	int r;

	r = clsact_look_ours(k, filter);
	if (r == 0)
		r = delete_filter(k, filter);
	/* It is gone when it is not to be seen any more. */
	if (r == 0 && clsact_look_ours(k, filter) == 0)
		r = -EBUSY;
	if (r == -ENODEV)
		r = -ENOENT;
	/* With others' filters in it, it is theirs now. */
	if (filter->made_qdisc && (r == 0 || r == -ENOENT) &&
	    is_empty(k, filter->ifindex))
		(void)delete_qdisc(k, filter->ifindex);
	return r;
}
