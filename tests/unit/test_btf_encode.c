/* SPDX-License-Identifier: ISC */
/*
 * The encoder against types made by hand: every kind that CONTRACT 3 names,
 * and what must be refused with words that say what would fit.
 */
#include <linux/btf.h>

#include "unit.h"
#include "verifyd/btf_encode.h"
#include "verifyd/btf_type.h"
#include "verifyd_fixture.h"

static struct btf *btf;
static int t_char, t_s8, t_u8, t_s16, t_u16, t_s32, t_u32, t_s64, t_u64, t_u128,
    t_bool, t_float, t_ptr, t_fwd, t_be16, t_be32, t_be64, t_le32, t_qualified,
    t_enum, t_enum_signed, t_enum64, t_text8, t_bytes4, t_bytes6, t_bytes16,
    t_list3, t_grid, t_flex, t_words4, t_inner, t_outer, t_union, t_flags,
    t_wrap, t_loop, t_bad_member;

#define INT(name, size, enc) btf__add_int(btf, name, size, enc)

static void
make_scalars(void)
{
	t_char = INT("char", 1, BTF_INT_SIGNED);
	t_s8 = INT("signed char", 1, BTF_INT_SIGNED);
	t_u8 = INT("unsigned char", 1, 0);
	t_s16 = INT("short", 2, BTF_INT_SIGNED);
	t_u16 = INT("unsigned short", 2, 0);
	t_s32 = INT("int", 4, BTF_INT_SIGNED);
	t_u32 = INT("unsigned int", 4, 0);
	t_s64 = INT("long", 8, BTF_INT_SIGNED);
	t_u64 = INT("unsigned long", 8, 0);
	t_u128 = INT("unsigned __int128", 16, 0);
	t_bool = INT("_Bool", 1, BTF_INT_BOOL);
	t_float = btf__add_float(btf, "double", 8);
	t_ptr = btf__add_ptr(btf, t_u32);
	t_fwd = btf__add_fwd(btf, "unknown", BTF_FWD_STRUCT);
	t_be16 = btf__add_typedef(btf, "__be16", t_u16);
	t_be32 = btf__add_typedef(btf, "__be32", t_u32);
	t_be64 = btf__add_typedef(btf, "__be64", t_u64);
	t_le32 = btf__add_typedef(btf, "__le32", t_u32);
	t_qualified = btf__add_typedef(btf, "port_t",
	    btf__add_const(btf,
		btf__add_volatile(btf, btf__add_type_tag(btf, "user", t_u16))));
	t_enum = btf__add_enum(btf, "mode", 4);
	btf__add_enum_value(btf, "OFF", 0);
	btf__add_enum_value(btf, "ON", 1);
	btf__add_enum_value(btf, "MANY", 300);
	t_enum_signed = btf__add_enum(btf, "verdict", 1);
	btf__add_enum_value(btf, "DENY", -1);
	t_enum64 = btf__add_enum64(btf, "wide", 8, false);
	btf__add_enum64_value(btf, "HUGE", 0x1234567890abcdefULL);
}

static void
make_composites(void)
{
	t_text8 = btf__add_array(btf, t_u32, t_char, 8);
	t_bytes4 = btf__add_array(btf, t_u32, t_u8, 4);
	t_bytes6 = btf__add_array(btf, t_u32, t_u8, 6);
	t_bytes16 = btf__add_array(btf, t_u32, t_u8, 16);
	t_list3 = btf__add_array(btf, t_u32, t_u16, 3);
	t_grid =
	    btf__add_array(btf, t_u32, btf__add_array(btf, t_u32, t_u8, 2), 2);
	t_flex = btf__add_array(btf, t_u32, t_u32, 0);
	t_words4 = btf__add_array(btf, t_u32, t_be32, 4);

	t_inner = btf__add_struct(btf, "inner", 4);
	btf__add_field(btf, "port", t_u16, 0, 0);
	btf__add_field(btf, "proto", t_u8, 16, 0);

	/* struct { u32 a; struct inner in; union { u32 mark; u8 b[4]; };
	 * struct { u16 deep; }; int *p; } */
	t_union = btf__add_union(btf, NULL, 4);
	btf__add_field(btf, "mark", t_u32, 0, 0);
	btf__add_field(btf, "b", t_bytes4, 0, 0);
	t_wrap = btf__add_struct(btf, NULL, 4);
	btf__add_field(btf, "deep", t_u16, 0, 0);
	t_outer = btf__add_struct(btf, "outer", 24);
	btf__add_field(btf, "a", t_u32, 0, 0);
	btf__add_field(btf, "in", t_inner, 32, 0);
	btf__add_field(btf, NULL, t_union, 64, 0);
	btf__add_field(btf, NULL, t_wrap, 96, 0);
	btf__add_field(btf, "p", t_ptr, 128, 0);

	t_flags = btf__add_struct(btf, "flags", 4);
	btf__add_field(btf, "low", t_u32, 0, 3);
	btf__add_field(btf, "high", t_s32, 3, 5);
	btf__add_field(btf, "cross", t_u32, 8, 13);
	btf__add_field(btf, "kind", t_enum, 21, 2);

	/* What no compiler makes. */
	t_loop = btf__add_typedef(btf, "loop", (int)btf__type_cnt(btf));
	t_bad_member = btf__add_struct(btf, "bad", 4);
	btf__add_field(btf, "far", t_u32, 4000, 0);
	btf__add_field(btf, "self", (int)btf__type_cnt(btf) - 1, 0, 0);
}

static void
make_types(void)
{
	btf = btf__new_empty();
	ck_assert_ptr_nonnull(btf);
	make_scalars();
	make_composites();
}

struct row {
	const int *type;
	const char *json;
	const char *hex;     /* NULL: refused, with */
	const char *problem; /* these words */
};

static void
run_rows(const struct row *rows, size_t count)
{
	uint8_t out[64];
	int64_t size;
	size_t i;
	int r;

	make_types();
	for (i = 0; i < count; i++) {
		struct json_object *value = json_of(rows[i].json);
		struct problems p = { 0 };

		size = btf__resolve_size(btf, (uint32_t)*rows[i].type);
		/* Only what is damaged on purpose has no size. */
		if (size < 0)
			size = 4;
		memset(out, 0xee, sizeof(out));
		r = btf_encode(btf, (uint32_t)*rows[i].type, value, out,
		    (size_t)size, "p", &p);
		expect_problem(&p, rows[i].problem, rows[i].json);
		ck_assert_int_eq(r, rows[i].hex != NULL ? 0 : -EINVAL);
		if (rows[i].hex != NULL)
			ck_assert_str_eq(
			    hex_of(out, (size_t)size), rows[i].hex);
		ck_assert_int_eq(out[size], 0xee);
		(void)json_object_put(value);
	}
	btf__free(btf);
}

#define RUN(rows) run_rows(rows, nitems(rows))

START_TEST (integers) {
	const struct row rows[] = {
		{ &t_u8, "255", "ff", NULL },
		{ &t_u8, "'0xfe'", "fe", NULL },
		{ &t_u8, "'7'", "07", NULL },
		{ &t_u8, "256", NULL,
		    "p: 256: wanted a whole number from 0 to 255" },
		{ &t_u8, "-1", NULL, "from 0 to 255" },
		{ &t_u8, "1.5", NULL, "1.5" },
		{ &t_u8, "true", NULL, "true" },
		{ &t_u8, "null", NULL, "null" },
		{ &t_u8, "'12x'", NULL, "12x" },
		{ &t_u8, "[1]", NULL, "[1]" },
		{ &t_s8, "-128", "80", NULL },
		{ &t_s8, "127", "7f", NULL },
		{ &t_s8, "128", NULL, "from -128 to 127" },
		{ &t_s8, "-129", NULL, "from -128 to 127" },
		{ &t_u16, "65535", "ffff", NULL },
		{ &t_u16, "65536", NULL, "65536" },
		{ &t_s16, "-32768", "0080", NULL },
		{ &t_s16, "-32769", NULL, "from -32768 to 32767" },
		{ &t_u32, "4294967295", "ffffffff", NULL },
		{ &t_u32, "4294967296", NULL, "4294967295" },
		{ &t_s32, "-2147483648", "00000080", NULL },
		{ &t_s32, "2147483648", NULL, "2147483647" },
		{ &t_u64, "18446744073709551615", "ffffffffffffffff", NULL },
		{ &t_u64, "-1", NULL, "18446744073709551615" },
		{ &t_u64, "'18446744073709551616'", NULL, "wanted" },
		{ &t_s64, "-9223372036854775808", "0000000000000080", NULL },
		{ &t_s64, "9223372036854775807", "ffffffffffffff7f", NULL },
		{ &t_s64, "9223372036854775808", NULL, "9223372036854775807" },
		{ &t_s64, "'-9223372036854775809'", NULL, "wanted" },
		{ &t_u128, "1", "01000000000000000000000000000000", NULL },
		{ &t_char, "65", "41", NULL },
		{ &t_char, "'A'", "41", NULL },
		{ &t_char, "'AB'", NULL, "AB" },
		{ &t_qualified, "443", "bb01", NULL },
	};

	RUN(rows);
}
END_TEST

START_TEST (byte_orders) {
	const struct row rows[] = {
		{ &t_be16, "443", "01bb", NULL },
		{ &t_be16, "65536", NULL, "65535" },
		{ &t_be32, "'0x01020304'", "01020304", NULL },
		{ &t_be32, "'10.1.2.3'", "0a010203", NULL },
		{ &t_u32, "'10.1.2.3'", "0a010203", NULL },
		{ &t_le32, "1", "01000000", NULL },
		{ &t_be64, "'0x0102030405060708'", "0102030405060708", NULL },
		{ &t_be64, "1", "0000000000000001", NULL },
	};

	RUN(rows);
}
END_TEST

START_TEST (truth_and_enums) {
	const struct row rows[] = {
		{ &t_bool, "true", "01", NULL },
		{ &t_bool, "false", "00", NULL },
		{ &t_bool, "1", "01", NULL },
		{ &t_bool, "'true'", "01", NULL },
		{ &t_bool, "2", NULL, "wanted true or false" },
		{ &t_bool, "'yes'", NULL, "wanted true or false" },
		{ &t_enum, "'ON'", "01000000", NULL },
		{ &t_enum, "'MANY'", "2c010000", NULL },
		{ &t_enum, "1", "01000000", NULL },
		{ &t_enum, "'on'", NULL, "\"on\": wanted one of OFF ON MANY" },
		{ &t_enum, "4294967296", NULL, "OFF ON MANY" },
		{ &t_enum_signed, "'DENY'", "ff", NULL },
		{ &t_enum64, "'HUGE'", "efcdab9078563412", NULL },
		{ &t_enum64, "'SMALL'", NULL, "wanted one of HUGE" },
	};

	RUN(rows);
}
END_TEST

START_TEST (arrays) {
	const struct row rows[] = {
		{ &t_text8, "'abc'", "6162630000000000", NULL },
		{ &t_text8, "'1234567'", "3132333435363700", NULL },
		{ &t_text8, "'12345678'", NULL,
		    "8 bytes of text, wanted at most 7" },
		{ &t_text8, "[65,66]", "4142000000000000", NULL },
		{ &t_bytes4, "'deadBEEF'", "deadbeef", NULL },
		{ &t_bytes4, "'0xdeadbeef'", "deadbeef", NULL },
		{ &t_bytes4, "'de:ad:be:ef'", "deadbeef", NULL },
		{ &t_bytes4, "[1,2]", "01020000", NULL },
		{ &t_bytes4, "[1,2,3,4,5]", NULL,
		    "5 values, wanted at most 4" },
		{ &t_bytes4, "[1,256]", NULL, "p[1]: 256" },
		{ &t_bytes4, "'dead'", NULL, "2 bytes, wanted 8 hexadecimal" },
		{ &t_bytes4, "'xyz'", NULL, "or an IPv4 address" },
		{ &t_bytes4, "'192.0.2.1'", "c0000201", NULL },
		{ &t_bytes4, "'::1'", NULL,
		    "an IPv6 address has 16 bytes, wanted 4" },
		{ &t_bytes6, "'02:00:5e:10:00:ff'", "02005e1000ff", NULL },
		{ &t_bytes6, "'02-00-5e-10-00-ff'", "02005e1000ff", NULL },
		{ &t_bytes6, "'02:00:5e:10:00'", NULL, "5 bytes" },
		{ &t_bytes6, "'no'", NULL, "MAC address" },
		{ &t_bytes16, "'2001:db8::1'",
		    "20010db8000000000000000000000001", NULL },
		{ &t_bytes16, "'10.0.0.1'", NULL,
		    "an IPv4 address has 4 bytes, wanted 16" },
		{ &t_words4, "'::ffff:10.0.0.1'",
		    "00000000000000000000ffff0a000001", NULL },
		{ &t_list3, "[1,2]", "010002000000", NULL },
		{ &t_list3, "{}", NULL, "wanted a list of up to 3 values" },
		{ &t_list3, "'abc'", NULL, "wanted a list of up to 3 values" },
		{ &t_grid, "[[1,2],[3]]", "01020300", NULL },
		{ &t_grid, "[[1,2,3]]", NULL, "p[0]: [1,2,3]: 3 values" },
		{ &t_flex, "[1]", NULL, "array without a size" },
	};

	RUN(rows);
}
END_TEST

START_TEST (structs) {
	const struct row rows[] = {
		{ &t_inner, "{'port':443,'proto':6}", "bb010600", NULL },
		{ &t_inner, "{}", "00000000", NULL },
		{ &t_inner, "{'prot':6}", NULL,
		    "p.prot: no such member, there are: port proto" },
		{ &t_inner, "{'port':70000,'proto':999}", NULL,
		    "p.port: 70000: wanted a whole number from 0 to 65535; "
		    "parameter p.proto: 999" },
		{ &t_inner, "5", NULL,
		    "wanted an object with the members: port proto" },
		{ &t_inner, "'10.0.0.1'", "0a000001", NULL },
		{ &t_outer, "{'a':1,'in':{'proto':17},'mark':5,'deep':9}",
		    "01000000"
		    "00001100"
		    "05000000"
		    "09000000"
		    "0000000000000000",
		    NULL },
		{ &t_outer, "{'in':{'port':-1}}", NULL, "p.in.port: -1" },
		{ &t_outer, "{'b':'01020304'}",
		    "0000000000000000"
		    "01020304"
		    "000000000000000000000000",
		    NULL },
		{ &t_outer, "{'mark':1,'b':'01020304'}", NULL,
		    "p.b: \"01020304\": shares its bytes" },
		{ &t_outer, "{'p':1}", NULL, "p.p: 1: a pointer cannot be" },
		{ &t_union, "{'mark':1}", "01000000", NULL },
		{ &t_union, "{'mark':1,'b':[1]}", NULL, "shares its bytes" },
		{ &t_union, "7", NULL, "one of the members: mark b" },
		{ &t_wrap, "{'deep':3}", "03000000", NULL },
	};

	RUN(rows);
}
END_TEST

START_TEST (bit_fields) {
	const struct row rows[] = {
		/* low 3 bits, then 5 signed, then 13 across a byte. */
		{ &t_flags, "{'low':5,'high':-1,'cross':8191}", "fdff1f00",
		    NULL },
		{ &t_flags, "{'low':7}", "07000000", NULL },
		{ &t_flags, "{'low':8}", NULL,
		    "p.low: 8: wanted a whole "
		    "number from 0 to 7" },
		{ &t_flags, "{'high':-16}", "80000000", NULL },
		{ &t_flags, "{'high':16}", NULL, "from -16 to 15" },
		{ &t_flags, "{'kind':'ON'}", "00002000", NULL },
		{ &t_flags, "{'kind':'MANY'}", NULL, "wanted one of" },
		{ &t_flags, "{'low':true}", NULL, "true" },
	};

	RUN(rows);
}
END_TEST

START_TEST (what_cannot_be_set) {
	const struct row rows[] = {
		{ &t_float, "1.5", NULL, "floating-point" },
		{ &t_ptr, "1", NULL, "pointer" },
		{ &t_fwd, "1", NULL, "damaged" },
		{ &t_loop, "1", NULL, "damaged" },
		{ &t_bad_member, "{'far':1}", NULL, "cannot be set" },
		{ &t_bad_member, "{'self':{'self':{'self':{}}}}", "00000000",
		    NULL },
	};

	RUN(rows);
}
END_TEST

START_TEST (every_problem_is_listed) {
	struct json_object *value;
	struct problems p = { 0 };
	uint8_t out[24];

	make_types();
	value = json_of("{'a':-1,'in':{'port':1000000,'x':1},'deep':'q'}");
	ck_assert_int_eq(btf_encode(btf, (uint32_t)t_outer, value, out,
			     sizeof(out), "rule", &p),
	    -EINVAL);
	ck_assert_uint_eq(p.count, 4);
	expect_problem(&p, "rule.a: -1", "a");
	expect_problem(&p, "rule.in.port: 1000000", "port");
	expect_problem(&p, "rule.in.x", "x");
	expect_problem(&p, "rule.deep: \"q\"", "deep");
	(void)json_object_put(value);
	btf__free(btf);
}
END_TEST

START_TEST (without_types) {
	const struct {
		size_t len;
		const char *json;
		const char *hex;
		const char *problem;
	} rows[] = {
		{ 4, "1", "01000000", NULL },
		{ 4, "-1", "ffffffff", NULL },
		{ 4, "'10.0.0.1'", "0a000001", NULL },
		{ 8, "'0x10'", "1000000000000000", NULL },
		{ 2, "65536", NULL, "from 0 to 65535" },
		{ 3, "'010203'", "010203", NULL },
		{ 3, "1", NULL, "wanted 6 hexadecimal digits" },
		{ 3, "'01'", NULL, "1 bytes" },
	};
	uint8_t out[8];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		struct json_object *value = json_of(rows[i].json);
		struct problems p = { 0 };
		int r = btf_encode_untyped(value, out, rows[i].len, "p", &p);

		expect_problem(&p, rows[i].problem, rows[i].json);
		if (r == 0)
			ck_assert_str_eq(hex_of(out, rows[i].len), rows[i].hex);
		(void)json_object_put(value);
	}
}
END_TEST

/* Eight to the sixteenth members: it must end, and it does. */
START_TEST (members_that_multiply) {
	struct btf *b = btf__new_empty();
	struct btf_member_place place;
	int inner, i, k;

	ck_assert_ptr_nonnull(b);
	inner = btf__add_int(b, "int", 4, 0);
	for (i = 0; i < 17; i++) {
		k = btf__add_struct(b, i < 16 ? NULL : "top", 4);
		ck_assert_int_gt(k, 0);
		if (i == 16)
			ck_assert_int_eq(
			    btf__add_field(b, "first", 1, 0, 0), 0);
		for (int n = 0; n < 8; n++)
			ck_assert_int_eq(
			    btf__add_field(b, i == 0 ? "x" : NULL, inner, 0, 0),
			    0);
		inner = k;
	}
	ck_assert_int_eq(
	    btf_type_find_member(
		b, btf__type_by_id(b, (uint32_t)inner), "first", &place),
	    0);
	ck_assert_int_eq(
	    btf_type_find_member(
		b, btf__type_by_id(b, (uint32_t)inner), "none", &place),
	    -ENOENT);
	btf__free(b);
}
END_TEST

UNIT_MAIN("btf_encode", integers, byte_orders, truth_and_enums, arrays, structs,
    bit_fields, what_cannot_be_set, every_problem_is_listed, without_types,
    members_that_multiply)
