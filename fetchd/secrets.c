/* SPDX-License-Identifier: ISC */
#include "fetchd/secrets.h"

#include <string.h>

#include "common/log.h"
#include "common/memfd.h"

/* A header line of more than this no server takes. */
#define TOKEN_MAX 8192

static const char *const kind_names[SECRET_MAX] = {
	[SECRET_TOKEN] = "token",
	[SECRET_CA] = "CA certificates",
	[SECRET_CERT] = "client certificate",
	[SECRET_KEY] = "client key",
};

/* A token goes into a header line: no blank, no line end, ASCII. */
static bool
token_is_fit(const char *p, size_t len)
{
	size_t i;

	if (len == 0 || len > TOKEN_MAX)
		return false;
	for (i = 0; i < len; i++)
		if (p[i] <= 0x20 || p[i] >= 0x7f)
			return false;
	return true;
}

static void
forget(struct secrets *s, uint32_t kind)
{
	if (s->item[kind].text != NULL) {
		explicit_bzero(s->item[kind].text, s->item[kind].len);
		free(s->item[kind].text);
	}
	s->item[kind].text = NULL;
	s->item[kind].len = 0;
}

int
secrets_take(struct secrets *s, struct imsg *m)
{
	const struct msg_secret *secret = msg_get_SECRET(m);
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	size_t len;
	char *copy;
	int r;

	if (secret->kind >= SECRET_MAX || kind_names[secret->kind] == NULL)
		return -EINVAL;
	r = memfd_map(m->fd, AEGIS_SECRET_MAX, &map);
	if (r < 0)
		return r;
	/* Editors end a file with a line end, which no token has. */
	for (len = map.len; secret->kind == SECRET_TOKEN && len > 0 &&
	     strchr("\r\n", ((const char *)map.data)[len - 1]) != NULL;)
		len--;
	if (len == 0 || memchr(map.data, '\0', len) != NULL ||
	    (secret->kind == SECRET_TOKEN && !token_is_fit(map.data, len))) {
		log_error("the %s cannot be used: it is empty, or holds "
			  "characters that do not belong there",
		    kind_names[secret->kind]);
		return 0;
	}
	copy = malloc(len + 1);
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, map.data, len);
	copy[len] = '\0';
	forget(s, secret->kind);
	s->item[secret->kind].text = copy;
	s->item[secret->kind].len = len;
	return 0;
}

const char *
secrets_text(const struct secrets *s, enum secret_kind kind)
{
	return s->item[kind].text;
}

void
secrets_wipe(struct secrets *s)
{
	uint32_t kind;

	for (kind = 0; kind < SECRET_MAX; kind++)
		forget(s, kind);
}
