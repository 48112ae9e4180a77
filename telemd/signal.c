/* SPDX-License-Identifier: ISC */
#include "telemd/signal.h"

#include <json-c/json.h>
#include <string.h>

#define MAX_DEPTH 8

bool
signal_is_ours(const char *subject, const char *host_id, bool *to_all)
{
	const size_t len = strlen(SIGNAL_TO_HOST);

	*to_all = strcmp(subject, SIGNAL_TO_ALL) == 0;
	return *to_all ||
	    (strncmp(subject, SIGNAL_TO_HOST, len) == 0 &&
		strcmp(subject + len, host_id) == 0);
}

static json_object *
parse_object(const char *json, size_t len, const char **why)
{
	json_tokener *tok = json_tokener_new_ex(MAX_DEPTH);
	json_object *o = NULL;
	size_t end;

	if (tok == NULL) {
		*why = "out of memory";
		return NULL;
	}
	json_tokener_set_flags(
	    tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, json, (int)len);
	end = json_tokener_get_parse_end(tok);
	while (end < len && strchr(" \t\r\n", json[end]) != NULL &&
	    json[end] != '\0')
		end++;
	if (json_tokener_get_error(tok) != json_tokener_success || end != len)
		*why = "not JSON";
	else if (!json_object_is_type(o, json_type_object))
		*why = "not a JSON object";
	else
		*why = NULL;
	json_tokener_free(tok);
	if (*why != NULL) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

/*
 * The string member KEY into OUT.  1: there; 0: not there, or null;
 * -EINVAL: no string, too long, or holds a NUL.
 */
static int
get_string(json_object *o, const char *key, char *out, size_t size)
{
	json_object *v;

	out[0] = '\0';
	if (!json_object_object_get_ex(o, key, &v) || v == NULL)
		return 0;
	if (!json_object_is_type(v, json_type_string) ||
	    strlen(json_object_get_string(v)) !=
		(size_t)json_object_get_string_len(v))
		return -EINVAL;
	return str_copy(out, size, json_object_get_string(v)) < 0 ? -EINVAL : 1;
}

/* A reason is for people: cut and cleaned instead of refused. */
static int
get_reason(json_object *o, char *out, size_t size)
{
	json_object *v;

	if (!json_object_object_get_ex(o, "reason", &v) || v == NULL)
		return 0;
	if (!json_object_is_type(v, json_type_string))
		return -EINVAL;
	str_copy_cut(out, size, json_object_get_string(v));
	str_scrub(out, size);
	return 0;
}

static const char *
read_members(json_object *o, struct msg_signal_rollback *out)
{
	if (get_string(o, "artifact_id", out->artifact_id,
		sizeof(out->artifact_id)) != 1 ||
	    !MSG_ID_OK(out->artifact_id))
		return "artifact_id is missing or no identifier";
	if (get_reason(o, out->reason, sizeof(out->reason)) < 0)
		return "reason is not a string";
	if (get_string(o, "request_id", out->request_id,
		sizeof(out->request_id)) < 0 ||
	    (out->request_id[0] != '\0' && !MSG_ID_OK(out->request_id)))
		return "request_id is no identifier";
	return NULL;
}

enum signal_verdict
signal_parse_rollback(const char *json, size_t len,
    struct msg_signal_rollback *out, const char **why)
{
	json_object *o = parse_object(json, len, why);

	memset(out, 0, sizeof(*out));
	if (o == NULL)
		return SIGNAL_MALFORMED;
	*why = read_members(o, out);
	json_object_put(o);
	return *why == NULL ? SIGNAL_FOR_US : SIGNAL_MALFORMED;
}

static bool
string_is(json_object *v, const char *s)
{
	return json_object_is_type(v, json_type_string) &&
	    strcmp(json_object_get_string(v), s) == 0;
}

/* True when target_id or targets names HOST_ID. */
static bool
names_host(json_object *o, const char *host_id)
{
	json_object *v;
	size_t i;

	if (json_object_object_get_ex(o, "target_id", &v) &&
	    string_is(v, host_id))
		return true;
	if (!json_object_object_get_ex(o, "targets", &v) ||
	    !json_object_is_type(v, json_type_array))
		return false;
	for (i = 0; i < json_object_array_length(v); i++)
		if (string_is(json_object_array_get_idx(v, i), host_id))
			return true;
	return false;
}

enum signal_verdict
signal_parse_action(const char *json, size_t len, const char *host_id,
    struct msg_signal_rollback *out, const char **why)
{
	json_object *o = parse_object(json, len, why), *action;
	enum signal_verdict verdict = SIGNAL_FOR_US;

	memset(out, 0, sizeof(*out));
	if (o == NULL)
		return SIGNAL_MALFORMED;
	if (!names_host(o, host_id)) {
		verdict = SIGNAL_NOT_FOR_US;
	} else if (!json_object_object_get_ex(o, "artifact_id", &action) ||
	    action == NULL) {
		/* It may be about something else of this host's. */
		verdict = SIGNAL_NOT_FOR_US;
	} else {
		*why = read_members(o, out);
		if (*why != NULL)
			verdict = SIGNAL_MALFORMED;
	}
	json_object_put(o);
	return verdict;
}
