/* SPDX-License-Identifier: ISC */
#include "bpfd/artifact.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "common/strnum.h"

struct artifact *
artifact_new(uint64_t id, const char *artifact_id)
{
	struct artifact *a;
	size_t i;

	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->id = id;
	str_copy_cut(a->artifact_id, sizeof(a->artifact_id), artifact_id);
	for (i = 0; i < nitems(a->progs); i++)
		a->progs[i].fd = -1;
	for (i = 0; i < nitems(a->maps); i++)
		a->maps[i].fd = -1;
	return a;
}

void
artifact_free(struct artifact *a)
{
	size_t i;

	if (a == NULL)
		return;
	for (i = 0; i < nitems(a->progs); i++)
		fd_close(&a->progs[i].fd);
	for (i = 0; i < nitems(a->maps); i++)
		fd_close(&a->maps[i].fd);
	memfd_unmap(&a->plan_bytes);
	free(a);
}

int
artifact_set_plan(struct artifact *a, int fd, const char **what)
{
	int r;

	*what = "there is one already";
	if (a->plan.header != NULL)
		return -EALREADY;
	r = memfd_map(fd, AEGIS_PLAN_MAX, &a->plan_bytes);
	if (r < 0) {
		*what = r == -EPERM ? "not a sealed memfd" : "cannot map it";
		return r;
	}
	r = loadplan_check(
	    a->plan_bytes.data, a->plan_bytes.len, &a->plan, what);
	if (r < 0) {
		memset(&a->plan, 0, sizeof(a->plan));
		memfd_unmap(&a->plan_bytes);
	}
	return r;
}

int
artifact_set_prog(struct artifact *a, uint32_t index, int fd)
{
	_cleanup_fd_ int owned = fd;
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info), want;

	if (a->plan.header == NULL || index >= a->plan.header->prog_count ||
	    a->progs[index].fd >= 0)
		return -EINVAL;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	want = a->plan.progs[index].prog_type;
	if (want != BPF_PROG_TYPE_UNSPEC && info.type != want)
		return -EINVAL;
	a->progs[index].prog_id = info.id;
	memcpy(a->progs[index].tag, info.tag, sizeof(info.tag));
	a->progs[index].fd = fd_steal(&owned);
	return 0;
}

/* Does the kernel allocate for elements when they come? */
static bool
map_grows(const struct bpf_map_info *info)
{
	switch (info->type) {
	case BPF_MAP_TYPE_LPM_TRIE:
	case BPF_MAP_TYPE_SK_STORAGE:
	case BPF_MAP_TYPE_INODE_STORAGE:
	case BPF_MAP_TYPE_TASK_STORAGE:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		return true;
	default:
		return (info->map_flags & BPF_F_NO_PREALLOC) != 0;
	}
}

int
artifact_set_map(struct artifact *a, uint32_t index, int fd)
{
	_cleanup_fd_ int owned = fd;
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	const struct loadplan_map *want;

	if (a->plan.header == NULL || index >= a->plan.header->map_count ||
	    a->maps[index].fd >= 0)
		return -EINVAL;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	want = &a->plan.maps[index];
	if (info.type != want->type || info.key_size != want->key_size ||
	    info.value_size != want->value_size)
		return -EINVAL;
	a->maps[index].map_id = info.id;
	a->maps[index].grows = map_grows(&info);
	a->maps[index].fd = fd_steal(&owned);
	return 0;
}

struct artifact *
artifact_find(struct artifact_list *list, uint64_t id)
{
	struct artifact *a;

	TAILQ_FOREACH (a, list, entry) {
		if (a->id == id)
			return a;
	}
	return NULL;
}

struct artifact *
artifact_find_prog(struct artifact_list *list, uint32_t prog_id, int *fd)
{
	struct artifact *a;
	size_t i;

	TAILQ_FOREACH (a, list, entry) {
		for (i = 0; i < nitems(a->progs); i++) {
			if (a->progs[i].fd < 0 ||
			    a->progs[i].prog_id != prog_id)
				continue;
			*fd = a->progs[i].fd;
			return a;
		}
	}
	*fd = -1;
	return NULL;
}
