/* SPDX-License-Identifier: ISC */
/*
 * aegisctl: what is made of a verifyd's answers; it reads what nobody
 * vouches for, so it is not believed either.
 */
#include "aegisctl/judge.h"

#include "tests/unit/imsg_fixture.h"

static struct event_base *base;
static struct judge judge;
static int verifyd = -1; /* the other end */
static int artifact = -1;

/* ---- helper.c's part, without a process ---- */

static void
handle_closed(int reason, const char *text, void *ctx)
{
	judge.helper.closed = true;
	str_copy_cut(judge.helper.text, sizeof(judge.helper.text), text);
}

int
helper_start(struct helper *h, enum proc_role role,
    const imsg_handler *handlers, void *ctx)
{
	int sv[2];

	memset(h, 0, sizeof(*h));
	memcpy(h->handlers, handlers, sizeof(h->handlers));
	h->base = base;
	ck_assert_int_eq(imsg_socketpair(sv), 0);
	verifyd = sv[1];
	return imsg_open(&h->channel, base, sv[0], PROC_AGENTD, role,
	    h->handlers, handle_closed, ctx);
}

int
helper_configured(struct helper *h)
{
	return 0;
}

/* All that verifyd says was said before it is asked. */
int
helper_wait(struct helper *h, const bool *done)
{
	unsigned int turns;

	for (turns = 0; turns < 16 && !*done && !h->closed; turns++)
		(void)event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	return *done ? 0 : -ECHILD;
}

void
helper_stop(struct helper *h)
{
	imsg_free(h->channel);
}

/* ---- verifyd's part ---- */

static void
say(uint32_t type, const void *payload, size_t len, int fd)
{
	struct {
		struct wire_header header;
		unsigned char payload[IMSG_MAX_PAYLOAD];
	} m = { .header = { .type = type, .len = (uint32_t)len, .pid = 1 } };

	memcpy(m.payload, payload, len);
	ck_assert_int_eq(
	    raw_send(verifyd, &m, sizeof(m.header) + len, &fd, fd >= 0 ? 1 : 0),
	    0);
	fd_close(&fd);
}

static int
sealed(const char *text)
{
	return memfd_from_bytes("test", text, strlen(text));
}

static struct msg_verify_description
names(const char *name, const char *version, const char *architecture)
{
	struct msg_verify_description d = { { 0 } };

	str_copy_cut(d.name, sizeof(d.name), name);
	str_copy_cut(d.version, sizeof(d.version), version);
	str_copy_cut(d.architecture, sizeof(d.architecture), architecture);
	return d;
}

static void
say_description(void)
{
	const struct msg_verify_description d = names("drop", "1.0", "x86_64");

	say(MSG_VERIFY_DESCRIPTION, &d, sizeof(d), sealed("{}"));
}

static void
say_done(enum work_result result, const char *error)
{
	struct msg_verify_done done = { .result = result };

	str_copy_cut(done.error, sizeof(done.error), error);
	say(MSG_VERIFY_DONE, &done, sizeof(done), -1);
}

static void
setup(void)
{
	base = event_base_new();
	ck_assert_ptr_nonnull(base);
	ck_assert_int_eq(judge_open(&judge, -1), 0);
	artifact = sealed("artifact");
	ck_assert_int_ge(artifact, 0);
}

static void
teardown(void)
{
	judge_close(&judge);
	fd_close(&verifyd);
	fd_close(&artifact);
	event_base_free(base);
}

START_TEST (a_description_is_kept) {
	unsigned int fds;

	say_description();
	say_done(WORK_OK, "");
	ck_assert_int_eq(judge_describe(&judge, artifact), 0);
	ck_assert_int_eq(judge.result, WORK_OK);
	ck_assert_str_eq(judge.names.name, "drop");
	ck_assert_int_ge(judge.description, 0);
	/* In the place of the first one, which is closed. */
	fds = count_fds();
	say_description();
	say_done(WORK_OK, "");
	ck_assert_int_eq(judge_describe(&judge, artifact), 0);
	ck_assert_uint_eq(count_fds(), fds);
}
END_TEST

START_TEST (a_plan_is_kept) {
	static const unsigned char zeros[AEGIS_SHA256_SIZE];

	say(MSG_VERIFY_OBJECT, zeros, sizeof(zeros), sealed("ELF"));
	say(MSG_VERIFY_PLAN, zeros, 8, sealed("records"));
	say(MSG_VERIFY_EFFECTIVE, zeros, 8, sealed("{}"));
	say_done(WORK_OK, "");
	ck_assert_int_eq(judge_plan(&judge, artifact, -1), 0);
	ck_assert_int_ge(judge.object, 0);
	ck_assert_int_ge(judge.plan, 0);
	ck_assert_int_ge(judge.effective, 0);
}
END_TEST

START_TEST (a_refusal_is_an_answer) {
	say_done(WORK_REFUSED, "program.o: \x1b[2Jbad\n");
	ck_assert_int_eq(judge_describe(&judge, artifact), 0);
	ck_assert_int_eq(judge.result, WORK_REFUSED);
	/* It goes to a terminal. */
	ck_assert_ptr_null(strchr(judge.error, '\x1b'));
	ck_assert_ptr_null(strchr(judge.error, '\n'));
	ck_assert_ptr_nonnull(strstr(judge.error, "bad"));
}
END_TEST

START_TEST (what_is_good_has_all_its_parts) {
	static const unsigned char zeros[AEGIS_SHA256_SIZE];

	say_done(WORK_OK, "");
	ck_assert_int_eq(judge_describe(&judge, artifact), -EPROTO);
	say_done(WORK_OK, "");
	ck_assert_int_eq(judge_plan(&judge, artifact, -1), -EPROTO);
	say(MSG_VERIFY_OBJECT, zeros, sizeof(zeros), sealed("ELF"));
	say_done(WORK_OK, "");
	ck_assert_int_eq(judge_plan(&judge, artifact, -1), -EPROTO);
}
END_TEST

/* What VERIFYD said breaks the rules: nothing more is taken from it. */
static void
assert_not_believed(void)
{
	ck_assert_int_eq(judge_describe(&judge, artifact), -ECHILD);
	ck_assert(judge.helper.closed);
	ck_assert_int_eq(judge.description, -1);
	ck_assert(!judge.done);
	teardown();
	setup();
}

START_TEST (names_that_are_none) {
	static const char *const rows[][3] = {
		{ "", "1.0", "x86_64" },
		{ "two words", "1.0", "x86_64" },
		{ "drop", "", "x86_64" },
		{ "drop", "1.0\n", "x86_64" },
		{ "drop", "1.0", "\x1b[2J" },
	};
	struct msg_verify_description d;
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		d = names(rows[i][0], rows[i][1], rows[i][2]);
		say(MSG_VERIFY_DESCRIPTION, &d, sizeof(d), sealed("{}"));
		assert_not_believed();
	}
	d = names("drop", "1.0", "x86_64");
	memset(d.name, 'a', sizeof(d.name));
	say(MSG_VERIFY_DESCRIPTION, &d, sizeof(d), sealed("{}"));
	assert_not_believed();
}
END_TEST

START_TEST (verdicts_that_are_none) {
	struct msg_verify_done done = { .result = WORK_REFUSED + 1 };

	say(MSG_VERIFY_DONE, &done, sizeof(done), -1);
	assert_not_believed();
	done.result = WORK_OK;
	memset(done.error, 'a', sizeof(done.error));
	say(MSG_VERIFY_DONE, &done, sizeof(done), -1);
	assert_not_believed();
	memset(&done, 0, sizeof(done));
	memset(done.key_id, 'a', sizeof(done.key_id));
	say(MSG_VERIFY_DONE, &done, sizeof(done), -1);
	assert_not_believed();
}
END_TEST

START_TEST (a_text_that_may_still_change) {
	const struct msg_verify_description d = names("drop", "1.0", "x86_64");
	int fd = any_fd();

	ck_assert_int_eq(write(fd, "{}", 2), 2);
	say(MSG_VERIFY_DESCRIPTION, &d, sizeof(d), fd);
	assert_not_believed();
}
END_TEST

START_TEST (a_signature_that_fits_nowhere) {
	char signature[AEGIS_SIGNATURE_SIZE + 1];

	memset(signature, 'a', sizeof(signature));
	signature[AEGIS_SIGNATURE_SIZE] = '\0';
	judge.signature = signature;
	ck_assert_int_lt(judge_describe(&judge, artifact), 0);
	ck_assert_int_lt(judge_plan(&judge, artifact, -1), 0);
	/* It was not sent cut off. */
	ck_assert_int_eq(raw_recv(verifyd), 0);
	ck_assert_int_eq(raw_recv(verifyd), -1);
}
END_TEST

UNIT_FIXTURE_MAIN("judge", setup, teardown, a_description_is_kept,
    a_plan_is_kept, a_refusal_is_an_answer, what_is_good_has_all_its_parts,
    names_that_are_none, verdicts_that_are_none, a_text_that_may_still_change,
    a_signature_that_fits_nowhere)
