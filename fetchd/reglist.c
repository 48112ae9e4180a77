/* SPDX-License-Identifier: ISC */
#include "fetchd/reglist.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <string.h>

#include "common/clock.h"
#include "common/jsonpieces.h"
#include "common/jsonscan.h"
#include "common/strnum.h"
#include "fetchd/regentry.h"

struct builder {
	struct reglist *list;
	size_t entry_room;
	size_t data_room;
	reglist_complain complain;
	void *ctx;
	char *error;
};

static int
refuse(struct builder *b, int code, const char *why)
{
	(void)snprintf(
	    b->error, REGLIST_ERROR_SIZE, "malformed list: %.200s", why);
	str_scrub(b->error, REGLIST_ERROR_SIZE);
	return code;
}

/* ---- entries ---- */

static int
make_room(struct builder *b)
{
	struct artlist_entry *entries;
	size_t room;

	if (b->list->count < b->entry_room)
		return 0;
	room = b->entry_room == 0 ? 16 : 2 * b->entry_room;
	entries = reallocarray(b->list->entries, room, sizeof(*entries));
	if (entries == NULL)
		return -ENOMEM;
	b->list->entries = entries;
	b->entry_room = room;
	return 0;
}

static int
add_data(struct builder *b, struct artlist_entry *entry, const char *text)
{
	size_t len = strlen(text), need, room;
	char *data;

	need = b->list->data_len + len;
	if (need > ARTLIST_MAX / 2)
		return -E2BIG;
	if (need > b->data_room) {
		room = b->data_room == 0 ? 4096 : b->data_room;
		while (room < need)
			room *= 2;
		data = realloc(b->list->data, room);
		if (data == NULL)
			return -ENOMEM;
		b->list->data = data;
		b->data_room = room;
	}
	memcpy(b->list->data + b->list->data_len, text, len);
	entry->params_off = b->list->data_len;
	entry->params_len = (uint32_t)len;
	b->list->data_len += (uint32_t)len;
	return 0;
}

/* One piece of the array.  Only what ails the whole list is an error. */
static int
add_entry(struct builder *b, uint32_t index, const struct jsonslice *s)
{
	_cleanup_free_ char *parameters = NULL;
	struct artlist_entry *entry;
	struct json_object *json;
	char error[REGLIST_ERROR_SIZE];
	int r;

	r = make_room(b);
	if (r < 0)
		return refuse(b, r, "out of memory");
	entry = &b->list->entries[b->list->count];
	memset(entry, 0, sizeof(*entry));
	json = regentry_json(s->text, s->len, error, sizeof(error));
	if (json == NULL) {
		b->list->skipped++;
		b->complain(index, "", error, b->ctx);
		return 0;
	}
	r = regentry_read(json, entry, &parameters, error, sizeof(error));
	(void)json_object_put(json);
	if (r < 0) {
		b->list->skipped++;
		b->complain(index, entry->artifact_id, error, b->ctx);
		return 0;
	}
	if (parameters != NULL) {
		r = add_data(b, entry, parameters);
		if (r < 0)
			return refuse(b, r, "too much text in parameters");
	}
	entry->reserved = index; /* for drop_duplicates(), which clears it */
	b->list->count++;
	return 0;
}

static int
add_entries(struct builder *b, const char *text, size_t len)
{
	struct jsonpieces it;
	struct jsonslice key, value;
	uint32_t index;
	int r;

	if (len == 4 && memcmp(text, "null", 4) == 0)
		return 0;
	if (jsonpieces_open(&it, text, len) < 0 || it.object)
		return refuse(b, -EBADMSG, "artifacts: an array is wanted");
	for (index = 0;; index++) {
		r = jsonpieces_next(&it, &key, &value);
		if (r < 0)
			return refuse(b, r,
			    "the array of artifacts is broken off or not "
			    "well formed");
		if (r == 0)
			return 0;
		if (index == AEGIS_LIST_ENTRIES)
			return refuse(
			    b, -E2BIG, "more entries than the allowed 4096");
		r = add_entry(b, index, &value);
		if (r < 0)
			return r;
	}
}

/* ---- one entry an id ---- */

static int
compare_places(const void *a, const void *b, void *list)
{
	const struct artlist_entry *entries = list;
	const uint32_t *x = a, *y = b;
	int c = strcmp(entries[*x].artifact_id, entries[*y].artifact_id);

	return c != 0 ? c : (*x > *y) - (*x < *y);
}

/* The first of an id stays, later ones are skipped. */
static int
drop_duplicates(struct builder *b)
{
	struct reglist *list = b->list;
	_cleanup_free_ uint32_t *places = NULL;
	_cleanup_free_ bool *drop = NULL;
	uint32_t i, kept = 0;

	places = calloc(list->count + 1, sizeof(*places));
	drop = calloc(list->count + 1, sizeof(*drop));
	if (places == NULL || drop == NULL)
		return refuse(b, -ENOMEM, "out of memory");
	for (i = 0; i < list->count; i++)
		places[i] = i;
	if (list->count > 1)
		qsort_r(places, list->count, sizeof(*places), compare_places,
		    list->entries);
	for (i = 1; i < list->count; i++)
		drop[places[i]] =
		    strcmp(list->entries[places[i]].artifact_id,
			list->entries[places[i - 1]].artifact_id) == 0;
	for (i = 0; i < list->count; i++) {
		if (!drop[i]) {
			list->entries[kept] = list->entries[i];
			list->entries[kept++].reserved = 0;
			continue;
		}
		list->skipped++;
		b->complain(list->entries[i].reserved,
		    list->entries[i].artifact_id,
		    "artifact_id: listed before; the first entry counts",
		    b->ctx);
	}
	list->count = kept;
	return 0;
}

/* ---- the object around them ---- */

static int
read_time(struct builder *b, const char *name, const struct jsonslice *slice,
    int64_t *out)
{
	struct json_object *json;
	char error[REGLIST_ERROR_SIZE], why[REGLIST_ERROR_SIZE];
	int r;

	if (slice->len == 4 && memcmp(slice->text, "null", 4) == 0)
		return 0;
	json = regentry_json(slice->text, slice->len, error, sizeof(error));
	if (json == NULL) {
		(void)snprintf(why, sizeof(why), "%s: %.200s", name, error);
		return refuse(b, -EBADMSG, why);
	}
	r = json_object_is_type(json, json_type_string)
	    ? clock_parse_rfc3339(json_object_get_string(json), out)
	    : -EINVAL;
	(void)snprintf(why, sizeof(why),
	    "%s: %.60s: a time such as 2026-01-02T15:04:05Z is wanted", name,
	    json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
	(void)json_object_put(json);
	return r < 0 ? refuse(b, -EBADMSG, why) : 0;
}

/* What we do not read must be sound all the same: it is one text. */
static int
check_other(struct builder *b, const struct jsonslice *key,
    const struct jsonslice *value)
{
	static const struct jsonscan_limits limits = { 16, 65536 };
	char error[JSONSCAN_ERROR_SIZE], why[REGLIST_ERROR_SIZE];
	int r;

	r = jsonscan_check(value->text, value->len, &limits, error);
	if (r == 0)
		return 0;
	(void)snprintf(why, sizeof(why), "%.*s: %.150s",
	    (int)(key->len < 60 ? key->len : 60), key->text, error);
	return refuse(b, -EBADMSG, why);
}

/* Keys of the outer object: sound, and none twice. */
static int
check_key(struct builder *b, const struct jsonslice *key)
{
	static const struct jsonscan_limits limits = { 0, 1 };
	char error[JSONSCAN_ERROR_SIZE];

	if (jsonscan_check(key->text, key->len, &limits, error) < 0)
		return refuse(b, -EBADMSG, error);
	/* So that a key has one spelling and comparing bytes is enough. */
	if (memchr(key->text, '\\', key->len) != NULL)
		return refuse(b, -EBADMSG, "a key is written with escapes");
	return 0;
}

#define OUTER_KEYS 64

static int
read_object(struct builder *b, struct jsonpieces *it)
{
	struct jsonslice keys[OUTER_KEYS], value;
	bool found = false;
	size_t i, n;
	int r;

	for (n = 0;; n++) {
		if (n == OUTER_KEYS)
			return refuse(b, -E2BIG, "too many keys around it");
		r = jsonpieces_next(it, &keys[n], &value);
		if (r < 0)
			return refuse(b, r, "broken off or not well formed");
		if (r == 0)
			break;
		r = check_key(b, &keys[n]);
		if (r < 0)
			return r;
		for (i = 0; i < n; i++)
			if (keys[i].len == keys[n].len &&
			    memcmp(keys[i].text, keys[n].text, keys[n].len) ==
				0)
				return refuse(b, -EBADMSG, "a key twice");
		if (jsonslice_is(&keys[n], "artifacts")) {
			found = true;
			r = add_entries(b, value.text, value.len);
		} else if (jsonslice_is(&keys[n], "expires")) {
			r = read_time(
			    b, "expires", &value, &b->list->expires_wall_ns);
		} else if (jsonslice_is(&keys[n], "next_poll")) {
			r = read_time(b, "next_poll", &value,
			    &b->list->next_poll_wall_ns);
		} else {
			r = check_other(b, &keys[n], &value);
		}
		if (r < 0)
			return r;
	}
	return found ? 0 : refuse(b, -EBADMSG, "artifacts: missing");
}

static int
read_list(struct builder *b, const char *text, size_t len)
{
	struct jsonpieces it;
	int r;

	if (len > AEGIS_LIST_MAX)
		return refuse(b, -E2BIG, "longer than the allowed 8 MiB");
	while (len > 0 && strchr(" \t\r\n", *text) != NULL && *text != '\0') {
		text++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL &&
	    text[len - 1] != '\0')
		len--;
	if (len == 0)
		return refuse(b, -EBADMSG, "empty");
	if (*text != '{') {
		r = add_entries(b, text, len);
	} else {
		if (jsonpieces_open(&it, text, len) < 0)
			return refuse(b, -EBADMSG, "not JSON");
		r = read_object(b, &it);
	}
	return r < 0 ? r : drop_duplicates(b);
}

int
reglist_parse(const char *text, size_t len, struct reglist *list,
    reglist_complain complain, void *ctx, char *error)
{
	struct builder b = {
		.list = list,
		.complain = complain,
		.ctx = ctx,
		.error = error,
	};
	int r;

	memset(list, 0, sizeof(*list));
	error[0] = '\0';
	r = read_list(&b, text, len);
	if (r < 0)
		reglist_free(list);
	return r;
}

void
reglist_free(struct reglist *list)
{
	free(list->entries);
	free(list->data);
	memset(list, 0, sizeof(*list));
}
