/* SPDX-License-Identifier: ISC */
#include "agentd/secrets.h"

#include <string.h>

#include "agentd/config.h"
#include "common/log.h"
#include "common/memfd.h"

static int
send_bytes(struct imsg_channel *ch, enum secret_kind kind, const char *data,
    size_t len)
{
	struct msg_secret secret = { .kind = (uint32_t)kind };
	int fd;

	fd = memfd_from_bytes("secret", data, len);
	if (fd < 0)
		return fd;
	return msg_send_SECRET(ch, 0, &secret, fd);
}

int
secrets_send_file(
    struct imsg_channel *ch, enum secret_kind kind, const char *path)
{
	_cleanup_config_secret_ struct config_secret secret = { 0 };
	char error[AEGIS_TEXT_SIZE];
	int r;

	if (*path == '\0')
		return 0;
	r = config_read_secret(
	    path, AEGIS_SECRET_MAX, kind == SECRET_TOKEN, &secret, error);
	if (r < 0) {
		log_line(LOG_LEVEL_ERROR, NULL, error, "cannot read %s", path);
		return r;
	}
	return send_bytes(ch, kind, secret.data, secret.len);
}

int
secrets_send_public_key(
    struct imsg_channel *ch, enum secret_kind kind, const char *value)
{
	_cleanup_config_secret_ struct config_secret pem = { 0 };
	char error[AEGIS_TEXT_SIZE];
	int r;

	if (*value == '\0')
		return 0;
	r = config_read_public_key(value, &pem, error);
	if (r < 0) {
		log_line(LOG_LEVEL_ERROR, NULL, error,
		    "cannot read the public key %s", value);
		return r;
	}
	return send_bytes(ch, kind, pem.data, pem.len);
}

int
secrets_send_text(
    struct imsg_channel *ch, enum secret_kind kind, const char *text)
{
	return *text == '\0' ? 0 : send_bytes(ch, kind, text, strlen(text));
}
