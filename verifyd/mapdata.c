/* SPDX-License-Identifier: ISC */
#include "verifyd/mapdata.h"

#include <string.h>

#include "verifyd/address.h"
#include "verifyd/btf_encode.h"

#define VALUE_MAX (1u << 20)

/* The filling of one map. */
struct filler {
	const struct object *o;
	struct bpf_map *map;
	unsigned int index;
	struct loadplan_builder *plan;
	struct problems *problems;
	const char *name;
	uint32_t key_size;
	uint32_t value_size;
	uint8_t *key; /* owned, of those sizes */
	uint8_t *value;
	uint8_t *keys; /* owned: all keys so far, for duplicates */
	uint32_t key_count;
	uint32_t key_room;
};

static void
filler_release(struct filler *f)
{
	free(f->key);
	free(f->value);
	free(f->keys);
}

/* LPM tries: the prefix length in host order, then the address. */
static bool
encode_prefix(const struct filler *f, const char *text)
{
	uint8_t address[16];
	uint32_t prefix, data_len = f->key_size - sizeof(prefix), i, bits;
	enum address_kind kind;

	kind = address_parse_prefix(text, address, &prefix);
	if (kind == ADDRESS_NONE || address_len(kind) != data_len)
		return false;
	memcpy(f->key, &prefix, sizeof(prefix));
	for (i = 0; i < data_len; i++) {
		/* What is beyond the prefix does not count: one key only. */
		bits = prefix > 8 * i ? prefix - 8 * i : 0;
		if (bits < 8)
			address[i] &= (uint8_t)(0xff00u >> bits);
		f->key[sizeof(prefix) + i] = address[i];
	}
	return true;
}

/* By the type that BTF gives, or as plain bytes where it gives none. */
static int
encode_half(const struct filler *f, uint32_t type, struct json_object *value,
    uint8_t *out, uint32_t size, const char *path)
{
	if (type != 0 && f->o->btf != NULL)
		return btf_encode(
		    f->o->btf, type, value, out, size, path, f->problems);
	return btf_encode_untyped(value, out, size, path, f->problems);
}

static int
encode_key(const struct filler *f, struct json_object *key, const char *path)
{
	char quoted[PROBLEM_QUOTE_SIZE];

	if (bpf_map__type(f->map) != BPF_MAP_TYPE_LPM_TRIE ||
	    f->key_size <= sizeof(uint32_t) ||
	    !json_object_is_type(key, json_type_string))
		return encode_half(f, bpf_map__btf_key_type_id(f->map), key,
		    f->key, f->key_size, path);
	if (encode_prefix(f, json_object_get_string(key)))
		return 0;
	problem_add(f->problems,
	    "parameter %s: %s: wanted %s prefix such as %s", path,
	    problem_quote(key, quoted),
	    f->key_size == 20 ? "an IPv6" : "an IPv4",
	    f->key_size == 20 ? "\"2001:db8::/32\"" : "\"10.0.0.0/8\"");
	return -EINVAL;
}

static int
encode_value(
    const struct filler *f, struct json_object *value, const char *path)
{
	return encode_half(f, bpf_map__btf_value_type_id(f->map), value,
	    f->value, f->value_size, path);
}

static int
remember_key(struct filler *f)
{
	uint32_t room;
	uint8_t *p;

	if (f->key_count == f->key_room) {
		room = f->key_room == 0 ? 64 : f->key_room * 2;
		p = reallocarray(f->keys, room, f->key_size);
		if (p == NULL)
			return -ENOMEM;
		f->keys = p;
		f->key_room = room;
	}
	memcpy(
	    f->keys + (size_t)f->key_count * f->key_size, f->key, f->key_size);
	f->key_count++;
	return 0;
}

static int
add_element(struct filler *f, struct json_object *key,
    struct json_object *value, const char *path)
{
	struct loadplan_write w = { .kind = WRITE_ELEMENT, .map = f->index };
	int key_r = encode_key(f, key, path);
	int r = encode_value(f, value, path);

	/* What is wrong is in the list; the others are looked at still. */
	if (key_r < 0 || r < 0)
		return 0;
	r = remember_key(f);
	if (r < 0)
		return r;
	w.value_len = f->value_size;
	r = loadplan_add_data(f->plan, f->key, f->key_size, &w.key_off);
	if (r == 0)
		r = loadplan_add_data(
		    f->plan, f->value, f->value_size, &w.value_off);
	return r == 0 ? loadplan_add_write(f->plan, &w) : r;
}

static int
add_indexed(struct filler *f, uint32_t i, struct json_object *value)
{
	char path[BTF_PATH_SIZE];
	struct json_object *key = json_object_new_int64(i);
	int r;

	if (key == NULL)
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "%s[%u]", f->name, i);
	r = add_element(f, key, value, path);
	(void)json_object_put(key);
	return r;
}

/* {"key": ..., "value": ...} and nothing else. */
static bool
is_pair(struct json_object *obj)
{
	return json_object_is_type(obj, json_type_object) &&
	    json_object_object_length(obj) == 2 &&
	    json_object_object_get_ex(obj, "key", NULL) &&
	    json_object_object_get_ex(obj, "value", NULL);
}

static bool
all_are_pairs(struct json_object *list)
{
	size_t i, n = json_object_array_length(list);

	for (i = 0; i < n; i++)
		if (!is_pair(json_object_array_get_idx(list, i)))
			return false;
	return n > 0;
}

static bool
is_array_map(const struct filler *f)
{
	enum bpf_map_type type = bpf_map__type(f->map);

	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static int
fill_from_list(struct filler *f, struct json_object *list)
{
	char path[BTF_PATH_SIZE], quoted[PROBLEM_QUOTE_SIZE];
	bool by_index = is_array_map(f) && !all_are_pairs(list);
	size_t i, n = json_object_array_length(list);
	struct json_object *item;
	int r = 0;

	if (by_index && n > bpf_map__max_entries(f->map)) {
		problem_add(f->problems,
		    "parameter %s: %zu values, the map holds %u", f->name, n,
		    bpf_map__max_entries(f->map));
		return 0;
	}
	for (i = 0; r == 0 && i < n; i++) {
		item = json_object_array_get_idx(list, i);
		if (by_index) {
			r = add_indexed(f, (uint32_t)i, item);
			continue;
		}
		(void)snprintf(path, sizeof(path), "%s[%zu]", f->name, i);
		if (!is_pair(item))
			problem_add(f->problems,
			    "parameter %s: %s: wanted {\"key\": ..., "
			    "\"value\": ...}",
			    path, problem_quote(item, quoted));
		else
			r = add_element(f, json_object_object_get(item, "key"),
			    json_object_object_get(item, "value"), path);
	}
	return r;
}

static int
fill_from_object(struct filler *f, struct json_object *obj)
{
	char path[BTF_PATH_SIZE];
	struct json_object *text;
	int r;

	json_object_object_foreach(obj, key, value)
	{
		(void)snprintf(path, sizeof(path), "%s[%s]", f->name, key);
		text = json_object_new_string(key);
		if (text == NULL)
			return -ENOMEM;
		r = add_element(f, text, value, path);
		(void)json_object_put(text);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
compare_keys(const void *a, const void *b, void *size)
{
	return memcmp(a, b, *(const uint32_t *)size);
}

/* What the kernel would refuse or silently overwrite. */
static void
check_keys(struct filler *f)
{
	uint32_t max = bpf_map__max_entries(f->map), i, index;
	const uint8_t *key;

	if (f->key_count == 0)
		return;
	qsort_r(f->keys, f->key_count, f->key_size, compare_keys, &f->key_size);
	for (i = 1; i < f->key_count; i++) {
		key = f->keys + (size_t)i * f->key_size;
		if (memcmp(key - f->key_size, key, f->key_size) == 0) {
			problem_add(f->problems,
			    "parameter %s: two entries have the same key",
			    f->name);
			return;
		}
	}
	if (f->key_count > max)
		problem_add(f->problems,
		    "parameter %s: %u entries, the map holds %u", f->name,
		    f->key_count, max);
	for (i = 0; is_array_map(f) && i < f->key_count; i++) {
		memcpy(
		    &index, f->keys + (size_t)i * f->key_size, sizeof(index));
		if (index < max)
			continue;
		problem_add(f->problems,
		    "parameter %s: index %u, wanted 0 to %u", f->name, index,
		    max - 1);
		return;
	}
}

static bool
can_be_filled(const struct filler *f)
{
	switch (bpf_map__type(f->map)) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_LPM_TRIE:
		return f->key_size > 0 && f->key_size <= VALUE_MAX &&
		    f->value_size > 0 && f->value_size <= VALUE_MAX &&
		    (!is_array_map(f) || f->key_size == sizeof(uint32_t));
	default:
		return false;
	}
}

int
mapdata_encode(const struct object *o, unsigned int index,
    struct json_object *value, struct loadplan_builder *plan,
    struct problems *problems)
{
	_cleanup_(filler_release) struct filler f = { .o = o,
		.map = o->maps[index],
		.index = index,
		.plan = plan,
		.problems = problems };
	char quoted[PROBLEM_QUOTE_SIZE];
	const char *type;
	int r = 0;

	f.name = bpf_map__name(f.map);
	f.key_size = bpf_map__key_size(f.map);
	f.value_size = bpf_map__value_size(f.map);
	if (!can_be_filled(&f)) {
		type = libbpf_bpf_map_type_str(bpf_map__type(f.map));
		problem_add(problems,
		    "parameter %s: a map of type %s (key %u, value %u bytes) "
		    "takes no contents, only hash, array and LPM maps do",
		    f.name, type != NULL ? type : "unknown", f.key_size,
		    f.value_size);
		return 0;
	}
	f.key = malloc(f.key_size);
	f.value = malloc(f.value_size);
	if (f.key == NULL || f.value == NULL)
		return -ENOMEM;
	if (json_object_is_type(value, json_type_array))
		r = fill_from_list(&f, value);
	else if (json_object_is_type(value, json_type_object))
		r = fill_from_object(&f, value);
	else
		problem_add(problems,
		    "parameter %s: %s: a map's contents are {\"key\": value} "
		    "or [{\"key\": ..., \"value\": ...}]",
		    f.name, problem_quote(value, quoted));
	if (r == 0)
		check_keys(&f);
	return r;
}
