/* SPDX-License-Identifier: ISC */
/*
 * The state as a file: a header, then artifacts, names and rollbacks as they
 * lie in memory.  The host's own byte order and layout: the file does not
 * travel.  Record sizes stand in the header, so that an agent of another
 * build knows that it cannot read it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "agentd/state.h"
#include "agentd/state_records.h"
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/strnum.h"

#define STATE_FILE    "state"
#define STATE_TEMP    "state.tmp"
#define STATE_MAGIC   0x54415453u /* "STAT" */
#define STATE_VERSION 1
#define STATE_FILE_MAX                                                         \
	(sizeof(struct state_header) +                                         \
	    STATE_MAX_ARTIFACTS * sizeof(struct state_artifact) +              \
	    STATE_MAX_NAMES * sizeof(struct state_name) +                      \
	    STATE_MAX_ROLLBACKS * sizeof(struct snapshot_rollback))

struct state_header {
	uint32_t magic;
	uint32_t version;
	uint32_t crc; /* of header (this field 0) and all that follows */
	uint32_t artifact_size;
	uint32_t artifact_count;
	uint32_t name_size;
	uint32_t name_count;
	uint32_t rollback_size;
	uint32_t rollback_count;
	uint32_t filter_owner; /* 0 in a file of an older build */
	uint64_t next_event_seq;
	uint64_t next_accept_order;
	int64_t saved_wall_ns;
};

/* ---- writing ---- */

struct writer {
	int fd;
	uint32_t crc;
	size_t used;
	uint8_t buf[64 << 10];
};

static int
put(struct writer *w, const void *data, size_t len)
{
	int r;

	w->crc = crc32c(w->crc, data, len);
	if (len > sizeof(w->buf) - w->used) {
		r = fd_write_all(w->fd, w->buf, w->used);
		if (r < 0)
			return r;
		w->used = 0;
	}
	memcpy(w->buf + w->used, data, len);
	w->used += len;
	return 0;
}

_Static_assert(sizeof(struct snapshot_rollback) < 64 << 10, "fits the buffer");
_Static_assert(sizeof(struct state_artifact) < 64 << 10, "fits the buffer");

static int
write_state(int fd, const struct state *s)
{
	_cleanup_free_ struct writer *w = malloc(sizeof(*w));
	struct state_header h = {
		.magic = STATE_MAGIC,
		.version = STATE_VERSION,
		.artifact_size = sizeof(struct state_artifact),
		.artifact_count = (uint32_t)s->artifact_count,
		.name_size = sizeof(struct state_name),
		.name_count = (uint32_t)s->name_count,
		.rollback_size = sizeof(struct snapshot_rollback),
		.rollback_count = (uint32_t)s->rollback_count,
		.filter_owner = s->filter_owner,
		.next_event_seq = s->next_event_seq,
		.next_accept_order = s->next_accept_order,
		.saved_wall_ns = clock_wall_ns(),
	};
	size_t i;
	int r;

	if (w == NULL)
		return -ENOMEM;
	w->fd = fd;
	w->crc = 0;
	w->used = 0;
	r = put(w, &h, sizeof(h));
	for (i = 0; r == 0 && i < s->artifact_count; i++)
		r = put(w, s->artifacts[i], sizeof(*s->artifacts[i]));
	for (i = 0; r == 0 && i < s->name_count; i++)
		r = put(w, s->names[i], sizeof(*s->names[i]));
	for (i = 0; r == 0 && i < s->rollback_count; i++)
		r = put(w, &s->rollbacks[i], sizeof(s->rollbacks[i]));
	if (r == 0)
		r = fd_write_all(fd, w->buf, w->used);
	if (r < 0)
		return r;
	if (pwrite(fd, &w->crc, sizeof(w->crc),
		offsetof(struct state_header, crc)) != sizeof(w->crc))
		return -EIO;
	return 0;
}

int
state_save(int dirfd, const struct state *s)
{
	_cleanup_fd_ int fd = -1;
	int r = 0;

	/* A left-over of a crash; and never write into what lies there. */
	if (unlinkat(dirfd, STATE_TEMP, 0) == -1 && errno != ENOENT)
		return -errno;
	fd = openat(dirfd, STATE_TEMP,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return -errno;
	r = write_state(fd, s);
	if (r == 0 && fsync(fd) == -1)
		r = -errno;
	if (r == 0 && renameat(dirfd, STATE_TEMP, dirfd, STATE_FILE) == -1)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, STATE_TEMP, 0);
		return r;
	}
	/* The rename itself must be on the disk too. */
	return fsync(dirfd) == -1 ? -errno : 0;
}

/* ---- reading ---- */

static int
read_state(int fd, uint8_t **out, size_t *out_len)
{
	_cleanup_free_ uint8_t *buf = NULL;
	struct stat st;
	size_t len = 0, size;
	ssize_t n;

	if (fstat(fd, &st) == -1)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < 0 ||
	    (uint64_t)st.st_size > STATE_FILE_MAX)
		return -EBADMSG;
	size = (size_t)st.st_size;
	buf = malloc(size + 1);
	if (buf == NULL)
		return -ENOMEM;
	while (len < size) {
		n = read(fd, buf + len, size - len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*out = buf;
	*out_len = len;
	buf = NULL;
	return 0;
}

static bool
artifact_is_sane(const struct state_artifact *a)
{
	return str_is_identifier(a->artifact_id, sizeof(a->artifact_id)) &&
	    str_is_text(a->name, sizeof(a->name)) &&
	    str_is_text(a->version, sizeof(a->version)) &&
	    str_is_terminated(a->error, sizeof(a->error)) &&
	    a->tombstone < STATUS_MAX && a->unload_reason < UNLOAD_MAX &&
	    a->accepted <= 1;
}

static bool
name_is_sane(const struct state_name *n)
{
	return str_is_text(n->name, sizeof(n->name)) &&
	    str_is_text(n->highest_version, sizeof(n->highest_version)) &&
	    str_is_text(n->allow_downgrade, sizeof(n->allow_downgrade));
}

static bool
rollback_is_sane(const struct snapshot_rollback *r)
{
	return str_is_identifier(r->artifact_id, sizeof(r->artifact_id)) &&
	    str_is_text(r->name, sizeof(r->name)) &&
	    str_is_text(r->version, sizeof(r->version)) &&
	    str_is_text(r->restored_version, sizeof(r->restored_version)) &&
	    str_is_terminated(r->text, sizeof(r->text)) &&
	    str_is_terminated(r->error, sizeof(r->error)) &&
	    r->reason < ROLLBACK_REASON_MAX && r->threshold < THRESHOLD_MAX &&
	    r->status < ROLLBACK_STATUS_MAX;
}

/* What is wrong with the header, NULL if nothing. */
static const char *
check_header(struct state_header *h, uint8_t *buf, size_t len)
{
	uint32_t crc;
	size_t want;

	if (len < sizeof(*h))
		return "it is shorter than its header";
	memcpy(h, buf, sizeof(*h));
	if (h->magic != STATE_MAGIC)
		return "it is no state file";
	if (h->version != STATE_VERSION ||
	    h->artifact_size != sizeof(struct state_artifact) ||
	    h->name_size != sizeof(struct state_name) ||
	    h->rollback_size != sizeof(struct snapshot_rollback))
		return "it was written by another version of the agent";
	if (h->artifact_count > STATE_MAX_ARTIFACTS ||
	    h->name_count > STATE_MAX_NAMES ||
	    h->rollback_count > STATE_MAX_ROLLBACKS)
		return "it claims more records than there may be";
	want = sizeof(*h) + h->artifact_count * sizeof(struct state_artifact) +
	    h->name_count * sizeof(struct state_name) +
	    h->rollback_count * sizeof(struct snapshot_rollback);
	if (len != want)
		return "its length does not fit its records";
	crc = h->crc;
	memset(buf + offsetof(struct state_header, crc), 0, sizeof(crc));
	if (crc32c(0, buf, len) != crc)
		return "its checksum is wrong";
	return NULL;
}

/* Records into S; what is wrong, or NULL. */
static const char *
take_records(const struct state_header *h, const uint8_t *p, struct state *s)
{
	struct state_artifact a, *slot;
	struct snapshot_rollback r, *rollback;
	struct state_name n, *name;
	uint32_t i;

	for (i = 0; i < h->artifact_count; i++, p += sizeof(a)) {
		memcpy(&a, p, sizeof(a));
		if (!artifact_is_sane(&a))
			return "an artifact's record makes no sense";
		slot = state_insert_artifact(s, a.artifact_id, a.sha256);
		if (slot == NULL)
			return "out of memory";
		*slot = a;
	}
	for (i = 0; i < h->name_count; i++, p += sizeof(n)) {
		memcpy(&n, p, sizeof(n));
		if (!name_is_sane(&n))
			return "a name's record makes no sense";
		name = state_insert_name(s, n.name);
		if (name == NULL)
			return "out of memory";
		*name = n;
	}
	for (i = 0; i < h->rollback_count; i++, p += sizeof(r)) {
		memcpy(&r, p, sizeof(r));
		if (!rollback_is_sane(&r))
			return "a rollback's record makes no sense";
		rollback = state_rollback_add(s);
		if (rollback == NULL)
			return "out of memory";
		*rollback = r;
	}
	s->filter_owner = h->filter_owner;
	s->next_event_seq = h->next_event_seq;
	s->next_accept_order = h->next_accept_order;
	return NULL;
}

static void
set_aside(int dirfd, const char *what)
{
	char aside[64];
	int64_t now = clock_wall_ns();

	/* Two within a second are two. */
	(void)snprintf(aside, sizeof(aside),
	    "state.damaged-%" PRId64 ".%06" PRId64, now / NSEC_PER_SEC,
	    now % NSEC_PER_SEC / 1000);
	if (renameat(dirfd, STATE_FILE, dirfd, aside) == -1)
		log_line(LOG_LEVEL_ERROR, NULL, what,
		    "the state file cannot be used nor set aside "
		    "(%s): starting without it; ended artifacts may be "
		    "loaded again",
		    strerror(errno));
	else
		log_line(LOG_LEVEL_ERROR, NULL, what,
		    "the state file cannot be used and was set aside as %s: "
		    "starting without it; ended artifacts may be loaded "
		    "again",
		    aside);
}

int
state_load(int dirfd, struct state *s)
{
	_cleanup_free_ uint8_t *buf = NULL;
	_cleanup_fd_ int fd = -1;
	struct state_header h;
	const char *what;
	size_t len = 0;
	int r;

	state_init(s);
	fd = openat(
	    dirfd, STATE_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1 && errno == ENOENT)
		return 0;
	r = fd == -1 ? -errno : read_state(fd, &buf, &len);
	if (r == -ELOOP || r == -EBADMSG) {
		set_aside(dirfd, "it is not a regular file, or too large");
		return -EBADMSG;
	}
	if (r < 0) {
		/* It may be good, and the next save would overwrite it. */
		set_aside(dirfd, strerror(-r));
		return r;
	}
	what = check_header(&h, buf, len);
	if (what == NULL)
		what = take_records(&h, buf + sizeof(h), s);
	if (what == NULL)
		return 0;
	state_free(s);
	set_aside(dirfd, what);
	return -EBADMSG;
}
