/* SPDX-License-Identifier: ISC */
#include "fetchd/url.h"

#include <ctype.h>
#include <curl/curl.h>
#include <string.h>

#include "common/strnum.h"

static void
free_curlu(CURLU **u)
{
	curl_url_cleanup(*u);
}

static void
free_curl_string(char **s)
{
	curl_free(*s);
}

int
url_origin(const char *url, struct url_origin *origin)
{
	_cleanup_(free_curlu) CURLU *u = curl_url();
	_cleanup_(free_curl_string) char *scheme = NULL;
	_cleanup_(free_curl_string) char *host = NULL;
	_cleanup_(free_curl_string) char *port = NULL;
	_cleanup_(free_curl_string) char *user = NULL;
	uint64_t number;
	char *p;

	memset(origin, 0, sizeof(*origin));
	if (u == NULL)
		return -ENOMEM;
	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) !=
		CURLUE_OK)
		return -EINVAL;
	if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
		return -EINVAL;
	origin->https = strcmp(scheme, "https") == 0;
	if (!origin->https && strcmp(scheme, "http") != 0)
		return -EINVAL;
	if (strnum_parse_u64(port, 1, UINT16_MAX, &number) < 0 ||
	    str_copy(origin->host, sizeof(origin->host), host) < 0)
		return -EINVAL;
	origin->port = (uint16_t)number;
	for (p = origin->host; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return 0;
}

bool
url_same_origin(const struct url_origin *a, const struct url_origin *b)
{
	return a->https == b->https && a->port == b->port &&
	    strcmp(a->host, b->host) == 0;
}

static int
append(char *out, size_t size, const char *s, size_t len)
{
	size_t used = strlen(out);

	if (len >= size - used)
		return -ENAMETOOLONG;
	memcpy(out + used, s, len);
	out[used + len] = '\0';
	return 0;
}

static int
append_value(char *out, size_t size, const char *value, bool escape)
{
	char code[4];
	int r = 0;

	if (value == NULL)
		return -EINVAL;
	for (; *value != '\0' && r == 0; value++) {
		unsigned char c = (unsigned char)*value;

		if (!escape || (isascii(c) && isalnum(c)) ||
		    strchr("-._~", c) != NULL) {
			r = append(out, size, value, 1);
			continue;
		}
		(void)snprintf(code, sizeof(code), "%%%02X", c);
		r = append(out, size, code, 3);
	}
	return r;
}

int
url_fill(char *out, size_t size, const char *path, const char *id,
    const char *host_id, bool escape)
{
	const char *brace;
	int r;

	for (;;) {
		brace = strchr(path, '{');
		if (brace == NULL)
			return append(out, size, path, strlen(path));
		r = append(out, size, path, (size_t)(brace - path));
		if (r < 0)
			return r;
		if (strncmp(brace, "{id}", 4) == 0) {
			r = append_value(out, size, id, escape);
			path = brace + 4;
		} else if (strncmp(brace, "{host_id}", 9) == 0) {
			r = append_value(out, size, host_id, escape);
			path = brace + 9;
		} else {
			r = -EINVAL;
		}
		if (r < 0)
			return r;
	}
}
