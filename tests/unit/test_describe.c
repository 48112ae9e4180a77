/* SPDX-License-Identifier: ISC */
/*
 * What aegisctl inspect shows of an artifact, from real objects.
 */
#include "fixtures/kitchen.bpf.h"
#include "fixtures/odd.bpf.h"
#include "fixtures/small.bpf.h"
#include "unit.h"
#include "verifyd/describe.h"
#include "verifyd/describe_json.h"
#include "verifyd_fixture.h"

struct bench {
	struct object o;
	struct metadata m;
	struct json_object *doc;
	struct problems p;
};

static void
bench_open(struct bench *b, const void *object, size_t len, const char *members)
{
	_cleanup_free_ char *text = NULL;
	char *c;

	memset(b, 0, sizeof(*b));
	ck_assert_int_ge(
	    asprintf(&text, "{'name':'a-name','version':'1.2'%s%s}",
		*members != '\0' ? "," : "", members),
	    0);
	for (c = text; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	ck_assert_int_eq(metadata_parse(text, strlen(text), &b->m, &b->p), 0);
	ck_assert_int_eq(object_open(&b->o, object, len, b->m.name, &b->p), 0);
	b->doc = describe_json(&b->m, &b->o);
	ck_assert_ptr_nonnull(b->doc);
}

static void
bench_release(struct bench *b)
{
	(void)json_object_put(b->doc);
	object_close(&b->o);
	metadata_release(&b->m);
}

/* The entry of LIST that is called NAME, as compact JSON; NULL: none. */
static const char *
entry(struct bench *b, const char *list, const char *name)
{
	struct json_object *l = json_object_object_get(b->doc, list), *e;
	size_t i;

	for (i = 0; i < json_object_array_length(l); i++) {
		e = json_object_array_get_idx(l, i);
		if (strcmp(json_object_get_string(
			       json_object_object_get(e, "name")),
			name) == 0)
			return json_object_to_json_string_ext(e,
			    JSON_C_TO_STRING_PLAIN |
				JSON_C_TO_STRING_NOSLASHESCAPE);
	}
	return NULL;
}

/* ENTRY has these members; ' stands for ". */
static void
has(const char *entry, const char *members)
{
	_cleanup_free_ char *wanted = strdup(members);
	char *c;

	ck_assert_ptr_nonnull(entry);
	for (c = wanted; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	ck_assert_msg(strstr(entry, wanted) != NULL, "%s", entry);
}

START_TEST (programs_with_their_places) {
	struct bench b;

	bench_open(&b, fixture_kitchen, sizeof(fixture_kitchen),
	    "'attach':[{'program':'p_xdp','interface':'$if','mode':'skb'},"
	    "{'program':'p_xdp','interface':'lo'},"
	    "{'program':'p_tc','attach':false}]");
	has(entry(&b, "programs", "p_xdp"),
	    "'section':'xdp','type':'xdp','instructions':");
	has(entry(&b, "programs", "p_xdp"), "'attach_kind':'xdp'");
	has(entry(&b, "programs", "p_xdp"),
	    "'attach':[{'interface':'$if','mode':'skb'},{'interface':'lo'}],"
	    "'optional':false,'load_only':false");
	has(entry(&b, "programs", "p_lsm"), "'target':'file_open'");
	has(entry(&b, "programs", "p_lsm"), "'attach':[]");
	has(entry(&b, "programs", "p_tc"), "'load_only':true");
	ck_assert_ptr_null(entry(&b, "programs", "p_none"));
	bench_release(&b);
	/* What nobody knows how to attach is shown all the same. */
	bench_open(&b, fixture_odd, sizeof(fixture_odd), "");
	has(entry(&b, "programs", "odd"), "'section':'nonsense/here'");
	ck_assert_ptr_null(strstr(entry(&b, "programs", "odd"), "attach_kind"));
	bench_release(&b);
}
END_TEST

START_TEST (maps_and_globals_with_their_types) {
	static const struct {
		const char *name;
		const char *rest;
	} globals[] = {
		{ "g_u8", "'type':'__u8','size':1" },
		{ "g_s64", "'type':'__s64','size':8" },
		{ "g_bool", "'type':'_Bool','size':1" },
		{ "g_mode", "'type':'enum mode','size':4" },
		{ "g_text", "'type':'char[16]','size':16" },
		{ "g_ip6", "'type':'struct in6','size':16" },
		{ "g_list", "'type':'__u32[4]','size':16" },
		{ "g_rule", "'type':'struct rule'" },
		{ "g_pointer", "'type':'int *','size':8" },
	};
	struct bench b;
	size_t i;

	bench_open(&b, fixture_kitchen, sizeof(fixture_kitchen), "");
	for (i = 0; i < nitems(globals); i++)
		has(entry(&b, "globals", globals[i].name), globals[i].rest);
	has(entry(&b, "maps", "m_struct"),
	    "'type':'lru_hash','key_size':4,'value_size':");
	has(entry(&b, "maps", "m_struct"),
	    "'max_entries':8,'key':'struct inner','value':'struct rule'");
	/* Without BTF types there are only sizes. */
	has(entry(&b, "maps", "m_untyped"), "'key_size':4,'value_size':12");
	ck_assert_ptr_null(strstr(entry(&b, "maps", "m_untyped"), "\"key\""));
	bench_release(&b);
}
END_TEST

START_TEST (parameters_with_who_may_set_them) {
	struct bench b;

	bench_open(&b, fixture_kitchen, sizeof(fixture_kitchen),
	    "'attach':[{'program':'p_xdp','interface':'$if'},"
	    "{'program':'p_tc','interface':'$if','direction':'$way'}],"
	    "'parameters':{'if':'eth0','g_u8':3},"
	    "'parameters_schema':{'if':{'pattern':'^eth'}}");
	has(entry(&b, "parameters", "if"),
	    "'sets':'interface','of':'p_xdp','signed':'eth0','required':false,"
	    "'registry_may_set':true,'schema':{'pattern':'^eth'}");
	/* Nobody gave it, and the registry may not: it can never load. */
	has(entry(&b, "parameters", "way"),
	    "'required':true,'registry_may_set':false");
	has(entry(&b, "parameters", "g_u8"),
	    "'sets':'global','of':'__u8','signed':3,'required':false,"
	    "'registry_may_set':false");
	has(entry(&b, "parameters", "m_hash"), "'sets':'map'");
	/* The sections of globals are no maps that one could set. */
	ck_assert_ptr_null(entry(&b, "parameters", ".rodata"));
	bench_release(&b);
	bench_open(&b, fixture_small, sizeof(fixture_small), "");
	has(entry(&b, "parameters", "limit"), "'registry_may_set':true");
	bench_release(&b);
}
END_TEST

static char *
text_of(struct json_object *doc)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	describe_text(doc, f);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

START_TEST (the_same_for_people) {
	_cleanup_free_ char *text = NULL;
	static const char *const lines[] = { "name: a-name\n", "version: 1.2\n",
		"kernel from: 5.15\n", "  p_xdp: section xdp, type xdp, ",
		"    attaches as xdp\n    where: {\"interface\":\"$if\"}\n",
		"  m_hash: hash, 3 entries, key __u32 (4 bytes), value __u64 ",
		"value __u64 (8 bytes)\n", "value - (12 bytes)\n",
		"  g_text: char[16], 16 bytes in ",
		"  if: interface p_xdp, must be given\n" };
	struct bench b;
	size_t i;

	bench_open(&b, fixture_kitchen, sizeof(fixture_kitchen),
	    "'kernel_version':'5.15',"
	    "'attach':[{'program':'p_xdp','interface':'$if'}]");
	text = text_of(b.doc);
	for (i = 0; i < nitems(lines); i++)
		ck_assert_msg(strstr(text, lines[i]) != NULL, "no \"%s\" in %s",
		    lines[i], text);
	bench_release(&b);
	free(text);
	bench_open(&b, fixture_odd, sizeof(fixture_odd), "");
	text = text_of(b.doc);
	ck_assert_ptr_nonnull(
	    strstr(text, "    no way of attaching that is known\n"));
	ck_assert_ptr_nonnull(strstr(text, "global variables: none\n"));
	bench_release(&b);
}
END_TEST

START_TEST (types_that_are_none) {
	char out[16];
	struct bench b;

	bench_open(&b, fixture_kitchen, sizeof(fixture_kitchen), "");
	describe_type(b.o.btf, 0, out, sizeof(out));
	ck_assert_str_eq(out, "void");
	describe_type(b.o.btf, UINT32_MAX, out, sizeof(out));
	ck_assert_str_eq(out, "?");
	describe_type(NULL, 1, out, sizeof(out));
	ck_assert_str_eq(out, "?");
	bench_release(&b);
}
END_TEST

START_TEST (bytes_that_nobody_signed_are_not_looked_into) {
	static const char junk[] = "this is no artifact";
	struct msg_verify_inspect want = { .has_signature = 1 };
	struct msg_verify_config config = { .may_inspect = 1 };
	struct keyring keys = { 0 };
	const struct describe_input in = {
		.keys = &keys,
		.config = &config,
		.want = &want,
		.data = junk,
		.len = sizeof(junk),
	};
	struct describe_output out;

	str_copy_cut(want.signature, sizeof(want.signature), "AAAA");
	describe_artifact(&in, &out);
	ck_assert_int_eq(out.fd, -1);
	ck_assert_int_ne(out.result, WORK_OK);
	ck_assert_ptr_null(strstr(problems_text(&out.problems), "zstd"));
	describe_output_release(&out);
	/* Without a signature wanted they are, and it is said what is wrong. */
	want.has_signature = 0;
	describe_artifact(&in, &out);
	ck_assert_int_eq(out.fd, -1);
	ck_assert_int_eq(out.result, WORK_REFUSED);
	ck_assert_uint_gt(strlen(problems_text(&out.problems)), 0);
	describe_output_release(&out);
}
END_TEST

UNIT_MAIN("describe", programs_with_their_places,
    maps_and_globals_with_their_types, parameters_with_who_may_set_them,
    the_same_for_people, types_that_are_none,
    bytes_that_nobody_signed_are_not_looked_into)
