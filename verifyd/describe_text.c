/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "verifyd/describe_json.h"

static struct json_object *
get(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(o, key, &value);
	return value;
}

static const char *
text(struct json_object *o, const char *key)
{
	struct json_object *value = get(o, key);

	if (value == NULL)
		return "";
	if (json_object_is_type(value, json_type_string))
		return json_object_get_string(value);
	return json_object_to_json_string_ext(
	    value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static bool
is_true(struct json_object *o, const char *key)
{
	return json_object_get_boolean(get(o, key));
}

static void
print_program(struct json_object *o, FILE *out)
{
	struct json_object *attach = get(o, "attach");
	size_t i;

	(void)fprintf(out, "  %s: section %s, type %s, %s instructions%s%s\n",
	    text(o, "name"), text(o, "section"), text(o, "type"),
	    text(o, "instructions"), is_true(o, "optional") ? ", optional" : "",
	    is_true(o, "load_only") ? ", loaded and not attached" : "");
	if (get(o, "attach_kind") == NULL)
		(void)fprintf(out, "    no way of attaching that is known\n");
	else
		(void)fprintf(out, "    attaches as %s%s%s\n",
		    text(o, "attach_kind"), get(o, "target") ? " to " : "",
		    text(o, "target"));
	for (i = 0; i < json_object_array_length(attach); i++)
		(void)fprintf(out, "    where: %s\n",
		    json_object_to_json_string_ext(
			json_object_array_get_idx(attach, i),
			JSON_C_TO_STRING_PLAIN |
			    JSON_C_TO_STRING_NOSLASHESCAPE));
}

static void
print_map(struct json_object *o, FILE *out)
{
	(void)fprintf(out,
	    "  %s: %s, %s entries, key %s (%s bytes), value %s (%s bytes)\n",
	    text(o, "name"), text(o, "type"), text(o, "max_entries"),
	    get(o, "key") ? text(o, "key") : "-", text(o, "key_size"),
	    get(o, "value") ? text(o, "value") : "-", text(o, "value_size"));
}

static void
print_global(struct json_object *o, FILE *out)
{
	(void)fprintf(out, "  %s: %s, %s bytes in %s\n", text(o, "name"),
	    text(o, "type"), text(o, "size"), text(o, "map"));
}

static void
print_parameter(struct json_object *o, FILE *out)
{
	(void)fprintf(out, "  %s: %s %s", text(o, "name"), text(o, "sets"),
	    strcmp(text(o, "sets"), "map") == 0 ? "" : text(o, "of"));
	if (get(o, "signed") != NULL)
		(void)fprintf(out, ", signed value %s", text(o, "signed"));
	if (is_true(o, "required"))
		(void)fprintf(out, ", must be given");
	if (!is_true(o, "registry_may_set"))
		(void)fprintf(out, ", not the registry's to set");
	if (get(o, "schema") != NULL)
		(void)fprintf(out, ", schema %s", text(o, "schema"));
	(void)fputc('\n', out);
}

static void
print_list(struct json_object *doc, const char *key, const char *heading,
    void (*print)(struct json_object *o, FILE *out), FILE *out)
{
	struct json_object *list = get(doc, key);
	size_t i, n = json_object_array_length(list);

	(void)fprintf(out, "%s:%s\n", heading, n == 0 ? " none" : "");
	for (i = 0; i < n; i++)
		print(json_object_array_get_idx(list, i), out);
}

void
describe_text(struct json_object *doc, FILE *out)
{
	static const struct {
		const char *key;
		const char *heading;
	} lines[] = {
		{ "name", "name" },
		{ "version", "version" },
		{ "architecture", "architecture" },
		{ "kernel_version", "kernel from" },
		{ "checksum", "checksum" },
		{ "signature", "signature" },
		{ "problems", "problems" },
		{ "this_host", "this host" },
	};
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (get(doc, lines[i].key) != NULL)
			(void)fprintf(out, "%s: %s\n", lines[i].heading,
			    text(doc, lines[i].key));
	print_list(doc, "programs", "programs", print_program, out);
	print_list(doc, "maps", "maps", print_map, out);
	print_list(doc, "globals", "global variables", print_global, out);
	print_list(doc, "parameters", "parameters", print_parameter, out);
}
