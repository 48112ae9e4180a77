/* SPDX-License-Identifier: ISC */
/*
 * The record of a hand-over, and what belongs where in it.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

#include "agentd/handover.h"
#include "common/memfd.h"
#include "common/strnum.h"

#define ARTIFACTS_MAX 16384
#define LINKS_MAX     65536

static bool
identifier_ok(const char *s, size_t size)
{
	return str_is_terminated(s, size) && s[0] != '\0';
}

static const char *
check_artifact(const struct handover_artifact *a, uint32_t data_len)
{
	const struct artlist_entry *e = &a->listing;

	if (!identifier_ok(e->artifact_id, sizeof(e->artifact_id)) ||
	    !identifier_ok(e->name, sizeof(e->name)) ||
	    !str_is_terminated(e->version, sizeof(e->version)) ||
	    !str_is_terminated(e->architecture, sizeof(e->architecture)) ||
	    !str_is_terminated(e->kernel_version, sizeof(e->kernel_version)) ||
	    !str_is_terminated(e->replaces, sizeof(e->replaces)) ||
	    !str_is_terminated(e->signature, sizeof(e->signature)))
		return "an artifact's text";
	if (e->params_off > data_len ||
	    e->params_len > data_len - e->params_off)
		return "an artifact's parameters";
	if (a->status != STATUS_LOADED && a->status != STATUS_RUNNING &&
	    a->status != STATUS_UNLOADED)
		return "an artifact's status";
	if (a->unload_reason >= UNLOAD_MAX ||
	    a->watch_threshold >= THRESHOLD_MAX || a->handle == 0)
		return "an artifact's numbers";
	return NULL;
}

static const char *
check_records(const struct handover *h)
{
	const struct handover_header *header = h->header;
	const struct handover_link *l;
	const char *what;
	uint32_t i, j;

	for (i = 0; i < header->artifact_count; i++) {
		what = check_artifact(&h->artifacts[i], header->data_len);
		if (what != NULL)
			return what;
		if (h->artifacts[i].handle > header->next_handle)
			return "an artifact's handle";
		for (j = 0; j < i; j++)
			if (h->artifacts[j].handle == h->artifacts[i].handle)
				return "two artifacts with one handle";
	}
	for (i = 0; i < header->link_count; i++) {
		l = &h->links[i];
		if (l->artifact >= header->artifact_count ||
		    (l->link_id == 0) != (l->filter.handle != 0) ||
		    (l->filter.handle != 0 &&
			(!tc_filter_is_sound(&l->filter) ||
			    l->filter.ifindex != l->ifindex)) ||
		    l->attach >= LOADPLAN_MAX_ATTACHES ||
		    !str_is_terminated(l->interface, sizeof(l->interface)))
			return "a link";
	}
	return NULL;
}

int
handover_check(
    const void *bytes, size_t len, struct handover *h, const char **what)
{
	const struct handover_header *header = bytes;
	const uint8_t *p = bytes;

	memset(h, 0, sizeof(*h));
	*what = "its header";
	if (len < sizeof(*header) || header->magic != HANDOVER_MAGIC)
		return -EBADMSG;
	if (header->version != HANDOVER_VERSION ||
	    header->artifact_size != sizeof(struct handover_artifact) ||
	    header->link_size != sizeof(struct handover_link)) {
		*what = "its version";
		return -EPROTO;
	}
	*what = "its length";
	if (header->artifact_count > ARTIFACTS_MAX ||
	    header->link_count > LINKS_MAX || header->total_len != len ||
	    sizeof(*header) +
		    (size_t)header->artifact_count *
			sizeof(struct handover_artifact) +
		    (size_t)header->link_count * sizeof(struct handover_link) +
		    header->data_len !=
		len)
		return -EBADMSG;
	h->header = header;
	p += sizeof(*header);
	h->artifacts = (const struct handover_artifact *)(const void *)p;
	p += (size_t)header->artifact_count * sizeof(struct handover_artifact);
	h->links = (const struct handover_link *)(const void *)p;
	p += (size_t)header->link_count * sizeof(struct handover_link);
	h->data = p;
	*what = check_records(h);
	if (*what == NULL)
		return 0;
	memset(h, 0, sizeof(*h));
	return -EBADMSG;
}

int
handover_write(struct handover_header *header,
    const struct handover_artifact *artifacts, uint32_t artifact_count,
    const struct handover_link *links, uint32_t link_count, const void *data,
    uint32_t data_len)
{
	size_t a = artifact_count * sizeof(*artifacts);
	size_t l = link_count * sizeof(*links);
	size_t len = sizeof(*header) + a + l + data_len;
	_cleanup_free_ uint8_t *bytes = malloc(len);

	if (bytes == NULL)
		return -ENOMEM;
	header->magic = HANDOVER_MAGIC;
	header->version = HANDOVER_VERSION;
	header->total_len = len;
	header->artifact_size = sizeof(*artifacts);
	header->link_size = sizeof(*links);
	header->artifact_count = artifact_count;
	header->link_count = link_count;
	header->data_len = data_len;
	memcpy(bytes, header, sizeof(*header));
	if (a > 0)
		memcpy(bytes + sizeof(*header), artifacts, a);
	if (l > 0)
		memcpy(bytes + sizeof(*header) + a, links, l);
	if (data_len > 0)
		memcpy(bytes + sizeof(*header) + a + l, data, data_len);
	return memfd_from_bytes("handover", bytes, len);
}

static bool
runs_program(const struct handover_artifact *a, uint32_t prog_id)
{
	size_t i;

	for (i = 0; i < nitems(a->prog_ids); i++)
		if (a->prog_ids[i] == prog_id)
			return true;
	return false;
}

static struct handover_place
find_link(const struct handover *h, const struct held *held)
{
	struct handover_place place = { 0 };
	uint32_t i;

	for (i = 0; i < h->header->link_count; i++) {
		if (h->links[i].link_id != held->id ||
		    !runs_program(
			&h->artifacts[h->links[i].artifact], held->prog_id))
			continue;
		place.kind = PLACE_LINK;
		place.artifact = h->links[i].artifact;
		place.index = i;
		break;
	}
	return place;
}

/* In one artifact, of what is not a link. */
static struct handover_place
find_in(const struct handover_artifact *a, const struct held *held)
{
	struct handover_place place = { 0 };
	uint32_t i;

	if (held->kind == HELD_MEMFD) {
		if (held->inode == a->object_inode)
			place.kind = PLACE_OBJECT;
		else if (held->inode == a->plan_inode)
			place.kind = PLACE_PLAN;
		else if (held->inode == a->effective_inode)
			place.kind = PLACE_EFFECTIVE;
		return place;
	}
	for (i = 0; held->kind == HELD_PROG && i < LOADPLAN_MAX_PROGS; i++)
		if (a->prog_ids[i] == held->id &&
		    memcmp(a->prog_tags[i], held->tag, sizeof(held->tag)) == 0)
			return (struct handover_place){ PLACE_PROG, 0, i };
	for (i = 0; held->kind == HELD_MAP && i < LOADPLAN_MAX_MAPS; i++)
		if (a->map_ids[i] == held->id)
			return (struct handover_place){ PLACE_MAP, 0, i };
	return place;
}

struct handover_place
handover_find(const struct handover *h, const struct held *held)
{
	struct handover_place place = { 0 };
	uint32_t i;

	/* Zero stands for none in the record. */
	if (held->kind == HELD_MEMFD ? held->inode == 0 : held->id == 0)
		return place;
	if (held->kind == HELD_LINK)
		return find_link(h, held);
	for (i = 0; i < h->header->artifact_count; i++) {
		place = find_in(&h->artifacts[i], held);
		place.artifact = i;
		if (place.kind != PLACE_NONE)
			return place;
	}
	return (struct handover_place){ 0 };
}
