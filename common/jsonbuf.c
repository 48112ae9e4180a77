/* SPDX-License-Identifier: ISC */
#include "common/jsonbuf.h"

#include <math.h>
#include <stdio.h>

#include "common/clock.h"

bool
jsonbuf_reserve_slow(struct jsonbuf *b, size_t n)
{
	size_t want, cap = b->cap != 0 ? b->cap : 512;
	char *p;

	if (b->failed || __builtin_add_overflow(b->len, n, &want)) {
		b->failed = true;
		return false;
	}
	while (cap < want) {
		if (__builtin_mul_overflow(cap, (size_t)2, &cap)) {
			b->failed = true;
			return false;
		}
	}
	p = realloc(b->data, cap);
	if (p == NULL) {
		b->failed = true;
		return false;
	}
	b->data = p;
	b->cap = cap;
	return true;
}

void
jsonbuf_text(struct jsonbuf *b, const char *s)
{
	jsonbuf_raw(b, s, strlen(s));
}

/*
 * How many bytes the UTF-8 sequence at S takes, 0 if it is none: overlong
 * forms, surrogates and what lies above U+10FFFF are none.
 */
static size_t
utf8_length(const unsigned char *s, size_t left)
{
	size_t n, i;

	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (left < n)
		return 0;
	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void
put_escaped(struct jsonbuf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	switch (c) {
	case '"':
		jsonbuf_lit(b, "\\\"");
		break;
	case '\\':
		jsonbuf_lit(b, "\\\\");
		break;
	case '\n':
		jsonbuf_lit(b, "\\n");
		break;
	case '\t':
		jsonbuf_lit(b, "\\t");
		break;
	default:
		jsonbuf_raw(b, text, sizeof(text));
		break;
	}
}

void
jsonbuf_string(struct jsonbuf *b, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t i = 0, plain = 0, n;

	jsonbuf_lit(b, "\"");
	while (i < len) {
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '"' &&
		    p[i] != '\\') {
			i++;
			continue;
		}
		n = p[i] >= 0x80 ? utf8_length(p + i, len - i) : 0;
		if (n != 0) {
			i += n;
			continue;
		}
		jsonbuf_raw(b, s + plain, i - plain);
		if (p[i] >= 0x80)
			jsonbuf_lit(b, "\xef\xbf\xbd");
		else
			put_escaped(b, p[i]);
		plain = ++i;
	}
	jsonbuf_raw(b, s + plain, i - plain);
	jsonbuf_lit(b, "\"");
}

void
jsonbuf_array_string(struct jsonbuf *b, const char *s, size_t size)
{
	jsonbuf_string(b, s, strnlen(s, size));
}

static const char decimal_pairs[] = "00010203040506070809"
				    "10111213141516171819"
				    "20212223242526272829"
				    "30313233343536373839"
				    "40414243444546474849"
				    "50515253545556575859"
				    "60616263646566676869"
				    "70717273747576777879"
				    "80818283848586878889"
				    "90919293949596979899";

void
jsonbuf_u64(struct jsonbuf *b, uint64_t v)
{
	char text[20];
	size_t i = sizeof(text);

	/* Two digits a division: numbers are most of what an event costs. */
	for (; v >= 100; v /= 100)
		memcpy(text + (i -= 2), decimal_pairs + v % 100 * 2, 2);
	if (v >= 10)
		memcpy(text + (i -= 2), decimal_pairs + v * 2, 2);
	else
		text[--i] = (char)('0' + v);
	jsonbuf_raw(b, text + i, sizeof(text) - i);
}

void
jsonbuf_i64(struct jsonbuf *b, int64_t v)
{
	if (v < 0) {
		jsonbuf_lit(b, "-");
		jsonbuf_u64(b, -(uint64_t)v);
	} else {
		jsonbuf_u64(b, (uint64_t)v);
	}
}

void
jsonbuf_double(struct jsonbuf *b, double v)
{
	char text[64];
	size_t n;

	if (!isfinite(v))
		v = 0;
	if (fabs(v) >= 1e15) {
		(void)snprintf(text, sizeof(text), "%.17g", v);
		jsonbuf_text(b, text);
		return;
	}
	n = (size_t)snprintf(text, sizeof(text), "%.6f", v);
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	if (n == 2 && text[0] == '-' && text[1] == '0')
		jsonbuf_lit(b, "0");
	else
		jsonbuf_raw(b, text, n);
}

void
jsonbuf_time(struct jsonbuf *b, int64_t wall_ns)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_format_rfc3339(wall_ns, text);
	jsonbuf_lit(b, "\"");
	jsonbuf_text(b, text);
	jsonbuf_lit(b, "\"");
}

void
jsonbuf_uuid(struct jsonbuf *b, const uint8_t *uuid)
{
	static const char hex[] = "0123456789abcdef";
	char text[38], *p = text;
	size_t i;

	*p++ = '"';
	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[uuid[i] >> 4];
		*p++ = hex[uuid[i] & 15];
	}
	*p++ = '"';
	jsonbuf_raw(b, text, (size_t)(p - text));
}

void
jsonbuf_free(struct jsonbuf *b)
{
	free(b->data);
	*b = (struct jsonbuf){ 0 };
}
