/* SPDX-License-Identifier: ISC */
#include "common/strnum.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

int
strnum_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	unsigned int base = 10;
	uint64_t v = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	if (*s == '\0')
		return -EINVAL;
	for (; *s != '\0'; s++) {
		int d = digit_value(*s);

		if ((unsigned int)d >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v)) {
			/* Too large, but "99..9x" is still no number. */
			for (; *s != '\0'; s++)
				if ((unsigned int)digit_value(*s) >= base)
					return -EINVAL;
			return -ERANGE;
		}
	}
	if (v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int
strnum_parse_i64(const char *s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = false;
	uint64_t v;
	int64_t n;
	int r;

	if (*s == '-') {
		negative = true;
		s++;
	}
	r = strnum_parse_u64(s, 0, UINT64_MAX, &v);
	if (r < 0)
		return r;
	if (negative) {
		if (v > (uint64_t)INT64_MAX + 1)
			return -ERANGE;
		n = v == (uint64_t)INT64_MAX + 1 ? INT64_MIN : -(int64_t)v;
	} else {
		if (v > INT64_MAX)
			return -ERANGE;
		n = (int64_t)v;
	}
	if (n < min || n > max)
		return -ERANGE;
	*out = n;
	return 0;
}

int
strnum_parse_double(const char *s, double min, double max, double *out)
{
	const char *p = s;
	char *end;
	double v;
	bool digits = false;

	/* strtod() takes blanks, "inf", hexadecimal and the locale's comma. */
	if (*p == '-')
		p++;
	for (; *p != '\0'; p++) {
		if (isdigit((unsigned char)*p))
			digits = true;
		else if (*p != '.')
			return -EINVAL;
	}
	if (!digits)
		return -EINVAL;
	errno = 0;
	v = strtod(s, &end);
	if (*end != '\0')
		return -EINVAL;
	if (errno == ERANGE || !isfinite(v) || v < min || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int
strnum_parse_hex(const char *s, uint8_t *out, size_t len)
{
	size_t i;

	if (strnlen(s, 2 * len + 1) != 2 * len)
		return -EINVAL;
	for (i = 0; i < 2 * len; i++)
		if (digit_value(s[i]) > 15)
			return -EINVAL;
	for (i = 0; i < len; i++)
		out[i] = (uint8_t)(digit_value(s[2 * i]) << 4 |
		    digit_value(s[2 * i + 1]));
	return 0;
}

void
strnum_format_hex(const uint8_t *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < len; i++) {
		*out++ = digits[data[i] >> 4];
		*out++ = digits[data[i] & 15];
	}
	*out = '\0';
}

int
str_copy(char *dst, size_t size, const char *src)
{
	size_t len = strlen(src);

	memset(dst, 0, size);
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(dst, src, len);
	return 0;
}

/* Follows RFC 3629, section 4. */
size_t
str_utf8_length(const unsigned char *s, size_t len)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		lo = 0xa0;
	else if (s[0] == 0xed)
		hi = 0x9f;
	else if (s[0] == 0xf0)
		lo = 0x90;
	else if (s[0] == 0xf4)
		hi = 0x8f;
	if (n > len || s[1] < lo || s[1] > hi)
		return 0;
	for (i = 2; i < n; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return n;
}

void
str_copy_cut(char *dst, size_t size, const char *src)
{
	size_t len = strlen(src), room = size - 1, done = 0, n;

	memset(dst, 0, size);
	if (len <= room) {
		memcpy(dst, src, len);
		return;
	}
	while (done < room) {
		n = str_utf8_length(
		    (const unsigned char *)src + done, len - done);
		if (n == 0)
			n = 1;
		if (done + n > room)
			break;
		done += n;
	}
	memcpy(dst, src, done);
}

bool
str_is_terminated(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

bool
str_is_identifier(const char *s, size_t size)
{
	const char *p;

	if (!str_is_terminated(s, size) || *s == '\0')
		return false;
	if (*s == '.' || *s == '-')
		return false;
	for (p = s; *p != '\0'; p++) {
		if (isascii((unsigned char)*p) && isalnum((unsigned char)*p))
			continue;
		if (strchr("._:@+-", *p) == NULL)
			return false;
	}
	return true;
}

static bool
is_control(const unsigned char *s)
{
	/* C0, DEL, and the C1 controls U+0080..U+009F. */
	return s[0] < 0x20 || s[0] == 0x7f ||
	    (s[0] == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f);
}

bool
str_is_text(const char *s, size_t size)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t len, n;

	if (!str_is_terminated(s, size))
		return false;
	for (len = strlen(s); len > 0; p += n, len -= n) {
		n = str_utf8_length(p, len);
		if (n == 0 || is_control(p))
			return false;
	}
	return true;
}

void
str_scrub(char *s, size_t size)
{
	unsigned char *p = (unsigned char *)s;
	size_t len, n;

	s[size - 1] = '\0';
	for (len = strlen(s); len > 0; p += n, len -= n) {
		n = str_utf8_length(p, len);
		if (n == 0 || is_control(p)) {
			n = n == 0 ? 1 : n;
			memset(p, '?', n);
		}
	}
}
