/* SPDX-License-Identifier: ISC */
/* Custody: links by attachment and place, and how they change hands. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "agentd/custody.h"
#include "unit.h"

struct fixture {
	struct loadplan_header header;
	struct loadplan_attach attaches[3];
	struct custody *c;
};

static void
set_up(struct fixture *f, uint32_t count)
{
	memset(f, 0, sizeof(*f));
	f->header.attach_count = count;
	f->c = custody_new();
	f->c->loadplan.header = &f->header;
	f->c->loadplan.attaches = f->attaches;
}

static void
attach(struct fixture *f, uint32_t i, enum attach_kind kind, const char *target)
{
	f->attaches[i].kind = kind;
	(void)strcpy(f->attaches[i].target, target);
}

static int
new_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void
add(struct fixture *f, uint32_t i, uint32_t ifindex, const char *name)
{
	ck_assert_int_eq(custody_add_link(f->c, i, ifindex, name, new_fd(),
			     1000 * (i + 1) + ifindex),
	    0);
}

static void
tear_down(struct fixture *f)
{
	size_t i;

	for (i = 0; i < f->c->link_count; i++)
		fd_close(&f->c->links[i].fd);
	f->c->link_count = 0;
	memset(&f->c->loadplan, 0, sizeof(f->c->loadplan));
	free(f->c->links);
	free(f->c);
}

START_TEST (one_attachment_has_many_places) {
	struct fixture f;
	uint32_t i;
	int fd;

	set_up(&f, 2);
	attach(&f, 0, ATTACH_XDP, "eth*");
	attach(&f, 1, ATTACH_SOCK_OPS, "/");
	ck_assert(!custody_is_complete(f.c));
	add(&f, 1, 0, "");
	/* a pattern may mean none (yet), */
	ck_assert(custody_is_complete(f.c));
	add(&f, 0, 3, "eth0");
	add(&f, 0, 7, "eth1");
	ck_assert_uint_eq(custody_find_link(f.c, 0, 7)->link_id, 1007);
	ck_assert_str_eq(custody_find_link(f.c, 0, 7)->interface, "eth1");
	ck_assert_ptr_null(custody_find_link(f.c, 0, 4));
	/* what is refused is closed */
	fd = new_fd();
	ck_assert_int_eq(custody_add_link(f.c, 0, 7, "eth1", fd, 1), -EEXIST);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	for (i = 0; f.c->link_count < CUSTODY_MAX_LINKS; i++)
		ck_assert_int_eq(
		    custody_add_link(f.c, 0, 100 + i, "ethN", -1, 1), 0);
	ck_assert_int_eq(custody_add_link(f.c, 0, 99, "eth9", -1, 1), -E2BIG);
	tear_down(&f);
}
END_TEST

START_TEST (a_named_target_must_be_there) {
	struct fixture f;

	set_up(&f, 1);
	attach(&f, 0, ATTACH_XDP, "eth0");
	ck_assert(!custody_is_complete(f.c));
	add(&f, 0, 3, "eth0");
	ck_assert(custody_is_complete(f.c));
	tear_down(&f);
}
END_TEST

/* The offers of OLD, as "attachment of new" by place; UINT32_MAX none. */
static uint32_t
offered(struct fixture *f, uint32_t i, uint32_t ifindex)
{
	return custody_find_link(f->c, i, ifindex)->offered;
}

START_TEST (places_carry_over_one_by_one) {
	struct fixture old, new;

	set_up(&old, 3);
	attach(&old, 0, ATTACH_XDP, "eth*");
	attach(&old, 1, ATTACH_SOCK_OPS, "/a");
	attach(&old, 2, ATTACH_FENTRY, "do_exit"); /* not in place */
	add(&old, 0, 3, "eth0");
	add(&old, 0, 4, "eth1");
	add(&old, 0, 5, "eth2");
	add(&old, 1, 0, "");
	add(&old, 2, 0, "");
	fd_close(&custody_find_link(old.c, 0, 5)->fd); /* it has gone */

	set_up(&new, 3);
	attach(&new, 0, ATTACH_SOCK_OPS, "/b");
	attach(&new, 1, ATTACH_XDP, "eth[12]");
	attach(&new, 2, ATTACH_FENTRY, "do_exit");
	ck_assert_uint_eq(custody_match(new.c, old.c), 1);
	ck_assert_uint_eq(offered(&old, 0, 3), UINT32_MAX);
	ck_assert_uint_eq(offered(&old, 0, 4), 1);
	ck_assert_uint_eq(offered(&old, 0, 5), UINT32_MAX);
	ck_assert_uint_eq(offered(&old, 1, 0), UINT32_MAX);

	/* other flags are another way of attaching; and offers do not add */
	new.attaches[1].flags = LOADPLAN_XDP_SKB;
	attach(&new, 0, ATTACH_SOCK_OPS, "/a");
	ck_assert_uint_eq(custody_match(new.c, old.c), 1);
	ck_assert_uint_eq(offered(&old, 0, 4), UINT32_MAX);
	ck_assert_uint_eq(offered(&old, 1, 0), 0);

	/* but "auto" goes on in any mode */
	new.attaches[1].flags = 0;
	old.attaches[0].flags = LOADPLAN_XDP_SKB;
	ck_assert_uint_eq(custody_match(new.c, old.c), 2);
	ck_assert_uint_eq(offered(&old, 0, 4), 1);
	tear_down(&old);
	tear_down(&new);
}
END_TEST

START_TEST (each_place_goes_to_one) {
	struct fixture old, new;

	set_up(&old, 1);
	attach(&old, 0, ATTACH_TCX_INGRESS, "*");
	add(&old, 0, 3, "eth0");
	add(&old, 0, 4, "eth1");
	set_up(&new, 2);
	attach(&new, 0, ATTACH_TCX_INGRESS, "eth1");
	attach(&new, 1, ATTACH_TCX_INGRESS, "*");
	ck_assert_uint_eq(custody_match(new.c, old.c), 2);
	ck_assert_uint_eq(offered(&old, 0, 3), 1);
	ck_assert_uint_eq(offered(&old, 0, 4), 0);
	tear_down(&old);
	tear_down(&new);

	/* twice at one place: each goes to another attachment, or to none */
	set_up(&old, 2);
	attach(&old, 0, ATTACH_TCX_INGRESS, "eth0");
	attach(&old, 1, ATTACH_TCX_INGRESS, "eth0");
	add(&old, 0, 3, "eth0");
	add(&old, 1, 3, "eth0");
	set_up(&new, 1);
	attach(&new, 0, ATTACH_TCX_INGRESS, "eth0");
	ck_assert_uint_eq(custody_match(new.c, old.c), 1);
	ck_assert_uint_eq(offered(&old, 1, 3), UINT32_MAX);
	tear_down(&old);
	tear_down(&new);
}
END_TEST

START_TEST (a_map_is_carried_by_name_if_it_is_listed) {
	struct loadplan_map old_maps[2] = { { .name = "rules" },
		{ .name = "stats" } };
	struct loadplan_map new_maps[3] = { { .name = "stats" },
		{ .name = "rules", .flags = LOADPLAN_MAP_CARRY },
		{ .name = "added", .flags = LOADPLAN_MAP_CARRY } };
	struct fixture old, new;

	set_up(&old, 0);
	set_up(&new, 0);
	old.header.map_count = 2;
	old.c->loadplan.maps = old_maps;
	old.c->maps[0] = 70;
	old.c->maps[1] = 71;
	new.header.map_count = 3;
	new.c->loadplan.maps = new_maps;
	ck_assert_int_eq(custody_carried_map(new.c, 0, old.c), -1);
	ck_assert_int_eq(custody_carried_map(new.c, 1, old.c), 70);
	ck_assert_int_eq(custody_carried_map(new.c, 2, old.c), -1);
	old.c->loadplan.header = NULL; /* released already */
	ck_assert_int_eq(custody_carried_map(new.c, 1, old.c), -1);
	tear_down(&old);
	tear_down(&new);
}
END_TEST

START_TEST (kept_is_all_that_the_plan_loads) {
	struct loadplan_map maps[1] = { { .name = "stats" } };
	struct loadplan_prog progs[2] = { { .autoload = 1 },
		{ .autoload = 0 } };
	struct fixture f;

	set_up(&f, 0);
	f.header.prog_count = 2;
	f.header.map_count = 1;
	f.c->loadplan.progs = progs;
	f.c->loadplan.maps = maps;
	f.c->object = 60;
	f.c->progs[0] = 61;
	ck_assert(!custody_is_kept(f.c));
	f.c->maps[0] = 62;
	ck_assert(custody_is_kept(f.c));
	f.c->progs[0] = -1;
	ck_assert(!custody_is_kept(f.c));
	tear_down(&f);
}
END_TEST

START_TEST (taken_over_and_given_back) {
	struct fixture old, new;
	int fd;

	set_up(&old, 2);
	attach(&old, 1, ATTACH_XDP, "*");
	add(&old, 1, 3, "eth0");
	add(&old, 1, 4, "eth1");
	fd = custody_find_link(old.c, 1, 4)->fd;
	set_up(&new, 1);
	attach(&new, 0, ATTACH_XDP, "eth1");
	ck_assert_uint_eq(custody_match(new.c, old.c), 1);
	ck_assert_int_eq(custody_take_over(new.c, old.c, 0, 3), -EINVAL);
	ck_assert_int_eq(custody_take_over(new.c, old.c, 1, 4), -EINVAL);
	ck_assert_int_eq(
	    custody_take_over(new.c, old.c, UINT32_MAX, 3), -EINVAL);
	ck_assert_int_eq(custody_take_over(new.c, old.c, 0, 4), 0);
	ck_assert_int_eq(custody_take_over(new.c, old.c, 0, 4), -EINVAL);
	ck_assert_uint_eq(old.c->link_count, 1);
	ck_assert_int_eq(custody_find_link(new.c, 0, 4)->fd, fd);
	ck_assert_uint_eq(custody_find_link(new.c, 0, 4)->link_id, 2004);
	/* what is its own stays */
	add(&new, 0, 9, "eth9");
	custody_give_back(new.c, old.c);
	ck_assert_uint_eq(new.c->link_count, 1);
	ck_assert_uint_eq(old.c->link_count, 2);
	ck_assert_int_eq(custody_find_link(old.c, 1, 4)->fd, fd);
	ck_assert_str_eq(custody_find_link(old.c, 1, 4)->interface, "eth1");
	ck_assert_uint_eq(offered(&old, 1, 4), UINT32_MAX);
	tear_down(&old);
	tear_down(&new);
}
END_TEST

START_TEST (a_filter_changes_hands) {
	const struct tc_filter filter = { .ifindex = 4,
		.handle = 1,
		.priority = 50,
		.prog_id = 70,
		.made_qdisc = 1 };
	struct fixture old, new;
	struct custody_link *link;

	set_up(&old, 1);
	attach(&old, 0, ATTACH_TCX_INGRESS, "eth1");
	old.attaches[0].priority = 50;
	ck_assert(!custody_is_complete(old.c));
	ck_assert_int_eq(custody_add_filter(old.c, 0, "eth1", &filter), 0);
	ck_assert_int_eq(
	    custody_add_filter(old.c, 0, "eth1", &filter), -EEXIST);
	ck_assert(custody_is_complete(old.c));
	/* at another priority it is another place, */
	set_up(&new, 1);
	attach(&new, 0, ATTACH_TCX_INGRESS, "eth1");
	new.attaches[0].priority = 51;
	new.c->prog_ids[0] = 80;
	ck_assert_uint_eq(custody_match(new.c, old.c), 0);
	/* and so it is on the other side, and for a link */
	new.attaches[0].priority = 50;
	new.attaches[0].kind = ATTACH_TCX_EGRESS;
	ck_assert_uint_eq(custody_match(new.c, old.c), 0);
	new.attaches[0].kind = ATTACH_TCX_INGRESS;
	ck_assert_uint_eq(custody_match(new.c, old.c), 1);
	ck_assert_int_eq(custody_take_over(new.c, old.c, 0, 4), 0);
	link = custody_find_link(new.c, 0, 4);
	ck_assert_int_eq(link->fd, -1);
	ck_assert(tc_filter_same_place(&link->filter, &filter));
	ck_assert_uint_eq(link->filter.prog_id, 80);
	ck_assert_uint_eq(link->filter.made_qdisc, 1);
	custody_give_back(new.c, old.c);
	link = custody_find_link(old.c, 0, 4);
	ck_assert(tc_filter_same_place(&link->filter, &filter));
	ck_assert(!custody_is_complete(new.c));
	tear_down(&old);
	tear_down(&new);
}
END_TEST

UNIT_MAIN("custody", a_filter_changes_hands, one_attachment_has_many_places,
    a_named_target_must_be_there, places_carry_over_one_by_one,
    a_map_is_carried_by_name_if_it_is_listed, kept_is_all_that_the_plan_loads,
    each_place_goes_to_one, taken_over_and_given_back)
