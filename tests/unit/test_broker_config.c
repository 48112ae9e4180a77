/* SPDX-License-Identifier: ISC */
/* The broker's addresses and secrets, as agentd gives them. */
#include <string.h>

#include "telemd/broker.h"
#include "tests/unit/unit.h"

static struct broker b;

static int
set(const char *urls)
{
	return broker_set_urls(&b, urls, strlen(urls));
}

START_TEST (a_list_of_urls_is_cut_at_its_commas) {
	ck_assert_int_eq(set("nats://a:1"), 0);
	ck_assert_int_eq(b.url_count, 1);
	ck_assert_int_eq(set(",nats://a:1, tls://b:2\n,,"), 0);
	ck_assert_int_eq(b.url_count, 2);
	ck_assert_str_eq(b.urls[0], "nats://a:1");
	ck_assert_str_eq(b.urls[1], "tls://b:2");
	/* Only as much as was given, whatever follows it. */
	ck_assert_int_eq(broker_set_urls(&b, "nats://a:12", 10), 0);
	ck_assert_str_eq(b.urls[0], "nats://a:1");
}
END_TEST

START_TEST (lists_that_are_none) {
	ck_assert_int_eq(set(""), -EINVAL);
	ck_assert_int_eq(set(" ,\n"), -EINVAL);
	ck_assert_int_eq(broker_set_urls(&b, "a\0b", 3), -EINVAL);
	ck_assert_int_eq(set("1,2,3,4,5,6,7"), 0);
	ck_assert_int_eq(set("1,2,3,4,5,6,7,8"), 0);
	ck_assert_int_eq(b.url_count, AEGIS_NATS_URLS);
	ck_assert_int_eq(set("1,2,3,4,5,6,7,8,9"), -E2BIG);
	ck_assert_int_eq(b.url_count, AEGIS_NATS_URLS);
}
END_TEST

START_TEST (what_is_shown_and_which_port_it_is) {
	static const struct {
		const char *url, *shown;
		uint16_t port;
	} rows[] = {
		{ "nats://h:4333", "h:4333", 4333 },
		{ "h", "h", 4222 },
		{ "h:4333", "h:4333", 4333 },
		{ "tls://h", "h", 4222 },
		{ "nats://h:4333/", "h:4333", 4333 },
		{ "nats://h:4333?x=@y", "h:4333", 4333 },
		/* Neither user nor password is for people. */
		{ "nats://user:secret@h:4333", "h:4333", 4333 },
		{ "nats://secret@h", "h", 4222 },
		{ "nats://u:p@q:5@h:4333", "h:4333", 4333 },
		{ "nats://user:5555@h", "h", 4222 },
		{ "nats://[::1]:4333", "[::1]:4333", 4333 },
		{ "nats://[::1]", "[::1]", 4222 },
		{ "nats://u:p@[fe80::1]:1", "[fe80::1]:1", 1 },
		/* What is no port is nobody's. */
		{ "nats://h:", "h:", 4222 },
		{ "nats://h:0", "h:0", 4222 },
		{ "nats://h:x", "h:x", 4222 },
		{ "nats://h:65535", "h:65535", 65535 },
		{ "nats://h:65536", "h:65536", 4222 },
		{ "nats://h:4294967376", "h:4294967376", 4222 },
		{ "nats://h:18446744073709551696", "h:18446744073709551696",
		    4222 },
		{ "nats://", "", 4222 },
		{ "@", "", 4222 },
		{ ":", ":", 4222 },
	};
	char buf[64];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		ck_assert_int_eq(set(rows[i].url), 0);
		ck_assert_str_eq(
		    broker_display_url(&b, 0, buf, sizeof(buf)), rows[i].shown);
		ck_assert_msg(broker_port(&b, 0) == rows[i].port, "%s: %u",
		    rows[i].url, broker_port(&b, 0));
	}
	ck_assert_int_eq(set("nats://a-long-name:4222"), 0);
	ck_assert_str_eq(broker_display_url(&b, 0, buf, 7), "a-long");
}
END_TEST

START_TEST (secrets_are_text_and_the_last_one_counts) {
	ck_assert_int_eq(
	    broker_set_secret(&b, SECRET_NATS_CREDS, "one two", 3), 0);
	ck_assert_str_eq(b.secrets[SECRET_NATS_CREDS], "one");
	ck_assert_int_eq(
	    broker_set_secret(&b, SECRET_NATS_CREDS, "a\0b", 3), -EINVAL);
	ck_assert_str_eq(b.secrets[SECRET_NATS_CREDS], "one");
	ck_assert_int_eq(broker_set_secret(&b, SECRET_NATS_CREDS, "2", 1), 0);
	ck_assert_str_eq(b.secrets[SECRET_NATS_CREDS], "2");
}
END_TEST

START_TEST (what_agentd_says_is_taken_over) {
	struct msg_telem_config config = {
		.url = "nats://h:4333", .host_id = "host", .stream = "EVENTS"
	};
	struct pipeline *pipeline = (struct pipeline *)&config;

	ck_assert_int_eq(broker_configure(&b, pipeline, &config), 0);
	ck_assert_ptr_eq(b.pipeline, pipeline);
	ck_assert_str_eq(b.host_id, "host");
	ck_assert_str_eq(b.stream, "EVENTS");
	ck_assert_int_eq(b.url_count, 1);
	/* With a password in it, it comes as a secret. */
	b.url_count = 0;
	config.url[0] = '\0';
	ck_assert_int_eq(broker_configure(&b, pipeline, &config), 0);
	ck_assert_int_eq(b.url_count, 0);
	config.url[0] = ',';
	config.url[1] = '\0';
	ck_assert_int_eq(broker_configure(&b, pipeline, &config), -EINVAL);
}
END_TEST

UNIT_MAIN("broker_config", a_list_of_urls_is_cut_at_its_commas,
    lists_that_are_none, what_is_shown_and_which_port_it_is,
    secrets_are_text_and_the_last_one_counts, what_agentd_says_is_taken_over)
