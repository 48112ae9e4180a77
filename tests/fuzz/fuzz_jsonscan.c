/* SPDX-License-Identifier: ISC */
/*
 * The strict look at JSON.  What it accepts json-c must accept too, or two
 * readers would disagree; and cutting into pieces must never read outside.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <string.h>

#include "common/jsonpieces.h"
#include "common/jsonscan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk_pieces(const char *text, size_t size)
{
	struct jsonslice key, value;
	struct jsonpieces it;

	if (jsonpieces_open(&it, text, size) < 0)
		return;
	while (jsonpieces_next(&it, &key, &value) > 0)
		if (value.text < text || value.len > size ||
		    value.text + value.len > text + size || value.len == 0)
			abort();
}

static void
ask_json_c(const char *text, size_t size)
{
	struct json_tokener *tokener = json_tokener_new_ex(34);
	struct json_object *json;
	enum json_tokener_error error;

	if (tokener == NULL)
		return;
	json_tokener_set_flags(
	    tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	json = json_tokener_parse_ex(tokener, text, (int)size);
	error = json_tokener_get_error(tokener);
	if (error == json_tokener_continue) {
		json = json_tokener_parse_ex(tokener, "", 1);
		error = json_tokener_get_error(tokener);
	}
	if (error != json_tokener_success)
		abort();
	(void)json_object_put(json);
	json_tokener_free(tokener);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct jsonscan_limits limits = { 32, 100000 };
	char error[JSONSCAN_ERROR_SIZE];

	walk_pieces((const char *)data, size);
	if (jsonscan_check((const char *)data, size, &limits, error) == 0)
		ask_json_c((const char *)data, size);
	else if (error[0] == '\0' || strlen(error) >= sizeof(error))
		abort();
	return 0;
}
