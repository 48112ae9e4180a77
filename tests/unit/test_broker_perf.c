/* SPDX-License-Identifier: ISC */
/*
 * agentd's broker of perf events: which attachments it opens events for, and
 * what it refuses before it asks the kernel.
 */
#include "agentd/broker_perf.h"

#include <fcntl.h>
#include <string.h>

#include "common/attach.h"
#include "tests/unit/imsg_fixture.h"

static struct loadplan_header header;
static struct loadplan_attach attaches[2];
static const struct loadplan plan = {
	.header = &header,
	.attaches = attaches,
};
static struct probes probes;
static struct broker_events events;
static char error[512];

static void
setup(void)
{
	size_t i;

	memset(&header, 0, sizeof(header));
	memset(attaches, 0, sizeof(attaches));
	memset(&probes, 0, sizeof(probes));
	for (i = 0; i < nitems(probes.sites); i++)
		probes.sites[i].fd = -1;
	error[0] = '\0';
}

static void
attach(enum attach_kind kind, const char *target, size_t name_len)
{
	struct loadplan_attach *a = &attaches[header.attach_count++];

	a->kind = kind;
	str_copy_cut(a->target, sizeof(a->target), target);
	a->name_len = (uint32_t)name_len;
}

static int
open_all(const struct probes *p)
{
	return broker_open_events(&plan, p, &events, error, sizeof(error));
}

START_TEST (nothing_is_opened_for_what_needs_nothing) {
	attach(ATTACH_XDP, "eth0", 0);
	attach(ATTACH_RAW_TP, "sched_switch", 0);
	ck_assert_int_eq(open_all(NULL), 0);
	ck_assert_uint_eq(events.count, 0);
	ck_assert_ptr_null(events.items);
}
END_TEST

/* It is refused with these words, and nothing stays open. */
static void
assert_refused(const struct probes *p, int want, const char *words)
{
	unsigned int fds = count_fds();

	ck_assert_int_eq(open_all(p), want);
	ck_assert_msg(strstr(error, words) != NULL, "'%s' does not say '%s'",
	    error, words);
	ck_assert_uint_eq(events.count, 0);
	ck_assert_ptr_null(events.items);
	ck_assert_uint_eq(count_fds(), fds);
}

/* What verifyd has not looked up is not guessed at. */
START_TEST (a_uprobe_without_a_place_is_refused) {
	static const char words[] =
	    "uprobe: \"/bin/sh:main\" was not looked up";

	attach(ATTACH_UPROBE, "/bin/sh:main", strlen("/bin/sh"));
	assert_refused(NULL, -EINVAL, words);
	assert_refused(&probes, -EINVAL, words);
	probes.sites[0].fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(probes.sites[0].fd, 0);
	probes.sites[0].waiting = true;
	assert_refused(&probes, -EINVAL, words);
	fd_close(&probes.sites[0].fd);
}
END_TEST

START_TEST (an_event_is_one_of_a_list) {
	static const char *const rows[] = { "cpu-cloc", "cpu-clockx", "r1a8",
		"cpu-clock:u" };
	char words[64];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		setup();
		attach(ATTACH_PERF_EVENT, rows[i], strlen(rows[i]));
		(void)snprintf(
		    words, sizeof(words), "no event \"%s\"", rows[i]);
		assert_refused(NULL, -ENOENT, words);
	}
}
END_TEST

/* Whether the first can be had depends on the machine; none of it stays. */
START_TEST (all_or_nothing) {
	attach(ATTACH_PERF_EVENT, "cpu-clock", strlen("cpu-clock"));
	attaches[0].rate = 1;
	attach(ATTACH_UPROBE, "/bin/sh:main", strlen("/bin/sh"));
	assert_refused(&probes, open_all(&probes), ": ");
}
END_TEST

UNIT_FIXTURE_MAIN("broker_perf", setup, NULL,
    nothing_is_opened_for_what_needs_nothing,
    a_uprobe_without_a_place_is_refused, an_event_is_one_of_a_list,
    all_or_nothing)
