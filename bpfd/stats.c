/* SPDX-License-Identifier: ISC */
#include "bpfd/stats.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpfd/elements.h"
#include "common/clock.h"

static bool
is_sampled(const struct loadplan *plan, uint32_t map)
{
	uint32_t i;

	for (i = 0; i < plan->header->counter_count; i++) {
		if (plan->counters[i].map == map)
			return true;
	}
	return false;
}

int
stats_check(const struct loadplan *plan, int cpus, struct failure *f)
{
	const struct loadplan_map *m;
	uint32_t i;
	size_t bytes;

	for (i = 0; i < plan->header->map_count; i++) {
		m = &plan->maps[i];
		if (!is_sampled(plan, i))
			continue;
		if ((m->type != BPF_MAP_TYPE_ARRAY &&
			m->type != BPF_MAP_TYPE_PERCPU_ARRAY) ||
		    m->key_size != sizeof(uint32_t))
			return failure_set(f, WORK_REFUSED, -EINVAL,
			    "telemetry: map \"%s\" is neither an array nor a "
			    "per-CPU array",
			    m->name);
		bytes = element_value_bytes(m->type, m->value_size, cpus);
		if (m->max_entries > STATS_MAX_ELEMENTS || bytes == 0 ||
		    bytes > STATS_MAX_BYTES)
			return failure_set(f, WORK_REFUSED, -E2BIG,
			    "telemetry: map \"%s\" has %u elements of %u "
			    "bytes; at most %u of %u (over all CPUs) can be "
			    "sampled",
			    m->name, m->max_entries, m->value_size,
			    STATS_MAX_ELEMENTS, STATS_MAX_BYTES);
	}
	return 0;
}

void
stats_measure(struct artifact *a, const struct kernel *k)
{
	size_t i;

	for (i = 0; i < nitems(a->progs); i++)
		if (a->progs[i].fd >= 0)
			a->progs[i].memory =
			    kernel_fd_memory(k, a->progs[i].fd);
	for (i = 0; i < nitems(a->maps); i++)
		if (a->maps[i].fd >= 0)
			a->maps[i].memory = kernel_fd_memory(k, a->maps[i].fd);
}

uint64_t
stats_read_counter(const uint8_t *value, const struct loadplan_counter *c)
{
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	switch (c->size) {
	case 1:
		return value[c->offset];
	case 2:
		memcpy(&u16, value + c->offset, sizeof(u16));
		return u16;
	case 4:
		memcpy(&u32, value + c->offset, sizeof(u32));
		return u32;
	default:
		memcpy(&u64, value + c->offset, sizeof(u64));
		return u64;
	}
}

/* Add one element, all its CPUs, to the counters that lie in that map. */
static void
add_element(const struct loadplan *plan, uint32_t map, const uint8_t *values,
    size_t step, int copies, uint64_t *sums)
{
	const struct loadplan_counter *c;
	uint32_t i;
	int cpu;

	for (i = 0; i < plan->header->counter_count; i++) {
		c = &plan->counters[i];
		if (c->map != map)
			continue;
		for (cpu = 0; cpu < copies; cpu++)
			sums[c->kind] +=
			    stats_read_counter(values + (size_t)cpu * step, c);
	}
}

static int
add_map(struct artifact *a, uint32_t map, int cpus, uint64_t *sums)
{
	const struct loadplan_map *m = &a->plan.maps[map];
	int copies = element_is_per_cpu(m->type) ? cpus : 1;
	_cleanup_free_ uint8_t *values = NULL;
	size_t bytes;
	uint32_t key;

	if (a->maps[map].fd < 0)
		return -EBADF;
	bytes = element_value_bytes(m->type, m->value_size, cpus);
	values = malloc(bytes);
	if (values == NULL)
		return -ENOMEM;
	for (key = 0; key < m->max_entries; key++) {
		if (bpf_map_lookup_elem(a->maps[map].fd, &key, values) < 0)
			return -errno;
		add_element(&a->plan, map, values, bytes / (size_t)copies,
		    copies, sums);
	}
	return 0;
}

static int
sample_counters(
    struct artifact *a, const struct kernel *k, struct msg_bpf_sampled *out)
{
	uint64_t sums[COUNTER_KIND_MAX] = { 0 };
	bool have[COUNTER_KIND_MAX] = { false };
	uint32_t i;
	int r;

	for (i = 0; i < a->plan.header->counter_count; i++)
		have[a->plan.counters[i].kind] = true;
	for (i = 0; i < a->plan.header->map_count; i++) {
		if (!is_sampled(&a->plan, i))
			continue;
		r = add_map(a, i, k->cpus, sums);
		if (r < 0)
			return r;
	}
	for (i = 0; i < COUNTER_KIND_MAX; i++)
		if (!have[i])
			sums[i] = UINT64_MAX;
	out->packets_processed = sums[COUNTER_PACKETS];
	out->violations = sums[COUNTER_VIOLATIONS];
	out->errors = sums[COUNTER_ERRORS];
	return 0;
}

static int
sample_programs(const struct artifact *a, struct msg_bpf_sampled *out)
{
	struct bpf_prog_info info;
	uint32_t len;
	size_t i;

	for (i = 0; i < nitems(a->progs); i++) {
		if (a->progs[i].fd < 0)
			continue;
		memset(&info, 0, sizeof(info));
		len = sizeof(info);
		if (bpf_obj_get_info_by_fd(a->progs[i].fd, &info, &len) < 0)
			return -errno;
		out->run_count += info.run_cnt;
		out->run_time_ns += info.run_time_ns;
		out->recursion_misses += info.recursion_misses;
		out->memory_bytes += a->progs[i].memory;
	}
	return 0;
}

/* Only what can have changed is looked at again: it is a file each. */
static void
sample_memory(
    struct artifact *a, const struct kernel *k, struct msg_bpf_sampled *out)
{
	size_t i;

	for (i = 0; i < nitems(a->maps); i++) {
		if (a->maps[i].fd < 0)
			continue;
		if (a->maps[i].grows)
			a->maps[i].memory = kernel_fd_memory(k, a->maps[i].fd);
		out->memory_bytes += a->maps[i].memory;
	}
}

void
stats_sample(
    struct artifact *a, const struct kernel *k, struct msg_bpf_sampled *out)
{
	memset(out, 0, sizeof(*out));
	out->boot_ns = clock_boot_ns();
	out->result = sample_programs(a, out);
	if (out->result == 0)
		out->result = sample_counters(a, k, out);
	if (out->result == 0)
		sample_memory(a, k, out);
}
