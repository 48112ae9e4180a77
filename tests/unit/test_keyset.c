/* SPDX-License-Identifier: ISC */
#include "common/keyset.h"

#include "tests/unit/unit.h"

START_TEST (a_key_set_out_of_bounds_is_refused) {
	static struct {
		struct keyset_header header;
		struct keyset_key key;
	} s = { { KEYSET_MAGIC, KEYSET_VERSION, 1, 1 },
		{ .version = 1, .text_len = 3, .text = "key" } };
	struct keyset set;
	const char *what;

	ck_assert_int_eq(keyset_check(&s, sizeof(s), &set, &what), 0);
	ck_assert_int_eq(
	    keyset_check(&s, sizeof(s) - 1, &set, &what), -EBADMSG);
	s.key.text_len = sizeof(s.key.text) + 1;
	ck_assert_int_eq(keyset_check(&s, sizeof(s), &set, &what), -EBADMSG);
	s.key.text_len = 3;
	s.key.version = 0;
	ck_assert_int_eq(keyset_check(&s, sizeof(s), &set, &what), -EBADMSG);
	s.key.version = 1;
	s.header.key_count = KEYSET_KEYS_MAX + 1;
	ck_assert_int_eq(keyset_check(&s, sizeof(s), &set, &what), -EBADMSG);
}
END_TEST

UNIT_MAIN("keyset", a_key_set_out_of_bounds_is_refused)
