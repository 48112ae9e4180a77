/* SPDX-License-Identifier: ISC */
/*
 * What agentd says about the broker: addresses and secrets, kept until the
 * connection is made.
 */
#include "telemd/broker.h"

#include <ctype.h>
#include <string.h>

int
broker_configure(
    struct broker *b, struct pipeline *p, const struct msg_telem_config *config)
{
	b->pipeline = p;
	if (str_copy(b->host_id, sizeof(b->host_id), config->host_id) < 0 ||
	    str_copy(b->stream, sizeof(b->stream), config->stream) < 0)
		return -EINVAL;
	if (config->url[0] == '\0')
		return 0; /* it comes as a secret */
	return broker_set_urls(b, config->url, strlen(config->url));
}

int
broker_set_urls(struct broker *b, const char *urls, size_t len)
{
	char *save = NULL, *p;

	if (memchr(urls, '\0', len) != NULL)
		return -EINVAL;
	free(b->url_text);
	b->url_count = 0;
	b->url_text = strndup(urls, len);
	if (b->url_text == NULL)
		return -ENOMEM;
	for (p = strtok_r(b->url_text, ", \n", &save); p != NULL;
	     p = strtok_r(NULL, ", \n", &save)) {
		if (b->url_count == AEGIS_NATS_URLS)
			return -E2BIG;
		b->urls[b->url_count++] = p;
	}
	return b->url_count > 0 ? 0 : -EINVAL;
}

static void
secret_free(char **secret)
{
	if (*secret != NULL)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

int
broker_set_secret(
    struct broker *b, enum secret_kind kind, const void *data, size_t len)
{
	char *copy;

	if (memchr(data, '\0', len) != NULL)
		return -EINVAL;
	copy = strndup(data, len);
	if (copy == NULL)
		return -ENOMEM;
	secret_free(&b->secrets[kind]);
	b->secrets[kind] = copy;
	return 0;
}

/* Host and port of a URL: after the scheme and user, before a path. */
static const char *
url_host(const char *url, size_t *len)
{
	const char *p = strstr(url, "://"), *at;

	p = p != NULL ? p + 3 : url;
	*len = strcspn(p, "/?#");
	at = memrchr(p, '@', *len);
	if (at != NULL) {
		*len -= (size_t)(at + 1 - p);
		p = at + 1;
	}
	return p;
}

const char *
broker_display_url(const struct broker *b, int i, char *buf, size_t size)
{
	size_t len;
	const char *host = url_host(b->urls[i], &len);

	(void)snprintf(buf, size, "%.*s", (int)len, host);
	return buf;
}

uint16_t
broker_port(const struct broker *b, int i)
{
	size_t len;
	const char *host = url_host(b->urls[i], &len);
	const char *colon = memrchr(host, ':', len);
	unsigned int port = 0;

	if (colon == NULL || memchr(colon, ']', len - (size_t)(colon - host)))
		return 4222;
	for (colon++; colon < host + len && port <= UINT16_MAX &&
	     isdigit((unsigned char)*colon);
	     colon++)
		port = port * 10 + (unsigned int)(*colon - '0');
	return port > 0 && port <= UINT16_MAX ? (uint16_t)port : 4222;
}
