/* SPDX-License-Identifier: ISC */
#include "common/attach.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>

#define ATTACH(NAME, name, target, method, type, update, sections)             \
	[ATTACH_##NAME] = { name, TARGET_##target, METHOD_##method, type,      \
		update, sections },
static const struct attach_row rows[ATTACH_KIND_MAX] = {
#include "common/attach.def"
};
#undef ATTACH

const struct attach_row *
attach_row(uint32_t kind)
{
	return kind < ATTACH_KIND_MAX ? &rows[kind] : NULL;
}

const char *
attach_target_name(enum attach_target target)
{
	switch (target) {
	case TARGET_INTERFACE:
		return "interface";
	case TARGET_CGROUP:
		return "cgroup";
	case TARGET_SYMBOL:
	case TARGET_KPROBE:
	case TARGET_KPROBES:
		return "symbol";
	case TARGET_TRACEPOINT:
		return "tracepoint";
	case TARGET_BINARY:
		return "binary";
	case TARGET_EVENT:
		return "event";
	case TARGET_HOOK:
		return "hook";
	case TARGET_NETNS:
		return "";
	}
	return "unknown";
}

/* Does SECTION match the LEN bytes of PREFIX?  0 no, 1 yes. */
static int
section_matches(
    const char *section, const char *prefix, size_t len, const char **target)
{
	*target = NULL;
	if (prefix[len - 1] == '+') {
		len--;
		if (strncmp(section, prefix, len) != 0)
			return 0;
		if (section[len] == '/' && section[len + 1] != '\0')
			*target = section + len + 1;
		return section[len] == '\0' || *target != NULL;
	}
	return strncmp(section, prefix, len) == 0 && section[len] == '\0';
}

int
attach_from_section(
    const char *section, enum attach_kind *kind, const char **target)
{
	const char *p;
	uint32_t i;
	size_t len;

	if (*section == '?') /* libbpf: not loaded by default */
		section++;
	for (i = 0; i < ATTACH_KIND_MAX; i++) {
		for (p = rows[i].sections; *p != '\0'; p += len) {
			p += strspn(p, " ");
			len = strcspn(p, " ");
			if (section_matches(section, p, len, target)) {
				*kind = (enum attach_kind)i;
				return 0;
			}
		}
	}
	return -ENOENT;
}

const char *
attach_name(uint32_t kind, bool by_filter)
{
	if (by_filter && kind == ATTACH_TCX_INGRESS)
		return "tc/ingress";
	if (by_filter && kind == ATTACH_TCX_EGRESS)
		return "tc/egress";
	return attach_row(kind) == NULL ? "unknown" : attach_row(kind)->name;
}
