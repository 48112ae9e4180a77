/* SPDX-License-Identifier: ISC */
#include "common/crc32c.h"

#include <string.h>

#include "tests/unit/unit.h"

START_TEST (known_values) {
	uint8_t zeros[32] = { 0 }, ones[32], up[32];
	size_t i;

	memset(ones, 0xff, sizeof(ones));
	for (i = 0; i < sizeof(up); i++)
		up[i] = (uint8_t)i;
	/* RFC 3720, appendix B.4. */
	ck_assert_uint_eq(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
	ck_assert_uint_eq(crc32c(0, ones, sizeof(ones)), 0x62a8ab43);
	ck_assert_uint_eq(crc32c(0, up, sizeof(up)), 0x46dd794e);
	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
	ck_assert_uint_eq(crc32c(0, "", 0), 0);
}
END_TEST

START_TEST (parts_make_the_whole) {
	static const char text[] = "The quick brown fox jumps over the lazy";
	uint32_t whole = crc32c(0, text, sizeof(text));
	size_t i;

	for (i = 0; i <= sizeof(text); i++)
		ck_assert_uint_eq(
		    crc32c(crc32c(0, text, i), text + i, sizeof(text) - i),
		    whole);
}
END_TEST

UNIT_MAIN("crc32c", known_values, parts_make_the_whole)
