/* SPDX-License-Identifier: ISC */
/*
 * The gate before apid and aegisctl.
 */
#include "common/snapshot.h"

#include "tests/unit/flat.h"

/* One record of each kind, and a little text: laid out as in memory. */
struct one_of_each {
	struct snapshot_header h;
	struct snapshot_reason reason;
	struct snapshot_program program;
	struct snapshot_attach attach;
	struct snapshot_kernel_prog prog;
	struct snapshot_rollback rollback;
	struct snapshot_worker worker;
	char data[8];
};

static struct one_of_each
make_snapshot(void)
{
	struct one_of_each s = {
		.h = {
			.magic = SNAPSHOT_MAGIC,
			.version = SNAPSHOT_VERSION,
			.total_len = sizeof(s),
			.health = HEALTH_DEGRADED,
			.reason_count = 1,
			.program_count = 1,
			.attach_count = 1,
			.kernel_prog_count = 1,
			.rollback_count = 1,
			.worker_count = 1,
			.data_len = sizeof(s.data),
		},
		.program = {
			.status = STATUS_RUNNING,
			.error = { 0, 4 },
			.parameters = { 4, 4 },
			.verifier_log = { 8, 0 },
			.attach_count = 1,
			.prog_count = 1,
		},
		.worker = { .role = PROC_BPF },
		.data = "text{}{}",
	};

	return s;
}

START_TEST (good_one_is_pointed_into) {
	struct one_of_each s = make_snapshot();
	struct snapshot snap;
	const char *what;

	ck_assert_int_eq(snapshot_check(&s, sizeof(s), &snap, &what), 0);
	ck_assert_ptr_null(what);
	ck_assert_ptr_eq(snap.reasons, &s.reason);
	ck_assert_ptr_eq(snap.programs, &s.program);
	ck_assert_ptr_eq(snap.attaches, &s.attach);
	ck_assert_ptr_eq(snap.kernel_progs, &s.prog);
	ck_assert_ptr_eq(snap.rollbacks, &s.rollback);
	ck_assert_ptr_eq(snap.workers, &s.worker);
	ck_assert_ptr_eq(snap.data, s.data);
}
END_TEST

#define REFUSED(words, change)                                                 \
	do {                                                                   \
		struct one_of_each s = make_snapshot();                        \
		struct snapshot snap_;                                         \
		const char *what_;                                             \
                                                                               \
		change;                                                        \
		ck_assert_int_eq(                                              \
		    snapshot_check(&s, sizeof(s), &snap_, &what_), -EBADMSG);  \
		ck_assert_msg(strstr(what_, words) != NULL,                    \
		    "'%s' does not say '%s'", what_, words);                   \
	} while (0)

/* An array without its NUL. */
#define FULL(field) memset(field, 'x', sizeof(field))

START_TEST (every_field_is_checked) {
	REFUSED("header", s.h.magic++);
	REFUSED("header", s.h.version++);
	REFUSED("header", s.h.total_len++);
	REFUSED("header", s.h.health = HEALTH_UNHEALTHY + 1);
	REFUSED("header", FULL(s.h.host_id));
	REFUSED("header", FULL(s.h.agent_version));
	REFUSED("header", FULL(s.h.kernel_release));
	REFUSED("header", FULL(s.h.architecture));
	REFUSED("longer", s.h.reason_count++);
	REFUSED("longer", s.h.program_count = UINT32_MAX);
	REFUSED("longer", s.h.attach_count = 0);
	REFUSED("longer", s.h.worker_count = UINT32_MAX);
	REFUSED("longer", s.h.data_len--);
	REFUSED("reason", FULL(s.reason.component));
	REFUSED("reason", FULL(s.reason.text));
	REFUSED("program: a name", FULL(s.program.artifact_id));
	REFUSED("program: a name", FULL(s.program.name));
	REFUSED("program: a name", FULL(s.program.version));
	REFUSED("status", s.program.status = STATUS_MAX);
	REFUSED("status", s.program.unload_reason = UNLOAD_MAX);
	REFUSED("text outside", s.program.error.len = 9);
	REFUSED("text outside", s.program.parameters.off = 5);
	REFUSED("text outside", s.program.verifier_log.off = UINT32_MAX);
	REFUSED("attachments", s.program.attach_first = 1);
	REFUSED("attachments", s.program.attach_count = UINT32_MAX);
	REFUSED("attachments", s.program.prog_count = 2);
	REFUSED("attachment", FULL(s.attach.program));
	REFUSED("attachment", FULL(s.attach.target));
	REFUSED("kernel program", FULL(s.prog.program));
	REFUSED("rollback: text", FULL(s.rollback.artifact_id));
	REFUSED("rollback: text", FULL(s.rollback.restored_version));
	REFUSED("rollback: text", FULL(s.rollback.text));
	REFUSED("rollback: text", FULL(s.rollback.error));
	REFUSED("a word", s.rollback.reason = ROLLBACK_REASON_MAX);
	REFUSED("a word", s.rollback.threshold = THRESHOLD_MAX);
	REFUSED("a word", s.rollback.status = ROLLBACK_STATUS_MAX);
	REFUSED("worker", s.worker.role = PROC_MAX);
	REFUSED("worker", FULL(s.worker.last_exit));
}
END_TEST

START_TEST (every_length_but_its_own_is_refused) {
	struct one_of_each s = make_snapshot();
	struct snapshot snap;
	const char *what;
	void *copy;
	size_t n;

	for (n = 0; n < sizeof(s); n++) {
		copy = flat_copy(&s, n);
		ck_assert_int_eq(
		    snapshot_check(copy, n, &snap, &what), -EBADMSG);
		free(copy);
	}
}
END_TEST

START_TEST (changed_at_random_it_is_refused_or_in_bounds) {
	struct one_of_each s = make_snapshot();
	uint64_t state = 0x853c49e6748fea9b, sum = 0;
	unsigned int i, j, passed = 0;
	struct snapshot snap;
	const char *what;
	uint8_t *copy;

	for (i = 0; i < 20000; i++) {
		copy = flat_copy(&s, sizeof(s));
		flat_mutate(copy, sizeof(s), &state);
		if (snapshot_check(copy, sizeof(s), &snap, &what) == 0) {
			passed++;
			if (snap.header->program_count == 1)
				for (j = 0; j < snap.programs->error.len; j++)
					sum +=
					    (uint8_t)snap
						.data[snap.programs->error.off +
						    j];
		}
		free(copy);
	}
	ck_assert_uint_gt(passed, 100);
	ck_assert_uint_lt(passed, 19990);
	ck_assert_uint_gt(sum, 0);
}
END_TEST

UNIT_MAIN("snapshot", good_one_is_pointed_into, every_field_is_checked,
    every_length_but_its_own_is_refused,
    changed_at_random_it_is_refused_or_in_bounds)
