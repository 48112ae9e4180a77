/* SPDX-License-Identifier: ISC */
#include "bpfd/elements.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

bool
element_is_per_cpu(uint32_t map_type)
{
	return map_type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	    map_type == BPF_MAP_TYPE_PERCPU_HASH ||
	    map_type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

bool
element_is_writable(uint32_t map_type)
{
	switch (map_type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_LPM_TRIE:
		return true;
	default:
		return false;
	}
}

size_t
element_value_bytes(uint32_t map_type, uint32_t value_size, int cpus)
{
	size_t padded, total;

	if (!element_is_per_cpu(map_type))
		return value_size;
	/* The kernel's rule: each CPU's value rounded up to 8 bytes. */
	padded = ((size_t)value_size + 7) & ~(size_t)7;
	if (cpus <= 0 || __builtin_mul_overflow(padded, (size_t)cpus, &total))
		return 0;
	return total;
}

uint8_t *
element_expand(const struct loadplan_map *m, const uint8_t *value, int cpus)
{
	size_t bytes = element_value_bytes(m->type, m->value_size, cpus);
	uint8_t *all = bytes > 0 ? calloc(1, bytes) : NULL;
	size_t step, off;

	if (all == NULL || value == NULL)
		return all;
	step = element_is_per_cpu(m->type) ? bytes / (size_t)cpus : bytes;
	for (off = 0; off < bytes; off += step)
		memcpy(all + off, value, m->value_size);
	return all;
}

const char *
element_reason(int error)
{
	switch (error) {
	case E2BIG:
		return "the key is beyond max_entries, or the map is full";
	case ENOSPC:
		return "the map is full";
	case EINVAL:
		return "the kernel takes no such key or value";
	default:
		return strerror(error);
	}
}

int
element_write(const struct loadplan *plan, uint32_t index, int fd, int cpus,
    struct failure *f)
{
	const struct loadplan_write *w = &plan->writes[index];
	const struct loadplan_map *m = &plan->maps[w->map];
	const uint8_t *value = plan->data + w->value_off;
	_cleanup_free_ uint8_t *all = NULL;
	int r;

	if (!element_is_writable(m->type))
		return failure_set(f, WORK_REFUSED, -EINVAL,
		    "map \"%s\": parameters cannot be written into a map of "
		    "type %u",
		    m->name, m->type);
	if (element_is_per_cpu(m->type)) {
		all = element_expand(m, value, cpus);
		if (all == NULL)
			return failure_set(f, WORK_TRANSIENT, -ENOMEM,
			    "map \"%s\": out of memory for a value on %d CPUs",
			    m->name, cpus);
		value = all;
	}
	if (bpf_map_update_elem(fd, plan->data + w->key_off, value, BPF_ANY) ==
	    0)
		return 0;
	r = -errno;
	return failure_set(f,
	    r == -E2BIG || r == -ENOSPC ? WORK_REFUSED : failure_kind(r), r,
	    "map \"%s\" (max_entries %u): write %u failed: %s", m->name,
	    m->max_entries, index, element_reason(-r));
}
