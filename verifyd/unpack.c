/* SPDX-License-Identifier: ISC */
#include "verifyd/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/limits.h"

#define ZSTD_MAGIC "\x28\xb5\x2f\xfd"

/* More than any honest object packs; the first MiB is free. */
#define RATIO_MAX  200
#define RATIO_FREE (1u << 20)

/* Headers and padding of the members, on top of their contents. */
#define TAR_OVERHEAD (2u << 20)

#define NAME_MAX_LEN 255

struct unpacker {
	struct archive *archive;
	size_t compressed_len;
	struct unpacked *out;
	struct problems *problems;
	unsigned int members; /* of any kind */
	EVP_MD_CTX *hash;
};

static void
archive_freep(struct archive **a)
{
	if (*a != NULL)
		(void)archive_read_free(*a);
}

static void
md_ctx_freep(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

struct unpacked_member *
unpacked_find(struct unpacked *u, const char *name)
{
	unsigned int i;

	for (i = 0; i < u->member_count; i++)
		if (strcmp(u->members[i].name, name) == 0)
			return &u->members[i];
	return NULL;
}

const struct unpacked_member *
unpacked_find_sum(struct unpacked *u, const char *name)
{
	struct unpacked_member *member = unpacked_find(u, name);

	if (member == NULL || member->has_sum)
		return member;
	if (EVP_Digest(u->object.data, u->object.len, member->sha256, NULL,
		EVP_sha256(), NULL) != 1)
		return NULL;
	member->has_sum = true;
	return member;
}

void
unpacked_release(struct unpacked *u)
{
	unsigned int i;

	for (i = 0; i < u->member_count; i++)
		free(u->members[i].name);
	u->member_count = 0;
	free(u->metadata);
	u->metadata = NULL;
	memfd_unmap(&u->object);
	fd_close(&u->object_fd);
}

#define REFUSE(u, ...) (problem_add((u)->problems, __VA_ARGS__), -EBADMSG)

static int
refuse_archive(struct unpacker *u)
{
	const char *text = archive_error_string(u->archive);

	if (archive_errno(u->archive) == ENOMEM)
		return -ENOMEM;
	return REFUSE(u,
	    "artifact.tar.zst is damaged or no tar in zstd: %.200s",
	    text != NULL ? text : "unknown reason");
}

/* The whole of what came out so far, tar headers included. */
static int
check_volume(struct unpacker *u)
{
	int64_t out = archive_filter_bytes(u->archive, 0);

	if (out > AEGIS_EXTRACTED_MAX + TAR_OVERHEAD)
		return REFUSE(u, "extracted size exceeds %u MiB",
		    AEGIS_EXTRACTED_MAX >> 20);
	if (out > RATIO_FREE && (uint64_t)out / RATIO_MAX > u->compressed_len)
		return REFUSE(u,
		    "compression ratio exceeds %d:1 (%zu bytes became more "
		    "than %lld): a decompression bomb",
		    RATIO_MAX, u->compressed_len, (long long)out);
	return 0;
}

/* NAME without leading "./", "" for the top directory; NULL: refused. */
static const char *
check_name(struct unpacker *u, const char *name)
{
	const char *p, *part;
	size_t len;

	if (name == NULL || *name == '\0') {
		(void)REFUSE(u, "tar member %u has no usable name", u->members);
		return NULL;
	}
	if (*name == '/') {
		(void)REFUSE(u, "tar member \"%.100s\": absolute path", name);
		return NULL;
	}
	for (part = name; *part != '\0'; part += len) {
		part += strspn(part, "/");
		len = strcspn(part, "/");
		if (len == 2 && part[0] == '.' && part[1] == '.') {
			(void)REFUSE(u,
			    "tar member \"%.100s\": \"..\" in its "
			    "path",
			    name);
			return NULL;
		}
	}
	for (p = name; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			(void)REFUSE(u,
			    "tar member \"%.100s\": control "
			    "character in its name",
			    name);
			return NULL;
		}
	if (p - name > NAME_MAX_LEN) {
		(void)REFUSE(u, "tar member \"%.40s...\": name longer than %d",
		    name, NAME_MAX_LEN);
		return NULL;
	}
	while (name[0] == '.' && (name[1] == '/' || name[1] == '\0'))
		name += 1 + strspn(name + 1, "/");
	return name;
}

static const char *
type_name(unsigned int type)
{
	switch (type) {
	case AE_IFLNK:
		return "a symbolic link";
	case AE_IFCHR:
		return "a character device";
	case AE_IFBLK:
		return "a block device";
	case AE_IFIFO:
		return "a fifo";
	case AE_IFSOCK:
		return "a socket";
	default:
		return "of an unknown type";
	}
}

/* Everything about ENTRY that is refused whatever its name. */
static int
check_entry(struct unpacker *u, struct archive_entry *entry, const char *name)
{
	unsigned int type = archive_entry_filetype(entry);

	if (archive_entry_hardlink(entry) != NULL)
		return REFUSE(u,
		    "tar member \"%.100s\" is a hard link: only regular files "
		    "may be in an artifact",
		    name);
	if (type != AE_IFREG && type != AE_IFDIR)
		return REFUSE(u,
		    "tar member \"%.100s\" is %s: only regular files may be "
		    "in an artifact",
		    name, type_name(type));
	if (archive_entry_sparse_count(entry) > 0)
		return REFUSE(u, "tar member \"%.100s\" is sparse", name);
	if (archive_entry_xattr_count(entry) > 0 ||
	    archive_entry_acl_types(entry) != 0)
		return REFUSE(u,
		    "tar member \"%.100s\" has extended attributes or an "
		    "ACL: pack without them",
		    name);
	if (archive_entry_size(entry) < 0 ||
	    archive_entry_size(entry) > AEGIS_EXTRACTED_MAX)
		return REFUSE(u, "tar member \"%.100s\": size exceeds %u MiB",
		    name, AEGIS_EXTRACTED_MAX >> 20);
	if (type == AE_IFREG && unpacked_find(u->out, name) != NULL)
		return REFUSE(u, "tar member \"%.100s\" occurs twice", name);
	return 0;
}

static int
write_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n == -1 && errno != EINTR)
			return -errno;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Where the bytes of a member go: one of the two, or nowhere. */
struct sink {
	char *buffer;
	int fd;
};

/*
 * Pass SIZE bytes of the current member from the decompressor to SINK.  What
 * nobody keeps is decompressed all the same: it counts, and it has a sum;
 * what goes to a descriptor can be summed later.
 */
static int
pump(struct unpacker *u, struct unpacked_member *member, size_t size,
    const struct sink *sink)
{
	size_t len, n = 0;
	const void *block;
	int64_t offset;
	int r;

	member->has_sum = sink->fd < 0;
	if (member->has_sum &&
	    EVP_DigestInit_ex(u->hash, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	while ((r = archive_read_data_block(
		    u->archive, &block, &len, &offset)) == ARCHIVE_OK) {
		if (offset < 0 || (size_t)offset != n || len > size - n)
			return REFUSE(
			    u, "tar member \"%.100s\" has holes", member->name);
		if (sink->buffer != NULL)
			memcpy(sink->buffer + n, block, len);
		r = sink->fd >= 0 ? write_all(sink->fd, block, len) : 0;
		if (r < 0)
			return r;
		if (member->has_sum &&
		    EVP_DigestUpdate(u->hash, block, len) != 1)
			return -ENOMEM;
		n += len;
		r = check_volume(u);
		if (r < 0)
			return r;
	}
	if (r != ARCHIVE_EOF)
		return refuse_archive(u);
	if (n != size)
		return REFUSE(u,
		    "tar member \"%.100s\" ends after %zu of %zu bytes",
		    member->name, n, size);
	if (member->has_sum &&
	    EVP_DigestFinal_ex(u->hash, member->sha256, NULL) != 1)
		return -ENOMEM;
	return 0;
}

static int
read_metadata(struct unpacker *u, struct unpacked_member *member, size_t size)
{
	struct sink sink = { NULL, -1 };

	if (size > AEGIS_METADATA_MAX)
		return REFUSE(u,
		    "metadata.json has %zu bytes, at most %u may be", size,
		    AEGIS_METADATA_MAX);
	sink.buffer = u->out->metadata = malloc(size + 1);
	if (u->out->metadata == NULL)
		return -ENOMEM;
	u->out->metadata[size] = '\0';
	u->out->metadata_len = size;
	return pump(u, member, size, &sink);
}

static int
read_object(struct unpacker *u, struct unpacked_member *member, size_t size)
{
	struct sink sink = { NULL, -1 };
	int r;

	if (size == 0)
		return REFUSE(u, "program.o is empty");
	sink.fd = u->out->object_fd = memfd_create_buffer("program.o");
	if (sink.fd < 0)
		return sink.fd;
	r = pump(u, member, size, &sink);
	if (r < 0)
		return r;
	r = memfd_seal(sink.fd);
	if (r < 0)
		return r;
	return memfd_map(sink.fd, AEGIS_EXTRACTED_MAX, &u->out->object);
}

static int
read_member(struct unpacker *u, struct archive_entry *entry)
{
	const struct sink nowhere = { NULL, -1 };
	struct unpacked_member *member;
	const char *name;
	size_t size;
	int r;

	if (++u->members > AEGIS_TAR_MEMBERS)
		return REFUSE(u, "more than %d tar members", AEGIS_TAR_MEMBERS);
	r = check_volume(u);
	if (r < 0)
		return r;
	name = check_name(u, archive_entry_pathname(entry));
	if (name == NULL)
		return -EBADMSG;
	r = check_entry(u, entry, name);
	if (r < 0 || archive_entry_filetype(entry) == AE_IFDIR)
		return r;
	member = &u->out->members[u->out->member_count];
	member->name = strdup(name);
	if (member->name == NULL)
		return -ENOMEM;
	u->out->member_count++;
	size = (size_t)archive_entry_size(entry);
	if (strcmp(name, "metadata.json") == 0)
		return read_metadata(u, member, size);
	if (strcmp(name, "program.o") == 0)
		return read_object(u, member, size);
	return pump(u, member, size, &nowhere);
}

static int
read_members(struct unpacker *u)
{
	struct archive_entry *entry;
	int r;

	for (;;) {
		r = archive_read_next_header(u->archive, &entry);
		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return refuse_archive(u);
		/* One layer each: no zstd in zstd, nothing but tar. */
		if ((archive_format(u->archive) & ARCHIVE_FORMAT_BASE_MASK) !=
			ARCHIVE_FORMAT_TAR ||
		    archive_filter_count(u->archive) != 2 ||
		    archive_filter_code(u->archive, 0) != ARCHIVE_FILTER_ZSTD)
			return REFUSE(u, "artifact is no tar inside one zstd");
		r = read_member(u, entry);
		if (r < 0)
			return r;
	}
	if (u->out->metadata == NULL)
		return REFUSE(u, "no metadata.json at the top of the tar");
	if (u->out->object_fd < 0)
		return REFUSE(u, "no program.o at the top of the tar");
	return check_volume(u);
}

int
unpack_artifact(const void *data, size_t len, struct unpacked *out,
    struct problems *problems)
{
	_cleanup_(archive_freep) struct archive *a = archive_read_new();
	_cleanup_(md_ctx_freep) EVP_MD_CTX *hash = EVP_MD_CTX_new();
	struct unpacker u = { a, len, out, problems, 0, hash };
	int r;

	*out = (struct unpacked)UNPACKED_INIT;
	if (a == NULL || hash == NULL)
		return -ENOMEM;
	if (len < 4 || memcmp(data, ZSTD_MAGIC, 4) != 0)
		return REFUSE(&u, "artifact is not compressed with zstd");
	if (archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
	    archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_open_memory(a, data, len) != ARCHIVE_OK)
		return refuse_archive(&u);
	r = read_members(&u);
	if (r < 0)
		unpacked_release(out);
	return r;
}
