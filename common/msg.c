/* SPDX-License-Identifier: ISC */
#include "common/msg.h"

#include "common/fnv.h"

/* The words of msg.def's direction columns. */
#define AGENTD   PROC_BIT(PROC_AGENTD)
#define SPAWN    PROC_BIT(PROC_SPAWN)
#define REGISTRY PROC_BIT(PROC_REGISTRY)
#define VAULT    PROC_BIT(PROC_VAULT)
#define VERIFY   PROC_BIT(PROC_VERIFY)
#define BPF      PROC_BIT(PROC_BPF)
#define API      PROC_BIT(PROC_API)
#define TELEM    PROC_BIT(PROC_TELEM)
#define CTL      PROC_BIT(PROC_CTL)
#define WORKERS  (REGISTRY | VAULT | VERIFY | BPF | API | TELEM)
/* Verifyd has public keys only, bpfd nothing at all. */
#define SECRETIVE (REGISTRY | VAULT | API | TELEM)

#define MSG(NAME, name, from, to, fdpolicy, why)                               \
	[MSG_##NAME] = { #NAME, sizeof(struct msg_##name), from, to,           \
		MSG_FD_##fdpolicy },
static const struct msg_row rows[MSG_TYPE_MAX] = {
#include "common/msg.def"
};
#undef MSG

#define MSG(NAME, name, from, to, fdpolicy, why)                               \
	_Static_assert(sizeof(struct msg_##name) <= IMSG_MAX_PAYLOAD &&        \
		sizeof(struct msg_##name) % 8 == 0,                            \
	    #NAME " has a size that imsg or the 8-byte alignment refuses");
#include "common/msg.def"
#undef MSG

const struct msg_row *
msg_row(uint32_t type)
{
	if (type == MSG_NOTHING || type >= MSG_TYPE_MAX)
		return NULL;
	return &rows[type];
}

const char *
msg_name(uint32_t type)
{
	const struct msg_row *row = msg_row(type);

	return row != NULL ? row->name : "?";
}

uint64_t
msg_fingerprint(void)
{
	uint64_t h = FNV1A_INIT;
	uint32_t i, numbers[4];

	for (i = 1; i < MSG_TYPE_MAX; i++) {
		numbers[0] = rows[i].size;
		numbers[1] = rows[i].senders;
		numbers[2] = rows[i].receivers;
		numbers[3] = rows[i].fd;
		h = fnv1a(h, rows[i].name, __builtin_strlen(rows[i].name));
		h = fnv1a(h, numbers, sizeof(numbers));
	}
	return h;
}
