/* SPDX-License-Identifier: ISC */
/*
 * The message table: who may say what, with which descriptor.
 */
#include "common/msg.h"

#include <string.h>

#include "tests/unit/unit.h"

#define WORKERS                                                                \
	(PROC_BIT(PROC_REGISTRY) | PROC_BIT(PROC_VAULT) |                      \
	    PROC_BIT(PROC_VERIFY) | PROC_BIT(PROC_BPF) | PROC_BIT(PROC_API) |  \
	    PROC_BIT(PROC_TELEM))

START_TEST (every_row_is_complete) {
	const struct msg_row *row;
	uint32_t type;

	for (type = 1; type < MSG_TYPE_MAX; type++) {
		row = msg_row(type);
		ck_assert_ptr_nonnull(row);
		ck_assert_uint_gt(row->size, 0);
		ck_assert_uint_eq(row->size % 8, 0);
		ck_assert_uint_le(row->size, IMSG_MAX_PAYLOAD);
		ck_assert_ptr_nonnull(row->name);
		ck_assert_str_eq(msg_name(type), row->name);
	}
	ck_assert_ptr_null(msg_row(MSG_NOTHING));
	ck_assert_ptr_null(msg_row(MSG_TYPE_MAX));
	ck_assert_ptr_null(msg_row(UINT32_MAX));
	ck_assert_str_eq(msg_name(UINT32_MAX), "?");
}
END_TEST

START_TEST (the_house_is_a_star) {
	const uint32_t agentd = PROC_BIT(PROC_AGENTD);
	const struct msg_row *row;
	uint32_t type;

	/* Every message has agentd at exactly one end. */
	for (type = 1; type < MSG_TYPE_MAX; type++) {
		row = msg_row(type);
		ck_assert_msg(
		    (row->senders == agentd) != (row->receivers == agentd),
		    "%s", row->name);
		ck_assert_msg(
		    !(row->senders & agentd) || row->senders == agentd, "%s",
		    row->name);
	}
}
END_TEST

START_TEST (only_bpfd_and_agentd_hold_programs_and_links) {
	static const uint32_t authority[] = { MSG_LOAD_OLD_LINK, MSG_LOAD_PROG,
		MSG_LOAD_LINK, MSG_ADOPT_PROG };
	const uint32_t both = PROC_BIT(PROC_AGENTD) | PROC_BIT(PROC_BPF);
	const struct msg_row *row;
	size_t i;

	for (i = 0; i < nitems(authority); i++) {
		row = msg_row(authority[i]);
		ck_assert_uint_eq(row->senders | row->receivers, both);
		ck_assert_int_eq(row->fd, MSG_FD_ONE);
	}
}
END_TEST

START_TEST (secrets_go_to_those_who_use_them) {
	const struct msg_row *row = msg_row(MSG_SECRET);

	ck_assert_uint_eq(row->receivers & PROC_BIT(PROC_BPF), 0);
	ck_assert_uint_eq(row->receivers & PROC_BIT(PROC_VERIFY), 0);
	ck_assert_uint_eq(row->senders, PROC_BIT(PROC_AGENTD));
}
END_TEST

START_TEST (what_a_worker_can_ask_for_is_bounded) {
	const struct msg_row *row;
	uint32_t type, said = 0;

	/* apid can say nothing but its state; telemd no more than this. */
	for (type = 1; type < MSG_TYPE_MAX; type++) {
		row = msg_row(type);
		if (row->senders == PROC_BIT(PROC_API))
			ck_assert_uint_eq(type, MSG_API_STATE);
		if (row->senders == PROC_BIT(PROC_TELEM)) {
			said++;
			ck_assert(type == MSG_EVENT_ACCEPTED ||
			    type == MSG_SIGNAL_ROLLBACK ||
			    type == MSG_TELEM_STATE);
		}
		/* What all workers may say is log, pong and ready. */
		if (row->senders == WORKERS)
			ck_assert(type == MSG_WORKER_READY ||
			    type == MSG_WORKER_LOG || type == MSG_WORKER_PONG);
	}
	ck_assert_uint_eq(said, 3);
}
END_TEST

START_TEST (the_fingerprint_is_stable_within_a_build) {
	ck_assert_uint_eq(msg_fingerprint(), msg_fingerprint());
	ck_assert_uint_ne(msg_fingerprint(), 0);
}
END_TEST

UNIT_MAIN("msg", every_row_is_complete, the_house_is_a_star,
    only_bpfd_and_agentd_hold_programs_and_links,
    secrets_go_to_those_who_use_them, what_a_worker_can_ask_for_is_bounded,
    the_fingerprint_is_stable_within_a_build)
