/* SPDX-License-Identifier: ISC */
#include "telemd/rings.h"

#include <event2/event.h>
#include <string.h>

#include "bpf-progs/include/aegis/event.h"
#include "common/clock.h"
#include "telemd/event_id.h"
#include "telemd/telemd.h"

/* While events come: how often to look, and when a ring fills quickly. */
#define TICK_USEC      10000
#define TICK_FAST_USEC 1000

/* A batch: at most so many events and so many bytes. */
#define BATCH_EVENTS 256
#define BATCH_BYTES  (128u << 10)

/* What an event takes at first guess, over its fixed pieces. */
#define EVENT_GUESS 384

static void handle_tick(evutil_socket_t fd, short what, void *arg);

int
rings_init(struct telemd *t)
{
	struct rings *rs = &t->rings;
	int64_t epoch_ns = clock_wall_ns() - clock_boot_ns();

	TAILQ_INIT(&rs->list);
	/*
	 * In whole seconds, so that a later telemd comes to the same number
	 * and gives the same event the same id.
	 */
	rs->boot_epoch_ms = (epoch_ns + NSEC_PER_SEC / 2) / NSEC_PER_SEC * 1000;
	rs->tick = event_new(t->worker.base, -1, 0, handle_tick, t);
	return rs->tick != NULL ? 0 : -ENOMEM;
}

static void
ring_free(struct rings *rs, struct program_ring *pr)
{
	TAILQ_REMOVE(&rs->list, pr, entry);
	if (pr->readable != NULL)
		event_free(pr->readable);
	ring_unmap(&pr->ring);
	losses_unmap(&pr->losses);
	violation_format_free(&pr->format);
	fd_close(&pr->fd);
	free(pr);
}

static void
schedule_tick(struct rings *rs, bool fast)
{
	const struct timeval tv = { .tv_usec =
					fast ? TICK_FAST_USEC : TICK_USEC };

	if (rs->ticking)
		return;
	rs->ticking = event_add(rs->tick, &tv) == 0;
}

/* A quiet ring has something: from now on it is looked at by the clock. */
static void
handle_readable(evutil_socket_t fd, short what, void *arg)
{
	struct program_ring *pr = arg;

	schedule_tick(&pr->telemd->rings, true);
}

static int
prepare(struct telemd *t, struct program_ring *pr)
{
	return violation_prepare(&pr->format, pr->artifact_id, pr->name,
	    pr->version, t->worker.host_id, t->agent_version, &pr->last_sample);
}

static struct program_ring *
ring_new(struct telemd *t, const struct msg_ring_add *m, uint64_t id)
{
	struct program_ring *pr = calloc(1, sizeof(*pr));

	if (pr == NULL)
		return NULL;
	pr->telemd = t;
	pr->id = id;
	pr->key = ++t->rings.next_key;
	pr->fd = -1;
	str_copy_cut(pr->artifact_id, sizeof(pr->artifact_id), m->artifact_id);
	str_copy_cut(pr->name, sizeof(pr->name), m->name);
	str_copy_cut(pr->version, sizeof(pr->version), m->version);
	pr->source =
	    event_id_hash(pr->artifact_id, sizeof(pr->artifact_id)) + id;
	ratelimit_init(&pr->limit, t->violation_rate, clock_boot_ns());
	TAILQ_INSERT_TAIL(&t->rings.list, pr, entry);
	return pr;
}

static struct program_ring *
find_ring(struct telemd *t, uint64_t id)
{
	struct program_ring *pr;

	TAILQ_FOREACH (pr, &t->rings.list, entry)
		if (pr->id == id && !pr->removing)
			break;
	return pr;
}

int
rings_handle_add(struct imsg *m, void *ctx)
{
	struct telemd *t = ctx;
	const struct msg_ring_add *add = msg_get_RING_ADD(m);
	struct program_ring *pr;
	int r;

	if (!MSG_ID_OK(add->artifact_id) || !MSG_TEXT_OK(add->name) ||
	    !MSG_TEXT_OK(add->version) || m->id == 0)
		return -EINVAL;
	if (find_ring(t, m->id) != NULL)
		return -EEXIST;
	pr = ring_new(t, add, m->id);
	if (pr == NULL)
		return 0;
	r = ring_map(&pr->ring, m->fd, add->max_entries);
	if (r == 0)
		r = prepare(t, pr);
	pr->submitted = pr->ring.position;
	pr->fd = imsg_take_fd(m);
	if (r == 0) {
		pr->readable = event_new(
		    t->worker.base, pr->fd, EV_READ, handle_readable, pr);
		if (pr->readable == NULL || event_add(pr->readable, NULL) == -1)
			r = -ENOMEM;
	}
	if (r < 0) {
		log_line(LOG_LEVEL_ERROR, add->artifact_id, strerror(-r),
		    "its ring buffer of %u bytes cannot be read: no "
		    "violation reports",
		    add->max_entries);
		ring_free(&t->rings, pr);
	}
	return 0;
}

int
rings_handle_lost(struct imsg *m, void *ctx)
{
	struct program_ring *pr = find_ring(ctx, m->id);

	/* Without it losses are told with the next event, or never: programs
	 * built for an older agent have no map that can be mapped. */
	if (pr != NULL && losses_map(&pr->losses, m->fd) < 0)
		log_line(LOG_LEVEL_DEBUG, pr->artifact_id, NULL,
		    "its map aegis_lost cannot be mapped");
	return 0;
}

int
rings_handle_remove(struct imsg *m, void *ctx)
{
	struct telemd *t = ctx;
	struct program_ring *pr = find_ring(t, m->id);

	if (pr != NULL) {
		pr->removing = true;
		schedule_tick(&t->rings, true);
	}
	return 0;
}

uint64_t
rings_count_lost(struct telemd *t, uint64_t counted)
{
	const struct program_ring *pr;

	TAILQ_FOREACH (pr, &t->rings.list, entry)
		counted += losses_untold(&pr->losses);
	/* A count that an event took along is in neither until it is safe. */
	if (counted > t->rings.lost)
		t->rings.lost = counted;
	return t->rings.lost;
}

void
rings_update_sample(struct telemd *t, const struct msg_event *e)
{
	struct program_ring *pr;

	TAILQ_FOREACH (pr, &t->rings.list, entry) {
		if (strcmp(pr->artifact_id, e->artifact_id) != 0)
			continue;
		pr->last_sample = e->telemetry;
		if (prepare(t, pr) < 0)
			log_line(LOG_LEVEL_WARN, pr->artifact_id, NULL,
			    "out of memory: its violation reports go on with "
			    "the sample before");
	}
}

static void
say_bad_record(struct telemd *t, struct program_ring *pr, uint32_t len)
{
	t->rings.bad_records++;
	if (pr->bad_record_said)
		return;
	pr->bad_record_said = true;
	log_line(LOG_LEVEL_WARN, pr->artifact_id, NULL,
	    "a record of %u bytes in its ring buffer aegis_events is no struct "
	    "aegis_event: such records are skipped",
	    len);
}

static void
give_up(struct program_ring *pr)
{
	pr->broken = true;
	log_line(LOG_LEVEL_ERROR, pr->artifact_id, NULL,
	    "its ring buffer makes no sense at position %llu: it is not read "
	    "any more",
	    (unsigned long long)pr->ring.position);
}

/* One event into the batch.  False when memory is short. */
static bool
append_event(struct telemd *t, struct program_ring *pr, struct batch *b,
    const void *data, uint32_t len, uint64_t position, uint64_t time_ns)
{
	uint8_t event_id[16];
	size_t start;

	/* A program may write what it likes: nothing of the future, please. */
	if (time_ns > (uint64_t)(t->rings.now_ns + NSEC_PER_SEC))
		time_ns = (uint64_t)t->rings.now_ns;
	event_id_make(event_id,
	    (uint64_t)t->rings.boot_epoch_ms + time_ns / NSEC_PER_MSEC,
	    pr->source, position);
	start = batch_begin(b);
	violation_append(&b->buf, &pr->format, data, len,
	    (int64_t)time_ns + t->rings.wall_offset_ns, t->next_seq, event_id,
	    &pr->gap);
	if (!batch_end(b, start, EVENT_VIOLATION_REPORT, t->next_seq, event_id))
		return false;
	t->next_seq++;
	b->lost += pr->gap.lost;
	memset(&pr->gap, 0, sizeof(pr->gap));
	return true;
}

/* The program found its ring full: that is a loss, and is told as one. */
static void
note_lost(struct program_ring *pr, uint64_t lost)
{
	pr->gap.lost += lost;
	if (lost == 0 || pr->lost_said)
		return;
	pr->lost_said = true;
	log_line(LOG_LEVEL_WARN, pr->artifact_id, NULL,
	    "its ring buffer of %llu bytes was full: %llu events are lost, and "
	    "counted, as those that follow; build it with a larger "
	    "AEGIS_EVENTS_BYTES",
	    (unsigned long long)pr->ring.size, (unsigned long long)lost);
}

/* Its program is gone: no event will tell of what is not told yet. */
static void
settle_losses(struct telemd *t, struct program_ring *pr)
{
	uint64_t untold = losses_untold(&pr->losses);

	note_lost(pr, untold);
	(void)pthread_mutex_lock(&t->pipeline.mu);
	t->pipeline.dropped[EVENT_VIOLATION_REPORT] += untold;
	(void)pthread_mutex_unlock(&t->pipeline.mu);
}

/* Read until the ring is empty or the batch is full.  True: full. */
static bool
fill_batch(struct telemd *t, struct program_ring *pr, struct batch *b)
{
	uint64_t position, time_ns, lost;
	const void *data;
	uint32_t len;
	int r;

	while (b->count < BATCH_EVENTS && b->buf.len < BATCH_BYTES) {
		position = pr->ring.position;
		r = ring_next(&pr->ring, &data, &len);
		if (r <= 0) {
			if (r < 0)
				give_up(pr);
			return false;
		}
		if (violation_check(data, len, &time_ns) < 0) {
			say_bad_record(t, pr, len);
			continue;
		}
		lost = violation_lost(data, len);
		note_lost(pr, lost);
		if (!ratelimit_take(&pr->limit)) {
			pr->gap.suppressed++;
			t->rings.suppressed++;
		} else if (!append_event(
			       t, pr, b, data, len, position, time_ns)) {
			/* It is read again. */
			pr->gap.lost -= lost;
			pr->ring.position = position;
			return false;
		}
	}
	return true;
}

/* Bytes that the kernel may not overwrite yet. */
static uint64_t
ring_used(const struct ring *r)
{
	return ring_unread(r) + r->position - ring_released(r);
}

/* It must be read at once, whatever that costs. */
static bool
is_filling(const struct ring *r)
{
	return ring_used(r) > r->size / 2;
}

/* A batch with room for what is there: growing it would copy it. */
static struct batch *
new_batch(const struct program_ring *pr)
{
	struct batch *b = batch_new(EVENT_VIOLATION);
	size_t count = ring_unread(&pr->ring) / sizeof(struct aegis_event) + 1;
	size_t each = EVENT_GUESS + sizeof(struct record) +
	    pr->format.data_head.len + pr->format.metadata_head.len;

	if (count > BATCH_BYTES / each)
		count = BATCH_BYTES / each + 1;
	if (b != NULL && !jsonbuf_reserve(&b->buf, count * each)) {
		batch_free(b);
		return NULL;
	}
	return b;
}

/* Read one ring.  True: there was something. */
static bool
read_ring(struct telemd *t, struct program_ring *pr)
{
	bool full, any = false;
	struct batch *b;

	do {
		if (pr->broken || ring_unread(&pr->ring) == 0 ||
		    !pipeline_has_room(&t->pipeline, is_filling(&pr->ring)))
			return any;
		b = new_batch(pr);
		if (b == NULL)
			return any;
		full = fill_batch(t, pr, b);
		if (b->count == 0) {
			batch_free(b);
			continue;
		}
		b->ring = pr->key;
		b->ring_position = pr->submitted = pr->ring.position;
		b->hurry = ring_used(&pr->ring) > pr->ring.size / 8;
		pipeline_submit(&t->pipeline, b);
		any = true;
	} while (full);
	return any;
}

/*
 * What was read after the last batch, and not worth an event, may go when
 * that batch is gone.
 */
static void
release_rest(struct program_ring *pr)
{
	if (pr->submitted == ring_released(&pr->ring) &&
	    pr->submitted != pr->ring.position) {
		pr->submitted = pr->ring.position;
		ring_release(&pr->ring, pr->submitted);
	}
}

static bool
is_drained(const struct program_ring *pr)
{
	return pr->broken ||
	    (ring_unread(&pr->ring) == 0 &&
		ring_released(&pr->ring) == pr->ring.position);
}

static void
handle_tick(evutil_socket_t fd, short what, void *arg)
{
	struct telemd *t = arg;
	struct rings *rs = &t->rings;
	struct program_ring *pr, *next;
	bool busy = false, fast = false;

	rs->ticking = false;
	rings_release(t);
	rs->now_ns = clock_boot_ns();
	rs->wall_offset_ns = clock_wall_ns() - rs->now_ns;
	for (pr = TAILQ_FIRST(&rs->list); pr != NULL; pr = next) {
		next = TAILQ_NEXT(pr, entry);
		fast |= ring_unread(&pr->ring) > pr->ring.size / 8 ||
		    is_filling(&pr->ring);
		ratelimit_refill(&pr->limit, rs->now_ns);
		busy |= read_ring(t, pr);
		release_rest(pr);
		if (is_drained(pr) && pr->removing) {
			settle_losses(t, pr);
			ring_free(rs, pr);
			continue;
		}
		if (pr->broken)
			continue;
		/* Level-triggered: only a ring that is empty may be polled. */
		if (!is_drained(pr))
			busy = true;
		else if (event_add(pr->readable, NULL) == -1)
			log_line(LOG_LEVEL_WARN, pr->artifact_id, NULL,
			    "its ring buffer cannot be polled: its violation "
			    "reports come late or not at all");
	}
	if (busy)
		schedule_tick(rs, fast);
}

void
rings_release(struct telemd *t)
{
	struct pipeline *p = &t->pipeline;
	struct program_ring *pr;
	struct ring_done *done;
	size_t i, count;

	(void)pthread_mutex_lock(&p->mu);
	done = p->done;
	count = p->done_count;
	p->done = NULL;
	p->done_count = p->done_cap = 0;
	(void)pthread_mutex_unlock(&p->mu);
	for (i = 0; i < count; i++) {
		TAILQ_FOREACH (pr, &t->rings.list, entry) {
			if (pr->key != done[i].ring)
				continue;
			/* A batch that was dropped may be ahead of others. */
			if (done[i].position > ring_released(&pr->ring))
				ring_release(&pr->ring, done[i].position);
			break;
		}
	}
	free(done);
}

void
rings_free(struct telemd *t)
{
	struct program_ring *pr;

	while ((pr = TAILQ_FIRST(&t->rings.list)) != NULL) {
		if (pr->removing)
			settle_losses(t, pr);
		ring_free(&t->rings, pr);
	}
	if (t->rings.tick != NULL)
		event_free(t->rings.tick);
}
