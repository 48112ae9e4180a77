/* SPDX-License-Identifier: ISC */
/*
 * The targets of probes, perf events and hooks: "kprobe/do_unlinkat+0x8",
 * {"binary": "/usr/bin/x", "symbol": "main"} and so on.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/attach_target.h"
#include "common/strnum.h"
#include "verifyd/plan_attach.h"

/* The longest list of kprobe.multi; one link holds them all. */
#define SYMBOL_LIST_MAX (64u << 10)

/* Where a kprobe or uprobe goes. */
struct place {
	char binary[AEGIS_TARGET_SIZE]; /* "": none given */
	char symbol[AEGIS_TARGET_SIZE];
	uint64_t offset;
	bool has_offset;
};

bool
plan_is_probe(enum attach_target target)
{
	return target >= TARGET_KPROBE;
}

bool
plan_probe_takes(enum attach_target target, enum attach_where where)
{
	switch (target) {
	case TARGET_KPROBE:
		return where == WHERE_SYMBOL || where == WHERE_OFFSET;
	case TARGET_KPROBES:
		return where == WHERE_SYMBOL;
	case TARGET_TRACEPOINT:
		return where == WHERE_TRACEPOINT;
	case TARGET_BINARY:
		return where == WHERE_BINARY || where == WHERE_SYMBOL ||
		    where == WHERE_OFFSET;
	case TARGET_EVENT:
		return where == WHERE_EVENT || where == WHERE_FREQUENCY ||
		    where == WHERE_PERIOD;
	case TARGET_HOOK:
		return where == WHERE_HOOK || where == WHERE_PRIORITY;
	default:
		return false;
	}
}

_printf_(2, 3) static void problem(
    const struct attacher *a, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	problem_add(a->problems, "program %s: %s", a->prog_name, text);
}

static bool
read_offset(const struct attacher *a, const char *text, struct place *p)
{
	p->has_offset = true;
	if (strnum_parse_u64(text, 0, INT64_MAX, &p->offset) == 0)
		return true;
	problem(a,
	    "offset \"%.40s\": wanted a number of bytes, such as 16 or 0x10",
	    text);
	return false;
}

/* "symbol", "symbol+offset", and after a binary just "offset". */
static bool
read_symbol(const struct attacher *a, const char *text, struct place *p)
{
	size_t len = strcspn(text, "+");

	if (a->row->target == TARGET_BINARY && *text >= '0' && *text <= '9')
		return read_offset(a, text, p);
	if (len >= sizeof(p->symbol)) {
		problem(a, "\"%.80s\" is no symbol", text);
		return false;
	}
	memcpy(p->symbol, text, len);
	p->symbol[len] = '\0';
	return text[len] == '\0' || read_offset(a, text + len + 1, p);
}

/* "/usr/bin/x:main+0x10" */
static bool
read_binary(const struct attacher *a, const char *text, struct place *p)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon == NULL ? strlen(text) : (size_t)(colon - text);

	if (len >= sizeof(p->binary)) {
		problem(a, "the path \"%.80s...\" is too long", text);
		return false;
	}
	memcpy(p->binary, text, len);
	p->binary[len] = '\0';
	return colon == NULL || read_symbol(a, colon + 1, p);
}

/* What the entry says goes before what the section says. */
static bool
read_place(const struct attacher *a, struct place *p)
{
	const char *binary = attacher_text(a, WHERE_BINARY);
	const char *symbol = attacher_text(a, WHERE_SYMBOL);
	const char *offset = attacher_text(a, WHERE_OFFSET);
	bool ok = true;

	memset(p, 0, sizeof(*p));
	if (a->section_target != NULL && binary == NULL)
		ok = a->row->target == TARGET_BINARY
		    ? read_binary(a, a->section_target, p)
		    : read_symbol(a, a->section_target, p);
	if (binary != NULL &&
	    str_copy(p->binary, sizeof(p->binary), binary) < 0) {
		problem(a, "the path \"%.80s...\" is too long", binary);
		ok = false;
	}
	if (symbol != NULL) {
		p->offset = 0;
		p->has_offset = false;
		if (str_copy(p->symbol, sizeof(p->symbol), symbol) < 0) {
			problem(a, "\"%.80s...\" is no symbol", symbol);
			ok = false;
		}
	}
	return (offset == NULL || read_offset(a, offset, p)) && ok;
}

static bool
check_place(const struct attacher *a, const struct place *p)
{
	bool of_kernel = a->row->target == TARGET_KPROBE;

	if (of_kernel ? p->symbol[0] == '\0' : p->binary[0] == '\0') {
		plan_wants_target(a);
		return false;
	}
	if (!of_kernel && !target_is_binary(p->binary, strlen(p->binary))) {
		problem(a,
		    "\"%.80s\" is no binary: wanted an absolute path without "
		    "\".\" and \"..\"",
		    p->binary);
		return false;
	}
	if (p->symbol[0] == '\0' && p->offset == 0) {
		problem(a,
		    "where in \"%.80s\"?  Add a \"symbol\", or an \"offset\" "
		    "in the file",
		    p->binary);
		return false;
	}
	if (p->symbol[0] != '\0' &&
	    !target_is_symbol(p->symbol, strlen(p->symbol))) {
		problem(a,
		    "\"%.80s\" is no symbol: wanted the name of a function, "
		    "up to %d characters",
		    p->symbol, TARGET_SYMBOL_MAX);
		return false;
	}
	return true;
}

static int
plan_place(const struct attacher *a, struct loadplan_attach *record, bool *ok)
{
	char offset[32] = "";
	struct place p;
	const char *name;
	int n;

	*ok = read_place(a, &p) && check_place(a, &p);
	if (!*ok)
		return 0;
	name = p.binary[0] != '\0' ? p.binary : p.symbol;
	if (p.offset != 0)
		(void)snprintf(offset, sizeof(offset), "%s0x%llx",
		    p.symbol[0] != '\0' ? "+" : "",
		    (unsigned long long)p.offset);
	n = snprintf(record->target, sizeof(record->target), "%s%s%s%s", name,
	    name == p.binary ? ":" : "", name == p.binary ? p.symbol : "",
	    offset);
	if (n >= (int)sizeof(record->target)) {
		problem(a, "\"%.80s...\" is longer than %zu characters",
		    record->target, sizeof(record->target) - 1);
		*ok = false;
		return 0;
	}
	record->name_len = (uint32_t)strlen(name);
	record->offset = p.offset;
	if (name != p.binary || p.symbol[0] == '\0')
		return 0;
	record->symbols_len = (uint32_t)strlen(p.symbol);
	return loadplan_add_data(
	    a->plan, p.symbol, record->symbols_len, &record->symbols_off);
}

/* "a,b, c" becomes "a\0b\0c\0". */
static int
plan_symbols(const struct attacher *a, struct loadplan_attach *record, bool *ok)
{
	const char *text = attacher_text(a, WHERE_SYMBOL);
	_cleanup_free_ char *list = NULL;
	size_t len, at = 0;

	*ok = false;
	if (text == NULL)
		text = a->section_target;
	if (text == NULL) {
		plan_wants_target(a);
		return 0;
	}
	str_copy_cut(record->target, sizeof(record->target), text);
	list = malloc(strlen(text) + 2);
	if (list == NULL)
		return -ENOMEM;
	for (; *text != '\0'; text += len) {
		text += strspn(text, ", ");
		len = strcspn(text, ", ");
		if (len == 0)
			break;
		if (!target_is_symbol(text, len)) {
			problem(a,
			    "\"%.*s\" is no symbol of the kernel: wanted "
			    "names, separated by commas; patterns are not "
			    "expanded, that takes a privilege (CAP_SYSLOG) "
			    "that the loader does not have",
			    (int)(len < 80 ? len : 80), text);
			return 0;
		}
		memcpy(list + at, text, len);
		at += len;
		list[at++] = '\0';
	}
	if (at == 0 || at > SYMBOL_LIST_MAX) {
		problem(a, "%zu bytes of symbols: wanted 1 to %u", at,
		    SYMBOL_LIST_MAX);
		return 0;
	}
	*ok = true;
	record->symbols_len = (uint32_t)at;
	return loadplan_add_data(a->plan, list, at, &record->symbols_off);
}

static bool
plan_tracepoint(const struct attacher *a, struct loadplan_attach *record)
{
	const char *text = attacher_text(a, WHERE_TRACEPOINT);

	if (text == NULL)
		text = a->section_target;
	if (text == NULL) {
		plan_wants_target(a);
		return false;
	}
	if (str_copy(record->target, sizeof(record->target), text) == 0 &&
	    target_is_tracepoint(text))
		return true;
	problem(a,
	    "\"%.80s\" is no tracepoint: wanted category/name, such as "
	    "sched/sched_switch",
	    text);
	return false;
}

/* How often an event is looked at. */
static bool
read_rate(const struct attacher *a, struct loadplan_attach *record)
{
	const char *frequency = attacher_text(a, WHERE_FREQUENCY);
	const char *period = attacher_text(a, WHERE_PERIOD);
	uint64_t n = TARGET_FREQUENCY_DEFAULT;

	if (frequency != NULL && period != NULL) {
		problem(a, "a frequency and a period: wanted one of the two");
		return false;
	}
	if (period != NULL) {
		record->flags |= LOADPLAN_PERF_PERIOD;
		if (strnum_parse_u64(period, 1, UINT32_MAX, &n) < 0) {
			problem(a,
			    "period \"%.40s\": wanted every how many events, 1 "
			    "to %u",
			    period, UINT32_MAX);
			return false;
		}
	} else if (frequency != NULL &&
	    strnum_parse_u64(frequency, 1, TARGET_FREQUENCY_MAX, &n) < 0) {
		problem(a,
		    "frequency \"%.40s\": wanted how many times a second, 1 "
		    "to %d",
		    frequency, TARGET_FREQUENCY_MAX);
		return false;
	}
	record->rate = (uint32_t)n;
	return true;
}

static bool
plan_event(const struct attacher *a, struct loadplan_attach *record)
{
	const char *text = attacher_text(a, WHERE_EVENT);
	struct target_event event;

	if (text == NULL) {
		plan_wants_target(a);
		return false;
	}
	if (target_find_event(text, strlen(text), &event) < 0) {
		problem(a, "\"%.40s\" is no event: wanted one of %s", text,
		    TARGET_EVENT_NAMES);
		return false;
	}
	if (!read_rate(a, record))
		return false;
	record->name_len = (uint32_t)strlen(text);
	(void)snprintf(record->target, sizeof(record->target),
	    record->flags & LOADPLAN_PERF_PERIOD ? "%s, every %u" : "%s, %u Hz",
	    text, record->rate);
	return true;
}

static bool
plan_hook(const struct attacher *a, struct loadplan_attach *record)
{
	const char *text = attacher_text(a, WHERE_HOOK);
	const char *priority = attacher_text(a, WHERE_PRIORITY);
	uint32_t family, hook;
	int64_t n = 0;

	if (text == NULL) {
		plan_wants_target(a);
		return false;
	}
	if (target_find_hook(text, &family, &hook) < 0) {
		problem(a,
		    "\"%.40s\" is no hook: wanted ipv4/ or ipv6/ and one of "
		    "pre_routing local_in forward local_out post_routing",
		    text);
		return false;
	}
	/* The first and the last one are the kernel's; one more is free for a
	 * new version beside its old one. */
	if (priority != NULL &&
	    strnum_parse_i64(priority, INT32_MIN + 1, INT32_MAX - 2, &n) < 0) {
		problem(a, "priority \"%.40s\": wanted %d to %d", priority,
		    INT32_MIN + 1, INT32_MAX - 2);
		return false;
	}
	record->priority = (int32_t)n;
	return str_copy(record->target, sizeof(record->target), text) == 0;
}

int
plan_probe(const struct attacher *a, struct loadplan_attach *record, bool *ok)
{
	switch (a->row->target) {
	case TARGET_KPROBE:
	case TARGET_BINARY:
		return plan_place(a, record, ok);
	case TARGET_KPROBES:
		return plan_symbols(a, record, ok);
	case TARGET_TRACEPOINT:
		*ok = plan_tracepoint(a, record);
		break;
	case TARGET_EVENT:
		*ok = plan_event(a, record);
		break;
	case TARGET_HOOK:
		*ok = plan_hook(a, record);
		break;
	default:
		*ok = true;
		str_copy_cut(record->target, sizeof(record->target), "netns");
		break;
	}
	return 0;
}
