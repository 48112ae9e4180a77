/* SPDX-License-Identifier: ISC */
#include "agentd/state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "agentd/semver.h"
#include "agentd/state_records.h"
#include "common/log.h"
#include "common/strnum.h"

void
state_init(struct state *s)
{
	memset(s, 0, sizeof(*s));
	s->next_event_seq = 1;
}

void
state_free(struct state *s)
{
	size_t i;

	for (i = 0; i < s->artifact_count; i++)
		free(s->artifacts[i]);
	for (i = 0; i < s->name_count; i++)
		free(s->names[i]);
	free(s->artifacts);
	free(s->names);
	free(s->rollbacks);
	state_init(s);
}

/* ---- sorted arrays of pointers ---- */

/*
 * Make room for one more pointer at AT of an array of COUNT.  The array
 * grows in powers of two, so its room need not be kept.
 */
static int
array_open(void *array_p, size_t count, size_t at)
{
	void ***array = array_p, **grown;

	if (count == 0 || (count & (count - 1)) == 0) {
		grown = reallocarray(
		    *array, count == 0 ? 1 : count * 2, sizeof(void *));
		if (grown == NULL)
			return -ENOMEM;
		*array = grown;
	}
	memmove(*array + at + 1, *array + at, (count - at) * sizeof(void *));
	return 0;
}

static void
array_close(void *array_p, size_t count, size_t at)
{
	void ***array = array_p;

	memmove(
	    *array + at, *array + at + 1, (count - at - 1) * sizeof(void *));
}

static int
compare_artifact(const struct state_artifact *a, const char *artifact_id,
    const uint8_t *sha256)
{
	int r = strcmp(a->artifact_id, artifact_id);

	return r != 0 ? r : memcmp(a->sha256, sha256, AEGIS_SHA256_SIZE);
}

/* Where it is, or (false) where it belongs. */
static bool
find_artifact(const struct state *s, const char *artifact_id,
    const uint8_t *sha256, size_t *at)
{
	size_t low = 0, high = s->artifact_count, mid;
	int r;

	while (low < high) {
		mid = low + (high - low) / 2;
		r = compare_artifact(s->artifacts[mid], artifact_id, sha256);
		if (r == 0) {
			*at = mid;
			return true;
		}
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*at = low;
	return false;
}

static bool
find_name(const struct state *s, const char *name, size_t *at)
{
	size_t low = 0, high = s->name_count, mid;
	int r;

	while (low < high) {
		mid = low + (high - low) / 2;
		r = strcmp(s->names[mid]->name, name);
		if (r == 0) {
			*at = mid;
			return true;
		}
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*at = low;
	return false;
}

/* ---- artifacts ---- */

struct state_artifact *
state_artifact_find(
    const struct state *s, const char *artifact_id, const uint8_t *sha256)
{
	size_t at;

	return find_artifact(s, artifact_id, sha256, &at) ? s->artifacts[at]
							  : NULL;
}

/*
 * How dear a record is: first goes what never ran, which any registry can
 * list without end, last what was taken out for good.
 */
static unsigned int
worth(const struct state_artifact *a)
{
	if (a->first_loaded_wall_ns == 0)
		return 0;
	return a->tombstone == STATUS_ROLLED_BACK ||
		a->tombstone == STATUS_EXPIRED
	    ? 2
	    : 1;
}

static bool
goes_before(const struct state_artifact *a, const struct state_artifact *b)
{
	return worth(a) != worth(b)
	    ? worth(a) < worth(b)
	    : a->last_seen_wall_ns < b->last_seen_wall_ns;
}

static void
prune_artifact(struct state *s)
{
	size_t i, oldest = 0;

	for (i = 1; i < s->artifact_count; i++)
		if (goes_before(s->artifacts[i], s->artifacts[oldest]))
			oldest = i;
	if (worth(s->artifacts[oldest]) > 0)
		log_line(LOG_LEVEL_WARN, s->artifacts[oldest]->artifact_id,
		    NULL,
		    "the state is full: that it ran is forgotten, and how it "
		    "ended");
	free(s->artifacts[oldest]);
	array_close(&s->artifacts, s->artifact_count--, oldest);
}

struct state_artifact *
state_insert_artifact(
    struct state *s, const char *artifact_id, const uint8_t *sha256)
{
	_cleanup_free_ struct state_artifact *a = NULL;
	struct state_artifact *found;
	size_t at;

	if (find_artifact(s, artifact_id, sha256, &at))
		return s->artifacts[at];
	a = calloc(1, sizeof(*a));
	if (a == NULL ||
	    str_copy(a->artifact_id, sizeof(a->artifact_id), artifact_id) < 0)
		return NULL;
	memcpy(a->sha256, sha256, sizeof(a->sha256));
	if (s->artifact_count == STATE_MAX_ARTIFACTS) {
		prune_artifact(s);
		(void)find_artifact(s, artifact_id, sha256, &at);
	}
	if (array_open(&s->artifacts, s->artifact_count, at) < 0)
		return NULL;
	found = s->artifacts[at] = a;
	s->artifact_count++;
	a = NULL;
	return found;
}

struct state_artifact *
state_artifact_put(struct state *s, const char *artifact_id,
    const uint8_t *sha256, const char *name, const char *version)
{
	struct state_artifact *a;

	if (strlen(name) >= sizeof(a->name) ||
	    strlen(version) >= sizeof(a->version))
		a = NULL;
	else
		a = state_insert_artifact(s, artifact_id, sha256);
	if (a == NULL) {
		log_line(LOG_LEVEL_ERROR, artifact_id, "out of memory",
		    "the state cannot keep this artifact: a restart of the "
		    "agent will not know how it ended");
		return NULL;
	}
	str_copy_cut(a->name, sizeof(a->name), name);
	str_copy_cut(a->version, sizeof(a->version), version);
	return a;
}

void
state_artifact_seen(struct state *s, const char *artifact_id,
    const uint8_t *sha256, int64_t now_wall_ns)
{
	struct state_artifact *a;

	a = state_artifact_find(s, artifact_id, sha256);
	if (a != NULL)
		a->last_seen_wall_ns = now_wall_ns;
}

bool
state_artifact_pardon(struct state *s, const char *artifact_id)
{
	static const uint8_t lowest[AEGIS_SHA256_SIZE];
	bool found = false;
	size_t i;

	(void)find_artifact(s, artifact_id, lowest, &i);
	for (; i < s->artifact_count; i++) {
		struct state_artifact *a = s->artifacts[i];

		if (strcmp(a->artifact_id, artifact_id) != 0)
			break;
		if (a->tombstone == 0)
			continue;
		found = true;
		a->tombstone = 0;
		a->unload_reason = UNLOAD_NONE;
		a->first_loaded_wall_ns = 0;
		a->first_loaded_boot_ns = 0;
		memset(a->boot_id, 0, sizeof(a->boot_id));
		memset(a->error, 0, sizeof(a->error));
	}
	return found;
}

int64_t
state_age_ns(const struct state_artifact *a, int64_t now_boot_ns,
    int64_t now_wall_ns, const uint8_t *boot_id)
{
	static const uint8_t unknown[STATE_BOOT_ID_SIZE];
	int64_t age, now;

	if (a->first_loaded_wall_ns == 0)
		return 0;
	if (memcmp(boot_id, unknown, sizeof(unknown)) != 0 &&
	    memcmp(a->boot_id, boot_id, STATE_BOOT_ID_SIZE) == 0) {
		age = now_boot_ns - a->first_loaded_boot_ns;
	} else {
		/* A clock that went back must not make a TTL longer than
		 * what is known to have passed. */
		now = now_wall_ns > a->last_seen_wall_ns ? now_wall_ns
							 : a->last_seen_wall_ns;
		if (__builtin_sub_overflow(now, a->first_loaded_wall_ns, &age))
			return 0;
	}
	return age > 0 ? age : 0;
}

int
state_boot_id(uint8_t boot_id[STATE_BOOT_ID_SIZE])
{
	_cleanup_fd_ int fd = -1;
	char text[64], hex[2 * STATE_BOOT_ID_SIZE + 1];
	size_t n = 0;
	ssize_t len;
	char *p;

	memset(boot_id, 0, STATE_BOOT_ID_SIZE);
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return -errno;
	len = read(fd, text, sizeof(text) - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	for (p = text; *p != '\0' && n < sizeof(hex) - 1; p++)
		if (*p != '-' && *p != '\n')
			hex[n++] = *p;
	hex[n] = '\0';
	return strnum_parse_hex(hex, boot_id, STATE_BOOT_ID_SIZE);
}

/* ---- names ---- */

struct state_name *
state_name_find(const struct state *s, const char *name)
{
	size_t at;

	return find_name(s, name, &at) ? s->names[at] : NULL;
}

/* The one of which no version was accepted for longest. */
static void
prune_name(struct state *s)
{
	size_t i, oldest = 0;

	for (i = 1; i < s->name_count; i++)
		if (s->names[i]->accept_order < s->names[oldest]->accept_order)
			oldest = i;
	log_warn("the state is full: the highest version of %s is forgotten",
	    s->names[oldest]->name);
	free(s->names[oldest]);
	array_close(&s->names, s->name_count--, oldest);
}

struct state_name *
state_insert_name(struct state *s, const char *name)
{
	_cleanup_free_ struct state_name *n = NULL;
	struct state_name *found;
	size_t at;

	if (find_name(s, name, &at))
		return s->names[at];
	n = calloc(1, sizeof(*n));
	if (n == NULL || str_copy(n->name, sizeof(n->name), name) < 0)
		return NULL;
	if (s->name_count == STATE_MAX_NAMES) {
		prune_name(s);
		(void)find_name(s, name, &at);
	}
	if (array_open(&s->names, s->name_count, at) < 0)
		return NULL;
	found = s->names[at] = n;
	s->name_count++;
	n = NULL;
	return found;
}

void
state_name_accept(
    struct state *s, const char *name, const char *version, uint64_t sequence)
{
	struct state_name *n = state_insert_name(s, name);

	if (n == NULL || strlen(version) >= sizeof(n->highest_version)) {
		log_error("the state cannot keep version %s of %s: a "
			  "downgrade would not be noticed",
		    version, name);
		return;
	}
	n->accept_order = s->next_accept_order++;
	if (semver_compare(version, n->highest_version) > 0)
		str_copy_cut(
		    n->highest_version, sizeof(n->highest_version), version);
	if (sequence > n->highest_sequence)
		n->highest_sequence = sequence;
	if (strcmp(version, n->allow_downgrade) == 0)
		memset(n->allow_downgrade, 0, sizeof(n->allow_downgrade));
}

int
state_name_allow_downgrade(
    struct state *s, const char *name, const char *version)
{
	struct state_name *n = state_name_find(s, name);

	if (n == NULL)
		return -ENOENT;
	if (*version == '\0' ||
	    str_copy(n->allow_downgrade, sizeof(n->allow_downgrade), version) <
		0)
		return -EINVAL;
	return 0;
}

/* ---- rollbacks ---- */

struct snapshot_rollback *
state_rollback_add(struct state *s)
{
	struct snapshot_rollback *list, *r;

	if (s->rollback_count == STATE_MAX_ROLLBACKS) {
		memmove(s->rollbacks, s->rollbacks + 1,
		    (STATE_MAX_ROLLBACKS - 1) * sizeof(*s->rollbacks));
		s->rollback_count--;
	} else {
		list = reallocarray(
		    s->rollbacks, s->rollback_count + 1, sizeof(*list));
		if (list == NULL) {
			log_error(
			    "out of memory: the history of rollbacks lacks "
			    "the newest");
			return NULL;
		}
		s->rollbacks = list;
	}
	r = &s->rollbacks[s->rollback_count++];
	memset(r, 0, sizeof(*r));
	return r;
}

struct snapshot_rollback *
state_rollback_latest(const struct state *s, const char *artifact_id)
{
	size_t i;

	for (i = s->rollback_count; i > 0; i--)
		if (strcmp(s->rollbacks[i - 1].artifact_id, artifact_id) == 0)
			return &s->rollbacks[i - 1];
	return NULL;
}
