/* SPDX-License-Identifier: ISC */
#include "common/attach_target.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/perf_event.h>
#include <string.h>

#include "common/limits.h"

#define WORD                                                                   \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"                 \
	"0123456789_"

bool
target_is_symbol(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (text[i] == '\0' || strchr(WORD ".$", text[i]) == NULL)
			return false;
	return len > 0 && len <= TARGET_SYMBOL_MAX;
}

bool
target_is_tracepoint(const char *text)
{
	size_t category = strspn(text, WORD "-"), name;

	if (category == 0 || text[category] != '/')
		return false;
	text += category + 1;
	name = strspn(text, WORD "-");
	return name > 0 && text[name] == '\0';
}

bool
target_is_binary(const char *text, size_t len)
{
	size_t i, part;

	if (len < 2 || len >= AEGIS_TARGET_SIZE || text[0] != '/')
		return false;
	for (i = 0; i < len; i += part) {
		i++; /* the '/' */
		for (part = 0; i + part < len && text[i + part] != '/'; part++)
			continue;
		if (part == 0 || (part == 1 && text[i] == '.') ||
		    (part == 2 && memcmp(text + i, "..", 2) == 0))
			return false;
	}
	return true;
}

int
target_find_event(const char *text, size_t len, struct target_event *event)
{
	static const struct {
		const char *name;
		uint32_t type;
		uint64_t config;
	} rows[] = {
#define SW(name, config) { name, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_##config }
#define HW(name, config)                                                       \
	{                                                                      \
		name, PERF_TYPE_HARDWARE, PERF_COUNT_HW_##config               \
	}
		SW("cpu-clock", CPU_CLOCK),
		SW("task-clock", TASK_CLOCK),
		SW("page-faults", PAGE_FAULTS),
		SW("minor-faults", PAGE_FAULTS_MIN),
		SW("major-faults", PAGE_FAULTS_MAJ),
		SW("context-switches", CONTEXT_SWITCHES),
		SW("cpu-migrations", CPU_MIGRATIONS),
		SW("alignment-faults", ALIGNMENT_FAULTS),
		SW("emulation-faults", EMULATION_FAULTS),
		HW("cycles", CPU_CYCLES),
		HW("instructions", INSTRUCTIONS),
		HW("cache-references", CACHE_REFERENCES),
		HW("cache-misses", CACHE_MISSES),
		HW("branches", BRANCH_INSTRUCTIONS),
		HW("branch-misses", BRANCH_MISSES),
		HW("bus-cycles", BUS_CYCLES),
#undef SW
#undef HW
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		if (strlen(rows[i].name) != len ||
		    memcmp(rows[i].name, text, len) != 0)
			continue;
		event->type = rows[i].type;
		event->config = rows[i].config;
		return 0;
	}
	return -ENOENT;
}

int
target_find_hook(const char *text, uint32_t *family, uint32_t *hook)
{
	static const struct {
		const char *name;
		uint32_t number;
	} hooks[] = {
		{ "pre_routing", NF_INET_PRE_ROUTING },
		{ "local_in", NF_INET_LOCAL_IN },
		{ "forward", NF_INET_FORWARD },
		{ "local_out", NF_INET_LOCAL_OUT },
		{ "post_routing", NF_INET_POST_ROUTING },
	};
	size_t i;

	if (strncmp(text, "ipv4/", 5) == 0)
		*family = NFPROTO_IPV4;
	else if (strncmp(text, "ipv6/", 5) == 0)
		*family = NFPROTO_IPV6;
	else
		return -ENOENT;
	for (i = 0; i < nitems(hooks); i++) {
		if (strcmp(hooks[i].name, text + 5) == 0) {
			*hook = hooks[i].number;
			return 0;
		}
	}
	return -ENOENT;
}
