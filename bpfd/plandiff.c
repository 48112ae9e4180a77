/* SPDX-License-Identifier: ISC */
#include "bpfd/plandiff.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is not a value ---- */

static bool
same_header(const struct loadplan_header *a, const struct loadplan_header *b)
{
	struct loadplan_header x = *a, y = *b;

	/* What values alone change. */
	x.total_len = y.total_len = 0;
	x.write_count = y.write_count = 0;
	x.data_len = y.data_len = 0;
	return memcmp(&x, &y, sizeof(x)) == 0;
}

/* The same bytes, wherever they lie in the data areas. */
static bool
same_data(const struct loadplan *a, uint32_t a_off, const struct loadplan *b,
    uint32_t b_off, uint32_t len)
{
	return len == 0 || memcmp(a->data + a_off, b->data + b_off, len) == 0;
}

static bool
same_programs(const struct loadplan *a, const struct loadplan *b)
{
	struct loadplan_prog x, y;
	uint32_t i;

	for (i = 0; i < a->header->prog_count; i++) {
		x = a->progs[i];
		y = b->progs[i];
		if (x.attach_target_len != y.attach_target_len ||
		    !same_data(a, x.attach_target_off, b, y.attach_target_off,
			x.attach_target_len))
			return false;
		x.attach_target_off = y.attach_target_off = 0;
		if (memcmp(&x, &y, sizeof(x)) != 0)
			return false;
	}
	return true;
}

static bool
same_attachments(const struct loadplan *a, const struct loadplan *b)
{
	struct loadplan_attach x, y;
	uint32_t i;

	for (i = 0; i < a->header->attach_count; i++) {
		x = a->attaches[i];
		y = b->attaches[i];
		if (x.symbols_len != y.symbols_len ||
		    !same_data(
			a, x.symbols_off, b, y.symbols_off, x.symbols_len))
			return false;
		x.symbols_off = y.symbols_off = 0;
		if (memcmp(&x, &y, sizeof(x)) != 0)
			return false;
	}
	return true;
}

const char *
plandiff_shape(const struct loadplan *from, const struct loadplan *to)
{
	const struct loadplan_header *h = from->header;

	/* Limits and counts are of the signed metadata: the same artifact has
	 * them alike. */
	if (!same_header(h, to->header))
		return "its metadata would change";
	if (!same_programs(from, to))
		return "what its programs attach to would change";
	if (memcmp(from->maps, to->maps, h->map_count * sizeof(*to->maps)) != 0)
		return "its maps would change";
	if (!same_attachments(from, to))
		return "its attachments would change";
	if (memcmp(from->counters, to->counters,
		h->counter_count * sizeof(*to->counters)) != 0)
		return "its counters would change";
	return NULL;
}

/* ---- elements ---- */

struct ref {
	const struct loadplan *plan;
	uint32_t write;
};

static const struct loadplan_write *
write_of(const struct ref *r)
{
	return &r->plan->writes[r->write];
}

/* The kernel looks at no more of such a key than its prefix' bits. */
static int
compare_prefixes(const uint8_t *a, const uint8_t *b, uint32_t key_size)
{
	const size_t max = key_size - sizeof(uint32_t);
	uint32_t bits, other;
	size_t bytes;
	uint8_t mask;
	int c;

	memcpy(&bits, a, sizeof(bits));
	memcpy(&other, b, sizeof(other));
	if (bits != other)
		return bits < other ? -1 : 1;
	a += sizeof(bits);
	b += sizeof(bits);
	bytes = bits / 8 < max ? bits / 8 : max;
	c = memcmp(a, b, bytes);
	if (c != 0 || bytes == max || bits % 8 == 0)
		return c;
	mask = (uint8_t)(0xff00u >> bits % 8);
	return (a[bytes] & mask) - (b[bytes] & mask);
}

/* By map, then by key. */
static int
compare_keys(const struct ref *a, const struct ref *b)
{
	const struct loadplan_write *x = write_of(a), *y = write_of(b);
	const struct loadplan_map *m = &a->plan->maps[x->map];
	const uint8_t *p = a->plan->data + x->key_off;
	const uint8_t *q = b->plan->data + y->key_off;

	if (x->map != y->map)
		return x->map < y->map ? -1 : 1;
	if (m->type == BPF_MAP_TYPE_LPM_TRIE && m->key_size > sizeof(uint32_t))
		return compare_prefixes(p, q, m->key_size);
	return memcmp(p, q, m->key_size);
}

static int
compare_refs(const void *a, const void *b)
{
	const struct ref *x = a, *y = b;
	int c = compare_keys(x, y);

	if (c != 0)
		return c;
	return x->write < y->write ? -1 : x->write > y->write;
}

/* The last write of each key, sorted; NULL when there is no memory. */
static struct ref *
last_writes(const struct loadplan *plan, size_t *count)
{
	struct ref *refs =
	    calloc((size_t)plan->header->write_count + 1, sizeof(*refs));
	size_t i, n = 0, kept = 0;
	uint32_t w;

	if (refs == NULL)
		return NULL;
	for (w = 0; w < plan->header->write_count; w++)
		if (plan->writes[w].kind == WRITE_ELEMENT)
			refs[n++] = (struct ref){ plan, w };
	qsort(refs, n, sizeof(*refs), compare_refs);
	for (i = 0; i < n; i++)
		if (i + 1 == n || compare_keys(&refs[i], &refs[i + 1]) != 0)
			refs[kept++] = refs[i];
	*count = kept;
	return refs;
}

static bool
same_value(const struct ref *a, const struct ref *b)
{
	const struct loadplan_write *x = write_of(a), *y = write_of(b);

	return x->value_len == y->value_len &&
	    same_data(
		a->plan, x->value_off, b->plan, y->value_off, x->value_len);
}

/* OLD or NEW may be NULL: no parameter wrote it, or writes it. */
static struct plandiff_element
element_of(const struct ref *old, const struct ref *new)
{
	const struct ref *any = new != NULL ? new : old;
	struct plandiff_element e = {
		.map = write_of(any)->map,
		.key = any->plan->data + write_of(any)->key_off,
	};

	if (new != NULL)
		e.value = new->plan->data + write_of(new)->value_off;
	if (old != NULL)
		e.old = old->plan->data + write_of(old)->value_off;
	return e;
}

int
plandiff_elements(const struct loadplan *from, const struct loadplan *to,
    struct plandiff_element **out, size_t *count)
{
	size_t old_count, new_count, i = 0, j = 0, gone = 0, n = 0;
	_cleanup_free_ struct ref *old = last_writes(from, &old_count);
	_cleanup_free_ struct ref *new = last_writes(to, &new_count);
	_cleanup_free_ struct plandiff_element *set = NULL;
	struct plandiff_element *all;
	int c;

	if (old == NULL || new == NULL)
		return -ENOMEM;
	all = calloc(old_count + new_count + 1, sizeof(*all));
	set = calloc(new_count + 1, sizeof(*set));
	if (all == NULL || set == NULL) {
		free(all);
		return -ENOMEM;
	}
	while (i < old_count || j < new_count) {
		c = i == old_count   ? 1
		    : j == new_count ? -1
				     : compare_keys(&old[i], &new[j]);
		if (c < 0)
			all[gone++] = element_of(&old[i], NULL);
		else if (c > 0)
			set[n++] = element_of(NULL, &new[j]);
		else if (!same_value(&old[i], &new[j]))
			set[n++] = element_of(&old[i], &new[j]);
		i += c <= 0;
		j += c >= 0;
	}
	memcpy(all + gone, set, n * sizeof(*set));
	*out = all;
	*count = gone + n;
	return 0;
}

/* ---- global variables ---- */

int
plandiff_globals(
    const struct loadplan *plan, uint32_t map, struct plandiff_globals *out)
{
	uint32_t size = plan->maps[map].value_size, i;
	const struct loadplan_write *w;

	out->value = calloc(1, (size_t)size + 1);
	out->written = calloc((size_t)size + 1, sizeof(*out->written));
	if (out->value == NULL || out->written == NULL) {
		plandiff_globals_free(out);
		return -ENOMEM;
	}
	for (i = 0; i < plan->header->write_count; i++) {
		w = &plan->writes[i];
		if (w->kind != WRITE_INITIAL || w->map != map)
			continue;
		memcpy(out->value + w->offset, plan->data + w->value_off,
		    w->value_len);
		memset(out->written + w->offset, 1, w->value_len);
	}
	return 0;
}

void
plandiff_globals_free(struct plandiff_globals *g)
{
	free(g->value);
	free(g->written);
	g->value = NULL;
	g->written = NULL;
}
