/* SPDX-License-Identifier: ISC */
/*
 * The flat records' gates.  The first byte picks the format, the rest are the
 * bytes; what passes is read wherever it points to.
 */
#include <stdlib.h>
#include <string.h>

#include "common/artlist.h"
#include "common/keyset.h"
#include "common/loadplan.h"
#include "common/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink;

static void
touch(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len-- > 0)
		sink += *p++;
}

static void
try_plan(const void *bytes, size_t len)
{
	const struct loadplan_write *w;
	struct loadplan plan;
	const char *what;
	uint32_t i;

	if (loadplan_check(bytes, len, &plan, &what) < 0)
		return;
	for (i = 0; i < plan.header->prog_count; i++)
		touch(plan.data + plan.progs[i].attach_target_off,
		    plan.progs[i].attach_target_len);
	for (i = 0; i < plan.header->attach_count; i++)
		touch(attach_row(plan.attaches[i].kind)->name,
		    strlen(plan.attaches[i].target) > 0);
	for (i = 0; i < plan.header->counter_count; i++)
		if (plan.counters[i].offset + plan.counters[i].size >
		    plan.maps[plan.counters[i].map].value_size)
			abort();
	for (i = 0; i < plan.header->write_count; i++) {
		w = &plan.writes[i];
		touch(plan.data + w->value_off, w->value_len);
		if (w->kind == WRITE_ELEMENT)
			touch(
			    plan.data + w->key_off, plan.maps[w->map].key_size);
	}
}

static void
try_list(const void *bytes, size_t len)
{
	struct artlist list;
	const char *what;
	uint32_t i;

	if (artlist_check(bytes, len, &list, &what) < 0)
		return;
	for (i = 0; i < list.header->entry_count; i++) {
		touch(list.data + list.entries[i].params_off,
		    list.entries[i].params_len);
		sink += strlen(list.entries[i].signature);
	}
}

static void
touch_text(const struct snapshot *s, struct snapshot_text text)
{
	touch(s->data + text.off, text.len);
}

static void
try_snapshot(const void *bytes, size_t len)
{
	const struct snapshot_program *p;
	struct snapshot s;
	const char *what;
	uint32_t i, j;

	if (snapshot_check(bytes, len, &s, &what) < 0)
		return;
	for (i = 0; i < s.header->program_count; i++) {
		p = &s.programs[i];
		touch_text(&s, p->error);
		touch_text(&s, p->parameters);
		touch_text(&s, p->verifier_log);
		for (j = 0; j < p->attach_count; j++)
			sink += strlen(s.attaches[p->attach_first + j].target);
		for (j = 0; j < p->prog_count; j++)
			sink += s.kernel_progs[p->prog_first + j].prog_id;
	}
	for (i = 0; i < s.header->rollback_count; i++)
		sink += strlen(s.rollbacks[i].text);
}

static void
try_keys(const void *bytes, size_t len)
{
	struct keyset set;
	const char *what;
	uint32_t i;

	if (keyset_check(bytes, len, &set, &what) < 0)
		return;
	for (i = 0; i < set.header->key_count; i++)
		touch(set.keys[i].text, set.keys[i].text_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const formats[])(const void *, size_t) = { try_plan,
		try_list, try_snapshot, try_keys };
	void *bytes;

	if (size < 1)
		return 0;
	/* Aligned as a mapping is, and not a byte longer. */
	bytes = malloc(size > 1 ? size - 1 : 1);
	if (bytes == NULL)
		return 0;
	memcpy(bytes, data + 1, size - 1);
	formats[data[0] % nitems(formats)](bytes, size - 1);
	free(bytes);
	return 0;
}
