/* SPDX-License-Identifier: ISC */
/*
 * Makes the events that the programs of progs/swaps.bpf.c are there for, one
 * after the other and without pause, and looks after each whether every one of
 * the programs ran for it as often as it does while none is replaced:
 *
 *	swap_events MAP_ID CGROUP
 *
 * MAP_ID: swap_marks, which all versions of the program share.  CGROUP: a
 * directory, to make them from inside.
 *
 * Says "going" when it knows how often that is, and goes on until SIGTERM;
 * then a line for each kind:
 *
 *	SWAP name EVENTS EACH RUNS
 *
 * Exit status 1 if one ran once too often or too seldom.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attach.h"
#include "progs/swaps.h"

#define CALIBRATION 32
#define NICE        5
#define PATIENCE_MS 60000

_Static_assert((int)GAP_KINDS == (int)ATTACH_KIND_MAX, "the same table");

static volatile sig_atomic_t stop;

static void
handle_term(int number)
{
	(void)number;
	stop = 1;
}

static bool
is_meant(uint32_t kind)
{
	return attach_row(kind)->link_update && kind != ATTACH_LSM_CGROUP;
}

static void
enter_cgroup(const char *directory)
{
	char procs[512];
	int fd;

	(void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", directory);
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd == -1 || write(fd, "0", 1) != 1)
		err(2, "%s", procs);
	(void)close(fd);
}

/* A socket that is bound to a port of this machine alone; *ADDRESS is it. */
static int
bound(int type, struct sockaddr *address, socklen_t len)
{
	int fd = socket(address->sa_family, type | SOCK_CLOEXEC, 0);

	if (fd == -1 || bind(fd, address, len) == -1 ||
	    getsockname(fd, address, &len) == -1)
		err(2, "socket");
	return fd;
}

/* To itself, until it is there: all that sees it on its way has seen it. */
static void
send_one(int fd, const struct sockaddr *address, socklen_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	char byte;

	if (sendto(fd, "x", 1, 0, address, len) != 1)
		err(2, "sendto");
	while (poll(&pfd, 1, PATIENCE_MS) != 1)
		if (errno != EINTR)
			err(2, "the packet does not come");
	if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &from_len) != 1)
		err(2, "recvfrom");
	if (connect(fd, address, len) == -1)
		err(2, "connect");
}

static void
send_four(struct swap_marks *m)
{
	struct sockaddr_in here = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = bound(SOCK_DGRAM, (struct sockaddr *)&here, sizeof(here));
	int mark = (int)m->mark, room;
	socklen_t len = sizeof(room);

	m->port = ntohs(here.sin_port);
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) == -1)
		err(2, "setsockopt, getsockopt");
	send_one(fd, (struct sockaddr *)&here, sizeof(here));
	m->port = 0;
	(void)close(fd);
}

static void
send_six(void)
{
	struct sockaddr_in6 here = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = bound(SOCK_DGRAM, (struct sockaddr *)&here, sizeof(here));

	send_one(fd, (struct sockaddr *)&here, sizeof(here));
	(void)close(fd);
}

/* CLOSED: nobody listens there. */
static void
connect_once(const struct sockaddr_in *closed)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)closed, sizeof(*closed)) !=
		-1 ||
	    errno != ECONNREFUSED)
		err(2, "connect");
	(void)close(fd);
}

static void
make_event(struct swap_marks *m, const struct sockaddr_in *closed, int hostname)
{
	char name[64];
	int fd;

	send_four(m);
	send_six();
	connect_once(closed);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd == -1 || pread(hostname, name, sizeof(name), 0) < 1)
		err(2, "/dev/null, hostname");
	(void)close(fd);
}

/* How often each runs for one event; BASE is where it begins. */
static void
calibrate(struct swap_marks *m, const struct sockaddr_in *closed, int hostname,
    uint64_t *base, uint64_t *each)
{
	uint32_t kind, i;

	for (kind = 0; kind < ATTACH_KIND_MAX; kind++)
		base[kind] = m->runs[kind];
	for (i = 0; i < CALIBRATION; i++)
		make_event(m, closed, hostname);
	for (kind = 0; kind < ATTACH_KIND_MAX; kind++) {
		each[kind] = (m->runs[kind] - base[kind]) / CALIBRATION;
		if (is_meant(kind) &&
		    (each[kind] == 0 ||
			m->runs[kind] - base[kind] != each[kind] * CALIBRATION))
			errx(1, "%s: %lu runs for %d events",
			    attach_row(kind)->name,
			    (unsigned long)(m->runs[kind] - base[kind]),
			    CALIBRATION);
		base[kind] = m->runs[kind];
	}
}

/* False: they ran otherwise for the event N. */
static bool
look(const struct swap_marks *m, const uint64_t *base, const uint64_t *each,
    uint64_t n)
{
	bool good = true;
	uint64_t runs;
	uint32_t kind;

	for (kind = 0; kind < ATTACH_KIND_MAX; kind++) {
		runs = *(const volatile __u64 *)&m->runs[kind] - base[kind];
		if (!is_meant(kind) || runs == each[kind] * n)
			continue;
		(void)printf("%s: %lu runs after event %lu, each %lu\n",
		    attach_row(kind)->name, (unsigned long)runs,
		    (unsigned long)n, (unsigned long)each[kind]);
		good = false;
	}
	return good;
}

int
main(int argc, char **argv)
{
	static uint64_t base[ATTACH_KIND_MAX], each[ATTACH_KIND_MAX];
	struct sockaddr_in closed = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sigaction action = { .sa_handler = handle_term };
	struct swap_marks *m;
	bool good = true;
	uint64_t n = 0;
	uint32_t kind;
	int hostname;

	if (argc != 3)
		errx(64, "usage: swap_events MAP_ID CGROUP");
	m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED,
	    bpf_map_get_fd_by_id((uint32_t)atoi(argv[1])), 0);
	if (m == MAP_FAILED)
		err(2, "map %s", argv[1]);
	enter_cgroup(argv[2]);
	m->mark = (uint64_t)getpid();
	(void)bound(SOCK_STREAM, (struct sockaddr *)&closed, sizeof(closed));
	hostname = open("/proc/sys/kernel/hostname", O_RDONLY | O_CLOEXEC);
	if (hostname == -1 || setpriority(PRIO_PROCESS, 0, NICE) == -1)
		err(2, "hostname, setpriority");
	calibrate(m, &closed, hostname, base, each);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)printf("going\n");
	(void)fflush(stdout);
	while (!stop && good) {
		make_event(m, &closed, hostname);
		good = look(m, base, each, ++n);
	}
	for (kind = 0; kind < ATTACH_KIND_MAX; kind++)
		if (is_meant(kind))
			(void)printf("SWAP %s %lu %lu %lu\n",
			    attach_row(kind)->name, (unsigned long)n,
			    (unsigned long)each[kind],
			    (unsigned long)(m->runs[kind] - base[kind]));
	return good ? 0 : 1;
}
