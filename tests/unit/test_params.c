/* SPDX-License-Identifier: ISC */
/*
 * Parameters of a real object: globals in every section, maps of every kind.
 */
#include "fixtures/kitchen.bpf.h"
#include "unit.h"
#include "verifyd/params.h"
#include "verifyd/plan.h"
#include "verifyd_fixture.h"

/*
 * Apply PARAMETERS to the kitchen.  WRITES is what comes out, in words:
 * "map+offset=hex" for globals, "map[keyhex]=hex" for maps; NULL: refused.
 */
static void
expect_writes(const char *parameters, const char *writes, const char *problem)
{
	struct json_object *effective = json_of(parameters);
	struct loadplan_builder *plan = loadplan_builder_new();
	struct metadata m = { .name = "kitchen", .version = "1" };
	struct problems p = { 0 };
	struct object o;
	struct read_plan r;
	char have[2048] = "";
	size_t len = 0;
	uint32_t i;

	m.attach_count = 1;
	m.attaches[0].program = "p_xdp";
	m.attaches[0].where[WHERE_INTERFACE] = json_of("'$interface'");
	ck_assert_int_eq(object_open(&o, fixture_kitchen,
			     sizeof(fixture_kitchen), "kitchen", &p),
	    0);
	plan_header(&o, &m, plan);
	ck_assert_int_eq(plan_contents(&o, &m, plan, &p), 0);
	ck_assert_int_eq(params_apply(effective, &m, &o, plan, &p), 0);
	expect_problem(&p, problem, parameters);
	if (problem == NULL) {
		plan_read(plan, &r);
		for (i = 0; i < r.plan.header->write_count; i++) {
			const struct loadplan_write *w = &r.plan.writes[i];
			const struct loadplan_map *map = &r.plan.maps[w->map];

			if (w->kind == WRITE_INITIAL)
				len += (size_t)snprintf(have + len,
				    sizeof(have) - len,
				    "%s%s+%u=", i > 0 ? " " : "", map->name,
				    w->offset);
			else
				len += (size_t)snprintf(have + len,
				    sizeof(have) - len,
				    "%s%s[%s]=", i > 0 ? " " : "", map->name,
				    hex_of(r.plan.data + w->key_off,
					map->key_size));
			len += (size_t)snprintf(have + len, sizeof(have) - len,
			    "%s",
			    hex_of(r.plan.data + w->value_off, w->value_len));
		}
		ck_assert_msg(strcmp(have, writes) == 0,
		    "%s\nwanted %s\nhave   %s", parameters, writes, have);
		plan_release(&r);
	}
	(void)json_object_put(m.attaches[0].where[WHERE_INTERFACE]);
	(void)json_object_put(effective);
	loadplan_builder_free(plan);
	object_close(&o);
}

/* The offset of a global, as nm(1) has it. */
static uint32_t
offset_of(const char *name)
{
	struct problems p = { 0 };
	struct object_global g;
	struct object o;

	ck_assert_int_eq(object_open(&o, fixture_kitchen,
			     sizeof(fixture_kitchen), "kitchen", &p),
	    0);
	ck_assert_int_eq(object_find_global(&o, name, &g), 0);
	object_close(&o);
	return g.offset;
}

static void
expect_global(
    const char *name, const char *map, const char *value, const char *hex)
{
	char parameters[256], writes[256];

	(void)snprintf(
	    parameters, sizeof(parameters), "{'%s':%s}", name, value);
	(void)snprintf(
	    writes, sizeof(writes), "%s+%u=%s", map, offset_of(name), hex);
	expect_writes(parameters, writes, NULL);
}

START_TEST (globals) {
	static const struct {
		const char *name;
		const char *map;
		const char *value;
		const char *hex;
	} rows[] = {
		{ "g_u8", "kitchen.rodata", "200", "c8" },
		{ "g_s8", "kitchen.rodata", "-2", "fe" },
		{ "g_u16", "kitchen.rodata", "'0x1234'", "3412" },
		{ "g_s16", "kitchen.rodata", "-2", "feff" },
		{ "g_u32", "kitchen.rodata", "'10.0.0.1'", "0a000001" },
		{ "g_s32", "kitchen.rodata", "-2", "feffffff" },
		{ "g_u64", "kitchen.rodata", "18446744073709551615",
		    "ffffffffffffffff" },
		{ "g_s64", "kitchen.rodata", "-1", "ffffffffffffffff" },
		{ "g_bool", "kitchen.rodata", "false", "00" },
		{ "g_char", "kitchen.rodata", "'y'", "79" },
		{ "g_mode", "kitchen.rodata", "'MODE_ENFORCE'", "07000000" },
		{ "g_text", "kitchen.rodata", "'hi'",
		    "68690000000000000000000000000000" },
		{ "g_bytes", "kitchen.rodata", "'0102030405060708'",
		    "0102030405060708" },
		{ "g_mac", "kitchen.rodata", "'02:00:00:00:00:01'",
		    "020000000001" },
		{ "g_ip", "kitchen.rodata", "'192.0.2.1'", "c0000201" },
		{ "g_be16", "kitchen.rodata", "443", "01bb" },
		{ "g_ip6", "kitchen.rodata", "'2001:db8::1'",
		    "20010db8000000000000000000000001" },
		{ "g_list", "kitchen.rodata", "[1,2]",
		    "01000000020000000000000000000000" },
		{ "g_zero", "kitchen.bss", "5", "0500000000000000" },
		{ "g_custom", ".data.custom", "6", "06000000" },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++)
		expect_global(
		    rows[i].name, rows[i].map, rows[i].value, rows[i].hex);
	expect_global("g_rule", "kitchen.data",
	    "{'saddr':'10.0.0.1','in':{'port':80},'mark':7,'quota':9,"
	    "'low':3,'high':-1,'comm':'sh'}",
	    "0a000001"
	    "50000000"
	    "07000000"
	    "00000000"
	    "0900000000000000"
	    "fb"
	    "73680000000000000000000000000000"
	    "00000000000000");
}
END_TEST

START_TEST (maps) {
	expect_writes("{'m_hash':{'1':2,'0x10':'3'}}",
	    "m_hash[01000000]=0200000000000000 "
	    "m_hash[10000000]=0300000000000000",
	    NULL);
	expect_writes("{'m_hash':{'10.0.0.1':1}}",
	    "m_hash[0a000001]=0100000000000000", NULL);
	expect_writes("{'m_hash':[{'key':1,'value':2}]}",
	    "m_hash[01000000]=0200000000000000", NULL);
	expect_writes("{'m_hash':{}}", "", NULL);
	expect_writes("{'m_hash':[]}", "", NULL);
	expect_writes("{'m_struct':[{'key':{'port':80,'proto':6},"
		      "'value':{'mark':1}}]}",
	    "m_struct[50000600]="
	    "0000000000000000010000000000000000000000000000000000000000000000"
	    "00000000000000000000000000000000",
	    NULL);
	expect_writes("{'m_percpu':{'7':1}}",
	    "m_percpu[0700000000000000]=01000000", NULL);
	expect_writes("{'stats':{'0':{'packets_dropped':5,'errors':6}}}",
	    "stats[00000000]="
	    "0000000000000000050000000000000006000000000000000000000000000000",
	    NULL);
	expect_writes("{'m_untyped':{'1':'000102030405060708090a0b'}}",
	    "m_untyped[01000000]=000102030405060708090a0b", NULL);
}
END_TEST

START_TEST (array_maps) {
	expect_writes("{'m_array':[1,2]}",
	    "m_array[00000000]=0100 m_array[01000000]=0200", NULL);
	expect_writes("{'m_array':{'3':9}}", "m_array[03000000]=0900", NULL);
	expect_writes("{'m_array':[{'key':2,'value':9}]}",
	    "m_array[02000000]=0900", NULL);
	expect_writes("{'m_array':[1,2,3,4,5]}", NULL,
	    "m_array: 5 values, the map holds 4");
	expect_writes(
	    "{'m_array':{'4':9}}", NULL, "m_array: index 4, wanted 0 to 3");
	expect_writes("{'m_array':[1,70000]}", NULL,
	    "m_array[1]: 70000: wanted a whole number from 0 to 65535");
}
END_TEST

START_TEST (prefixes) {
	expect_writes("{'m_lpm4':{'10.0.0.0/8':1,'192.0.2.1':2}}",
	    "m_lpm4[080000000a000000]=01000000 "
	    "m_lpm4[20000000c0000201]=02000000",
	    NULL);
	/* What lies beyond the prefix does not count. */
	expect_writes("{'m_lpm4':{'10.1.2.3/12':1}}",
	    "m_lpm4[0c0000000a000000]=01000000", NULL);
	expect_writes("{'m_lpm4':{'10.0.0.0/8':1,'10.1.0.0/8':2}}", NULL,
	    "m_lpm4: two entries have the same key");
	expect_writes("{'m_lpm4':{'0.0.0.0/0':1}}",
	    "m_lpm4[0000000000000000]=01000000", NULL);
	expect_writes("{'m_lpm4':{'10.0.0.0/33':1}}", NULL,
	    "wanted an IPv4 prefix such as \"10.0.0.0/8\"");
	expect_writes(
	    "{'m_lpm4':{'2001:db8::/32':1}}", NULL, "wanted an IPv4 prefix");
	expect_writes("{'m_lpm4':[{'key':{'prefixlen':8,'addr':[10]},"
		      "'value':1}]}",
	    "m_lpm4[080000000a000000]=01000000", NULL);
	expect_writes("{'m_lpm6':{'2001:db8::/32':3}}",
	    "m_lpm6[2000000020010db8000000000000000000000000]=03000000", NULL);
	expect_writes(
	    "{'m_lpm6':{'10.0.0.0/8':3}}", NULL, "wanted an IPv6 prefix");
}
END_TEST

START_TEST (what_is_refused) {
	expect_writes("{'m_hash':{'1':1,'2':1,'3':1,'4':1}}", NULL,
	    "m_hash: 4 entries, the map holds 3");
	expect_writes("{'m_hash':{'1':1,'0x1':1}}", NULL,
	    "m_hash: two entries have the same key");
	expect_writes("{'m_hash':{'x':1}}", NULL,
	    "m_hash[x]: \"x\": wanted a whole number");
	expect_writes("{'m_hash':[1]}", NULL,
	    "m_hash[0]: 1: wanted {\"key\": ..., \"value\": ...}");
	expect_writes("{'m_hash':5}", NULL, "a map's contents are");
	expect_writes("{'aegis_events':{}}", NULL,
	    "a map of type ringbuf (key 0, value 0 bytes) takes no contents");
	expect_writes("{'g_pointer':1}", NULL, "a pointer cannot be set");
	expect_writes("{'g_u9':1}", NULL,
	    "g_u9: 1: the program has no placeholder, global variable or map "
	    "of this name; there are: interface");
	expect_writes("{'LICENSE':'MIT'}", NULL, "LICENSE: \"MIT\": the");
	expect_writes("{'interface':'eth0'}", "", NULL);
}
END_TEST

START_TEST (all_problems_together) {
	const char *const parameters =
	    "{'g_u8':256,'nope':1,'m_hash':{'1':-1,'y':2},'g_s8':1}";

	expect_writes(parameters, NULL, "g_u8: 256");
	expect_writes(parameters, NULL, "nope: 1");
	expect_writes(parameters, NULL, "m_hash[1]: -1");
	expect_writes(parameters, NULL, "m_hash[y]: \"y\"");
}
END_TEST

UNIT_MAIN("params", globals, maps, array_maps, prefixes, what_is_refused,
    all_problems_together)
