/* SPDX-License-Identifier: ISC */
#include "common/sandbox_seccomp.h"

#include <seccomp.h>
#include <stddef.h>

#include "aegis_config.h"

static void
filter_release(scmp_filter_ctx *ctx)
{
	if (*ctx != NULL)
		seccomp_release(*ctx);
}

static int
add_call(scmp_filter_ctx ctx, const struct sandbox_call *call, uint32_t action)
{
	int nr = seccomp_syscall_resolve_name(call->name);
	struct scmp_arg_cmp cmp[SANDBOX_MAX_ARGS];
	const struct sandbox_arg *arg;
	unsigned int i;

	/* A name that only other architectures have, or that is newer. */
	if (nr < 0)
		return 0;
	for (i = 0; i < call->arg_count; i++) {
		arg = &call->args[i];
		cmp[i] = (struct scmp_arg_cmp){
			.arg = arg->arg,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = arg->mask,
			.datum_b = arg->value & arg->mask,
		};
	}
	if (call->error != 0 || call->ignored)
		action = SCMP_ACT_ERRNO((uint16_t)call->error);
	return seccomp_rule_add_array(ctx, action, nr, call->arg_count, cmp);
}

static int
add_calls(
    scmp_filter_ctx ctx, const struct sandbox_call *calls, uint32_t action)
{
	int r = 0;

	for (; calls != NULL && calls->name != NULL && r == 0; calls++) {
		r = add_call(ctx, calls, action);
		/* Two lists may allow the same thing. */
		if (r == -EEXIST)
			r = 0;
	}
	return r;
}

static int
add_row(scmp_filter_ctx ctx, const struct sandbox_row *row, uint32_t action)
{
	/* abort() and raise(): a signal to oneself, nobody else. */
	const struct sandbox_call self[] = {
		CALL_IF("tgkill", 0, (uint32_t)getpid()),
		CALL_END,
	};
	unsigned int i;
	int r;

	r = add_calls(ctx, row->calls, action);
	for (i = 0; i < SANDBOX_MAX_SETS && r == 0; i++)
		r = add_calls(ctx, row->sets[i], action);
	if (r == 0 && !row->deny)
		r = add_calls(ctx, self, action);
	if (r == 0 && !row->deny && AEGIS_SANITIZED)
		r = add_calls(ctx, sandbox_sanitizer_calls, action);
	return r;
}

int
seccomp_enter(const struct sandbox_row *row)
{
	_cleanup_(filter_release) scmp_filter_ctx ctx = NULL;
	int r;

	ctx = seccomp_init(row->deny ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS);
	if (ctx == NULL)
		return -ENOMEM;
	/* 32-bit and x32 calls have other numbers: they would walk past. */
	r = seccomp_attr_set(
	    ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	/* The kernel's errno, not one that stands for all of them. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
	/* A binary tree: allow-lists are long, and every call pays. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = add_row(ctx, row,
		    row->deny ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW);
	if (r == 0)
		r = seccomp_load(ctx);
	return r;
}
