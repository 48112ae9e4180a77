/* SPDX-License-Identifier: ISC */
/* bpfd: the table of interfaces, from what rtnetlink says. */
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "bpfd/netdev.h"
#include "unit.h"

struct message {
	struct nlmsghdr header;
	struct ifinfomsg info;
	struct rtattr attr;
	char name[16];
};

static struct message
message(uint16_t type, uint32_t seq, int ifindex, const char *name)
{
	struct message m = {
		.header = {
			.nlmsg_len = sizeof(m),
			.nlmsg_type = type,
			.nlmsg_seq = seq,
		},
		.info.ifi_index = ifindex,
		.attr = {
			.rta_len = RTA_LENGTH(sizeof(m.name)),
			.rta_type = IFLA_IFNAME,
		},
	};

	(void)strcpy(m.name, name);
	return m;
}

static void
say(struct netdev *n, uint16_t type, int ifindex, const char *name)
{
	struct message m = message(type, 0, ifindex, name);

	netdev_apply(n, &m, sizeof(m));
}

static void
end(struct netdev *n, uint32_t seq, uint16_t flags)
{
	const struct nlmsghdr done = {
		.nlmsg_len = sizeof(done),
		.nlmsg_type = NLMSG_DONE,
		.nlmsg_flags = flags,
		.nlmsg_seq = seq,
	};

	netdev_apply(n, &done, sizeof(done));
}

static bool
changed(struct netdev *n)
{
	bool was = n->changed;

	n->changed = false;
	return was;
}

START_TEST (comings_and_goings) {
	struct netdev n = { .fd = -1 };
	struct message m;
	int i;

	say(&n, RTM_NEWLINK, 3, "eth0");
	ck_assert(changed(&n));
	say(&n, RTM_NEWLINK, 3, "eth0"); /* its carrier, say */
	ck_assert(!changed(&n));
	m = message(RTM_NEWLINK, 0, 1, "lo");
	m.info.ifi_flags = IFF_LOOPBACK;
	netdev_apply(&n, &m, sizeof(m));
	ck_assert_uint_eq(n.list[1].flags, IFACE_LOOPBACK);
	say(&n, RTM_NEWLINK, 3, "lan0");
	ck_assert(changed(&n));
	ck_assert_uint_eq(n.count, 2);
	ck_assert_str_eq(n.list[0].name, "lan0");
	say(&n, RTM_DELLINK, 4, "eth4");
	ck_assert(!changed(&n));
	say(&n, RTM_DELLINK, 3, "lan0");
	ck_assert(changed(&n));
	ck_assert_uint_eq(n.count, 1);
	for (i = 10; i < 60; i++)
		say(&n, RTM_NEWLINK, i, "x");
	ck_assert_uint_eq(n.count, 51);
	ck_assert_uint_eq(n.list[50].ifindex, 59);
	netdev_close(&n);
}
END_TEST

START_TEST (a_port_that_leaves_its_bridge_stays) {
	struct netdev n = { .fd = -1 };
	struct message m;

	say(&n, RTM_NEWLINK, 3, "eth0");
	m = message(RTM_DELLINK, 0, 3, "eth0");
	m.info.ifi_family = AF_BRIDGE;
	netdev_apply(&n, &m, sizeof(m));
	ck_assert_uint_eq(n.count, 1);
	netdev_close(&n);
}
END_TEST

START_TEST (a_whole_list_ends_what_it_lacks) {
	struct netdev n = { .fd = -1 };
	struct message m;

	say(&n, RTM_NEWLINK, 3, "eth0");
	say(&n, RTM_NEWLINK, 4, "eth1");
	n.seq = 7;
	n.dumping = true;
	m = message(RTM_NEWLINK, 7, 4, "eth1");
	netdev_apply(&n, &m, sizeof(m));
	end(&n, 6, 0); /* an older one's */
	ck_assert(n.dumping);
	ck_assert_uint_eq(n.count, 2);
	say(&n, RTM_NEWLINK, 9, "eth9"); /* comes meanwhile */
	(void)changed(&n);
	end(&n, 7, 0);
	ck_assert(!n.dumping && changed(&n));
	ck_assert_uint_eq(n.count, 2);
	ck_assert_uint_ne(n.list[0].ifindex, 3);
	ck_assert_uint_ne(n.list[1].ifindex, 3);
	netdev_close(&n);
}
END_TEST

START_TEST (a_disturbed_list_ends_nothing) {
	struct netdev n = { .fd = -1 };

	say(&n, RTM_NEWLINK, 3, "eth0");
	n.seq = 7;
	n.dumping = true;
	end(&n, 7, NLM_F_DUMP_INTR);
	ck_assert(!n.dumping && n.incomplete);
	ck_assert_uint_eq(n.count, 1);
	netdev_close(&n);
}
END_TEST

START_TEST (nonsense_is_nothing) {
	struct netdev n = { .fd = -1 };
	struct message m = message(RTM_NEWLINK, 0, 3, "eth0");

	netdev_apply(&n, &m, sizeof(m) - 8);
	m.header.nlmsg_len = sizeof(m.header) + 4;
	netdev_apply(&n, &m, sizeof(m));
	m = message(RTM_NEWLINK, 0, 0, "eth0");
	netdev_apply(&n, &m, sizeof(m));
	m = message(RTM_NEWLINK, 0, 3, "");
	netdev_apply(&n, &m, sizeof(m));
	m = message(RTM_NEWLINK, 0, 3, "eth0");
	m.attr.rta_len = 200;
	netdev_apply(&n, &m, sizeof(m));
	ck_assert_uint_eq(n.count, 0);
	netdev_close(&n);
}
END_TEST

START_TEST (the_kernel_answers) {
	struct netdev n;
	size_t i;

	ck_assert_int_eq(netdev_open(&n, false), 0);
	ck_assert_int_eq(netdev_list(&n), 0);
	ck_assert_int_eq(netdev_list(&n), 0);
	for (i = 0; i < n.count && strcmp(n.list[i].name, "lo") != 0; i++)
		continue;
	ck_assert_uint_lt(i, n.count);
	ck_assert_uint_eq(n.list[i].flags, IFACE_LOOPBACK);
	netdev_close(&n);
}
END_TEST

UNIT_MAIN("netdev", comings_and_goings, a_port_that_leaves_its_bridge_stays,
    a_whole_list_ends_what_it_lacks, a_disturbed_list_ends_nothing,
    nonsense_is_nothing, the_kernel_answers)
