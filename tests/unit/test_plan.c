/* SPDX-License-Identifier: ISC */
/*
 * From a real object to its plan: programs, maps, attachments, counters.
 */
#include "fixtures/kitchen.bpf.h"
#include "fixtures/odd.bpf.h"
#include "fixtures/probes.bpf.h"
#include "fixtures/small.bpf.h"
#include "unit.h"
#include "verifyd/counters.h"
#include "verifyd/metadata.h"
#include "verifyd/object.h"
#include "verifyd/plan.h"
#include "verifyd_fixture.h"

/* An object, metadata and parameters, and what becomes of them. */
struct bench {
	struct object o;
	struct metadata m;
	struct json_object *effective;
	struct loadplan_builder *plan;
	struct problems p;
};

static void
bench_open(struct bench *b, const void *object, size_t len, const char *members,
    const char *effective)
{
	_cleanup_free_ char *text = NULL;
	char *c;

	memset(b, 0, sizeof(*b));
	ck_assert_int_ge(asprintf(&text, "{'name':'a-name','version':'1'%s%s}",
			     *members != '\0' ? "," : "", members),
	    0);
	for (c = text; *c != '\0'; c++)
		if (*c == '\'')
			*c = '"';
	ck_assert_int_eq(metadata_parse(text, strlen(text), &b->m, &b->p), 0);
	ck_assert_int_eq(object_open(&b->o, object, len, b->m.name, &b->p), 0);
	b->effective = json_of(effective);
	b->plan = loadplan_builder_new();
	plan_header(&b->o, &b->m, b->plan);
	ck_assert_int_eq(plan_contents(&b->o, &b->m, b->plan, &b->p), 0);
}

static void
bench_release(struct bench *b)
{
	loadplan_builder_free(b->plan);
	(void)json_object_put(b->effective);
	object_close(&b->o);
	metadata_release(&b->m);
}

#define KITCHEN fixture_kitchen, sizeof(fixture_kitchen)
#define SMALL   fixture_small, sizeof(fixture_small)
#define ODD     fixture_odd, sizeof(fixture_odd)
#define PROBES  fixture_probes, sizeof(fixture_probes)

/* What every program of the kitchen needs, but p_xdp. */
#define OTHERS                                                                 \
	"{'program':'p_connect4','cgroup':'/g'},"                              \
	"{'program':'p_tc','interface':'lo','direction':'egress'},"            \
	"{'program':'p_fentry','symbol':'vfs_read'},"                          \
	"{'program':'p_lsm_cgroup','cgroup':'$group'}"

static const struct loadplan_attach *
find_attach(const struct read_plan *r, const char *prog)
{
	uint32_t i;

	for (i = 0; i < r->plan.header->attach_count; i++)
		if (strcmp(r->plan.progs[r->plan.attaches[i].prog].name,
			prog) == 0)
			return &r->plan.attaches[i];
	return NULL;
}

static const struct loadplan_prog *
find_prog(const struct read_plan *r, const char *prog)
{
	uint32_t i;

	for (i = 0; i < r->plan.header->prog_count; i++)
		if (strcmp(r->plan.progs[i].name, prog) == 0)
			return &r->plan.progs[i];
	ck_abort_msg("no program %s", prog);
}

static void
expect_attach(const struct read_plan *r, const char *prog, uint32_t kind,
    const char *target)
{
	const struct loadplan_attach *a = find_attach(r, prog);

	ck_assert_msg(a != NULL, "%s is not attached", prog);
	ck_assert_uint_eq(a->kind, kind);
	ck_assert_str_eq(a->target, target);
}

START_TEST (the_whole_kitchen) {
	const struct loadplan_prog *prog;
	struct read_plan r;
	struct bench b;
	uint32_t i;

	bench_open(&b, KITCHEN,
	    "'carry_maps':['m_hash'],'attach':[" OTHERS
	    ",{'program':'p_xdp','interface':'$if','mode':'native'}]",
	    "{'if':'eth0','group':'/sys/fs/cgroup/x'}");
	ck_assert_int_eq(
	    plan_attaches(&b.o, &b.m, b.effective, b.plan, &b.p), 0);
	expect_problem(&b.p, NULL, "kitchen");
	ck_assert_int_eq(counters_plan(&b.o, NULL, b.plan, &b.p), 0);
	plan_read(b.plan, &r);

	ck_assert_str_eq(r.plan.header->object_name, "a_name");
	ck_assert_str_eq(r.plan.header->name, "a-name");
	ck_assert_uint_eq(r.plan.header->prog_count, 8);
	expect_attach(&r, "p_xdp", ATTACH_XDP, "eth0");
	ck_assert_uint_eq(find_attach(&r, "p_xdp")->flags, LOADPLAN_XDP_DRV);
	expect_attach(&r, "p_connect4", ATTACH_CGROUP_CONNECT4, "/g");
	expect_attach(&r, "p_tc", ATTACH_TCX_EGRESS, "lo");
	/* The section says it, no entry needed. */
	expect_attach(&r, "p_lsm", ATTACH_LSM, "file_open");
	expect_attach(&r, "p_raw_tp", ATTACH_RAW_TP, "sched_switch");
	expect_attach(&r, "p_fentry", ATTACH_FENTRY, "vfs_read");
	prog = find_prog(&r, "p_fentry");
	ck_assert_uint_eq(prog->attach_target_len, strlen("vfs_read"));
	ck_assert_int_eq(memcmp(r.plan.data + prog->attach_target_off,
			     "vfs_read", prog->attach_target_len),
	    0);
	expect_attach(
	    &r, "p_lsm_cgroup", ATTACH_LSM_CGROUP, "/sys/fs/cgroup/x");
	/* "?xdp" and no entry: not even loaded. */
	ck_assert_ptr_null(find_attach(&r, "p_spare"));
	ck_assert_uint_eq(find_prog(&r, "p_spare")->autoload, 0);
	for (i = 0; i < r.plan.header->map_count; i++) {
		const struct loadplan_map *m = &r.plan.maps[i];

		ck_assert_uint_eq((m->flags & LOADPLAN_MAP_CARRY) != 0,
		    strcmp(m->name, "m_hash") == 0);
		ck_assert_uint_eq((m->flags & LOADPLAN_MAP_EVENTS) != 0,
		    strcmp(m->name, "aegis_events") == 0);
		ck_assert_uint_eq((m->flags & LOADPLAN_MAP_LOST) != 0,
		    strcmp(m->name, "aegis_lost") == 0);
		ck_assert_uint_eq((m->flags & LOADPLAN_MAP_STATS) != 0,
		    strcmp(m->name, "stats") == 0);
	}
	plan_release(&r);
	bench_release(&b);
}
END_TEST

/* ATTACH entries for p_xdp (and p_spare), and what is said of them. */
static void
expect_refused(const char *entries, const char *effective, const char *problem)
{
	struct bench b;
	char members[1024];

	(void)snprintf(members, sizeof(members), "'attach':[%s%s%s]", OTHERS,
	    *entries != '\0' ? "," : "", entries);
	bench_open(&b, KITCHEN, members, effective);
	ck_assert_int_eq(
	    plan_attaches(&b.o, &b.m, b.effective, b.plan, &b.p), 0);
	expect_problem(&b.p, problem, entries);
	ck_assert_uint_eq(b.p.count, problem != NULL);
	bench_release(&b);
}

START_TEST (attachments_that_are_refused) {
	static const struct {
		const char *entries;
		const char *problem;
	} rows[] = {
		{ "", "add {\"program\": \"p_xdp\", \"interface\"" },
		{ "{'program':'p_xdp'}", "needs to be told where" },
		{ "{'program':'p_xdp','interface':'$none'}",
		    "no parameter \"none\" is given" },
		{ "{'program':'p_xdp','interface':'$list'}",
		    "parameter list: [1]: wanted a string" },
		{ "{'program':'p_xdp','interface':'a/b'}", "is no interface" },
		{ "{'program':'p_xdp','interface':'sixteencharacter'}",
		    "at most 15 characters" },
		{ "{'program':'p_xdp','interface':'lo','cgroup':'/'}",
		    "takes no cgroup" },
		{ "{'program':'p_xdp','interface':'lo','mode':'fast'}",
		    "mode \"fast\", wanted native, generic or auto" },
		{ "{'program':'p_xdp','interface':'lo','priority':1}",
		    "takes no priority" },
		{ "{'program':'p_xdp','interface':'lo'},"
		  "{'program':'p_tc','interface':'eth0','priority':0}",
		    "priority \"0\": wanted 1 to 65535" },
		{ "{'program':'p_xdp','interface':'lo'},"
		  "{'program':'p_tc','interface':'eth0','priority':65536}",
		    "priority \"65536\": wanted 1 to 65535" },
		{ "{'program':'p_xdp','interface':'lo'},"
		  "{'program':'p_xdp','interface':'lo'}",
		    "say the same" },
		{ "{'program':'p_xdp','interface':'lo','attach':false}",
		    "contradict each other" },
		{ "{'program':'p_xdp','interface':'lo'},"
		  "{'program':'p_none','interface':'lo'}",
		    "has no program \"p_none\"" },
		/* and what is right */
		{ "{'program':'p_xdp','interface':'lo'},"
		  "{'program':'p_xdp','interface':'eth*','mode':'auto'}",
		    NULL },
		{ "{'program':'p_xdp','attach':false}", NULL },
		{ "{'program':'p_xdp','interface':'lo'},"
		  "{'program':'p_spare','interface':'eth1'}",
		    NULL },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++)
		expect_refused(rows[i].entries, "{'group':'/x','list':[1]}",
		    rows[i].problem);
	expect_refused("{'program':'p_xdp','interface':'lo'}",
	    "{'group':'/x/../y'}", "without \"..\"");
}
END_TEST

START_TEST (load_only) {
	struct read_plan r;
	struct bench b;

	bench_open(
	    &b, SMALL, "'attach':[{'program':'small','attach':false}]", "{}");
	ck_assert_int_eq(
	    plan_attaches(&b.o, &b.m, b.effective, b.plan, &b.p), 0);
	expect_problem(&b.p, NULL, "small");
	plan_read(b.plan, &r);
	ck_assert_uint_eq(r.plan.header->attach_count, 0);
	ck_assert_uint_eq(r.plan.progs[0].autoload, 1);
	plan_release(&r);
	bench_release(&b);
}
END_TEST

START_TEST (symbols) {
	struct bench b;

	/* A raw tracepoint may stand in several places, */
	bench_open(&b, SMALL,
	    "'attach':[{'program':'small','symbol':'sched_switch'},"
	    "{'program':'small','symbol':'sys_enter'}]",
	    "{}");
	ck_assert_int_eq(
	    plan_attaches(&b.o, &b.m, b.effective, b.plan, &b.p), 0);
	expect_problem(&b.p, NULL, "raw_tp twice");
	bench_release(&b);
	/* a function's program is bound when it is loaded. */
	bench_open(&b, KITCHEN,
	    "'attach':[" OTHERS ",{'program':'p_xdp','interface':'lo'},"
	    "{'program':'p_fentry','symbol':'vfs_write'}]",
	    "{'group':'/x'}");
	ck_assert_int_eq(
	    plan_attaches(&b.o, &b.m, b.effective, b.plan, &b.p), 0);
	expect_problem(&b.p, "two symbols (vfs_read, vfs_write)", "fentry");
	bench_release(&b);
	bench_open(
	    &b, SMALL, "'attach':[{'program':'small','symbol':'a b;c'}]", "{}");
	ck_assert_int_eq(
	    plan_attaches(&b.o, &b.m, b.effective, b.plan, &b.p), 0);
	expect_problem(&b.p, "\"a b;c\" is no symbol", "symbol");
	bench_release(&b);
}
END_TEST

START_TEST (an_odd_object) {
	struct bench b;

	bench_open(&b, ODD, "'carry_maps':['none',5]", "{}");
	expect_problem(&b.p, "aegis_events must be a ring buffer", "odd");
	expect_problem(&b.p, "has no map \"none\"", "odd");
	expect_problem(&b.p, "has no map 5", "odd");
	ck_assert_int_eq(
	    plan_attaches(&b.o, &b.m, b.effective, b.plan, &b.p), 0);
	expect_problem(&b.p, "section \"nonsense/here\" names no way", "odd");
	/* A hash is no place for counters; unasked, it is left alone. */
	ck_assert_int_eq(counters_plan(&b.o, NULL, b.plan, &b.p), 0);
	ck_assert_uint_eq(b.p.count, 4);
	bench_release(&b);
}
END_TEST

START_TEST (objects_that_are_none) {
	static const char *const texts[] = { "", "x", "\177ELF",
		"\177ELF\2\1\1" };
	_cleanup_free_ unsigned char *cut = NULL;
	struct problems p = { 0 };
	struct object o;
	size_t i, len;

	for (i = 0; i < nitems(texts); i++) {
		memset(&p, 0, sizeof(p));
		ck_assert_int_eq(
		    object_open(&o, texts[i], strlen(texts[i]), "n", &p),
		    -EBADMSG);
		expect_problem(&p, "program.o is no BPF object", texts[i]);
		object_close(&o);
	}
	/* Cut anywhere: an error, never a crash. */
	for (len = 64; len < sizeof(fixture_small); len += 37) {
		cut = realloc(cut, len);
		ck_assert_ptr_nonnull(cut);
		memcpy(cut, fixture_small, len);
		memset(&p, 0, sizeof(p));
		if (object_open(&o, cut, len, "n", &p) < 0)
			ck_assert_uint_gt(p.count, 0);
		object_close(&o);
	}
}
END_TEST

/* The counters of the kitchen as "kind:offset:size" words. */
static void
expect_counters(const char *telemetry, const char *words, const char *problem)
{
	struct json_object *t = telemetry != NULL ? json_of(telemetry) : NULL;
	struct read_plan r;
	struct bench b;
	char have[256] = "";
	uint32_t i;
	size_t len = 0;

	bench_open(&b, KITCHEN, "", "{}");
	ck_assert_int_eq(counters_plan(&b.o, t, b.plan, &b.p), 0);
	expect_problem(&b.p, problem, telemetry != NULL ? telemetry : "none");
	plan_read(b.plan, &r);
	for (i = 0; i < r.plan.header->counter_count; i++)
		len += (size_t)snprintf(have + len, sizeof(have) - len,
		    "%u:%u:%u ", r.plan.counters[i].kind,
		    r.plan.counters[i].offset, r.plan.counters[i].size);
	if (problem == NULL)
		ck_assert_str_eq(have, words);
	plan_release(&r);
	bench_release(&b);
	(void)json_object_put(t);
}

START_TEST (counters) {
	/* packets_processed; dropped, blocked and denied; errors, in an
	 * anonymous struct. */
	expect_counters(NULL, "0:0:8 1:8:4 1:12:2 1:14:1 2:16:8 ", NULL);
	/* What is mapped replaces what the names say, that kind alone. */
	expect_counters("{'violations':{'map':'stats',"
			"'field':'packets_dropped'}}",
	    "1:8:4 0:0:8 2:16:8 ", NULL);
	expect_counters("{'violations':{'field':'deep.port'}}",
	    "1:24:2 0:0:8 2:16:8 ", NULL);
	expect_counters("{'errors':[{'field':'execs_denied'},"
			"{'map':'m_array'}]}",
	    "2:14:1 2:0:2 0:0:8 1:8:4 1:12:2 1:14:1 ", NULL);
	expect_counters("{'violation':{'field':'x'}}", "",
	    "no counter is called \"violation\"");
	expect_counters("{'violations':5}", "", "violations: 5: wanted");
	expect_counters("{'violations':{'map':'none'}}", "",
	    "the program has no map \"none\"");
	expect_counters("{'violations':{'map':'m_hash'}}", "",
	    "must be an array or a per-CPU array");
	expect_counters("{'violations':{'field':'nope'}}", "",
	    "has no member \"nope\"; there are: packets_processed");
	expect_counters(
	    "{'violations':{'field':'deep'}}", "", "must be an integer");
	expect_counters(
	    "{'violations':{'field':'errors.x'}}", "", "has no member");
	expect_counters("{'violations':{'map':'m_array','field':'x'}}", "",
	    "its value is no struct");
}
END_TEST

/* One entry of the probes: the attachment it makes, or the problem. */
static void
probe(const char *entry, const char *problem, struct read_plan *r)
{
	_cleanup_free_ char *attach = NULL;
	struct bench b;

	ck_assert_int_ge(asprintf(&attach, "'attach':[{%s}]", entry), 0);
	bench_open(&b, PROBES, attach, "{'lib':'/usr/lib/l.so'}");
	ck_assert_int_eq(
	    plan_attaches(&b.o, &b.m, b.effective, b.plan, &b.p), 0);
	expect_problem(&b.p, problem, entry);
	if (problem == NULL)
		plan_read(b.plan, r);
	bench_release(&b);
}

static void
expect_probe(const char *entry, uint32_t kind, const char *target,
    uint64_t offset, const char *list, uint32_t list_len)
{
	const struct loadplan_attach *a;
	struct read_plan r;

	probe(entry, NULL, &r);
	ck_assert_uint_eq(r.plan.header->attach_count, 1);
	a = &r.plan.attaches[0];
	ck_assert_uint_eq(a->kind, kind);
	ck_assert_str_eq(a->target, target);
	ck_assert_uint_eq(a->offset, offset);
	ck_assert_uint_eq(a->symbols_len, list_len);
	ck_assert_mem_eq(r.plan.data + a->symbols_off, list, list_len);
	plan_release(&r);
}

START_TEST (probes) {
	expect_probe(
	    "'program':'p_kprobe'", ATTACH_KPROBE, "vfs_read+0x8", 8, "", 0);
	expect_probe("'program':'p_kprobe','symbol':'vfs_write'", ATTACH_KPROBE,
	    "vfs_write", 0, "", 0);
	expect_probe("'program':'p_multi','symbol':'a, b,c'",
	    ATTACH_KPROBE_MULTI, "a, b,c", 0, "a\0b\0c", 6);
	expect_probe("'program':'p_uprobe'", ATTACH_UPROBE,
	    "/usr/bin/x:main+0x10", 16, "main", 4);
	expect_probe("'program':'p_uprobe','binary':'$lib','symbol':'f'",
	    ATTACH_UPROBE, "/usr/lib/l.so:f", 0, "f", 1);
	expect_probe("'program':'p_uprobe','binary':'/a','offset':'0x20'",
	    ATTACH_UPROBE, "/a:0x20", 32, "", 0);
	expect_probe("'program':'p_tracepoint'", ATTACH_TRACEPOINT,
	    "sched/sched_switch", 0, "", 0);
	expect_probe("'program':'p_sample','event':'cycles','period':5",
	    ATTACH_PERF_EVENT, "cycles, every 5", 0, "", 0);
	expect_probe("'program':'p_sample','event':'cpu-clock'",
	    ATTACH_PERF_EVENT, "cpu-clock, 99 Hz", 0, "", 0);
	expect_probe("'program':'p_filter','hook':'ipv4/local_in',"
		     "'priority':-3",
	    ATTACH_NETFILTER, "ipv4/local_in", 0, "", 0);
	expect_probe(
	    "'program':'p_lookup'", ATTACH_SK_LOOKUP, "netns", 0, "", 0);
}
END_TEST

START_TEST (probes_that_are_refused) {
	probe("'program':'p_kprobe','symbol':'a b'", "is no symbol", NULL);
	probe("'program':'p_kprobe','offset':'x'", "offset \"x\"", NULL);
	probe("'program':'p_kprobe','binary':'/x'", "takes no binary", NULL);
	probe("'program':'p_multi','symbol':'vfs_*'", "CAP_SYSLOG", NULL);
	probe("'program':'p_multi'", "needs to be told where", NULL);
	probe("'program':'p_uprobe','binary':'/a/../b','symbol':'f'",
	    "is no binary", NULL);
	probe("'program':'p_uprobe','binary':'/a'", "where in \"/a\"", NULL);
	probe("'program':'p_tracepoint','tracepoint':'../x'",
	    "is no tracepoint", NULL);
	probe("'program':'p_sample'", "needs to be told where", NULL);
	probe("'program':'p_sample','event':'naps'", "wanted one of", NULL);
	probe("'program':'p_sample','event':'cycles','frequency':0",
	    "frequency \"0\"", NULL);
	probe("'program':'p_sample','event':'cycles','frequency':1,'period':1",
	    "one of the two", NULL);
	probe("'program':'p_filter','hook':'ipv4/nowhere'", "is no hook", NULL);
	probe("'program':'p_filter','hook':'ipv4/forward',"
	      "'priority':2147483647",
	    "priority \"2147483647\"", NULL);
	probe("'program':'p_lookup','interface':'lo'", "takes no interface",
	    NULL);
}
END_TEST

UNIT_MAIN("plan", probes, probes_that_are_refused, the_whole_kitchen,
    attachments_that_are_refused, load_only, symbols, an_odd_object,
    objects_that_are_none, counters)
