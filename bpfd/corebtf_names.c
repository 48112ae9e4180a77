/* SPDX-License-Identifier: ISC */
#include "bpfd/corebtf_names.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpfd/corebtf.h"

size_t
corebtf_essential_len(const char *name)
{
	size_t len = strlen(name), i;

	/* "x___y": three underscores between two of something else. */
	for (i = len >= 5 ? len - 5 + 1 : 0; i-- > 0;) {
		if (name[i] != '_' && memcmp(name + i + 1, "___", 3) == 0 &&
		    name[i + 4] != '_')
			return i + 1;
	}
	return len;
}

static uint32_t
hash(const char *name, size_t len)
{
	uint32_t h = 2166136261u;

	while (len-- > 0)
		h = (h ^ (unsigned char)*name++) * 16777619u;
	return h % (8192 * 8);
}

bool
names_is_root(const struct btf_type *t)
{
	switch (btf_kind(t)) {
	case BTF_KIND_INT:
	case BTF_KIND_FLOAT:
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_TYPEDEF:
		return t->name_off != 0;
	default:
		return false;
	}
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sort, and each once. */
static void
tidy(struct names *n)
{
	uint32_t i, kept = 0;

	qsort(n->list, n->count, sizeof(*n->list), compare);
	for (i = 0; i < n->count; i++) {
		if (kept > 0 && strcmp(n->list[i], n->list[kept - 1]) == 0)
			free(n->list[i]);
		else
			n->list[kept++] = n->list[i];
	}
	n->count = kept;
}

int
names_collect(struct names *n, const struct btf *object)
{
	uint32_t id, types = btf__type_cnt(object), h;
	const struct btf_type *t;
	const char *name;
	size_t len;

	memset(n, 0, sizeof(*n));
	n->list = calloc(types, sizeof(*n->list));
	if (n->list == NULL)
		return -ENOMEM;
	for (id = 1; id < types; id++) {
		t = btf__type_by_id(object, id);
		if (!names_is_root(t))
			continue;
		name = btf__name_by_offset(object, t->name_off);
		len = corebtf_essential_len(name);
		n->list[n->count] = strndup(name, len);
		if (n->list[n->count] == NULL) {
			names_free(n);
			return -ENOMEM;
		}
		n->count++;
		h = hash(name, len);
		n->maybe[h / 8] |= (uint8_t)(1u << (h % 8));
	}
	tidy(n);
	return 0;
}

void
names_free(struct names *n)
{
	uint32_t i;

	for (i = 0; i < n->count; i++)
		free(n->list[i]);
	free(n->list);
	n->list = NULL;
	n->count = 0;
}

bool
names_have(const struct names *n, const char *name)
{
	size_t len = corebtf_essential_len(name);
	uint32_t h = hash(name, len), low = 0, high = n->count, middle;
	int order;

	if (!(n->maybe[h / 8] & (1u << (h % 8))))
		return false;
	while (low < high) {
		middle = low + (high - low) / 2;
		order = strncmp(name, n->list[middle], len);
		if (order == 0 && n->list[middle][len] != '\0')
			order = -1;
		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

char *
names_key(const struct btf *object)
{
	struct names n;
	size_t len = 1, one;
	char *key, *at;
	uint32_t i;

	if (names_collect(&n, object) < 0)
		return NULL;
	for (i = 0; i < n.count; i++)
		len += strlen(n.list[i]) + 1;
	at = key = malloc(len);
	for (i = 0; key != NULL && i < n.count; i++) {
		one = strlen(n.list[i]);
		memcpy(at, n.list[i], one);
		at += one;
		*at++ = '\n'; /* in no name that a compiler writes */
	}
	if (key != NULL)
		*at = '\0';
	names_free(&n);
	return key;
}
