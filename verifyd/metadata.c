/* SPDX-License-Identifier: ISC */
#include "verifyd/metadata.h"

#include <string.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/strnum.h"
#include "verifyd/platform.h"

#define FILE_NAME "metadata.json"

static const char *const where_names[WHERE_MAX] = {
	[WHERE_INTERFACE] = "interface",
	[WHERE_CGROUP] = "cgroup",
	[WHERE_SYMBOL] = "symbol",
	[WHERE_TRACEPOINT] = "tracepoint",
	[WHERE_BINARY] = "binary",
	[WHERE_OFFSET] = "offset",
	[WHERE_MODE] = "mode",
	[WHERE_DIRECTION] = "direction",
	[WHERE_PRIORITY] = "priority",
	[WHERE_EVENT] = "event",
	[WHERE_FREQUENCY] = "frequency",
	[WHERE_PERIOD] = "period",
	[WHERE_HOOK] = "hook",
};

const char *
metadata_where_name(enum attach_where where)
{
	return where_names[where];
}

void
metadata_release(struct metadata *m)
{
	(void)json_object_put(m->root);
	memset(m, 0, sizeof(*m));
}

/* A string that becomes a file name, a subject or a log field later. */
static const char *
identifier(const struct metadata *m, const char *key, size_t size,
    struct problems *problems)
{
	const char *s = json_member_string(m->root, key, FILE_NAME, problems);

	if (s == NULL)
		return NULL;
	if (strlen(s) < size && str_is_identifier(s, size))
		return s;
	problem_add(problems,
	    FILE_NAME ": %s \"%.80s\" must be up to %zu letters, digits or "
		      "any of ._:@+-, starting with none of .-",
	    key, s, size - 1);
	return NULL;
}

static void
parse_names(struct metadata *m, struct problems *problems)
{
	unsigned int before = problems->count;

	m->name = identifier(m, "name", AEGIS_NAME_SIZE, problems);
	if (m->name == NULL && before == problems->count)
		m->name =
		    identifier(m, "template_name", AEGIS_NAME_SIZE, problems);
	if (m->name == NULL && before == problems->count)
		problem_add(problems, FILE_NAME ": name is missing");
	before = problems->count;
	m->version = identifier(m, "version", AEGIS_VERSION_SIZE, problems);
	if (m->version == NULL && before == problems->count)
		problem_add(problems, FILE_NAME ": version is missing");
	m->replaces = identifier(m, "replaces", AEGIS_ID_SIZE, problems);
	m->architecture =
	    json_member_string(m->root, "architecture", FILE_NAME, problems);
	m->kernel_version =
	    json_member_string(m->root, "kernel_version", FILE_NAME, problems);
}

static void
parse_lifetime(struct metadata *m, struct problems *problems)
{
	const char *text;

	json_member_u64(m->root, "max_ttl_sec", 1, INT32_MAX, FILE_NAME,
	    &m->max_ttl_sec, problems);
	json_member_u64(m->root, "sequence", 1, INT64_MAX, FILE_NAME,
	    &m->sequence, problems);
	text = json_member_string(m->root, "not_after", FILE_NAME, problems);
	if (text != NULL &&
	    (clock_parse_rfc3339(text, &m->not_after_wall_ns) < 0 ||
		m->not_after_wall_ns <= 0))
		problem_add(problems,
		    FILE_NAME ": not_after \"%.80s\" is no time such as "
			      "2030-01-31T12:00:00Z",
		    text);
}

static void
parse_limits(struct metadata *m, struct problems *problems)
{
	const struct {
		const char *key;
		double *out;
	} rows[] = {
		{ "max_errors", &m->limits.max_errors },
		{ "max_violations", &m->limits.max_violations },
		{ "max_cpu_percent", &m->limits.max_cpu_percent },
		{ "max_latency_ms", &m->limits.max_latency_ms },
		{ "max_memory_kb", &m->limits.max_memory_kb },
	};
	struct json_object *obj;
	size_t i;

	m->limits = (struct loadplan_limits){ -1, -1, -1, -1, -1 };
	obj = json_member(
	    m->root, "rollback", json_type_object, FILE_NAME, problems);
	if (obj == NULL)
		return;
	for (i = 0; i < nitems(rows); i++)
		json_member_double(obj, rows[i].key, FILE_NAME " rollback",
		    rows[i].out, problems);
	json_object_object_foreach(obj, key, value)
	{
		(void)value;
		for (i = 0; i < nitems(rows); i++)
			if (strcmp(key, rows[i].key) == 0)
				break;
		if (i == nitems(rows))
			problem_add(problems,
			    FILE_NAME " rollback: no limit is called "
				      "\"%.60s\" (max_errors max_violations "
				      "max_cpu_percent max_latency_ms "
				      "max_memory_kb)",
			    key);
	}
}

static void
parse_attach_member(struct metadata_attach *a, const char *key,
    struct json_object *value, const char *where, struct problems *problems)
{
	char quoted[PROBLEM_QUOTE_SIZE];
	unsigned int i;

	if (strcmp(key, "program") == 0)
		return;
	if (strcmp(key, "attach") == 0) {
		if (!json_object_is_type(value, json_type_boolean))
			problem_add(problems,
			    "%s: attach must be true or false, is %s", where,
			    problem_quote(value, quoted));
		a->load_only = !json_object_get_boolean(value);
		return;
	}
	for (i = 0; i < WHERE_MAX; i++) {
		if (strcmp(key, where_names[i]) != 0)
			continue;
		if (!json_object_is_type(value, json_type_string) &&
		    !json_object_is_type(value, json_type_int))
			problem_add(problems, "%s: %s must be a string, is %s",
			    where, key, problem_quote(value, quoted));
		else
			a->where[i] = value;
		return;
	}
	problem_add(problems,
	    "%s: unknown key \"%.60s\" (program interface cgroup symbol "
	    "tracepoint binary offset mode direction priority event "
	    "frequency period hook attach)",
	    where, key);
}

static void
parse_attach_entry(struct metadata *m, struct json_object *obj, size_t index,
    struct problems *problems)
{
	struct metadata_attach *a = &m->attaches[m->attach_count++];
	char where[64];

	(void)snprintf(
	    where, sizeof(where), FILE_NAME " attach entry %zu", index + 1);
	if (!json_object_is_type(obj, json_type_object)) {
		problem_add(problems, "%s: must be an object", where);
		return;
	}
	a->program = json_member_string(obj, "program", where, problems);
	if (a->program == NULL)
		problem_add(problems,
		    "%s: which program? (\"program\": \"<name>\")", where);
	json_object_object_foreach(obj, key, value)
	{
		parse_attach_member(a, key, value, where, problems);
	}
}

static void
parse_attaches(struct metadata *m, struct problems *problems)
{
	struct json_object *list;
	size_t i, n;

	list = json_member(
	    m->root, "attach", json_type_array, FILE_NAME, problems);
	if (list == NULL)
		return;
	n = json_object_array_length(list);
	if (n > LOADPLAN_MAX_ATTACHES) {
		problem_add(problems,
		    FILE_NAME ": %zu attach entries, at most %d may be", n,
		    LOADPLAN_MAX_ATTACHES);
		return;
	}
	for (i = 0; i < n; i++)
		parse_attach_entry(
		    m, json_object_array_get_idx(list, i), i, problems);
}

int
metadata_parse(
    const char *text, size_t len, struct metadata *m, struct problems *problems)
{
	unsigned int before = problems->count;

	memset(m, 0, sizeof(*m));
	m->root = json_parse(text, len, FILE_NAME, problems);
	if (m->root == NULL)
		return -EBADMSG;
	parse_names(m, problems);
	parse_lifetime(m, problems);
	parse_limits(m, problems);
	parse_attaches(m, problems);
	m->checksums = json_member(
	    m->root, "checksums", json_type_object, FILE_NAME, problems);
	m->parameters = json_member(
	    m->root, "parameters", json_type_object, FILE_NAME, problems);
	m->schema = json_member(m->root, "parameters_schema", json_type_object,
	    FILE_NAME, problems);
	m->telemetry = json_member(
	    m->root, "telemetry", json_type_object, FILE_NAME, problems);
	m->carry_maps = json_member(
	    m->root, "carry_maps", json_type_array, FILE_NAME, problems);
	return problems->count == before ? 0 : -EBADMSG;
}

static void
check_architecture(const char *whose, const char *architecture,
    const struct metadata_expected *expected, struct problems *problems)
{
	if (architecture == NULL || *architecture == '\0' ||
	    platform_is_architecture(architecture, expected->host_architecture))
		return;
	problem_add(problems,
	    "%s architecture is \"%.40s\", this host's is \"%s\"", whose,
	    architecture, expected->host_architecture);
}

static void
check_kernel(const char *whose, const char *minimum,
    const struct metadata_expected *expected, struct problems *problems)
{
	int r;

	if (minimum == NULL || *minimum == '\0')
		return;
	r = platform_kernel_is_at_least(expected->host_kernel, minimum);
	if (r == 0)
		problem_add(problems,
		    "%s kernel_version asks for at least %.40s, this host "
		    "runs %s",
		    whose, minimum, expected->host_kernel);
	else if (r < 0)
		problem_add(problems,
		    "%s kernel_version \"%.40s\" is no version such as 5.15 "
		    "or 6.1.20",
		    whose, minimum);
}

void
metadata_check(const struct metadata *m,
    const struct metadata_expected *expected, struct problems *problems)
{
	if (strcmp(m->name, expected->name) != 0)
		problem_add(problems,
		    "the registry lists it under the name \"%.80s\", but "
		    "the signed name is \"%.80s\"",
		    expected->name, m->name);
	if (strcmp(m->version, expected->version) != 0)
		problem_add(problems,
		    "the registry lists version \"%s\", but the signed "
		    "version is \"%s\"",
		    expected->version, m->version);
	check_architecture(FILE_NAME ":", m->architecture, expected, problems);
	check_architecture(
	    "the entry's", expected->entry_architecture, expected, problems);
	check_kernel(FILE_NAME ":", m->kernel_version, expected, problems);
	check_kernel(
	    "the entry's", expected->entry_kernel_version, expected, problems);
}

void
metadata_check_sums(
    const struct metadata *m, struct unpacked *u, struct problems *problems)
{
	uint8_t wanted[AEGIS_SHA256_SIZE];
	char is[2 * AEGIS_SHA256_SIZE + 1];
	const struct unpacked_member *member;
	const char *text;

	if (m->checksums == NULL)
		return;
	json_object_object_foreach(m->checksums, key, value)
	{
		if (!json_object_is_type(value, json_type_string))
			continue;
		text = json_object_get_string(value);
		if (strncmp(text, "sha256:", 7) == 0)
			text += 7;
		/* Other digests are for other readers. */
		if (strnum_parse_hex(text, wanted, sizeof(wanted)) < 0)
			continue;
		member = unpacked_find_sum(u, key);
		if (member == NULL) {
			problem_add(problems,
			    FILE_NAME ": checksums names \"%.80s\", which is "
				      "not in the artifact",
			    key);
			continue;
		}
		if (memcmp(member->sha256, wanted, sizeof(wanted)) == 0)
			continue;
		strnum_format_hex(member->sha256, sizeof(wanted), is);
		problem_add(problems,
		    "%.80s has SHA-256 %s, " FILE_NAME " says %s", key, is,
		    text);
	}
}
