/* SPDX-License-Identifier: ISC */
/* Rollback signals and NATS credentials: text from outside. */
#include "unit.h"

#include <string.h>

#include "telemd/creds.h"
#include "telemd/signal.h"

static struct msg_signal_rollback m;
static const char *why;

static enum signal_verdict
rollback(const char *json)
{
	return signal_parse_rollback(json, strlen(json), &m, &why);
}

static enum signal_verdict
action(const char *json)
{
	return signal_parse_action(json, strlen(json), "host-1", &m, &why);
}

START_TEST (test_rollback) {
	ck_assert_int_eq(
	    rollback("{\"artifact_id\":\"art-1\"}"), SIGNAL_FOR_US);
	ck_assert_str_eq(m.artifact_id, "art-1");
	ck_assert_str_eq(m.reason, "");
	ck_assert_int_eq(
	    rollback(" {\"artifact_id\":\"art-1\",\"reason\":\"too \\n hot\","
		     "\"request_id\":\"r-9\",\"more\":[1,{}]} \n"),
	    SIGNAL_FOR_US);
	ck_assert_str_eq(m.reason, "too ? hot");
	ck_assert_str_eq(m.request_id, "r-9");
	ck_assert_int_eq(
	    rollback("{\"artifact_id\":\"a\",\"reason\":null}"), SIGNAL_FOR_US);
}
END_TEST

START_TEST (test_malformed) {
	static const char *const cases[] = { "", " ", "null", "[]", "\"a\"",
		"{", "{}", "{\"artifact_id\":1}", "{\"artifact_id\":null}",
		"{\"artifact_id\":\"\"}", "{\"artifact_id\":\"../x\"}",
		"{\"artifact_id\":\"a b\"}", "{\"artifact_id\":\"a\"}x",
		"{\"artifact_id\":\"a\"}{}", "{\"artifact_id\":\"a\\u0000b\"}",
		"{\"artifact_id\":\"a\",\"reason\":7}",
		"{\"artifact_id\":\"a\",\"request_id\":\"/\"}",
		"{\"artifact_id\":\"a\",\"request_id\":{}}",
		"{'artifact_id':'a'}", "{\"artifact_id\":\"\xff\"}",
		"[[[[[[[[[[[[[[[[[[[[[[[[" };
	char long_id[512];
	size_t i;

	for (i = 0; i < nitems(cases); i++) {
		ck_assert_msg(rollback(cases[i]) == SIGNAL_MALFORMED,
		    "accepted: %s", cases[i]);
		ck_assert_ptr_nonnull(why);
	}
	(void)snprintf(
	    long_id, sizeof(long_id), "{\"artifact_id\":\"%0200d\"}", 7);
	ck_assert_int_eq(rollback(long_id), SIGNAL_MALFORMED);
	/* a NUL inside the message */
	ck_assert_int_eq(
	    signal_parse_rollback("{\"artifact_id\":\"a\"}\0", 20, &m, &why),
	    SIGNAL_MALFORMED);
}
END_TEST

START_TEST (test_long_reason_is_cut) {
	char json[1024];

	(void)snprintf(json, sizeof(json),
	    "{\"artifact_id\":\"a\",\"reason\":\"%0600d\"}", 1);
	ck_assert_int_eq(rollback(json), SIGNAL_FOR_US);
	ck_assert_uint_eq(strlen(m.reason), sizeof(m.reason) - 1);
}
END_TEST

/* Signed for another host and brought here, it would hold. */
START_TEST (test_subject) {
	static const char *const others[] = { "orchestrator.rollback.host-2",
		"orchestrator.rollback.host-11", "orchestrator.rollback.host-",
		"orchestrator.rollback.", "actions.rollback.ebpf.host-1",
		"actions.rollback", "a", "host-1", "" };
	bool to_all;
	size_t i;

	ck_assert(
	    signal_is_ours("orchestrator.rollback.host-1", "host-1", &to_all));
	ck_assert(!to_all);
	ck_assert(signal_is_ours("actions.rollback.ebpf", "host-1", &to_all));
	ck_assert(to_all);
	for (i = 0; i < nitems(others); i++)
		ck_assert_msg(!signal_is_ours(others[i], "host-1", &to_all),
		    "taken: %s", others[i]);
}
END_TEST

START_TEST (test_action) {
	ck_assert_int_eq(
	    action("{\"request_id\":\"q\",\"action\":\"rollback\","
		   "\"target_id\":\"host-1\",\"artifact_id\":\"a\"}"),
	    SIGNAL_FOR_US);
	ck_assert_str_eq(m.artifact_id, "a");
	ck_assert_str_eq(m.request_id, "q");
	ck_assert_int_eq(action("{\"targets\":[\"h\",\"host-1\"],"
				"\"artifact_id\":\"a\"}"),
	    SIGNAL_FOR_US);
	ck_assert_int_eq(action("{\"targets\":[\"host-2\",7,null],"
				"\"artifact_id\":\"a\"}"),
	    SIGNAL_NOT_FOR_US);
	ck_assert_int_eq(
	    action("{\"target_id\":\"host-11\",\"artifact_id\":\"a\"}"),
	    SIGNAL_NOT_FOR_US);
	ck_assert_int_eq(
	    action("{\"target_id\":\"host-1\"}"), SIGNAL_NOT_FOR_US);
	ck_assert_int_eq(action("{\"target_id\":\"host-1\",\"artifact_id\":9}"),
	    SIGNAL_MALFORMED);
	ck_assert_int_eq(action("{\"target_id\":"), SIGNAL_MALFORMED);
}
END_TEST

/* From NATS' own documentation of nkeys: a seed and its public key. */
#define SEED   "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
#define PUBLIC "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"

START_TEST (test_creds) {
	static const char creds[] = "-----BEGIN NATS USER JWT-----\n"
				    "eyJ0.eyJq.sig\n"
				    "------END NATS USER JWT------\n\n"
				    "*** IMPORTANT ***\n\n"
				    "-----BEGIN USER NKEY SEED-----\n" SEED
				    "\n------END USER NKEY SEED------\n";
	size_t jwt, jwt_len, seed, seed_len;

	ck_assert_int_eq(
	    creds_parse(creds, &jwt, &jwt_len, &seed, &seed_len), 0);
	ck_assert_uint_eq(jwt_len, strlen("eyJ0.eyJq.sig"));
	ck_assert_mem_eq(creds + jwt, "eyJ0.eyJq.sig", jwt_len);
	ck_assert_mem_eq(creds + seed, SEED, seed_len);
	ck_assert_int_eq(
	    creds_parse(SEED "\n", &jwt, &jwt_len, &seed, &seed_len), 0);
	ck_assert_uint_eq(jwt_len, 0);
	ck_assert_int_eq(
	    creds_parse("", &jwt, &jwt_len, &seed, &seed_len), -EINVAL);
	ck_assert_int_eq(
	    creds_parse("hello", &jwt, &jwt_len, &seed, &seed_len), -EINVAL);
}
END_TEST

START_TEST (test_public_key) {
	char bad[] = SEED, key[57];

	ck_assert_int_eq(creds_public_key(SEED, strlen(SEED), key), 0);
	ck_assert_uint_eq(strlen(key), 56);
	ck_assert_int_eq(key[0], 'U');
	ck_assert_str_eq(key, PUBLIC);
	/* one wrong letter: the checksum finds it */
	bad[20] = bad[20] == 'A' ? 'B' : 'A';
	ck_assert_int_eq(creds_public_key(bad, strlen(bad), key), -EINVAL);
	ck_assert_int_eq(creds_public_key(SEED, 57, key), -EINVAL);
	ck_assert_int_eq(creds_public_key("", 0, key), -EINVAL);
}
END_TEST

UNIT_MAIN("signal", test_rollback, test_malformed, test_long_reason_is_cut,
    test_subject, test_action, test_creds, test_public_key)
