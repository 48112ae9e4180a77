/* SPDX-License-Identifier: ISC */
/*
 * agentd: what a bpfd or a telemd says that is not honest any more.  Whatever
 * is in its messages, agentd goes on, and holds what it held.
 */
#include <netinet/in.h>
#include <sys/inotify.h>

#include "agentd/agent.h"
#include "agentd/events.h"
#include "agentd/fdkind.h"
#include "agentd/feed.h"
#include "agentd/peer_bpf.h"
#include "agentd/peer_links.h"
#include "common/log.h"
#include "tests/unit/fleet_fixture.h"
#include "tests/unit/imsg_fixture.h"

static struct agent agent;
static struct fixture wire;
static struct loadplan_header header;
static struct loadplan_attach attaches[2];
static struct loadplan_prog progs[1];
static struct loadplan_map maps[1];
static uint64_t loaded, loading; /* handles */

/* ---- agentd.c's part ---- */

void
agent_unloaded(struct agent *a, uint64_t handle)
{
}

void
agent_stop(struct agent *a)
{
	ck_abort_msg("agentd stops");
}

void
agent_stopped(struct agent *a)
{
	ck_abort_msg("agentd stops");
}

void
agent_arm_timers(struct agent *a)
{
}

static void
ignore_closed(uint64_t cookie, void *ctx)
{
}

/* ---- the stage: an artifact that runs, and one that bpfd is loading ---- */

static void
give_custody(struct artifact *a)
{
	struct custody *c = a->custody = custody_new();

	c->plan = any_fd();
	c->loadplan = (struct loadplan){
		.header = &header,
		.attaches = attaches,
		.progs = progs,
		.maps = maps,
	};
}

static void
begin_peer(enum proc_role role)
{
	struct worker_proc *w = &agent.workers[role];

	log_set_level(LOG_LEVEL_ERROR);
	memset(&agent, 0, sizeof(agent));
	memset(&header, 0, sizeof(header));
	header.attach_count = 2;
	header.prog_count = header.map_count = 1;
	attaches[0].kind = ATTACH_XDP;
	(void)strcpy(attaches[0].target, "eth*");
	attaches[1].kind = ATTACH_CGROUP_SKB_EGRESS;
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	shell_fails = true;
	list_entry("a", "n", "1.0.0", 1);
	list_entry("b", "m", "1.0.0", 2);
	poll_list();
	loaded = find("a")->handle;
	loading = find("b")->handle;
	ck_assert_int_eq(status_of("b"), STATUS_LOADING);
	agent.fleet = fleet;
	TAILQ_INIT(&agent.fleet.artifacts);
	TAILQ_INIT(&agent.fleet.actions);
	TAILQ_CONCAT(&agent.fleet.artifacts, &fleet.artifacts, entry);
	fleet.index = (struct artifact_index){ 0 };
	give_custody(fleet_find(&agent.fleet, loaded));
	give_custody(fleet_find(&agent.fleet, loading));
	fixture_open(&wire, PROC_AGENTD, role);
	agent.base = wire.base;
	agent.events = events_new();
	agent.feed = feed_new();
	state_init(&agent.state);
	ck_assert_int_eq(
	    closer_new(&agent.closer, wire.base, ignore_closed, &agent), 0);
	closer_set_undo(agent.closer, filters_detach);
	w->agent = &agent;
	w->role = role;
	w->channel = wire.ch;
	w->state = WORKER_READY;
	worker_log_init(&w->log, clock_boot_ns());
	agent.sample_round = 5;
	agent.fleet.can_load = true;
}

static void
end_peer(void)
{
	struct action *act;
	struct artifact *a;

	while ((act = fleet_next_action(&agent.fleet)) != NULL)
		free(act);
	TAILQ_FOREACH (a, &agent.fleet.artifacts, entry) {
		if (a->custody != NULL)
			memset(&a->custody->loadplan, 0,
			    sizeof(a->custody->loadplan));
		custody_free(a->custody, agent.closer);
		a->custody = NULL;
	}
	closer_free(agent.closer);
	agent.filters.count = 0;
	filters_free(&agent);
	free(agent.interfaces.list);
	events_free(agent.events);
	feed_free(agent.feed);
	fixture_close(&wire);
	fleet_fini(&agent.fleet);
	teardown();
}

static int
say(const struct peer *peer, uint32_t type, uint64_t id, const void *payload,
    int fd)
{
	struct imsg m = { .type = type, .id = id, .data = payload, .fd = fd };
	int r = peer->handlers[type](&m, &agent);

	fd_close(&m.fd);
	while (raw_recv(wire.raw) != -1)
		continue;
	return r;
}

/* ---- every field's extremes ---- */

static bool
is_staged(void)
{
	const struct artifact *a = fleet_find(&agent.fleet, loaded);
	const struct artifact *b = fleet_find(&agent.fleet, loading);

	return a != NULL && artifact_is_loaded(a) && b != NULL &&
	    b->status == STATUS_LOADING && b->working;
}

static void
check_bounds(void)
{
	struct artifact *a;

	ck_assert_uint_le(agent.filters.count, TC_FILTERS_MAX);
	ck_assert_uint_le(agent.state.next_event_seq, AEGIS_COUNT_MAX / 2);
	TAILQ_FOREACH (a, &agent.fleet.artifacts, entry)
		if (a->custody != NULL)
			ck_assert_uint_le(
			    a->custody->link_count, CUSTODY_MAX_LINKS);
}

static void
say_to_all(const struct peer *peer, enum proc_role role, uint32_t type,
    const void *payload)
{
	const uint64_t ids[] = { loaded, loading, 0, UINT64_MAX };
	const struct msg_row *row = msg_row(type);
	size_t i;

	for (i = 0; i < nitems(ids); i++) {
		if (row->fd != MSG_FD_ONE)
			(void)say(peer, type, ids[i], payload, -1);
		if (row->fd != MSG_FD_NONE)
			(void)say(peer, type, ids[i], payload,
			    memfd_from_bytes("test", "x", 1));
		check_bounds();
		if (!is_staged()) {
			end_peer();
			begin_peer(role);
		}
		/* As if it had been asked, or the first time. */
		agent.links_asked = 1;
		agent.filters.swept = false;
	}
}

static void
check_extremes(const struct peer *peer, enum proc_role role)
{
	static const uint64_t words[] = { 1, 5, 0x7fffffff, 0x80000000,
		0xffffffff, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX,
		UINT64_MAX - 1, UINT64_C(1) << 53 };
	static union {
		uint64_t align;
		uint8_t bytes[IMSG_MAX_PAYLOAD];
	} p;
	uint32_t type, size, at;
	size_t i;

	begin_peer(role);
	for (type = 1; type < MSG_TYPE_MAX; type++) {
		if (peer->handlers[type] == NULL)
			continue;
		size = msg_row(type)->size;
		/* Long is only text. */
		for (at = 0; at < size && at < 256; at += 4) {
			for (i = 0; i < nitems(words); i++) {
				memset(&p, 0, sizeof(p));
				memcpy(p.bytes + at, &words[i],
				    size - at < 8 ? 4 : 8);
				say_to_all(peer, role, type, &p);
			}
		}
		memset(&p, 0xff, sizeof(p));
		say_to_all(peer, role, type, &p);
		memset(&p, 'x', sizeof(p));
		say_to_all(peer, role, type, &p);
	}
	ck_assert(is_staged());
	end_peer();
}

START_TEST (bpfds_extremes) {
	check_extremes(&peer_bpf, PROC_BPF);
}
END_TEST

START_TEST (telemds_extremes) {
	check_extremes(&peer_telem, PROC_TELEM);
}
END_TEST

/* ---- bpfd: what nobody asked for ---- */

START_TEST (a_sample_is_taken_once_a_round) {
	struct msg_bpf_sampled s = { .round = 5, .boot_ns = clock_boot_ns() };

	begin_peer(PROC_BPF);
	ck_assert_int_eq(say(&peer_bpf, MSG_BPF_SAMPLED, loaded, &s, -1), 0);
	ck_assert_int_eq(
	    say(&peer_bpf, MSG_BPF_SAMPLED, loaded, &s, -1), -EINVAL);
	s.round = 6; /* of a round to come */
	ck_assert_int_eq(
	    say(&peer_bpf, MSG_BPF_SAMPLED, loaded, &s, -1), -EINVAL);
	agent.sample_round = 6;
	s.boot_ns = INT64_MIN;
	ck_assert_int_eq(
	    say(&peer_bpf, MSG_BPF_SAMPLED, loaded, &s, -1), -EINVAL);
	s.boot_ns = INT64_MAX;
	ck_assert_int_eq(
	    say(&peer_bpf, MSG_BPF_SAMPLED, loaded, &s, -1), -EINVAL);
	s.boot_ns = clock_boot_ns();
	ck_assert_int_eq(say(&peer_bpf, MSG_BPF_SAMPLED, loaded, &s, -1), 0);
	/* One that has gone meanwhile. */
	ck_assert_int_eq(say(&peer_bpf, MSG_BPF_SAMPLED, 12345, &s, -1), 0);
	end_peer();
}
END_TEST

/* Each may take long to close or is to be undone, so that is all there is. */
START_TEST (an_answer_is_taken_once_a_question) {
	struct msg_link_attached m = { .ifindex = 7,
		.filter = { 5, 1, 77, 50, 0, 0 } };

	begin_peer(PROC_BPF);
	ck_assert_int_eq(
	    say(&peer_bpf, MSG_LINK_ATTACHED, loaded, &m, -1), -EPROTO);
	ck_assert_uint_eq(agent.filters.count, 0);
	agent.links_asked = 2;
	ck_assert_int_eq(say(&peer_bpf, MSG_LINK_ATTACHED, loaded, &m, -1), 0);
	ck_assert_int_eq(say(&peer_bpf, MSG_LINK_ATTACHED, loaded, &m, -1), 0);
	ck_assert_uint_eq(agent.filters.count, 2);
	ck_assert_int_eq(
	    say(&peer_bpf, MSG_LINK_ATTACHED, loaded, &m, -1), -EPROTO);
	/* The next one has not been asked. */
	agent.links_asked = 2;
	peer_bpf.died(&agent, "died");
	ck_assert_uint_eq(agent.links_asked, 0);
	end_peer();
}
END_TEST

/* A descriptor whose close(2) lasts until its PEER goes. */
static int
make_lingering(int *peer)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 50 };
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char bytes[65536];
	socklen_t len = sizeof(sin);

	ck_assert_int_eq(bind(server, (struct sockaddr *)&sin, len), 0);
	ck_assert_int_eq(listen(server, 1), 0);
	ck_assert_int_eq(getsockname(server, (struct sockaddr *)&sin, &len), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sin, len), 0);
	*peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(*peer, 0);
	ck_assert_int_eq(
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
	fd_close(&server);
	return fd;
}

/*
 * The thread that closes is not the one to wait for what nobody wants: the
 * one who sent it is.
 */
START_TEST (links_that_nobody_wants_do_not_pile_up) {
	struct msg_load_link m = { 0 };
	int fds[100], peer, slow, i;
	unsigned int left = 0;

	begin_peer(PROC_BPF);
	slow = make_lingering(&peer);
	closer_close_fd(agent.closer, slow);
	for (i = 0; i < 100; i++) {
		fds[i] = any_fd();
		ck_assert_int_eq(
		    say(&peer_bpf, MSG_LOAD_LINK, 12345, &m, fds[i]), 0);
	}
	for (i = 0; i < 100; i++)
		left += fcntl(fds[i], F_GETFD) != -1;
	ck_assert_uint_le(left, 16);
	fd_close(&peer);
	end_peer();
}
END_TEST

START_TEST (filters_are_swept_once) {
	struct msg_filters_kept m = { .restored = 1 };

	begin_peer(PROC_BPF);
	ck_assert_int_eq(say(&peer_bpf, MSG_FILTERS_KEPT, 0, &m, -1), 0);
	ck_assert_int_eq(say(&peer_bpf, MSG_FILTERS_KEPT, 0, &m, -1), -EINVAL);
	end_peer();
}
END_TEST

/* ---- telemd ---- */

static int
accept_up_to(uint64_t seq)
{
	const struct msg_event_accepted m = { .next_seq = seq };

	agent.state_dirty = false;
	return say(&peer_telem, MSG_EVENT_ACCEPTED, 0, &m, -1);
}

START_TEST (numbers_that_are_none_are_not_kept) {
	begin_peer(PROC_TELEM);
	ck_assert_int_eq(accept_up_to(100), 0);
	ck_assert_uint_eq(agent.state.next_event_seq, 100);
	ck_assert_int_eq(accept_up_to(UINT64_MAX), 0);
	ck_assert_int_eq(accept_up_to(AEGIS_COUNT_MAX), 0);
	ck_assert_int_eq(accept_up_to(AEGIS_COUNT_MAX / 2 + 1), 0);
	ck_assert_uint_eq(agent.state.next_event_seq, 100);
	ck_assert(!agent.state_dirty);
	ck_assert_int_eq(accept_up_to(50), 0); /* nor back */
	ck_assert_uint_eq(agent.state.next_event_seq, 100);
	end_peer();
}
END_TEST

/* The state is a file that is written and synchronised as a whole. */
START_TEST (numbers_do_not_keep_the_disk_busy) {
	uint64_t seq = 0;
	int i;

	begin_peer(PROC_TELEM);
	agent.saved_boot_ns = clock_boot_ns() + NSEC_PER_SEC; /* just now */
	for (i = 0; i < 1000; i++) {
		ck_assert_int_eq(accept_up_to(seq += 1u << 20), 0);
		ck_assert(!agent.state_dirty);
	}
	agent.saved_boot_ns = clock_boot_ns() - NSEC_PER_SEC;
	ck_assert_int_eq(accept_up_to(seq + 1), 0);
	ck_assert(agent.state_dirty);
	end_peer();
}
END_TEST

/* The oldest go, and are counted; what waits costs no more memory. */
START_TEST (events_that_nobody_accepts_are_bounded) {
	const struct artifact *a;
	unsigned int i;

	begin_peer(PROC_TELEM);
	a = fleet_find(&agent.fleet, loaded);
	for (i = 0; i < 3000; i++)
		events_problem(&agent, a, "attach", "it is not");
	ck_assert_uint_eq(events_waiting(agent.events), 2048);
	ck_assert_uint_eq(
	    events_dropped(agent.events, EVENT_PROGRAM_ERROR), 3000 - 2048);
	/* What was never given out is accepted by nobody. */
	ck_assert_int_eq(events_accepted(agent.events, UINT64_MAX), -EINVAL);
	ck_assert_int_eq(events_accepted(agent.events, 3001), -EINVAL);
	ck_assert_int_eq(events_accepted(agent.events, 3000), 0);
	ck_assert_uint_eq(events_waiting(agent.events), 0);
	end_peer();
}
END_TEST

START_TEST (signals_for_nothing_do_not_fill_the_log) {
	struct msg_signal_rollback m = { .artifact_id = "unknown" };
	const struct worker_log *log = &agent.workers[PROC_TELEM].log;
	int i;

	begin_peer(PROC_TELEM);
	for (i = 0; i < 100000 && log->left_out == 0; i++)
		ck_assert_int_eq(
		    say(&peer_telem, MSG_SIGNAL_ROLLBACK, 1, &m, -1), 0);
	ck_assert_uint_eq(log->left_out, 1);
	end_peer();
}
END_TEST

/* ---- descriptors ---- */

static int
kind_of(uint32_t type, int fd)
{
	const struct imsg m = { .type = type, .fd = fd };

	return fdkind_check(&m);
}

START_TEST (descriptors_are_what_they_are_sent_as) {
	static const uint32_t bpf[] = { MSG_LOAD_PROG, MSG_LOAD_MAP,
		MSG_LOAD_LINK, MSG_LINK_ATTACHED };
	_cleanup_fd_ int memfd = any_fd(), file = -1, in_dir = -1, event = -1;
	char path[] = "/tmp/test_taken_over.XXXXXX", name[64];
	int ends[2], sv[2];
	size_t i;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(imsg_socketpair(sv), 0);
	event = (int)inotify_init1(IN_CLOEXEC);
	file = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Names that only begin or end as theirs. */
	ck_assert_ptr_nonnull(mkdtemp(path));
	(void)snprintf(name, sizeof(name), "%s/anon_inode:bpf-prog", path);
	in_dir = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(in_dir, 0);
	for (i = 0; i < nitems(bpf); i++) {
		ck_assert_int_eq(kind_of(bpf[i], -1), 0);
		ck_assert_int_eq(kind_of(bpf[i], memfd), -EBADF);
		ck_assert_int_eq(kind_of(bpf[i], ends[0]), -EBADF);
		ck_assert_int_eq(kind_of(bpf[i], sv[0]), -EBADF);
		ck_assert_int_eq(kind_of(bpf[i], event), -EBADF);
		ck_assert_int_eq(kind_of(bpf[i], file), -EBADF);
		ck_assert_int_eq(kind_of(bpf[i], in_dir), -EBADF);
	}
	ck_assert_int_eq(kind_of(MSG_FETCH_LIST, memfd), 0);
	ck_assert_int_eq(kind_of(MSG_FETCH_LIST, sv[0]), -EBADF);
	ck_assert_int_eq(kind_of(MSG_INTERFACES, event), -EBADF);
	ck_assert_int_eq(kind_of(MSG_INTERFACES, in_dir), -EBADF);
	(void)unlink(name);
	(void)rmdir(path);
	for (i = 0; i < 2; i++) {
		fd_close(&ends[i]);
		fd_close(&sv[i]);
	}
}
END_TEST

UNIT_MAIN("taken_over", bpfds_extremes, telemds_extremes,
    a_sample_is_taken_once_a_round, an_answer_is_taken_once_a_question,
    links_that_nobody_wants_do_not_pile_up, filters_are_swept_once,
    numbers_that_are_none_are_not_kept, numbers_do_not_keep_the_disk_busy,
    events_that_nobody_accepts_are_bounded,
    signals_for_nothing_do_not_fill_the_log,
    descriptors_are_what_they_are_sent_as)
