/* SPDX-License-Identifier: ISC */
/* Where a program should be, and whether it still is. */
#include <errno.h>
#include <string.h>

#include "agentd/follow.h"
#include "unit.h"

struct fixture {
	struct loadplan_header header;
	struct loadplan_attach attaches[3];
	struct iface list[4];
	struct follow follow;
	struct custody *c;
};

static void
set_up(struct fixture *f)
{
	static const struct iface list[4] = {
		{ .ifindex = 1, .flags = IFACE_LOOPBACK, .name = "lo" },
		{ .ifindex = 3, .name = "eth0" },
		{ .ifindex = 4, .name = "eth1" },
		{ .ifindex = 5, .name = "wlan0" },
	};

	memset(f, 0, sizeof(*f));
	f->header.attach_count = 3;
	f->attaches[0].kind = ATTACH_XDP;
	(void)strcpy(f->attaches[0].target, "eth*");
	f->attaches[1].kind = ATTACH_SOCK_OPS;
	(void)strcpy(f->attaches[1].target, "*"); /* a cgroup of that name */
	f->attaches[2].kind = ATTACH_TCX_INGRESS;
	(void)strcpy(f->attaches[2].target, "lo");
	memcpy(f->list, list, sizeof(list));
	f->follow.list = f->list;
	f->follow.count = nitems(list);
	f->follow.generation = 1;
	f->c = custody_new();
	f->c->loadplan.header = &f->header;
	f->c->loadplan.attaches = f->attaches;
	f->c->prog_ids[0] = 77;
	memset(f->c->prog_tags[0], 0xab, 8);
}

static void
tear_down(struct fixture *f)
{
	free(f->c->links);
	free(f->c);
}

static struct custody_link *
add(struct fixture *f, uint32_t attach, uint32_t ifindex, const char *name)
{
	ck_assert_int_eq(
	    custody_add_link(f->c, attach, ifindex, name, -1, 9), 0);
	return custody_find_link(f->c, attach, ifindex);
}

static void
check_missing(struct fixture *f, const uint32_t *want, size_t count)
{
	const struct iface *i;
	uint32_t attach = 0;
	size_t at = 0, n = 0;

	while ((i = follow_missing(&f->follow, f->c, &attach, &at)) != NULL) {
		ck_assert_uint_lt(n, count);
		ck_assert_uint_eq(attach * 100 + i->ifindex, want[n++]);
	}
	ck_assert_uint_eq(n, count);
}

START_TEST (what_is_missing) {
	static const uint32_t all[] = { 3, 4, 201 }, rest[] = { 4 };
	struct fixture f;

	set_up(&f);
	check_missing(&f, all, nitems(all));
	(void)add(&f, 0, 3, "eth0");
	(void)add(&f, 2, 1, "lo");
	check_missing(&f, rest, nitems(rest));
	/* asked for is not missing */
	add(&f, 0, 4, "eth1")->state = LINK_ASKED;
	check_missing(&f, NULL, 0);
	f.follow.count = 0;
	check_missing(&f, NULL, 0);
	tear_down(&f);
}
END_TEST

START_TEST (what_ends) {
	struct fixture f;
	struct custody_link *link;

	set_up(&f);
	link = add(&f, 1, 0, "");
	ck_assert_int_eq(follow_judge(&f.follow, f.c, link), FOLLOW_STAYS);
	link = add(&f, 0, 3, "eth0");
	ck_assert_int_eq(follow_judge(&f.follow, f.c, link), FOLLOW_STAYS);
	/* another name that matches is noted, */
	(void)strcpy(f.list[1].name, "eth7");
	ck_assert_int_eq(follow_judge(&f.follow, f.c, link), FOLLOW_STAYS);
	ck_assert_str_eq(link->interface, "eth7");
	/* one that does not ends it, */
	(void)strcpy(f.list[1].name, "lan0");
	ck_assert_int_eq(follow_judge(&f.follow, f.c, link), FOLLOW_ENDS);
	/* as does its going; a list older than the link says nothing. */
	link = add(&f, 0, 8, "eth8");
	ck_assert_int_eq(follow_judge(&f.follow, f.c, link), FOLLOW_ENDS);
	link->generation = 1;
	ck_assert_int_eq(follow_judge(&f.follow, f.c, link), FOLLOW_STAYS);
	f.follow.generation++;
	ck_assert_int_eq(follow_judge(&f.follow, f.c, link), FOLLOW_ENDS);
	tear_down(&f);
}
END_TEST

static enum drift
drift(struct fixture *f, struct custody_link *link, bool attached,
    uint32_t prog_id, uint8_t tag)
{
	struct link_seen seen = {
		.attached = attached,
		.prog_id = prog_id,
		.held_id = 77,
	};
	const char *what;
	enum drift d;

	memset(seen.tag, tag, sizeof(seen.tag));
	d = follow_drift(&f->follow, f->c, link, &seen, &what);
	ck_assert_int_eq(d == DRIFT_NONE, what == NULL);
	return d;
}

START_TEST (drift_is_repaired_once) {
	struct fixture f;
	struct custody_link *link;

	set_up(&f);
	link = add(&f, 0, 3, "eth0");
	ck_assert_int_eq(drift(&f, link, true, 77, 0xab), DRIFT_NONE);
	ck_assert_int_eq(drift(&f, link, false, 77, 0xab), DRIFT_REPAIR);
	ck_assert_int_eq(drift(&f, link, true, 77, 0xab), DRIFT_NONE);
	ck_assert_int_eq(drift(&f, link, false, 77, 0xab), DRIFT_LEAVE);
	tear_down(&f);
}
END_TEST

START_TEST (other_programs_are_drift) {
	struct fixture f;

	set_up(&f);
	ck_assert_int_eq(
	    drift(&f, add(&f, 0, 3, "eth0"), true, 78, 0xab), DRIFT_REPAIR);
	ck_assert_int_eq(
	    drift(&f, add(&f, 0, 4, "eth1"), true, 77, 0xac), DRIFT_REPAIR);
	tear_down(&f);
}
END_TEST

START_TEST (what_goes_with_its_interface_is_none) {
	struct fixture f;
	struct custody_link *link;

	set_up(&f);
	link = add(&f, 0, 8, "eth8");
	ck_assert_int_eq(drift(&f, link, false, 77, 0xab), DRIFT_GONE);
	ck_assert_uint_eq(link->drifts, 0);
	/* but not a cgroup's: that shows when it is attached again */
	ck_assert_int_eq(
	    drift(&f, add(&f, 1, 0, ""), false, 77, 0xab), DRIFT_REPAIR);
	tear_down(&f);
}
END_TEST

START_TEST (lists_are_checked) {
	struct iface list[2] = { { .ifindex = 1, .name = "lo" },
		{ .ifindex = 2, .name = "eth0" } };

	ck_assert_int_eq(ifaces_check(list, sizeof(list)), 2);
	ck_assert_int_eq(ifaces_check(list, 0), 0);
	ck_assert_int_eq(ifaces_check(list, sizeof(list) - 1), -EBADMSG);
	list[1].ifindex = 0;
	ck_assert_int_eq(ifaces_check(list, sizeof(list)), -EBADMSG);
	list[1].ifindex = 2;
	list[1].flags = 2;
	ck_assert_int_eq(ifaces_check(list, sizeof(list)), -EBADMSG);
	list[1].flags = 0;
	list[1].name[0] = '\0';
	ck_assert_int_eq(ifaces_check(list, sizeof(list)), -EBADMSG);
	memset(list[1].name, 'x', sizeof(list[1].name));
	ck_assert_int_eq(ifaces_check(list, sizeof(list)), -EBADMSG);
}
END_TEST

UNIT_MAIN("follow", what_is_missing, what_ends, drift_is_repaired_once,
    other_programs_are_drift, what_goes_with_its_interface_is_none,
    lists_are_checked)
