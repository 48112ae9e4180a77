/* SPDX-License-Identifier: ISC */
/*
 * pack: metadata.json and program.o into an artifact, the same bytes from the
 * same input, signed, and judged by verifyd before anything is written.
 */
#include <archive.h>
#include <archive_entry.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "aegisctl/files.h"
#include "aegisctl/judge.h"
#include "aegisctl/offline.h"
#include "aegisctl/sign.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/memfd.h"
#include "common/strnum.h"

/* What tar and zstd may add to bytes that do not compress. */
#define PACKED_MAX (AEGIS_EXTRACTED_MAX + (1u << 20))

struct artifact {
	char *bytes; /* owned */
	size_t len;
	int fd; /* owned: the same, sealed */
	char signature[AEGIS_SIGNATURE_SIZE];
};

static int
add_member(struct archive *a, const char *name, const void *data, size_t len)
{
	struct archive_entry *e = archive_entry_new();
	int r = 0;

	if (e == NULL)
		return -ENOMEM;
	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, (int64_t)len);
	archive_entry_set_mtime(e, 0, 0);
	archive_entry_set_uid(e, 0);
	archive_entry_set_gid(e, 0);
	if (archive_write_header(a, e) != ARCHIVE_OK ||
	    archive_write_data(a, data, len) != (ssize_t)len)
		r = -EIO;
	archive_entry_free(e);
	return r;
}

static int
write_archive(struct archive *a, struct artifact *art, const char *metadata,
    size_t metadata_len, const char *program, size_t program_len)
{
	int r = 0;

	if (archive_write_set_format_ustar(a) != ARCHIVE_OK ||
	    archive_write_add_filter_zstd(a) != ARCHIVE_OK ||
	    archive_write_set_filter_option(
		a, "zstd", "compression-level", "19") != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(a, 1) != ARCHIVE_OK ||
	    archive_write_open_memory(a, art->bytes, PACKED_MAX, &art->len) !=
		ARCHIVE_OK)
		r = -EIO;
	if (r == 0)
		r = add_member(a, "metadata.json", metadata, metadata_len);
	if (r == 0)
		r = add_member(a, "program.o", program, program_len);
	if (r == 0 && archive_write_close(a) != ARCHIVE_OK)
		r = -EIO;
	if (r < 0)
		warnx("cannot pack: %s",
		    archive_error_string(a) != NULL ? archive_error_string(a)
						    : strerror(-r));
	return r;
}

/* @SHA256@ and @ARCH@ in metadata, so that it can be kept in a repository. */
static char *
fill_in(const char *text, const char *mark, const char *value)
{
	const char *at = strstr(text, mark);
	char *out = NULL;

	if (at == NULL)
		return strdup(text);
	if (asprintf(&out, "%.*s%s%s", (int)(at - text), text, value,
		at + strlen(mark)) == -1)
		return NULL;
	return out;
}

static int
read_member(const char *directory, const char *name, size_t max, char **text,
    size_t *len)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", directory, name) == -1)
		return -ENOMEM;
	return files_read(path, max, text, len);
}

static int
make_archive(const char *directory, struct artifact *art)
{
	_cleanup_free_ char *raw = NULL, *summed = NULL, *metadata = NULL;
	_cleanup_free_ char *program = NULL;
	char sum[2 * AEGIS_SHA256_SIZE + 1];
	struct archive *a;
	struct utsname uts;
	size_t raw_len, len;
	int r;

	r = read_member(
	    directory, "metadata.json", AEGIS_METADATA_MAX, &raw, &raw_len);
	if (r == 0)
		r = read_member(directory, "program.o", AEGIS_EXTRACTED_MAX,
		    &program, &len);
	if (r < 0)
		return r;
	if (strlen(raw) != raw_len) {
		warnx("%s/metadata.json: a NUL byte in it", directory);
		return -EINVAL;
	}
	r = sign_sha256(program, len, sum);
	if (r < 0 || uname(&uts) == -1)
		return -EIO;
	summed = fill_in(raw, "@SHA256@", sum);
	metadata =
	    summed == NULL ? NULL : fill_in(summed, "@ARCH@", uts.machine);
	art->bytes = malloc(PACKED_MAX);
	a = archive_write_new();
	if (metadata == NULL || art->bytes == NULL || a == NULL)
		r = -ENOMEM;
	else
		r = write_archive(
		    a, art, metadata, strlen(metadata), program, len);
	(void)archive_write_free(a);
	if (r == 0 && art->len > AEGIS_ARTIFACT_MAX) {
		warnx("%s: packed, it is larger than %u MiB", directory,
		    AEGIS_ARTIFACT_MAX >> 20);
		r = -EFBIG;
	}
	if (r == 0)
		r = art->fd =
		    memfd_from_bytes("artifact", art->bytes, art->len);
	return r < 0 ? r : 0;
}

/* What goes into the registry's list; all strings were checked by verifyd. */
static void
print_entry(
    const struct judge *j, const struct artifact *art, const char *parameters)
{
	char sum[2 * AEGIS_SHA256_SIZE + 1], now[CLOCK_RFC3339_SIZE];

	strnum_format_hex(j->names.sha256, sizeof(j->names.sha256), sum);
	clock_format_rfc3339(clock_wall_ns(), now);
	(void)printf("{\"artifact_id\":\"%s-%s-%.8s\",\"name\":\"%s\","
		     "\"version\":\"%s\",\"created_at\":\"%s\",\"size\":%zu,"
		     "\"type\":\"program\",\"checksum\":\"%s\","
		     "\"signature\":\"%s\"",
	    j->names.name, j->names.version, sum, j->names.name,
	    j->names.version, now, art->len, sum, art->signature);
	if (MSG_ID_OK(j->names.architecture))
		(void)printf(",\"architecture\":\"%s\"", j->names.architecture);
	if (parameters != NULL)
		(void)printf(",\"parameters\":%s", parameters);
	(void)fputs("}\n", stdout);
}

/* Would the agent take it?  0 or -errno after saying why not. */
static int
judge_artifact(struct judge *j, const char *directory, struct artifact *art,
    int parameters)
{
	int r;

	j->signature = art->signature;
	r = judge_describe(j, art->fd);
	if (r == 0 && j->result == WORK_OK && parameters >= 0)
		r = judge_plan(j, art->fd, parameters);
	if (r == 0 && j->result != WORK_OK) {
		warnx("%s: the agent would refuse it: %s", directory, j->error);
		r = -EBADMSG;
	}
	return r;
}

static int
write_files(const char *path, const struct artifact *art)
{
	_cleanup_free_ char *sig = NULL, *line = NULL;
	int r;

	if (asprintf(&sig, "%s.sig", path) == -1 ||
	    asprintf(&line, "%s\n", art->signature) == -1)
		return -ENOMEM;
	r = files_replace(path, art->bytes, art->len);
	return r < 0 ? r : files_replace(sig, line, strlen(line));
}

static int
pack(const struct offline_options *o, const char *directory,
    struct artifact *art)
{
	_cleanup_free_ char *parameters = NULL;
	_cleanup_fd_ int public = -1, sealed = -1;
	struct judge j;
	size_t len = 0;
	int r;

	r = make_archive(directory, art);
	if (r < 0)
		return r;
	public = sign_bytes(o->key, art->bytes, art->len, art->signature,
	    sizeof(art->signature));
	if (public < 0)
		return public;
	if (o->parameters != NULL) {
		r = files_read(
		    o->parameters, AEGIS_PARAMETERS_MAX, &parameters, &len);
		if (r == 0)
			r = sealed =
			    memfd_from_bytes("parameters", parameters, len);
		if (r < 0)
			return r;
	}
	r = judge_open(&j, public);
	if (r == 0)
		r = judge_artifact(&j, directory, art, sealed);
	if (r == 0)
		r = write_files(o->output, art);
	if (r == 0)
		print_entry(&j, art, parameters);
	judge_close(&j);
	return r;
}

int
offline_pack(const struct offline_options *o, const char *directory)
{
	struct artifact art = { .fd = -1 };
	int r;

	if (o->key == NULL || o->output == NULL) {
		warnx("pack needs -k KEY and -o FILE");
		return 64;
	}
	r = pack(o, directory, &art);
	free(art.bytes);
	fd_close(&art.fd);
	return r < 0 ? 1 : 0;
}
