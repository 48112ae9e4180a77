/* SPDX-License-Identifier: ISC */
#include "fetchd/schedule.h"

#include <string.h>

#include "common/clock.h"
#include "common/strnum.h"

static int64_t
clamp(int64_t v, int64_t min, int64_t max)
{
	if (v < min)
		return min;
	return v > max ? max : v;
}

/* 0 .. VALUE / 10, by the random number. */
static int64_t
tenth(int64_t value, uint32_t random)
{
	return value / 10 * (int64_t)(random % 1001) / 1000;
}

static int64_t
spread(int64_t value, uint32_t random)
{
	return value - value / 10 + 2 * tenth(value, random);
}

int64_t
schedule_success(struct schedule *s, int64_t wish_ms, uint32_t random)
{
	s->failures = 0;
	s->succeeded = true;
	if (wish_ms >= 0) {
		wish_ms =
		    clamp(wish_ms, SCHEDULE_FLOOR_MS, SCHEDULE_WISH_CAP_MS);
		return wish_ms + tenth(wish_ms, random);
	}
	return spread(s->interval_ms, random);
}

int64_t
schedule_failure(struct schedule *s, int64_t wish_ms, uint32_t random)
{
	int64_t delay, cap = SCHEDULE_BACKOFF_CAP_MS;
	uint32_t i;

	if (s->failures < UINT32_MAX)
		s->failures++;
	delay = s->succeeded ? s->interval_ms : SCHEDULE_FLOOR_MS;
	/* Nobody is asked more often for having failed. */
	if (s->succeeded && cap < s->interval_ms)
		cap = s->interval_ms;
	for (i = 1; i < s->failures && delay < cap; i++)
		delay *= 2;
	delay = spread(clamp(delay, SCHEDULE_FLOOR_MS, cap), random);
	if (wish_ms >= 0) {
		wish_ms = clamp(wish_ms, 0, SCHEDULE_WISH_CAP_MS);
		wish_ms += tenth(wish_ms, random);
		if (delay < wish_ms)
			delay = wish_ms;
	}
	return delay;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT": the only form a server may generate. */
static int
parse_http_date(const char *value, int64_t *wall_ns)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char month[4], rfc3339[CLOCK_RFC3339_SIZE];
	unsigned int day, year, h, m, s;
	const char *p;
	int end = 0;

	if (strlen(value) != 29 ||
	    sscanf(value, "%*3[A-Za-z], %2u %3[A-Za-z] %4u %2u:%2u:%2u GMT%n",
		&day, month, &year, &h, &m, &s, &end) != 6 ||
	    end != 29)
		return -EINVAL;
	p = strstr(months, month);
	if (p == NULL || (p - months) % 3 != 0)
		return -EINVAL;
	if (snprintf(rfc3339, sizeof(rfc3339), "%04u-%02u-%02uT%02u:%02u:%02uZ",
		year, (unsigned int)(p - months) / 3 + 1, day, h, m,
		s) >= (int)sizeof(rfc3339))
		return -EINVAL;
	return clock_parse_rfc3339(rfc3339, wall_ns);
}

int
schedule_parse_retry_after(const char *value, int64_t wall_ns, int64_t *ms)
{
	int64_t when;
	uint64_t sec;
	int r;

	r = value[0] == '0' && (value[1] | 0x20) == 'x'
	    ? -EINVAL
	    : strnum_parse_u64(value, 0, UINT32_MAX, &sec);
	if (r == -ERANGE)
		sec = UINT32_MAX;
	if (r == 0 || r == -ERANGE) {
		*ms = (int64_t)sec * 1000;
		return 0;
	}
	r = parse_http_date(value, &when);
	if (r < 0)
		return r;
	*ms = when <= wall_ns ? 0 : (when - wall_ns) / NSEC_PER_MSEC;
	return 0;
}
