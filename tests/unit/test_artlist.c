/* SPDX-License-Identifier: ISC */
#include "common/artlist.h"

#include "common/keyset.h"
#include "tests/unit/flat.h"

static void *
make_list(size_t *len)
{
	struct artlist_entry e[2] = { { .ttl_sec = -1 }, { .ttl_sec = 60 } };

	strcpy(e[0].artifact_id, "art-1");
	strcpy(e[0].name, "drop");
	strcpy(e[0].version, "1.0.0");
	strcpy(e[0].signature, "vault:v1:AAAA");
	e[0].params_len = 2;
	strcpy(e[1].artifact_id, "art-2");
	strcpy(e[1].name, "drop");
	strcpy(e[1].version, "1.0.1");
	strcpy(e[1].replaces, "art-0");
	strcpy(e[1].architecture, "x86_64");
	e[1].params_off = 2;
	e[1].params_len = 2;
	return flat_read(artlist_write(e, 2, "{}{}", 4), len);
}

START_TEST (what_was_written_is_read_back) {
	struct artlist list;
	const char *what;
	size_t len;
	_cleanup_free_ void *bytes = make_list(&len);

	ck_assert_int_eq(artlist_check(bytes, len, &list, &what), 0);
	ck_assert_uint_eq(list.header->entry_count, 2);
	ck_assert_str_eq(list.entries[1].artifact_id, "art-2");
	ck_assert_mem_eq(list.data + list.entries[1].params_off, "{}", 2);
}
END_TEST

START_TEST (empty_list_is_a_list) {
	struct artlist list;
	const char *what;
	size_t len;
	_cleanup_free_ void *bytes =
	    flat_read(artlist_write(NULL, 0, NULL, 0), &len);

	ck_assert_int_eq(artlist_check(bytes, len, &list, &what), 0);
	ck_assert_uint_eq(list.header->entry_count, 0);
}
END_TEST

#define REFUSED(words, ...)                                                    \
	do {                                                                   \
		void *copy_ = flat_copy(bytes, len);                           \
		struct artlist_header *h = copy_;                              \
		struct artlist_entry *e = (void *)(h + 1);                     \
		struct artlist list_;                                          \
		const char *what_;                                             \
                                                                               \
		__VA_ARGS__;                                                   \
		ck_assert_int_eq(                                              \
		    artlist_check(copy_, len, &list_, &what_), -EBADMSG);      \
		ck_assert_msg(strstr(what_, words) != NULL,                    \
		    "'%s' does not say '%s'", what_, words);                   \
		(void)e;                                                       \
		free(copy_);                                                   \
	} while (0)

START_TEST (every_field_is_checked) {
	size_t len;
	_cleanup_free_ void *bytes = make_list(&len);

	REFUSED("header", h->magic++);
	REFUSED("header", h->version++);
	REFUSED("header", h->total_len--);
	REFUSED("header", h->entry_count = AEGIS_LIST_ENTRIES + 1);
	REFUSED("longer", h->entry_count = 3);
	REFUSED("longer", h->entry_count = 1);
	REFUSED("longer", h->data_len++);
	REFUSED("artifact_id", e[0].artifact_id[0] = '\0');
	REFUSED("artifact_id", strcpy(e[0].artifact_id, "../x"));
	REFUSED("artifact_id",
	    memset(e[1].artifact_id, 'a', sizeof(e[1].artifact_id)));
	REFUSED("one artifact_id", strcpy(e[1].artifact_id, "art-1"));
	REFUSED("name", strcpy(e[1].name, "a b"));
	REFUSED("version", e[0].version[0] = '\0');
	REFUSED("architecture", strcpy(e[0].architecture, "x/y"));
	REFUSED("kernel_version", e[0].kernel_version[0] = '\n');
	REFUSED("replaces", e[1].replaces[0] = '/');
	REFUSED("signature", e[0].signature[3] = '\x01');
	REFUSED(
	    "signature", memset(e[0].signature, 'A', sizeof(e[0].signature)));
	REFUSED("ttl_sec", e[0].ttl_sec = -2);
	REFUSED("parameters", e[1].params_off = 3);
	REFUSED("parameters", e[1].params_off = UINT32_MAX);
	REFUSED("parameters", e[1].params_len = 3);
}
END_TEST

START_TEST (every_length_but_its_own_is_refused) {
	struct artlist list;
	const char *what;
	void *copy;
	size_t len, n;
	_cleanup_free_ void *bytes = make_list(&len);

	for (n = 0; n < len; n++) {
		copy = flat_copy(bytes, n);
		ck_assert_int_eq(
		    artlist_check(copy, n, &list, &what), -EBADMSG);
		free(copy);
	}
}
END_TEST

START_TEST (changed_at_random_it_is_refused_or_in_bounds) {
	uint64_t state = 0x2545f4914f6cdd1d, sum = 0;
	unsigned int i, k, passed = 0;
	struct artlist list;
	const char *what;
	uint8_t *copy;
	size_t len;
	uint32_t j;
	_cleanup_free_ void *bytes = make_list(&len);

	for (i = 0; i < 20000; i++) {
		copy = flat_copy(bytes, len);
		flat_mutate(copy, len, &state);
		if (artlist_check(copy, len, &list, &what) == 0) {
			passed++;
			for (j = 0; j < list.header->entry_count; j++)
				for (k = 0; k < list.entries[j].params_len; k++)
					sum += list.data[list.entries[j]
							     .params_off +
					    k];
		}
		free(copy);
	}
	ck_assert_uint_gt(passed, 100);
	ck_assert_uint_lt(passed, 19900);
	ck_assert_uint_gt(sum, 0);
}
END_TEST

START_TEST (too_long_lists_are_not_written) {
	static const struct artlist_entry e;

	ck_assert_int_eq(
	    artlist_write(&e, AEGIS_LIST_ENTRIES + 1, NULL, 0), -E2BIG);
	ck_assert_int_eq(artlist_write(&e, 1, NULL, ARTLIST_MAX), -E2BIG);
}
END_TEST

/* The other small flat format. */
START_TEST (key_sets_are_checked) {
	struct {
		struct keyset_header h;
		struct keyset_key k[2];
	} good = { .h = { KEYSET_MAGIC, KEYSET_VERSION, 2, 1 } }, bad;
	struct keyset set;
	const char *what;

	good.k[0] = (struct keyset_key){ .version = 1, .text_len = 1 };
	good.k[1] = (struct keyset_key){ .version = 2, .text_len = 8184 };
	ck_assert_int_eq(keyset_check(&good, sizeof(good), &set, &what), 0);
	ck_assert_uint_eq(set.keys[1].version, 2);
#define KEYSET_REFUSED(change)                                                 \
	do {                                                                   \
		bad = good;                                                    \
		change;                                                        \
		ck_assert_int_eq(                                              \
		    keyset_check(&bad, sizeof(bad), &set, &what), -EBADMSG);   \
	} while (0)
	KEYSET_REFUSED(bad.h.magic++);
	KEYSET_REFUSED(bad.h.version++);
	KEYSET_REFUSED(bad.h.key_count = 1);
	KEYSET_REFUSED(bad.h.key_count = 3);
	KEYSET_REFUSED(bad.h.key_count = KEYSET_KEYS_MAX + 1);
	KEYSET_REFUSED(bad.k[0].version = 0);
	KEYSET_REFUSED(bad.k[0].text_len = 0);
	KEYSET_REFUSED(bad.k[1].text_len = 8185);
	ck_assert_int_eq(
	    keyset_check(&good, sizeof(good) - 1, &set, &what), -EBADMSG);
	ck_assert_int_eq(keyset_check(&good, 3, &set, &what), -EBADMSG);
}
END_TEST

UNIT_MAIN("artlist", what_was_written_is_read_back, empty_list_is_a_list,
    every_field_is_checked, every_length_but_its_own_is_refused,
    changed_at_random_it_is_refused_or_in_bounds,
    too_long_lists_are_not_written, key_sets_are_checked)
