/* SPDX-License-Identifier: ISC */
#include "common/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t
clock_read(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t
clock_boot_ns(void)
{
	return clock_read(CLOCK_BOOTTIME);
}

int64_t
clock_wall_ns(void)
{
	return clock_read(CLOCK_REALTIME);
}

void
clock_format_rfc3339(int64_t wall_ns, char *out)
{
	int64_t sec = wall_ns / NSEC_PER_SEC, us;
	time_t t;
	struct tm tm;
	size_t n;

	if (wall_ns % NSEC_PER_SEC < 0)
		sec--;
	us = (wall_ns - sec * NSEC_PER_SEC) / 1000;
	t = (time_t)sec;
	if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 9999 - 1900 ||
	    tm.tm_year < -1900)
		memset(&tm, 0, sizeof(tm));
	n = strftime(out, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	if (us == 0)
		(void)snprintf(out + n, CLOCK_RFC3339_SIZE - n, "Z");
	else if (us % 1000 == 0)
		(void)snprintf(out + n, CLOCK_RFC3339_SIZE - n, ".%03uZ",
		    (unsigned int)(us / 1000) % 1000);
	else
		(void)snprintf(out + n, CLOCK_RFC3339_SIZE - n, ".%06uZ",
		    (unsigned int)us % 1000000);
}

/* Two digits at *S within 0..MAX; moves *S on. */
static int
parse_2digits(const char **s, int max, int *out)
{
	const char *p = *s;

	if (!isdigit((unsigned char)p[0]) || !isdigit((unsigned char)p[1]))
		return -EINVAL;
	*out = (p[0] - '0') * 10 + (p[1] - '0');
	if (*out > max)
		return -EINVAL;
	*s += 2;
	return 0;
}

static int
parse_char(const char **s, const char *set)
{
	if (**s == '\0' || strchr(set, **s) == NULL)
		return -EINVAL;
	return *(*s)++;
}

static int
parse_fraction(const char **s, int64_t *ns)
{
	int64_t unit = NSEC_PER_SEC / 10;

	*ns = 0;
	if (**s != '.')
		return 0;
	(*s)++;
	if (!isdigit((unsigned char)**s))
		return -EINVAL;
	for (; isdigit((unsigned char)**s); (*s)++) {
		*ns += (**s - '0') * unit;
		unit /= 10;
	}
	return 0;
}

static int
parse_offset(const char **s, int *sec)
{
	int sign, h, m;

	sign = parse_char(s, "Zz+-");
	*sec = 0;
	if (sign < 0)
		return -EINVAL;
	if (sign == 'Z' || sign == 'z')
		return 0;
	if (parse_2digits(s, 23, &h) < 0 || parse_char(s, ":") < 0 ||
	    parse_2digits(s, 59, &m) < 0)
		return -EINVAL;
	*sec = (h * 60 + m) * 60 * (sign == '-' ? -1 : 1);
	return 0;
}

int
clock_parse_rfc3339(const char *s, int64_t *wall_ns)
{
	struct tm tm = { 0 }, check;
	int century, year, offset;
	int64_t frac;
	time_t t;

	if (parse_2digits(&s, 99, &century) < 0 ||
	    parse_2digits(&s, 99, &year) < 0 || parse_char(&s, "-") < 0 ||
	    parse_2digits(&s, 12, &tm.tm_mon) < 0 || parse_char(&s, "-") < 0 ||
	    parse_2digits(&s, 31, &tm.tm_mday) < 0 ||
	    parse_char(&s, "Tt ") < 0 ||
	    parse_2digits(&s, 23, &tm.tm_hour) < 0 || parse_char(&s, ":") < 0 ||
	    parse_2digits(&s, 59, &tm.tm_min) < 0 || parse_char(&s, ":") < 0 ||
	    parse_2digits(&s, 60, &tm.tm_sec) < 0 ||
	    parse_fraction(&s, &frac) < 0 || parse_offset(&s, &offset) < 0 ||
	    *s != '\0')
		return -EINVAL;
	tm.tm_year = century * 100 + year - 1900;
	tm.tm_mon--;
	check = tm;
	t = timegm(&check);
	/* timegm() normalises: February 30th must not become March 2nd. */
	if (tm.tm_mon < 0 || check.tm_mday != tm.tm_mday ||
	    check.tm_mon != tm.tm_mon) {
		if (tm.tm_sec != 60) /* a leap second may roll over */
			return -EINVAL;
	}
	/* What nanoseconds in 64 bits cannot hold is no date of ours. */
	if (tm.tm_year < 1700 - 1900 || tm.tm_year > 2250 - 1900)
		return -EINVAL;
	*wall_ns = ((int64_t)t - offset) * NSEC_PER_SEC + frac;
	return 0;
}

void
clock_format_duration(int64_t sec, char *out)
{
	long long h, m, s;

	if (sec < 0)
		sec = 0;
	h = sec / 3600;
	m = sec / 60 % 60;
	s = sec % 60;
	if (h > 0)
		(void)snprintf(
		    out, CLOCK_DURATION_SIZE, "%lldh%lldm%llds", h, m, s);
	else if (m > 0)
		(void)snprintf(out, CLOCK_DURATION_SIZE, "%lldm%llds", m, s);
	else
		(void)snprintf(out, CLOCK_DURATION_SIZE, "%llds", s);
}
