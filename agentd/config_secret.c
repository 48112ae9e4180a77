/* SPDX-License-Identifier: ISC */
/*
 * The files that variables name: tokens, keys, certificates.
 */
#include "agentd/config.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "common/pubkey.h"

void
config_secret_wipe(struct config_secret *s)
{
	if (s->data != NULL)
		explicit_bzero(s->data, s->len);
	free(s->data);
	s->data = NULL;
	s->len = 0;
}

static int fail(char *err, int error, const char *fmt, ...) _printf_(3, 4);

static int
fail(char *err, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err, AEGIS_TEXT_SIZE, fmt, ap);
	va_end(ap);
	str_scrub(err, AEGIS_TEXT_SIZE);
	return error;
}

/* Open and look: what is opened is what is looked at. */
static int
open_checked(const char *path, size_t max, struct stat *st, char *err)
{
	_cleanup_fd_ int fd = -1;
	int saved;

	/* Not to hang on a FIFO, nor to get a terminal. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		saved = errno;
		return fail(
		    err, -saved, "cannot open %s: %s", path, strerror(saved));
	}
	if (fstat(fd, st) == -1)
		return fail(err, -errno, "cannot look at %s", path);
	if (!S_ISREG(st->st_mode))
		return fail(err, -EINVAL, "%s is not a regular file", path);
	if ((st->st_mode & S_IWOTH) != 0)
		return fail(err, -EPERM,
		    "%s is writable for everybody (mode %04o): chmod o-w it",
		    path, (unsigned int)st->st_mode & 07777);
	if ((uint64_t)st->st_size > max)
		return fail(
		    err, -EFBIG, "%s is larger than %zu bytes", path, max);
	return fd_steal(&fd);
}

/* Up to MAX bytes; a file that grows meanwhile is refused. */
static int
read_all(
    int fd, const char *path, size_t max, struct config_secret *s, char *err)
{
	ssize_t n;

	s->data = malloc(max + 2);
	if (s->data == NULL)
		return fail(err, -ENOMEM, "out of memory for %s", path);
	for (;;) {
		n = read(fd, s->data + s->len, max + 1 - s->len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			int saved = errno;

			return fail(err, -saved, "cannot read %s: %s", path,
			    strerror(saved));
		}
		if (n == 0)
			break;
		s->len += (size_t)n;
		if (s->len > max)
			return fail(err, -EFBIG, "%s is larger than %zu bytes",
			    path, max);
	}
	s->data[s->len] = '\0';
	return 0;
}

static int
trim_token(const char *path, struct config_secret *s, char *err)
{
	size_t i;

	while (s->len > 0 &&
	    (s->data[s->len - 1] == '\n' || s->data[s->len - 1] == '\r'))
		s->data[--s->len] = '\0';
	for (i = 0; i < s->len; i++)
		if (s->data[i] <= ' ' || s->data[i] >= 0x7f)
			return fail(err, -EINVAL,
			    "%s must hold one line: the token, printable and "
			    "without blanks",
			    path);
	return 0;
}

int
config_read_secret(const char *path, size_t max, bool token,
    struct config_secret *out, char *err)
{
	_cleanup_config_secret_ struct config_secret s = { 0 };
	_cleanup_fd_ int fd = -1;
	struct stat st;
	int r;

	*err = '\0';
	fd = open_checked(path, max, &st, err);
	if (fd < 0)
		return fd;
	r = read_all(fd, path, max, &s, err);
	if (r == 0 && token)
		r = trim_token(path, &s, err);
	if (r < 0)
		return r;
	if (s.len == 0)
		return fail(err, -ENODATA, "%s is empty", path);
	if (memchr(s.data, '\0', s.len) != NULL)
		return fail(err, -EINVAL,
		    "%s is no text file: it holds NUL "
		    "bytes",
		    path);
	*out = s;
	s.data = NULL;
	s.len = 0;
	return 0;
}

int
config_read_public_key(const char *value, struct config_secret *out, char *err)
{
	_cleanup_config_secret_ struct config_secret file = { 0 };
	const char *what = NULL;
	char *pem = NULL;
	int r;

	*err = '\0';
	if (*value == '\0')
		return -ENOENT;
	if (pubkey_is_file(value)) {
		r = config_read_secret(
		    pubkey_file(value), AEGIS_SECRET_MAX, false, &file, err);
		if (r < 0)
			return r;
		r = pubkey_to_pem(file.data, &pem, &what);
		if (r < 0)
			return fail(err, r, "%s: %s", pubkey_file(value), what);
	} else {
		r = pubkey_to_pem(value, &pem, &what);
		if (r < 0)
			return fail(err, r, "%s", what);
	}
	out->data = pem;
	out->len = strlen(pem);
	return 0;
}
