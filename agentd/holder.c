/* SPDX-License-Identifier: ISC */
#include "agentd/holder.h"

#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agentd/agent.h"
#include "common/strnum.h"

/* "" where it has none, or is gone. */
static void
look_up_name(uint32_t prog_id, char name[BPF_OBJ_NAME_LEN + 1])
{
	union bpf_attr attr = { .prog_id = prog_id };
	struct bpf_prog_info info = { 0 };
	_cleanup_fd_ int fd = -1;

	name[0] = '\0';
	fd = (int)syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &attr, sizeof(attr));
	if (fd == -1)
		return;
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)fd;
	/* No further than the name. */
	attr.info.info_len =
	    offsetof(struct bpf_prog_info, name) + sizeof(info.name);
	attr.info.info = (uintptr_t)&info;
	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) == -1)
		return;
	memcpy(name, info.name, sizeof(info.name));
	name[sizeof(info.name)] = '\0';
	str_scrub(name, BPF_OBJ_NAME_LEN + 1);
}

static const struct artifact *
find_ours(const struct agent *agent, uint32_t prog_id)
{
	const struct artifact *a;
	size_t i;

	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry) {
		if (a->custody == NULL)
			continue;
		for (i = 0; i < LOADPLAN_MAX_PROGS; i++)
			if (a->custody->progs[i] >= 0 &&
			    a->custody->prog_ids[i] == prog_id)
				return a;
	}
	return NULL;
}

void
holder_add(struct agent *agent, uint32_t prog_id, char *text, size_t size)
{
	const struct artifact *a;
	char name[BPF_OBJ_NAME_LEN + 1];
	size_t len = strlen(text);

	if (prog_id == 0)
		return;
	a = find_ours(agent, prog_id);
	if (a != NULL) {
		(void)snprintf(text + len, size - len,
		    "; it is artifact \"%s\" (%s %s)", a->listing.artifact_id,
		    a->listing.name, a->listing.version);
		return;
	}
	look_up_name(prog_id, name);
	if (name[0] == '\0')
		(void)snprintf(text + len, size - len,
		    "; it is program %u, which is not this agent's", prog_id);
	else
		(void)snprintf(text + len, size - len,
		    "; it is program %u, \"%s\", which is not this agent's",
		    prog_id, name);
}
