/* SPDX-License-Identifier: ISC */
#include "agentd/config_check.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "common/pubkey.h"
#include "common/limits.h"
#include "common/strnum.h"

static int
wrong(const char **what, const char *text)
{
	*what = text;
	return -EINVAL;
}

/* Printable ASCII without blanks, and none of REFUSED. */
static bool
is_graphic(const char *s, const char *refused)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f || strchr(refused, *s) != NULL)
			return false;
	return true;
}

/* "/a/../b", "..", but not "a..b". */
static bool
has_dotdot(const char *path)
{
	const char *p = path;

	while ((p = strstr(p, "..")) != NULL) {
		if ((p == path || p[-1] == '/') &&
		    (p[2] == '/' || p[2] == '\0'))
			return true;
		p += 2;
	}
	return false;
}

static int
check_path(const char *s, const char **what)
{
	if (s[0] != '/' || strspn(s, "/") == strlen(s) || has_dotdot(s))
		return wrong(what,
		    "must be an absolute path below / and without \"..\"");
	return 0;
}

/*
 * host, host:port, [v6], [v6]:port of LEN bytes.
 */
static int
check_host(const char *s, size_t len, const char **what)
{
	struct in6_addr in6;
	char host[256];
	const char *rest;
	uint64_t port;

	if (len == 0 || len >= sizeof(host))
		return wrong(what, "has no host name, or one that is too long");
	memcpy(host, s, len);
	host[len] = '\0';
	if (host[0] == '[') {
		char *end = strchr(host, ']');

		if (end == NULL)
			return wrong(what, "has a '[' without ']'");
		*end = '\0';
		if (inet_pton(AF_INET6, host + 1, &in6) != 1)
			return wrong(
			    what, "has no IPv6 address between '[' and ']'");
		rest = end + 1;
	} else {
		size_t n = strspn(host,
		    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "0123456789.-_");

		if (n == 0)
			return wrong(what, "has no host name");
		rest = host + n;
	}
	if (*rest == '\0')
		return 0;
	if (*rest != ':' || strnum_parse_u64(rest + 1, 1, 65535, &port) < 0)
		return wrong(what,
		    "has a bad host name or port: after the host may only "
		    "come a port from 1 to 65535 (IPv6 addresses stand in "
		    "[ ])");
	return 0;
}

/*
 * [user[:password]@]host[:port] up to '/' or the end.  *REST: what follows.
 */
static int
check_authority(
    const char *s, bool user_allowed, const char **rest, const char **what)
{
	size_t len = strcspn(s, "/?#");
	const char *at = memrchr(s, '@', len);

	*rest = s + len;
	if (at != NULL && !user_allowed)
		return wrong(what,
		    "must not hold user or password: a token belongs into "
		    "the variable that ends in _TOKEN_FILE");
	if (at != NULL) {
		len -= (size_t)(at + 1 - s);
		s = at + 1;
	}
	return check_host(s, len, what);
}

static int
check_http_url(const char *s, const char **what)
{
	const char *rest;
	int r;

	if (strncmp(s, "http://", 7) == 0)
		s += 7;
	else if (strncmp(s, "https://", 8) == 0)
		s += 8;
	else
		return wrong(what, "must begin with http:// or https://");
	r = check_authority(s, false, &rest, what);
	if (r < 0)
		return r;
	if (!is_graphic(rest, "?#\"<>\\^`{|}") || has_dotdot(rest))
		return wrong(what,
		    "is a base URL: a path may follow the host, but no "
		    "blanks, '?', '#' or \"..\"");
	return 0;
}

static int
check_registry_url(const char *s, const char **what)
{
	if (strncmp(s, "file:", 5) == 0) {
		s += 5;
		if (strncmp(s, "//", 2) == 0)
			s += 2;
		if (check_path(s, what) < 0 || strchr(s, '%') != NULL)
			return wrong(what,
			    "must be file:// and an absolute directory, "
			    "without \"..\" and without %-escapes");
		return 0;
	}
	if (strncmp(s, "http", 4) != 0)
		return wrong(
		    what, "must begin with http://, https:// or file://");
	return check_http_url(s, what);
}

static int
check_nats_one(const char *s, const char **what)
{
	const char *rest;
	int r;

	if (strncmp(s, "nats://", 7) == 0)
		s += 7;
	else if (strncmp(s, "tls://", 6) == 0)
		s += 6;
	else
		return wrong(what,
		    "must begin with nats:// or tls:// (several URLs are "
		    "parted by commas)");
	if (!is_graphic(s, ""))
		return wrong(what,
		    "must not hold blanks or control "
		    "characters");
	r = check_authority(s, true, &rest, what);
	if (r < 0)
		return r;
	if (rest[strspn(rest, "/")] != '\0')
		return wrong(what, "must end after the host and port");
	return 0;
}

_Static_assert(AEGIS_NATS_URLS == 8, "the text below says so");

static int
check_nats_url(const char *s, const char **what)
{
	_cleanup_free_ char *copy = strdup(s);
	char *one, *next = copy;
	unsigned int n = 0;
	int r;

	if (copy == NULL)
		return wrong(what, "out of memory");
	while ((one = strsep(&next, ",")) != NULL) {
		if (++n > AEGIS_NATS_URLS)
			return wrong(what,
			    "must be at most 8 URLs: the servers tell of the "
			    "others of their cluster");
		r = check_nats_one(one, what);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
check_binary_path(const char *s, const char **what)
{
	const char *id = strstr(s, "{id}");

	if (s[0] != '/' || id == NULL || strpbrk(id + 4, "{}") != NULL ||
	    (size_t)(id - s) != strcspn(s, "{}") || !is_graphic(s, "#\"<>\\") ||
	    has_dotdot(s))
		return wrong(what,
		    "must be a URL path that begins with / and holds {id} "
		    "once, such as /artifacts/{id}/binary or /bundles/{id}");
	return 0;
}

static int
check_public_key(const char *s, const char **what)
{
	if (*s == '\0')
		return 0;
	if (pubkey_is_file(s)) {
		if (check_path(pubkey_file(s), what) < 0 ||
		    !str_is_text(s, strlen(s) + 1))
			return wrong(
			    what, "must have an absolute path after file:");
		return 0;
	}
	return pubkey_to_pem(s, NULL, what);
}

/* Segments of [A-Za-z0-9._-] with '/' between. */
static bool
is_slashed(const char *s)
{
	const char *p;

	if (*s == '\0' || *s == '/' || has_dotdot(s) || strstr(s, "//") != NULL)
		return false;
	for (p = s; *p != '\0'; p++)
		if (!isascii((unsigned char)*p) ||
		    (!isalnum((unsigned char)*p) && strchr("._-/", *p) == NULL))
			return false;
	return true;
}

static int
check_vault_path(const char *s, const char **what)
{
	if (!is_slashed(s) || s[strlen(s) - 1] == '/' ||
	    strncmp(s, "v1/", 3) == 0)
		return wrong(what,
		    "must be the path below /v1/, such as "
		    "transit/keys/NAME or secret/data/NAME: letters, "
		    "digits and ._- with / between");
	return 0;
}

static int
check_subject(const char *s, const char **what)
{
	size_t len = strlen(s);

	if (len == 0 || s[0] == '.' || s[len - 1] == '.' ||
	    strstr(s, "..") != NULL || !is_graphic(s, "*>\"\\"))
		return wrong(what,
		    "must be a NATS subject: words with single dots "
		    "between, without blanks, '*' and '>'");
	return 0;
}

static int
check_stream(const char *s, const char **what)
{
	if (!is_graphic(s, ".*>/\\\""))
		return wrong(what,
		    "must be a JetStream stream's name, without blanks and "
		    "any of . * > / \\");
	return 0;
}

static int
check_address(const char *s, const char **what)
{
	struct in6_addr addr;

	if (*s == '\0' || inet_pton(AF_INET, s, &addr) == 1 ||
	    inet_pton(AF_INET6, s, &addr) == 1)
		return 0;
	return wrong(what,
	    "must be an IPv4 or IPv6 address of this host, localhost, or "
	    "empty for all interfaces");
}

/* The form that users of the value may count on. */
static int
canonical(enum config_check check, const char *value, char *out, size_t size)
{
	size_t len = strlen(value);

	if (check == CHECK_ADDRESS && strcmp(value, "localhost") == 0)
		return str_copy(out, size, "127.0.0.1");
	if (check == CHECK_ADDRESS && len > 2 && value[0] == '[' &&
	    value[len - 1] == ']') {
		_cleanup_free_ char *inner = strndup(value + 1, len - 2);

		return inner == NULL ? -ENOMEM : str_copy(out, size, inner);
	}
	if (check == CHECK_REGISTRY_URL && strncmp(value, "file:/", 6) == 0 &&
	    value[6] != '/') {
		if ((size_t)snprintf(out, size, "file://%s", value + 5) >= size)
			return -ENAMETOOLONG;
		memset(out + len + 2, 0, size - len - 2);
	} else if (str_copy(out, size, value) < 0) {
		return -ENAMETOOLONG;
	}
	len = strlen(out);
	if (check == CHECK_REGISTRY_URL || check == CHECK_HTTP_URL ||
	    check == CHECK_PATH)
		while (len > 1 && out[len - 1] == '/')
			out[--len] = '\0';
	return 0;
}

static int
check_form(enum config_check check, const char *s, const char **what)
{
	switch (check) {
	case CHECK_IDENTIFIER:
		if (!str_is_identifier(s, strlen(s) + 1))
			return wrong(what,
			    "must be letters, digits and any of ._:@+- and "
			    "not begin with '.' or '-'");
		return 0;
	case CHECK_PATH:
		return check_path(s, what);
	case CHECK_FILE:
		return *s == '\0' ? 0 : check_path(s, what);
	case CHECK_REGISTRY_URL:
		return check_registry_url(s, what);
	case CHECK_HTTP_URL:
		return check_http_url(s, what);
	case CHECK_NATS_URL:
		return check_nats_url(s, what);
	case CHECK_BINARY_PATH:
		return check_binary_path(s, what);
	case CHECK_PUBLIC_KEY:
		return check_public_key(s, what);
	case CHECK_TOKEN:
		return is_graphic(s, "")
		    ? 0
		    : wrong(what, "must be printable and without blanks");
	case CHECK_VAULT_PATH:
		return check_vault_path(s, what);
	case CHECK_VAULT_NAMESPACE:
		return *s == '\0' || is_slashed(s)
		    ? 0
		    : wrong(what,
			  "must be letters, digits and ._- with / between");
	case CHECK_SUBJECT:
		return check_subject(s, what);
	case CHECK_STREAM:
		return check_stream(s, what);
	case CHECK_ADDRESS:
		return check_address(s, what);
	}
	return wrong(what, "has no rule");
}

int
config_check_value(enum config_check check, const char *value, char *out,
    size_t size, const char **what)
{
	int r;

	/* Keys may hold newlines; nothing else holds a control character. */
	if (check != CHECK_PUBLIC_KEY && !str_is_text(value, strlen(value) + 1))
		return wrong(
		    what, "must be UTF-8 text without control characters");
	r = canonical(check, value, out, size);
	if (r < 0)
		return r;
	return check_form(check, out, what);
}
