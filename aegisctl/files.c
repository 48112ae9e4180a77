/* SPDX-License-Identifier: ISC */
#include "aegisctl/files.h"

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aegis_config.h"
#include "common/envfile.h"
#include "common/limits.h"
#include "common/memfd.h"
#include "common/pubkey.h"
#include "common/strnum.h"

#define CONFIG_FILE AEGIS_SYSCONFDIR "/agentd.env"
#define KEYS_MAX    (256u << 10)

int
files_read(const char *path, size_t max, char **text, size_t *len)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_free_ char *buf = NULL;
	struct stat st;
	ssize_t n;
	int r;

	if (fd == -1 || fstat(fd, &st) == -1) {
		r = -errno;
		warn("%s", path);
		return r;
	}
	if (!S_ISREG(st.st_mode) || st.st_size < 0 ||
	    (uint64_t)st.st_size > max) {
		warnx("%s: no regular file of at most %zu bytes", path, max);
		return -EFBIG;
	}
	buf = malloc((size_t)st.st_size + 1);
	if (buf == NULL)
		return -ENOMEM;
	for (*len = 0; *len < (size_t)st.st_size; *len += (size_t)n) {
		n = read(fd, buf + *len, (size_t)st.st_size - *len);
		if (n <= 0) {
			warnx("%s: it changed while it was read", path);
			return -EIO;
		}
	}
	buf[*len] = '\0';
	*text = buf;
	buf = NULL;
	return 0;
}

int
files_seal(const char *path, size_t max)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = files_read(path, max, &text, &len);
	if (r < 0)
		return r;
	r = memfd_from_bytes("file", text, len);
	if (r < 0)
		warnx("%s: %s", path, strerror(-r));
	return r;
}

/* ---- keys ---- */

static int
find_key(const char *name, const char *value, unsigned int line, void *ctx)
{
	char **key = ctx;

	if (name == NULL || strcmp(name, "AGENT_PUBLIC_KEY") != 0)
		return 0;
	free(*key);
	*key = strdup(value);
	return *key == NULL ? -ENOMEM : 0;
}

/* AGENT_PUBLIC_KEY as agentd would see it; owned, NULL: not set. */
static char *
configured_key(void)
{
	const char *value = getenv("AGENT_PUBLIC_KEY"), *what;
	_cleanup_free_ char *text = NULL;
	char *key = NULL;
	unsigned int line;
	size_t len;

	if (value != NULL && value[0] != '\0')
		return strdup(value);
	if (access(CONFIG_FILE, R_OK) == -1 ||
	    files_read(CONFIG_FILE, AEGIS_LIST_MAX, &text, &len) < 0)
		return NULL;
	if (envfile_parse(text, len, find_key, &key, &line, &what) < 0)
		warnx(CONFIG_FILE ": line %u: %s", line, what);
	return key;
}

int
files_keys(const char *key)
{
	_cleanup_free_ char *value = NULL, *pem = NULL;
	const char *what = "";
	int r;

	value = key != NULL ? strdup(key) : configured_key();
	if (value == NULL || value[0] == '\0') {
		warnx("no key: give -k, or set AGENT_PUBLIC_KEY in the "
		      "environment or in " CONFIG_FILE);
		return -ENOKEY;
	}
	if (pubkey_is_file(value))
		return files_seal(pubkey_file(value), KEYS_MAX);
	if (key != NULL && access(key, F_OK) == 0)
		return files_seal(key, KEYS_MAX);
	r = pubkey_to_pem(value, &pem, &what);
	if (r < 0) {
		warnx("%.80s: neither a file nor a key: %s", value, what);
		return r;
	}
	return memfd_from_bytes("keys", pem, strlen(pem));
}

/* ---- signatures ---- */

void
files_base64(const void *data, size_t len, char *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "abcdefghijklmnopqrstuvwxyz"
				       "0123456789+/";
	const unsigned char *p = data;
	unsigned int bits;
	size_t i;

	for (i = 0; i < len; i += 3) {
		bits = (unsigned int)p[i] << 16;
		if (i + 1 < len)
			bits |= (unsigned int)p[i + 1] << 8;
		if (i + 2 < len)
			bits |= p[i + 2];
		*out++ = alphabet[bits >> 18];
		*out++ = alphabet[bits >> 12 & 63];
		*out++ = i + 1 < len ? alphabet[bits >> 6 & 63] : '=';
		*out++ = i + 2 < len ? alphabet[bits & 63] : '=';
	}
	*out = '\0';
}

static bool
is_ascii_text(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((s[i] < ' ' || s[i] > '~') && s[i] != '\n' && s[i] != '\r')
			return false;
	return true;
}

int
files_signature(const char *file, const char *what, char *out, size_t size)
{
	_cleanup_free_ char *text = NULL, *path = NULL, *encoded = NULL;
	size_t len;
	int r;

	if (what == NULL && asprintf(&path, "%s.sig", file) == -1)
		return -ENOMEM;
	if (what == NULL && access(path, F_OK) == -1)
		return -ENOENT;
	if (what != NULL && access(what, F_OK) == -1) {
		r = str_copy(out, size, what);
		if (r < 0)
			warnx("-s: neither a file nor a signature's text");
		return r;
	}
	r = files_read(what != NULL ? what : path, size, &text, &len);
	if (r < 0)
		return r;
	if (!is_ascii_text(text, len)) {
		encoded = malloc(4 * (len + 2) / 3 + 4);
		if (encoded == NULL)
			return -ENOMEM;
		files_base64(text, len, encoded);
	} else {
		text[strcspn(text, "\r\n")] = '\0';
	}
	r = str_copy(out, size, encoded != NULL ? encoded : text);
	if (r < 0)
		warnx("%s: longer than a signature may be",
		    what != NULL ? what : path);
	return r;
}

int
files_replace(const char *path, const void *data, size_t len)
{
	_cleanup_free_ char *new = NULL;
	FILE *f;
	int r = 0;

	if (asprintf(&new, "%s.new.%d", path, (int)getpid()) == -1)
		return -ENOMEM;
	f = fopen(new, "we");
	if (f == NULL) {
		r = -errno;
		warn("%s", new);
		return r;
	}
	if (fwrite(data, 1, len, f) != len)
		r = -EIO;
	if (fclose(f) != 0)
		r = -EIO;
	if (r == 0 && rename(new, path) == -1)
		r = -errno;
	if (r < 0) {
		warnx("%s: %s", path, strerror(-r));
		(void)unlink(new);
	}
	return r;
}
