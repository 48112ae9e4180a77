/* SPDX-License-Identifier: ISC */
#include "bare_load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

static int
load(struct bpf_object *o, const char *program, uint8_t tag[8])
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	struct bpf_program *p;
	int r;

	bpf_object__for_each_program (p, o) {
		bpf_program__set_autoload(
		    p, strcmp(bpf_program__name(p), program) == 0);
	}
	p = bpf_object__find_program_by_name(o, program);
	if (p == NULL)
		return -ENOENT;
	r = bpf_object__load(o);
	if (r == 0)
		r = bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len);
	if (r == 0)
		memcpy(tag, info.tag, sizeof(info.tag));
	return r;
}

int
bare_load(const char *path, const char *program, uint8_t tag[8])
{
	struct bpf_object *o = bpf_object__open_file(path, NULL);
	int r;

	if (o == NULL)
		return -errno;
	r = load(o, program, tag);
	bpf_object__close(o);
	return r;
}
