/* SPDX-License-Identifier: ISC */
#include "agentd/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/strnum.h"
#include "tests/unit/unit.h"

#define SEC NSEC_PER_SEC

static char dir[64];
static int dirfd_ = -1;

static void
make_dir(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/aegis-test-state-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd_, 0);
}

/* Remove it; how many names began with PREFIX. */
static int
remove_dir(const char *prefix)
{
	struct dirent *e;
	int n = 0;
	DIR *d = opendir(dir);

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0)
			n++;
		(void)unlinkat(dirfd_, e->d_name, 0);
		(void)unlinkat(dirfd_, e->d_name, AT_REMOVEDIR);
	}
	(void)closedir(d);
	(void)close(dirfd_);
	ck_assert_int_eq(rmdir(dir), 0);
	return n;
}

static const uint8_t *
sum(uint8_t n)
{
	static uint8_t sums[256][AEGIS_SHA256_SIZE];

	memset(sums[n], n, sizeof(sums[n]));
	return sums[n];
}

static void
fill(struct state *s)
{
	struct state_artifact *a;
	struct snapshot_rollback *r;

	state_init(s);
	a = state_artifact_put(s, "b", sum(1), "prog", "1.0.0");
	ck_assert_ptr_nonnull(a);
	a->tombstone = STATUS_ROLLED_BACK;
	a->unload_reason = UNLOAD_ROLLED_BACK;
	a->first_loaded_wall_ns = 5 * SEC;
	str_copy_cut(a->error, sizeof(a->error), "too many errors");
	ck_assert_ptr_nonnull(
	    state_artifact_put(s, "a", sum(2), "prog", "1.1.0"));
	state_name_accept(s, "prog", "1.0.0", 0);
	state_name_accept(s, "prog", "1.1.0", 0);
	r = state_rollback_add(s);
	ck_assert_ptr_nonnull(r);
	str_copy_cut(r->artifact_id, sizeof(r->artifact_id), "b");
	r->reason = ROLLBACK_MANUAL;
	r->value = 7.5;
	s->next_event_seq = 99;
}

START_TEST (what_is_saved_is_loaded) {
	const struct state_artifact *a;
	struct state s, t;

	make_dir();
	ck_assert_int_eq(state_load(dirfd_, &t), 0);
	ck_assert_uint_eq(t.artifact_count, 0);
	ck_assert_uint_eq(t.next_event_seq, 1);
	state_free(&t);
	fill(&s);
	ck_assert_int_eq(state_save(dirfd_, &s), 0);
	ck_assert_int_eq(state_save(dirfd_, &s), 0);
	ck_assert_int_eq(state_load(dirfd_, &t), 0);
	ck_assert_uint_eq(t.artifact_count, 2);
	ck_assert_uint_eq(t.name_count, 1);
	ck_assert_uint_eq(t.rollback_count, 1);
	ck_assert_uint_eq(t.next_event_seq, 99);
	a = state_artifact_find(&t, "b", sum(1));
	ck_assert_ptr_nonnull(a);
	ck_assert_int_eq(memcmp(a, s.artifacts[1], sizeof(*a)), 0);
	ck_assert_str_eq(a->error, "too many errors");
	ck_assert_str_eq(state_name_find(&t, "prog")->highest_version, "1.1.0");
	ck_assert(state_rollback_latest(&t, "b")->value == 7.5);
	state_free(&s);
	state_free(&t);
	ck_assert_int_eq(remove_dir("state.tmp"), 0);
}
END_TEST

/* Every single byte flipped, and every length: never taken, never fatal. */
START_TEST (damage_is_set_aside) {
	_cleanup_free_ uint8_t *bytes = NULL;
	struct state s, t;
	struct stat st;
	ssize_t size, i;
	int fd;

	log_open_stdout("test", "test", true);
	(void)close(STDERR_FILENO);
	make_dir();
	fill(&s);
	ck_assert_int_eq(state_save(dirfd_, &s), 0);
	fd = openat(dirfd_, "state", O_RDONLY);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	size = st.st_size;
	bytes = malloc((size_t)size);
	ck_assert_int_eq(read(fd, bytes, (size_t)size), size);
	(void)close(fd);
	for (i = 0; i < 2 * size; i += i < 128 ? 1 : 97) {
		ssize_t len = i < size ? size : i - size;

		if (i < size)
			bytes[i] ^= 0x10;
		(void)unlinkat(dirfd_, "state", 0);
		fd = openat(dirfd_, "state", O_WRONLY | O_CREAT, 0600);
		ck_assert_int_eq(write(fd, bytes, (size_t)len), len);
		(void)close(fd);
		if (i < size)
			bytes[i] ^= 0x10;
		ck_assert_int_eq(state_load(dirfd_, &t), -EBADMSG);
		ck_assert_uint_eq(t.artifact_count, 0);
		ck_assert_uint_eq(t.next_event_seq, 1);
		ck_assert_int_eq(faccessat(dirfd_, "state", F_OK, 0), -1);
		state_free(&t);
	}
	ck_assert_int_eq(state_save(dirfd_, &s), 0);
	ck_assert_int_eq(state_load(dirfd_, &t), 0);
	state_free(&t);
	state_free(&s);
	ck_assert_int_ge(remove_dir("state.damaged-"), 1);
}
END_TEST

START_TEST (links_and_directories_are_no_state) {
	struct state s;

	log_open_stdout("test", "test", true);
	(void)close(STDERR_FILENO);
	make_dir();
	ck_assert_int_eq(symlinkat("/etc/passwd", dirfd_, "state"), 0);
	ck_assert_int_eq(state_load(dirfd_, &s), -EBADMSG);
	ck_assert_int_eq(mkdirat(dirfd_, "state", 0700), 0);
	ck_assert_int_eq(state_load(dirfd_, &s), -EBADMSG);
	/* What an earlier crash left, or somebody put there. */
	ck_assert_int_eq(
	    symlinkat("/tmp/aegis-must-not-exist", dirfd_, "state.tmp"), 0);
	ck_assert_int_eq(state_save(dirfd_, &s), 0);
	ck_assert_int_eq(access("/tmp/aegis-must-not-exist", F_OK), -1);
	ck_assert_int_eq(state_load(dirfd_, &s), 0);
	state_free(&s);
	(void)remove_dir("");
}
END_TEST

START_TEST (a_failed_save_leaves_the_old) {
	struct state s, t;

	make_dir();
	fill(&s);
	ck_assert_int_eq(state_save(dirfd_, &s), 0);
	s.next_event_seq = 100;
	ck_assert_int_eq(mkdirat(dirfd_, "state.tmp", 0700), 0);
	ck_assert_int_lt(state_save(dirfd_, &s), 0);
	ck_assert_int_eq(state_load(dirfd_, &t), 0);
	ck_assert_uint_eq(t.next_event_seq, 99);
	state_free(&s);
	state_free(&t);
	(void)remove_dir("");
}
END_TEST

START_TEST (ids_and_checksums_are_the_key) {
	struct state_artifact *a;
	struct state s;

	state_init(&s);
	a = state_artifact_put(&s, "x", sum(1), "n", "1");
	ck_assert_ptr_nonnull(a);
	a->tombstone = STATUS_EXPIRED;
	ck_assert_ptr_null(state_artifact_find(&s, "x", sum(2)));
	ck_assert_ptr_nonnull(state_artifact_put(&s, "x", sum(2), "n", "2"));
	ck_assert_ptr_eq(state_artifact_put(&s, "x", sum(1), "m", "3"), a);
	ck_assert_str_eq(a->name, "m");
	ck_assert_uint_eq(a->tombstone, STATUS_EXPIRED);
	ck_assert_uint_eq(s.artifact_count, 2);
	state_free(&s);
}
END_TEST

START_TEST (pardon_lifts_all_of_an_id) {
	static const char *const ids[] = { "w", "x", "x", "xy" };
	struct state_artifact *a;
	struct state s;
	uint8_t i;

	state_init(&s);
	for (i = 0; i < nitems(ids); i++) {
		a = state_artifact_put(&s, ids[i], sum(i), "n", "1");
		a->tombstone = STATUS_FAILED;
		a->first_loaded_wall_ns = 1;
	}
	ck_assert(state_artifact_pardon(&s, "x"));
	ck_assert(!state_artifact_pardon(&s, "x"));
	ck_assert(!state_artifact_pardon(&s, "y"));
	for (i = 0; i < nitems(ids); i++) {
		a = state_artifact_find(&s, ids[i], sum(i));
		ck_assert_uint_eq(
		    a->tombstone, strcmp(ids[i], "x") == 0 ? 0 : STATUS_FAILED);
		ck_assert_int_eq(
		    a->first_loaded_wall_ns, strcmp(ids[i], "x") != 0);
	}
	state_free(&s);
}
END_TEST

START_TEST (the_longest_unseen_makes_room) {
	struct state s;
	char id[16];
	int i;

	state_init(&s);
	for (i = 0; i < STATE_MAX_ARTIFACTS + 10; i++) {
		struct state_artifact *a;

		(void)snprintf(id, sizeof(id), "%d", (i * 7919) % 100003);
		a = state_artifact_put(&s, id, sum(0), "n", "1");
		ck_assert_ptr_nonnull(a);
		a->last_seen_wall_ns = i + 1;
		/* The first stays in the list. */
		state_artifact_seen(&s, "0", sum(0), i + 1);
	}
	ck_assert_uint_eq(s.artifact_count, STATE_MAX_ARTIFACTS);
	for (i = 0; i < STATE_MAX_ARTIFACTS + 10; i++) {
		(void)snprintf(id, sizeof(id), "%d", (i * 7919) % 100003);
		ck_assert_int_eq(state_artifact_find(&s, id, sum(0)) != NULL,
		    i == 0 || i > 10);
	}
	state_free(&s);
}
END_TEST

/* A registry lists what it likes; it cannot list away what has ended. */
START_TEST (what_never_ran_makes_room_first) {
	static const struct {
		const char *id;
		uint32_t tombstone;
	} ran[] = { { "back", STATUS_ROLLED_BACK }, { "gone", STATUS_EXPIRED },
		{ "runs", 0 } };
	struct state_artifact *a;
	struct state s;
	char id[16];
	size_t i;

	state_init(&s);
	for (i = 0; i < nitems(ran); i++) {
		a = state_artifact_put(&s, ran[i].id, sum(0), "n", "1");
		a->first_loaded_wall_ns = a->last_seen_wall_ns = 1;
		a->tombstone = ran[i].tombstone;
	}
	for (i = 0; i < 3 * STATE_MAX_ARTIFACTS; i++) {
		(void)snprintf(id, sizeof(id), "%zu", i);
		a = state_artifact_put(&s, id, sum(0), "n", "1");
		ck_assert_ptr_nonnull(a);
		a->last_seen_wall_ns = (int64_t)i + 2;
		a->tombstone = STATUS_FAILED;
	}
	ck_assert_uint_eq(s.artifact_count, STATE_MAX_ARTIFACTS);
	for (i = 0; i < nitems(ran); i++)
		ck_assert_ptr_nonnull(
		    state_artifact_find(&s, ran[i].id, sum(0)));
	/* Where all have run, those go first that did not end for good. */
	for (i = 0; i < s.artifact_count; i++)
		s.artifacts[i]->first_loaded_wall_ns = 1;
	log_set_level(LOG_LEVEL_ERROR);
	for (i = 0; i < 10; i++) {
		(void)snprintf(id, sizeof(id), "new-%zu", i);
		a = state_artifact_put(&s, id, sum(0), "n", "1");
		a->first_loaded_wall_ns = a->last_seen_wall_ns = 100000;
	}
	ck_assert_ptr_null(state_artifact_find(&s, "runs", sum(0)));
	ck_assert_ptr_nonnull(state_artifact_find(&s, "back", sum(0)));
	ck_assert_ptr_nonnull(state_artifact_find(&s, "gone", sum(0)));
	state_free(&s);
}
END_TEST

START_TEST (ages) {
	static const uint8_t boot[STATE_BOOT_ID_SIZE] = { 1 };
	static const uint8_t other[STATE_BOOT_ID_SIZE] = { 2 };
	static const uint8_t unknown[STATE_BOOT_ID_SIZE] = { 0 };
	struct state_artifact a = { 0 };

	ck_assert_int_eq(state_age_ns(&a, 100, 100, boot), 0);
	a.first_loaded_wall_ns = 1000 * SEC;
	a.first_loaded_boot_ns = 50 * SEC;
	a.last_seen_wall_ns = 1010 * SEC;
	memcpy(a.boot_id, boot, sizeof(boot));
	/* Same boot: the wall clock may say what it likes. */
	ck_assert_int_eq(
	    state_age_ns(&a, 60 * SEC, 9999 * SEC, boot), 10 * SEC);
	ck_assert_int_eq(state_age_ns(&a, 60 * SEC, 0, boot), 10 * SEC);
	/* A boot clock before the load is a bug elsewhere, no age. */
	ck_assert_int_eq(state_age_ns(&a, 40 * SEC, 9999 * SEC, boot), 0);
	/* Another boot: the wall clock. */
	ck_assert_int_eq(
	    state_age_ns(&a, 5 * SEC, 1100 * SEC, other), 100 * SEC);
	/* ... which went back: at least until it was last seen. */
	ck_assert_int_eq(state_age_ns(&a, 5 * SEC, 0, other), 10 * SEC);
	ck_assert_int_eq(state_age_ns(&a, 5 * SEC, 900 * SEC, other), 10 * SEC);
	a.last_seen_wall_ns = 0;
	ck_assert_int_eq(state_age_ns(&a, 5 * SEC, 900 * SEC, other), 0);
	/* A boot without an id equals no other. */
	memcpy(a.boot_id, unknown, sizeof(unknown));
	ck_assert_int_eq(
	    state_age_ns(&a, 60 * SEC, 1001 * SEC, unknown), 1 * SEC);
	a.first_loaded_wall_ns = INT64_MIN;
	ck_assert_int_eq(state_age_ns(&a, 0, INT64_MAX, other), 0);
}
END_TEST

START_TEST (this_boot_has_an_id) {
	uint8_t a[STATE_BOOT_ID_SIZE], b[STATE_BOOT_ID_SIZE];
	static const uint8_t zero[STATE_BOOT_ID_SIZE];

	ck_assert_int_eq(state_boot_id(a), 0);
	ck_assert_int_eq(state_boot_id(b), 0);
	ck_assert_int_eq(memcmp(a, b, sizeof(a)), 0);
	ck_assert_int_ne(memcmp(a, zero, sizeof(a)), 0);
}
END_TEST

START_TEST (names_remember_the_highest) {
	struct state_name *n;
	struct state s;

	state_init(&s);
	ck_assert_ptr_null(state_name_find(&s, "n"));
	ck_assert_int_eq(state_name_allow_downgrade(&s, "n", "1.0.0"), -ENOENT);
	state_name_accept(&s, "n", "1.2.0", 0);
	state_name_accept(&s, "m", "9.0.0", 0);
	state_name_accept(&s, "n", "1.10.0", 0);
	n = state_name_find(&s, "n");
	ck_assert_str_eq(n->highest_version, "1.10.0");
	ck_assert_int_eq(state_name_allow_downgrade(&s, "n", ""), -EINVAL);
	ck_assert_int_eq(state_name_allow_downgrade(&s, "n", "1.2.0"), 0);
	ck_assert_str_eq(n->allow_downgrade, "1.2.0");
	/* Another version does not use it up; itself does, once. */
	state_name_accept(&s, "n", "1.10.0", 0);
	ck_assert_str_eq(n->allow_downgrade, "1.2.0");
	state_name_accept(&s, "n", "1.2.0", 0);
	ck_assert_str_eq(n->allow_downgrade, "");
	ck_assert_str_eq(n->highest_version, "1.10.0");
	ck_assert_ptr_eq(state_name_find(&s, "n"), n);
	state_free(&s);
}
END_TEST

START_TEST (the_name_accepted_longest_ago_makes_room) {
	char name[16];
	struct state s;
	int i;

	state_init(&s);
	for (i = 0; i < STATE_MAX_NAMES + 3; i++) {
		(void)snprintf(name, sizeof(name), "%d", (i * 7919) % 100003);
		state_name_accept(&s, name, "1.0.0", 0);
		/* The first is accepted again and again. */
		state_name_accept(&s, "0", "1.0.0", 0);
	}
	ck_assert_uint_eq(s.name_count, STATE_MAX_NAMES);
	for (i = 0; i < STATE_MAX_NAMES + 3; i++) {
		(void)snprintf(name, sizeof(name), "%d", (i * 7919) % 100003);
		ck_assert_int_eq(
		    state_name_find(&s, name) != NULL, i == 0 || i > 3);
	}
	state_free(&s);
}
END_TEST

START_TEST (versions_and_names_of_any_length) {
	char version[AEGIS_VERSION_SIZE + 1], name[AEGIS_NAME_SIZE + 1];
	struct state s;

	state_init(&s);
	memset(version, '1', sizeof(version));
	memset(name, 'n', sizeof(name));
	version[AEGIS_VERSION_SIZE - 1] = name[AEGIS_NAME_SIZE - 1] = '\0';
	state_name_accept(&s, name, version, 1);
	ck_assert_str_eq(state_name_find(&s, name)->highest_version, version);
	ck_assert_int_eq(state_name_allow_downgrade(&s, name, version), 0);
	/* One more: not kept, and not half. */
	version[AEGIS_VERSION_SIZE - 1] = '1';
	version[AEGIS_VERSION_SIZE] = '\0';
	ck_assert_int_eq(
	    state_name_allow_downgrade(&s, name, version), -EINVAL);
	state_name_accept(&s, name, version, 2);
	ck_assert_uint_eq(state_name_find(&s, name)->highest_sequence, 1);
	name[AEGIS_NAME_SIZE - 1] = 'n';
	name[AEGIS_NAME_SIZE] = '\0';
	state_name_accept(&s, name, "1.0.0", 0);
	ck_assert_ptr_null(state_name_find(&s, name));
	ck_assert_uint_eq(s.name_count, 1);
	state_free(&s);
}
END_TEST

START_TEST (sequences_only_grow) {
	struct state_name *n;
	struct state s;

	state_init(&s);
	state_name_accept(&s, "n", "1.0.0", 0);
	n = state_name_find(&s, "n");
	ck_assert_uint_eq(n->highest_sequence, 0);
	state_name_accept(&s, "n", "1.0.0", 7);
	ck_assert_uint_eq(n->highest_sequence, 7);
	state_name_accept(&s, "n", "1.1.0", 5);
	state_name_accept(&s, "n", "1.2.0", 0);
	ck_assert_uint_eq(n->highest_sequence, 7);
	state_name_accept(&s, "n", "1.2.0", INT64_MAX);
	ck_assert_uint_eq(n->highest_sequence, INT64_MAX);
	state_free(&s);
}
END_TEST

START_TEST (the_history_is_bounded) {
	struct snapshot_rollback *r;
	struct state s;
	int i;

	state_init(&s);
	for (i = 0; i < STATE_MAX_ROLLBACKS + 5; i++) {
		r = state_rollback_add(&s);
		ck_assert_ptr_nonnull(r);
		ck_assert_int_eq(r->wall_ns, 0);
		r->wall_ns = i + 1;
		(void)snprintf(
		    r->artifact_id, sizeof(r->artifact_id), "%d", i % 3);
	}
	ck_assert_uint_eq(s.rollback_count, STATE_MAX_ROLLBACKS);
	ck_assert_int_eq(s.rollbacks[0].wall_ns, 6);
	ck_assert_int_eq(s.rollbacks[STATE_MAX_ROLLBACKS - 1].wall_ns, i);
	ck_assert_int_eq(state_rollback_latest(&s, "0")->wall_ns, 1003);
	ck_assert_ptr_null(state_rollback_latest(&s, "3"));
	state_free(&s);
}
END_TEST

UNIT_MAIN("state", what_is_saved_is_loaded, damage_is_set_aside,
    links_and_directories_are_no_state, a_failed_save_leaves_the_old,
    ids_and_checksums_are_the_key, pardon_lifts_all_of_an_id,
    the_longest_unseen_makes_room, what_never_ran_makes_room_first, ages,
    this_boot_has_an_id, names_remember_the_highest,
    the_name_accepted_longest_ago_makes_room, versions_and_names_of_any_length,
    sequences_only_grow, the_history_is_bounded)
