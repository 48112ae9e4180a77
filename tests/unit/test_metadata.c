/* SPDX-License-Identifier: ISC */
/*
 * metadata.json: forms, what must equal the entry, what the host must be;
 * parameters_schema; which parameters are in force.
 */
#include <openssl/sha.h>

#include "unit.h"
#include "verifyd/metadata.h"
#include "verifyd/params.h"
#include "verifyd/platform.h"
#include "verifyd/schema.h"
#include "verifyd_fixture.h"

/* TEXT with ' for ", parsed; the problem wanted, or NULL. */
static void
parse(const char *text, struct metadata *m, const char *problem)
{
	_cleanup_free_ char *copy = strdup(text);
	struct problems p = { 0 };
	char *c;
	int r;

	for (c = copy; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	r = metadata_parse(copy, strlen(copy), m, &p);
	expect_problem(&p, problem, text);
	ck_assert_int_eq(r, problem == NULL ? 0 : -EBADMSG);
}

START_TEST (the_whole_form) {
	struct metadata m;

	parse("{'name':'n','version':'1.2.0','architecture':'x86_64',"
	      "'kernel_version':'5.15','replaces':'old-1','max_ttl_sec':60,"
	      "'sequence':7,'not_after':'2030-01-01T00:00:00Z',"
	      "'rollback':{'max_errors':3,'max_cpu_percent':0.5},"
	      "'checksums':{},'parameters':{'a':1},'parameters_schema':{},"
	      "'telemetry':{},'carry_maps':['m'],'unknown':[1,{}],"
	      "'attach':[{'program':'p','interface':'$if','mode':'native'},"
	      "{'program':'q','attach':false}]}",
	    &m, NULL);
	ck_assert_str_eq(m.name, "n");
	ck_assert_str_eq(m.version, "1.2.0");
	ck_assert_str_eq(m.replaces, "old-1");
	ck_assert_uint_eq(m.max_ttl_sec, 60);
	ck_assert_uint_eq(m.sequence, 7);
	ck_assert_int_eq(m.not_after_wall_ns, 1893456000000000000LL);
	ck_assert_double_eq(m.limits.max_errors, 3);
	ck_assert_double_eq(m.limits.max_cpu_percent, 0.5);
	ck_assert_double_eq(m.limits.max_memory_kb, -1);
	ck_assert_uint_eq(m.attach_count, 2);
	ck_assert_str_eq(
	    json_object_get_string(m.attaches[0].where[WHERE_INTERFACE]),
	    "$if");
	ck_assert(!m.attaches[0].load_only);
	ck_assert(m.attaches[1].load_only);
	metadata_release(&m);

	parse("{'template_name':'t','version':'1'}", &m, NULL);
	ck_assert_str_eq(m.name, "t");
	ck_assert_double_eq(m.limits.max_errors, -1);
	metadata_release(&m);
}
END_TEST

START_TEST (forms_that_are_refused) {
#define GOOD "'name':'n','version':'1'"
	static const struct {
		const char *text;
		const char *problem;
	} rows[] = {
		{ "", "metadata.json:" },
		{ "[]", "not a JSON object" },
		{ "{" GOOD "} x", "metadata.json:" },
		{ "{'name':'a','name':'b','version':'1'}", "metadata.json:" },
		{ "{" GOOD ",'x':'\\u0000'}", "metadata.json:" },
		{ "{" GOOD ",'x':1e999}", "metadata.json:" },
		{ "{" GOOD ",'x':123456789012345678901}", "metadata.json:" },
		{ "{'version':'1'}", "name is missing" },
		{ "{'name':'n'}", "version is missing" },
		{ "{'name':1,'version':'1'}", "name must be a string, is 1" },
		{ "{'name':'../n','version':'1'}", "name \"../n\" must be" },
		{ "{'name':'n','version':'1 2'}", "version \"1 2\" must be" },
		{ "{" GOOD ",'replaces':'a/b'}", "replaces \"a/b\"" },
		{ "{" GOOD ",'max_ttl_sec':0}", "max_ttl_sec must be" },
		{ "{" GOOD ",'max_ttl_sec':-5}", "max_ttl_sec must be" },
		{ "{" GOOD ",'max_ttl_sec':'60'}", "max_ttl_sec must be" },
		{ "{" GOOD ",'sequence':1.5}", "sequence must be" },
		{ "{" GOOD ",'not_after':'tomorrow'}", "\"tomorrow\" is no" },
		{ "{" GOOD ",'rollback':{'max_errors':-1}}", "at least 0" },
		{ "{" GOOD ",'rollback':{'max_error':1}}",
		    "no limit is called \"max_error\"" },
		{ "{" GOOD ",'parameters':[]}", "parameters must be an obj" },
		{ "{" GOOD ",'carry_maps':{}}", "carry_maps must be an arr" },
		{ "{" GOOD ",'attach':{}}", "attach must be an array" },
		{ "{" GOOD ",'attach':[1]}", "entry 1: must be an object" },
		{ "{" GOOD ",'attach':[{'cgroup':'x'}]}", "which program?" },
		{ "{" GOOD ",'attach':[{'program':'p','iface':'x'}]}",
		    "unknown key \"iface\"" },
		{ "{" GOOD ",'attach':[{'program':'p','cgroup':[]}]}",
		    "cgroup must be a string" },
		{ "{" GOOD ",'attach':[{'program':'p','attach':0}]}",
		    "attach must be true or false, is 0" },
	};
	struct metadata m;
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		parse(rows[i].text, &m, rows[i].problem);
		metadata_release(&m);
	}
}
END_TEST

START_TEST (all_problems_at_once) {
	struct problems p = { 0 };
	struct metadata m;
	const char text[] = "{\"name\":1,\"version\":2,\"sequence\":\"x\","
			    "\"attach\":[{\"programme\":\"p\"}]}";

	ck_assert_int_eq(metadata_parse(text, strlen(text), &m, &p), -EBADMSG);
	ck_assert_uint_eq(p.count, 5);
	metadata_release(&m);
}
END_TEST

START_TEST (must_equal_the_entry) {
	struct metadata_expected e = { "n", "1", "", "", "x86_64",
		"6.1.0-18-cloud-amd64" };
	struct problems p = { 0 };
	struct metadata m;

	parse("{'name':'n','version':'1','architecture':'amd64',"
	      "'kernel_version':'6.1'}",
	    &m, NULL);
	metadata_check(&m, &e, &p);
	expect_problem(&p, NULL, "same");
	e.name = "other";
	e.version = "1.0";
	metadata_check(&m, &e, &p);
	ck_assert_uint_eq(p.count, 2);
	expect_problem(&p, "under the name \"other\"", "name");
	expect_problem(&p, "lists version \"1.0\"", "version");

	memset(&p, 0, sizeof(p));
	e.name = "n";
	e.version = "1";
	e.host_architecture = "aarch64";
	e.host_kernel = "5.15.0";
	metadata_check(&m, &e, &p);
	ck_assert_uint_eq(p.count, 2);
	expect_problem(&p, "architecture is \"amd64\"", "arch");
	expect_problem(&p, "at least 6.1, this host runs 5.15.0", "kernel");

	/* What the registry says beside it holds as well. */
	memset(&p, 0, sizeof(p));
	e.host_architecture = "x86_64";
	e.host_kernel = "6.1.0";
	e.entry_architecture = "arm64";
	e.entry_kernel_version = "6.12";
	metadata_check(&m, &e, &p);
	ck_assert_uint_eq(p.count, 2);
	expect_problem(&p, "the entry's architecture", "entry");
	expect_problem(&p, "the entry's kernel_version", "entry");
	metadata_release(&m);
}
END_TEST

START_TEST (kernel_versions) {
	static const struct {
		const char *release;
		const char *minimum;
		int result;
	} rows[] = {
		{ "5.15.0-91-generic", "5.15", 1 },
		{ "5.15.0", "5.15.1", 0 },
		{ "5.9.0", "5.15", 0 },
		{ "6.1.0", "5.15", 1 },
		{ "6.18.44-fc", "6.18.44", 1 },
		{ "6", "5", 1 },
		{ "6.1.0", ">=5.15", 1 },
		{ "6.1.0", ">= 6.2", 0 },
		{ "6.1.0", "5.15.0-91-generic", 1 },
		{ "6.1.0", "", -EINVAL },
		{ "6.1.0", "v5.15", -EINVAL },
		{ "6.1.0", "5.", -EINVAL },
		{ "6.1.0", "5.15.x", -EINVAL },
		{ "6.1.0", "99999999999.1", -EINVAL },
		{ "weird", "5.15", 0 },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++)
		ck_assert_msg(platform_kernel_is_at_least(rows[i].release,
				  rows[i].minimum) == rows[i].result,
		    "%s >= %s", rows[i].release, rows[i].minimum);
	ck_assert(platform_is_architecture("arm64", "aarch64"));
	ck_assert(platform_is_architecture("any", "riscv64"));
	ck_assert(!platform_is_architecture("x86", "x86_64"));
	ck_assert(!platform_is_architecture("", "x86_64"));
}
END_TEST

START_TEST (checksums) {
	struct unpacked u = UNPACKED_INIT;
	char name[] = "program.o", sum[65], text[512];
	struct problems p = { 0 };
	struct metadata m;

	u.members[0].name = name;
	u.member_count = 1;
	u.members[0].has_sum = true;
	SHA256((const unsigned char *)"x", 1, u.members[0].sha256);
	strnum_format_hex(u.members[0].sha256, 32, sum);
	(void)snprintf(text, sizeof(text),
	    "{" GOOD ",'checksums':{'program.o':'%s'}}", sum);
	parse(text, &m, NULL);
	metadata_check_sums(&m, &u, &p);
	expect_problem(&p, NULL, "same");
	metadata_release(&m);

	/* Not 64 hexadecimal digits: for somebody else. */
	parse(
	    "{" GOOD ",'checksums':{'program.o':'md5:1234','x':5}}", &m, NULL);
	metadata_check_sums(&m, &u, &p);
	expect_problem(&p, NULL, "others");
	metadata_release(&m);

	(void)snprintf(text, sizeof(text),
	    "{" GOOD ",'checksums':{'program.o':'sha256:%064d','gone':'%s'}}",
	    0, sum);
	parse(text, &m, NULL);
	metadata_check_sums(&m, &u, &p);
	ck_assert_uint_eq(p.count, 2);
	expect_problem(&p, "program.o has SHA-256", "other sum");
	expect_problem(&p, "names \"gone\"", "missing");
	metadata_release(&m);
}
END_TEST

START_TEST (schema_words) {
	static const struct {
		const char *rule;
		const char *value;
		const char *signed_value; /* or NULL */
		const char *problem;
	} rows[] = {
		{ "{'min':1,'max':5}", "1", NULL, NULL },
		{ "{'min':1,'max':5}", "5", NULL, NULL },
		{ "{'min':1,'max':5}", "'0x5'", NULL, NULL },
		{ "{'min':1,'max':5}", "0", NULL, "at least 1" },
		{ "{'min':1,'max':5}", "6", NULL, "at most 5" },
		{ "{'min':-5}", "-6", NULL, "at least -5" },
		{ "{'min':-5}", "18446744073709551615", NULL, NULL },
		{ "{'max':18446744073709551615}", "-1", NULL, NULL },
		{ "{'min':1}", "'x'", NULL, "whole number" },
		{ "{'min':1}", "[1,2,0]", NULL, "k: 0" },
		{ "{'min':'x'}", "1", NULL, "min must be a whole number" },
		{ "{'enum':['a','b']}", "'a'", NULL, NULL },
		{ "{'enum':['a','b']}", "'c'", NULL, "one of [\"a\",\"b\"]" },
		{ "{'enum':[1]}", "[1,2]", NULL, "k: 2" },
		{ "{'enum':1}", "1", NULL, "enum must be an array" },
		{ "{'pattern':'^eth[0-9]+$'}", "'eth0'", NULL, NULL },
		{ "{'pattern':'^eth[0-9]+$'}", "'eth'", NULL, "matches ^eth" },
		{ "{'pattern':'^eth'}", "5", NULL, "a string that matches" },
		{ "{'pattern':'^e'}", "['e1','f']", NULL, "k: \"f\"" },
		{ "{'pattern':'('}", "'x'", NULL, "regular expression" },
		{ "{'pattern':'(a)\\\\1'}", "'aa'", NULL, "back-ref" },
		{ "{'fixed':true}", "1", "1", NULL },
		{ "{'fixed':true}", "2", "1", "fixes it to 1" },
		{ "{'fixed':false}", "2", "1", NULL },
		{ "{'fixed':'a'}", "'a'", NULL, NULL },
		{ "{'fixed':'a'}", "'b'", NULL, "fixes it to \"a\"" },
		{ "{'minimum':1}", "1", NULL, "unknown word \"minimum\"" },
		{ "1", "1", NULL, "must be an object" },
		{ "{'description':'text'}", "1", NULL, NULL },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		struct json_object *schema = json_object_new_object();
		struct json_object *v = json_of(rows[i].value);
		struct json_object *s = rows[i].signed_value != NULL
		    ? json_of(rows[i].signed_value)
		    : NULL;
		struct problems p = { 0 };

		json_object_object_add(schema, "k", json_of(rows[i].rule));
		schema_check(schema, "k", v, s, &p);
		expect_problem(&p, rows[i].problem, rows[i].rule);
		/* What has no rule is not the schema's to judge. */
		memset(&p, 0, sizeof(p));
		schema_check(schema, "other", v, s, &p);
		ck_assert_uint_eq(p.count, 0);
		(void)json_object_put(schema);
		(void)json_object_put(v);
		(void)json_object_put(s);
	}
}
END_TEST

START_TEST (whose_parameters) {
	static const struct {
		const char *schema; /* or NULL */
		const char *registry;
		enum parameters_policy policy;
		const char *effective; /* NULL: refused, with */
		const char *problem;
	} rows[] = {
		{ NULL, NULL, PARAMETERS_SCHEMA, "{\"a\":1,\"b\":2}", NULL },
		{ NULL, "{'b':3,'c':4}", PARAMETERS_SCHEMA,
		    "{\"a\":1,\"b\":3,\"c\":4}", NULL },
		{ "{'b':{'max':5}}", "{'b':3}", PARAMETERS_SCHEMA,
		    "{\"a\":1,\"b\":3}", NULL },
		{ "{'b':{'max':5}}", "{'a':3}", PARAMETERS_SCHEMA, NULL,
		    "parameter a: 3: parameters_schema does not admit" },
		{ "{'b':{'max':5}}", "{'b':6}", PARAMETERS_SCHEMA, NULL,
		    "at most 5" },
		{ "{'b':{'max':5}}", "{'b':6,'c':1}", PARAMETERS_ANY,
		    "{\"a\":1,\"b\":6,\"c\":1}", NULL },
		{ NULL, "{'b':2}", PARAMETERS_SIGNED, NULL,
		    "AGENT_PARAMETERS=signed" },
		{ NULL, "{}", PARAMETERS_SIGNED, "{\"a\":1,\"b\":2}", NULL },
		/* The signer's own values must fit, too. */
		{ "{'b':{'max':1}}", NULL, PARAMETERS_SCHEMA, NULL,
		    "at most 1" },
	};
	struct json_object *registry, *effective;
	struct metadata m = { 0 };
	size_t i;

	m.parameters = json_of("{'a':1,'b':2}");
	for (i = 0; i < nitems(rows); i++) {
		struct problems p = { 0 };

		m.schema =
		    rows[i].schema != NULL ? json_of(rows[i].schema) : NULL;
		registry =
		    rows[i].registry != NULL ? json_of(rows[i].registry) : NULL;
		effective = params_merge(&m, registry, rows[i].policy, &p);
		ck_assert_ptr_nonnull(effective);
		expect_problem(&p, rows[i].problem,
		    rows[i].registry != NULL ? rows[i].registry : "none");
		if (rows[i].effective != NULL)
			ck_assert_str_eq(json_object_to_json_string_ext(
					     effective, JSON_C_TO_STRING_PLAIN),
			    rows[i].effective);
		(void)json_object_put(effective);
		(void)json_object_put(registry);
		(void)json_object_put(m.schema);
	}
	(void)json_object_put(m.parameters);
}
END_TEST

START_TEST (problems_end_in_what_was_left_out) {
	struct problems p = { 0 };
	const char *text;
	int i;

	for (i = 0; i < 200; i++)
		problem_add(&p, "number %d has a long reason %0100d", i, 0);
	text = problems_text(&p);
	ck_assert_uint_eq(p.count, 200);
	ck_assert_uint_lt(strlen(text), AEGIS_ERROR_SIZE);
	ck_assert_ptr_nonnull(strstr(text, " more"));
	ck_assert(str_is_text(text, AEGIS_ERROR_SIZE));

	memset(&p, 0, sizeof(p));
	problem_add(&p, "tricky \033[31m\n\xff text");
	ck_assert(str_is_text(problems_text(&p), AEGIS_ERROR_SIZE));
}
END_TEST

UNIT_MAIN("metadata", the_whole_form, forms_that_are_refused,
    all_problems_at_once, must_equal_the_entry, kernel_versions, checksums,
    schema_words, whose_parameters, problems_end_in_what_was_left_out)
