/* SPDX-License-Identifier: ISC */
/*
 * bpfd: sizes of elements, what may be written and sampled (elements.c,
 * stats.c), and that a plan's programs and maps are compared with it
 * (artifact.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>

#include "bpfd/artifact.h"
#include "bpfd/elements.h"
#include "bpfd/stats.h"
#include "unit.h"

START_TEST (value_sizes) {
	ck_assert_uint_eq(element_value_bytes(BPF_MAP_TYPE_HASH, 5, 4), 5);
	ck_assert_uint_eq(
	    element_value_bytes(BPF_MAP_TYPE_PERCPU_ARRAY, 5, 4), 32);
	ck_assert_uint_eq(
	    element_value_bytes(BPF_MAP_TYPE_LRU_PERCPU_HASH, 8, 2), 16);
	ck_assert_uint_eq(
	    element_value_bytes(BPF_MAP_TYPE_PERCPU_HASH, 8, 0), 0);
	ck_assert_uint_eq(
	    element_value_bytes(BPF_MAP_TYPE_PERCPU_HASH, 8, -1), 0);
}
END_TEST

START_TEST (values_are_repeated_for_each_processor) {
	static const uint8_t value[5] = { 1, 2, 3, 4, 5 };
	static const uint8_t padded[8] = { 1, 2, 3, 4, 5 };
	struct loadplan_map m = {
		.type = BPF_MAP_TYPE_PERCPU_ARRAY,
		.value_size = sizeof(value),
	};
	uint8_t *all = element_expand(&m, value, 3);
	size_t i;

	ck_assert_ptr_nonnull(all);
	for (i = 0; i < 3; i++)
		ck_assert_mem_eq(all + 8 * i, padded, sizeof(padded));
	free(all);
	all = element_expand(&m, NULL, 3);
	ck_assert_ptr_nonnull(all);
	for (i = 0; i < 24; i++)
		ck_assert_uint_eq(all[i], 0);
	free(all);
	ck_assert_ptr_null(element_expand(&m, value, 0));
	m.type = BPF_MAP_TYPE_HASH;
	all = element_expand(&m, value, 3);
	ck_assert_mem_eq(all, value, sizeof(value));
	free(all);
}
END_TEST

START_TEST (no_descriptor_is_written_into_a_map) {
	static const uint8_t data[8];
	struct loadplan_map m = {
		.type = BPF_MAP_TYPE_PROG_ARRAY,
		.key_size = 4,
		.value_size = 4,
		.name = "jumps",
	};
	const struct loadplan_write w = { .map = 0 };
	const struct loadplan plan = {
		.maps = &m,
		.writes = &w,
		.data = data,
	};
	struct failure f = { 0 };

	ck_assert_int_eq(element_write(&plan, 0, -1, 2, &f), -EINVAL);
	ck_assert_int_eq(f.result, WORK_REFUSED);
	ck_assert_ptr_nonnull(strstr(f.text, "\"jumps\""));
	/* Without processors there is no value for them. */
	m.type = BPF_MAP_TYPE_PERCPU_HASH;
	ck_assert_int_eq(element_write(&plan, 0, -1, 0, &f), -ENOMEM);
}
END_TEST

START_TEST (maps_of_descriptors_are_not_written) {
	static const uint32_t no[] = { BPF_MAP_TYPE_PROG_ARRAY,
		BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_CGROUP_ARRAY,
		BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS,
		BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH,
		BPF_MAP_TYPE_XSKMAP, BPF_MAP_TYPE_RINGBUF, 9999 };
	static const uint32_t yes[] = { BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY,
		BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY,
		BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH,
		BPF_MAP_TYPE_LPM_TRIE };
	size_t i;

	for (i = 0; i < nitems(no); i++)
		ck_assert_msg(!element_is_writable(no[i]), "type %u", no[i]);
	for (i = 0; i < nitems(yes); i++)
		ck_assert_msg(element_is_writable(yes[i]), "type %u", yes[i]);
}
END_TEST

START_TEST (counters_of_every_width) {
	static const uint8_t value[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct loadplan_counter c = { .offset = 1, .size = 1 };
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	ck_assert_uint_eq(stats_read_counter(value, &c), 1);
	c.size = 2;
	memcpy(&u16, value + 1, 2);
	ck_assert_uint_eq(stats_read_counter(value, &c), u16);
	c.size = 4;
	memcpy(&u32, value + 1, 4);
	ck_assert_uint_eq(stats_read_counter(value, &c), u32);
	c.size = 8;
	memcpy(&u64, value + 1, 8);
	ck_assert_uint_eq(stats_read_counter(value, &c), u64);
}
END_TEST

/* A plan with one sampled map. */
static void
fill_plan(struct loadplan *plan, struct loadplan_header *h,
    struct loadplan_map *m, struct loadplan_counter *c)
{
	memset(h, 0, sizeof(*h));
	h->map_count = 1;
	h->counter_count = 1;
	*m = (struct loadplan_map){
		.name = "stats",
		.type = BPF_MAP_TYPE_PERCPU_ARRAY,
		.key_size = 4,
		.value_size = 32,
		.max_entries = 1,
		.flags = LOADPLAN_MAP_STATS,
	};
	*c = (struct loadplan_counter){ .size = 8 };
	memset(plan, 0, sizeof(*plan));
	plan->header = h;
	plan->maps = m;
	plan->counters = c;
}

START_TEST (maps_that_can_be_sampled) {
	struct loadplan_counter c;
	struct loadplan_header h;
	struct loadplan_map m;
	struct loadplan plan;
	struct failure f = { 0 };

	fill_plan(&plan, &h, &m, &c);
	ck_assert_int_eq(stats_check(&plan, 4, &f), 0);
	m.max_entries = STATS_MAX_ELEMENTS;
	ck_assert_int_eq(stats_check(&plan, 4, &f), 0);
	m.max_entries++;
	ck_assert_int_eq(stats_check(&plan, 4, &f), -E2BIG);
	ck_assert_ptr_nonnull(strstr(f.text, "\"stats\""));
	/* The same map without counters is nobody's business. */
	h.counter_count = 0;
	ck_assert_int_eq(stats_check(&plan, 4, &f), 0);
}
END_TEST

START_TEST (maps_that_cannot_be_sampled) {
	static const uint32_t types[] = { BPF_MAP_TYPE_HASH,
		BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_LPM_TRIE };
	struct loadplan_counter c;
	struct loadplan_header h;
	struct loadplan_map m;
	struct loadplan plan;
	size_t i;

	for (i = 0; i < nitems(types); i++) {
		struct failure f = { 0 };

		fill_plan(&plan, &h, &m, &c);
		m.type = types[i];
		ck_assert_int_eq(stats_check(&plan, 4, &f), -EINVAL);
		ck_assert_int_eq(f.result, WORK_REFUSED);
	}
	fill_plan(&plan, &h, &m, &c);
	m.value_size = STATS_MAX_BYTES / 4 + 8;
	ck_assert_int_eq(stats_check(&plan, 4, &(struct failure){ 0 }), -E2BIG);
	fill_plan(&plan, &h, &m, &c);
	m.key_size = 8;
	ck_assert_int_eq(
	    stats_check(&plan, 4, &(struct failure){ 0 }), -EINVAL);
}
END_TEST

START_TEST (artifact_takes_only_what_the_plan_has) {
	struct artifact *a = artifact_new(7, "it");
	struct artifact_list list = TAILQ_HEAD_INITIALIZER(list);
	const char *what;
	int fd;

	/* without a plan: nothing */
	ck_assert_int_eq(artifact_set_prog(a, 0, dup(0)), -EINVAL);
	ck_assert_int_eq(artifact_set_map(a, 0, dup(0)), -EINVAL);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(artifact_set_plan(a, fd, &what), -EPERM);
	ck_assert_str_eq(what, "not a sealed memfd");
	fd_close(&fd);
	fd = memfd_from_bytes("it", "rubbish", 7);
	ck_assert_int_eq(artifact_set_plan(a, fd, &what), -EBADMSG);
	ck_assert_ptr_null(a->plan.header);
	fd_close(&fd);
	TAILQ_INSERT_TAIL(&list, a, entry);
	ck_assert_ptr_eq(artifact_find(&list, 7), a);
	ck_assert_ptr_null(artifact_find(&list, 8));
	ck_assert_ptr_null(artifact_find_prog(&list, 1, &fd));
	ck_assert_int_eq(fd, -1);
	TAILQ_REMOVE(&list, a, entry);
	artifact_free(a);
}
END_TEST

UNIT_MAIN("bpf_stats", value_sizes, values_are_repeated_for_each_processor,
    no_descriptor_is_written_into_a_map, maps_of_descriptors_are_not_written,
    counters_of_every_width, maps_that_can_be_sampled,
    maps_that_cannot_be_sampled, artifact_takes_only_what_the_plan_has)
