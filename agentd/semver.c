/* SPDX-License-Identifier: ISC */
#include "agentd/semver.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* The version without 'v' and build metadata: [core, core_end) and, after a
 * '-', [pre, end). */
struct parts {
	const char *core;
	const char *core_end;
	const char *pre; /* NULL: a release */
	const char *end;
};

static bool
is_dotted(const char *s, const char *end, bool digits_only)
{
	bool empty = true;

	for (; s < end; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '.') {
			if (empty)
				return false;
			empty = true;
			continue;
		}
		if (!isascii(c))
			return false;
		if (digits_only ? !isdigit(c) : !isalnum(c) && c != '-')
			return false;
		empty = false;
	}
	return !empty;
}

static bool
split(const char *s, struct parts *v)
{
	const char *plus = strchrnul(s, '+');

	if (*plus == '+' && !is_dotted(plus + 1, plus + strlen(plus), false))
		return false;
	if (*s == 'v' || *s == 'V')
		s++;
	if (s > plus)
		return false;
	v->core = s;
	v->end = plus;
	v->pre = memchr(s, '-', (size_t)(plus - s));
	v->core_end = v->pre != NULL ? v->pre : plus;
	if (v->pre != NULL) {
		v->pre++;
		if (!is_dotted(v->pre, v->end, false))
			return false;
	}
	return is_dotted(v->core, v->core_end, true);
}

/* Digits of any length: no number is too large to compare. */
static int
compare_digits(const char *a, size_t la, const char *b, size_t lb)
{
	int r;

	while (la > 0 && *a == '0') {
		a++;
		la--;
	}
	while (lb > 0 && *b == '0') {
		b++;
		lb--;
	}
	if (la != lb)
		return la < lb ? -1 : 1;
	r = la > 0 ? memcmp(a, b, la) : 0;
	return r < 0 ? -1 : r > 0;
}

static size_t
field_length(const char *s, const char *end)
{
	const char *dot = memchr(s, '.', (size_t)(end - s));

	return (size_t)((dot != NULL ? dot : end) - s);
}

/* Step to the next field; END stays END. */
static const char *
next_field(const char *s, size_t len, const char *end)
{
	s += len;
	return s < end ? s + 1 : end;
}

static int
compare_core(const struct parts *a, const struct parts *b)
{
	const char *p = a->core, *q = b->core;
	size_t lp, lq;
	int r;

	while (p < a->core_end || q < b->core_end) {
		lp = field_length(p, a->core_end);
		lq = field_length(q, b->core_end);
		r = compare_digits(p, lp, q, lq);
		if (r != 0)
			return r;
		p = next_field(p, lp, a->core_end);
		q = next_field(q, lq, b->core_end);
	}
	return 0;
}

static int
compare_identifier(const char *a, size_t la, const char *b, size_t lb)
{
	bool na = strspn(a, "0123456789") >= la;
	bool nb = strspn(b, "0123456789") >= lb;
	int r;

	if (na && nb)
		return compare_digits(a, la, b, lb);
	if (na != nb) /* numbers come before words */
		return na ? -1 : 1;
	r = memcmp(a, b, la < lb ? la : lb);
	if (r != 0)
		return r < 0 ? -1 : 1;
	return la < lb ? -1 : la > lb;
}

static int
compare_pre(const struct parts *a, const struct parts *b)
{
	const char *p = a->pre, *q = b->pre;
	size_t lp, lq;
	int r;

	if (p == NULL || q == NULL)
		return (p == NULL) - (q == NULL);
	while (p < a->end && q < b->end) {
		lp = field_length(p, a->end);
		lq = field_length(q, b->end);
		r = compare_identifier(p, lp, q, lq);
		if (r != 0)
			return r;
		p = next_field(p, lp, a->end);
		q = next_field(q, lq, b->end);
	}
	/* The longer one has more to say: it is newer. */
	return (p < a->end) - (q < b->end);
}

bool
semver_is_valid(const char *s)
{
	struct parts v;

	return split(s, &v);
}

static int
compare_words(const char *a, const char *b)
{
	static const char digits[] = "0123456789";
	size_t la, lb;
	int r;

	while (*a != '\0' && *b != '\0') {
		la = strspn(a, digits);
		lb = strspn(b, digits);
		if (la > 0 && lb > 0) {
			r = compare_digits(a, la, b, lb);
			if (r != 0)
				return r;
			a += la;
			b += lb;
		} else if (*a != *b) {
			return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
		} else {
			a++;
			b++;
		}
	}
	return (*a != '\0') - (*b != '\0');
}

int
semver_compare(const char *a, const char *b)
{
	struct parts va, vb;
	bool ok_a = split(a, &va), ok_b = split(b, &vb);
	int r;

	if (ok_a != ok_b)
		return ok_a ? 1 : -1;
	if (!ok_a)
		return compare_words(a, b);
	r = compare_core(&va, &vb);
	return r != 0 ? r : compare_pre(&va, &vb);
}
