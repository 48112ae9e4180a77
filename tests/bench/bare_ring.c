/* SPDX-License-Identifier: ISC */
/*
 * The floor under telemd, for bench_ring.py: one process and one loop that
 * maps the ring, writes the same JSON by hand and publishes in batches.  It
 * spools nothing, confirms nothing, limits nothing, and answers nobody.
 *
 *	bare_ring URL EVENTS RATE BYTES
 *
 * writes EVENTS at RATE a second into a ring of BYTES, and prints what the
 * reader cost: {"lost":n,"cpu_us":per event}.  Run as root.
 */
#include <nats/nats.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "common/clock.h"
#include "telemd/event_id.h"
#include "telemd/ring.h"
#include "telemd/violation.h"
#include "tests/integration/ring_writer.h"

#define TICK_NS    10000000
#define CONFIRM_NS 100000000

static void
publish_all(
    struct ring *ring, struct violation_format *format, natsConnection *nc)
{
	static struct jsonbuf json;
	const struct violation_gap none = { 0 };
	uint64_t time_ns;
	uint8_t id[16];
	const void *data;
	uint32_t len;
	int64_t offset = clock_wall_ns() - clock_boot_ns();

	while (ring_next(ring, &data, &len) == 1) {
		if (violation_check(data, len, &time_ns) < 0)
			continue;
		event_id_make(id, time_ns / NSEC_PER_MSEC, 1, ring->position);
		json.len = 0;
		violation_append(&json, format, data, len,
		    (int64_t)time_ns + offset, ring->position, id, &none);
		if (natsConnection_Publish(nc, "agent.telemetry", json.data,
			(int)json.len) != NATS_OK)
			_exit(1);
	}
}

/* One round trip for many ticks, as long as the ring has room. */
static void
confirm(struct ring *ring, natsConnection *nc, bool last)
{
	static int64_t confirmed;
	int64_t now = clock_boot_ns();

	if (!last && now - confirmed < CONFIRM_NS &&
	    ring->position - ring_released(ring) < ring->size / 8)
		return;
	if (natsConnection_FlushTimeout(nc, 10000) != NATS_OK)
		_exit(1);
	confirmed = now;
	ring_release(ring, ring->position);
}

/* Until READ says that the writer is done and nothing is left. */
static void
reader(const struct ring_writer *w, const char *url, uint64_t want)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	struct violation_format format = { 0 };
	const struct telemetry t = { 0 };
	natsConnection *nc = NULL;
	struct ring ring;

	if (natsConnection_ConnectTo(&nc, url) != NATS_OK ||
	    ring_map(&ring, w->ring_fd, w->bytes) < 0 ||
	    violation_prepare(&format, "ring-1", "ring_test", "1.0.0",
		"host-001", "1.0.0", &t) < 0)
		_exit(1);
	do {
		publish_all(&ring, &format, nc);
		confirm(&ring, nc, false);
		(void)nanosleep(&tick, NULL);
	} while (ring_writer_written(w) < want || ring_unread(&ring) > 0);
	confirm(&ring, nc, true);
	_exit(0);
}

int
main(int argc, char **argv)
{
	struct ring_writer w;
	struct rusage used;
	uint64_t count;
	double cpu_us;
	int status = 1;
	pid_t pid;

	if (argc != 5)
		return 64;
	count = strtoull(argv[2], NULL, 10);
	if (ring_writer_open(
		&w, "ring-1", (uint32_t)strtoull(argv[4], NULL, 10)) < 0)
		return 1;
	pid = fork();
	if (pid == 0)
		reader(&w, argv[1], count);
	ring_writer_start(&w, count, strtoull(argv[3], NULL, 10));
	if (pid == -1 || wait4(pid, &status, 0, &used) == -1 || status != 0)
		return 1;
	cpu_us = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
	    (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
	(void)printf("{\"lost\":%llu,\"cpu_us\":%.4f}\n",
	    (unsigned long long)ring_writer_lost(&w), cpu_us / (double)count);
	ring_writer_close(&w);
	return 0;
}
