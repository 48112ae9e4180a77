/* SPDX-License-Identifier: ISC */
#include "agentd/secrets.h"

#include <string.h>
#include <sys/stat.h>

#include "agentd/config.h"
#include "common/clock.h"
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

bool
secrets_changed(const char *path, struct secret_mark *mark)
{
	struct secret_mark is = { .known = true };
	bool changed;
	struct stat st;

	if (*path == '\0' || stat(path, &st) == -1)
		return false;
	is.inode = st.st_ino;
	is.size = (uint64_t)st.st_size;
	is.mtime_ns = st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec;
	changed = mark->known &&
	    (is.inode != mark->inode || is.size != mark->size ||
		is.mtime_ns != mark->mtime_ns);
	*mark = is;
	return changed;
}

void
secrets_renew(
    struct imsg_channel *ch, const char *path, struct secret_mark *mark)
{
	if (!secrets_changed(path, mark) || ch == NULL)
		return;
	log_info("%s has changed and is read again", path);
	if (secrets_send_file(ch, SECRET_TOKEN, path) < 0) {
		/* Said by it, if it cannot be read: perhaps half written. */
		mark->mtime_ns = 0;
	}
}
