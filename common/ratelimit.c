/* SPDX-License-Identifier: ISC */
#include "common/ratelimit.h"

#include "common/clock.h"

void
ratelimit_init(struct ratelimit *rl, uint32_t rate, int64_t now_ns)
{
	rl->rate = rate;
	rl->tokens_ns = NSEC_PER_SEC;
	rl->last_ns = now_ns;
}

void
ratelimit_refill(struct ratelimit *rl, int64_t now_ns)
{
	int64_t passed = now_ns - rl->last_ns;

	if (passed <= 0)
		return;
	rl->last_ns = now_ns;
	if (passed > NSEC_PER_SEC)
		passed = NSEC_PER_SEC;
	rl->tokens_ns += passed;
	if (rl->tokens_ns > NSEC_PER_SEC)
		rl->tokens_ns = NSEC_PER_SEC;
}

bool
ratelimit_take(struct ratelimit *rl)
{
	int64_t cost;

	if (rl->rate == 0)
		return true;
	cost = NSEC_PER_SEC / rl->rate;
	if (rl->tokens_ns < cost)
		return false;
	rl->tokens_ns -= cost;
	return true;
}
