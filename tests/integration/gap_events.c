/* SPDX-License-Identifier: ISC */
/*
 * Makes the events that the programs of progs/gaps.bpf.c are there for, one
 * after the other and without pause, and looks after each who has missed it:
 *
 *	gap_events MAP_ID OBJECT CGROUP KIND...
 *
 * MAP_ID: gap_marks, which all versions of the program share.  OBJECT: gaps.o,
 * for a sampler that is never replaced.  CGROUP: a directory, to make them
 * from inside.  KIND: lines of common/attach.def that are attached.
 *
 * Says "going", and goes on until SIGTERM; then a line for each kind:
 *
 *	GAP name EVENTS MISSED RUNS
 *	GAP perf_event TICKS MOST SAMPLES
 *
 * MISSED leaves out calls that returned to nobody, as such single ones may
 * (below).  MOST: how many ticks of the sampler went by at most, on one
 * processor, without a sample by any version.  Exit status 1 if a kind has a
 * gap.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/attach.h"
#include "progs/gaps.h"

/*
 * As in gaps.json.  A sample and a tick fall together in either order, and a
 * sample that finds its processor within another program is left out by the
 * kernel: up to 3 were seen on busy machines.  A gap has hundreds.
 */
#define FREQUENCY  1000
#define TICKS_FREE 10

/* Emulated processors are slow, and the agent has something to do, too. */
#define NICE 5

_Static_assert((int)GAP_KINDS == (int)ATTACH_KIND_MAX, "the same table");

struct counted {
	uint64_t missed;
	uint64_t runs; /* when it began */
	uint64_t first;
	uint64_t spanning; /* the last call that returned to nobody */
	bool wanted;
};

static volatile sig_atomic_t stop;

static void
handle_term(int number)
{
	(void)number;
	stop = 1;
}

static uint32_t
find_kind(const char *name)
{
	static const char *const names[] = {
#define ATTACH(NAME, ...) #NAME,
#include "common/attach.def"
#undef ATTACH
	};
	uint32_t kind;

	for (kind = 0; kind < ATTACH_KIND_MAX; kind++)
		if (strcmp(names[kind], name) == 0)
			return kind;
	errx(64, "%s: no line of attach.def", name);
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

/* ---- the clock for samples ---- */

static int
load_tick(const char *path, int map_fd)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *prog;
	struct bpf_map *map;

	if (object == NULL)
		err(2, "%s", path);
	bpf_object__for_each_program (prog, object)
		(void)bpf_program__set_autoload(
		    prog, strcmp(bpf_program__name(prog), "gap_tick") == 0);
	map = bpf_object__find_map_by_name(object, "gap_marks");
	if (map == NULL || bpf_map__reuse_fd(map, map_fd) < 0 ||
	    bpf_object__load(object) < 0)
		errx(2, "%s cannot be loaded", path);
	prog = bpf_object__find_program_by_name(object, "gap_tick");
	return bpf_program__fd(prog);
}

/* On every processor, until this process ends. */
static void
start_ticks(const char *path, int map_fd)
{
	struct perf_event_attr attr = { .size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = FREQUENCY };
	int prog_fd = load_tick(path, map_fd), cpu, n = 0;
	long fd;

	for (cpu = 0; cpu < GAP_CPUS; cpu++) {
		fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1,
		    PERF_FLAG_FD_CLOEXEC);
		if (fd == -1)
			continue; /* there is none, or it is offline */
		if (bpf_link_create(prog_fd, (int)fd, BPF_PERF_EVENT, NULL) < 0)
			err(2, "cannot sample");
		n++;
	}
	if (n == 0)
		err(2, "no processor can be sampled");
}

static bool
judge_samples(const struct gap_marks *m)
{
	uint64_t ticks = 0, samples = 0, most = 0, last;
	int cpu;

	for (cpu = 0; cpu < GAP_CPUS; cpu++) {
		ticks += m->cpu[cpu].ticks;
		samples += m->cpu[cpu].samples;
		last = m->cpu[cpu].ticks - m->cpu[cpu].at;
		most = most < m->cpu[cpu].most ? m->cpu[cpu].most : most;
		most = most < last ? last : most;
	}
	(void)printf("GAP perf_event %lu %lu %lu\n", ticks, most, samples);
	return ticks > 0 && samples > 0 && most <= TICKS_FREE;
}

/* ---- events ---- */

/* One of each kind.  Each call must do what it is there for. */
static void
make_event(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr *address = (struct sockaddr *)&here;
	socklen_t len = sizeof(here);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int mark = getpid();

	/* To itself: an answer from elsewhere would be another packet. */
	if (fd == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == -1 ||
	    bind(fd, address, len) == -1 ||
	    getsockname(fd, address, &len) == -1 ||
	    sendto(fd, "x", 1, 0, address, len) != 1)
		err(2, "socket");
	(void)close(fd);
	if (setpriority(PRIO_PROCESS, 0, NICE) == -1 ||
	    prctl(PR_SET_NAME, "gap_events") == -1)
		err(2, "setpriority, prctl");
	(void)gethostid();
}

/*
 * The kernel tells of a function's return only those who were attached when it
 * was entered.  A call that lasts while one version takes the place of another
 * (this process lost its processor) returns to neither.  That happens to one
 * call at a time; into a gap fall many.
 */
static bool
is_at_return(uint32_t kind)
{
	return kind == ATTACH_FEXIT || kind == ATTACH_KRETPROBE ||
	    kind == ATTACH_KRETPROBE_MULTI || kind == ATTACH_URETPROBE;
}

static void
look(const struct gap_marks *m, struct counted *c)
{
	uint32_t kind;

	for (kind = 0; kind < ATTACH_KIND_MAX; kind++) {
		if (!c[kind].wanted || kind == ATTACH_PERF_EVENT ||
		    *(const volatile __u64 *)&m->last[kind] == m->now)
			continue;
		if (is_at_return(kind) && c[kind].spanning + 1 != m->now) {
			c[kind].spanning = m->now;
			continue;
		}
		if (c[kind].missed++ == 0)
			c[kind].first = m->now;
	}
}

static bool
judge(const struct gap_marks *m, const struct counted *c, uint32_t kind)
{
	uint64_t runs = m->runs[kind] - c->runs;

	(void)printf("GAP %s %lu %lu %lu\n", attach_row(kind)->name,
	    (unsigned long)m->now, c->missed, runs);
	if (c->missed > 0)
		(void)printf("the first that %s missed: %lu\n",
		    attach_row(kind)->name, c->first);
	/* In one link there is one program at a time. */
	if (attach_row(kind)->link_update && runs != m->now)
		return false;
	return m->now > 0 && c->missed == 0;
}

int
main(int argc, char **argv)
{
	static struct counted counted[ATTACH_KIND_MAX];
	struct sigaction action = { .sa_handler = handle_term };
	long page = sysconf(_SC_PAGESIZE);
	struct gap_marks *m;
	bool good = true;
	uint32_t kind;
	int i, fd;

	if (argc < 5)
		errx(64, "usage: gap_events MAP_ID OBJECT CGROUP KIND...");
	for (i = 4; i < argc; i++)
		counted[find_kind(argv[i])].wanted = true;
	fd = bpf_map_get_fd_by_id((uint32_t)atoi(argv[1]));
	m = mmap(NULL, (sizeof(*m) + (size_t)page - 1) & ~((size_t)page - 1),
	    PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		err(2, "map %s", argv[1]);
	enter_cgroup(argv[3]);
	m->pid = (uint64_t)getpid();
	m->now = 0;
	for (kind = 0; kind < ATTACH_KIND_MAX; kind++)
		counted[kind].runs = m->runs[kind];
	if (counted[ATTACH_PERF_EVENT].wanted)
		start_ticks(argv[2], fd);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)printf("going\n");
	(void)fflush(stdout);
	while (!stop) {
		m->now++;
		make_event();
		look(m, counted);
	}
	for (kind = 0; kind < ATTACH_KIND_MAX; kind++) {
		if (!counted[kind].wanted)
			continue;
		good = (kind == ATTACH_PERF_EVENT
			       ? judge_samples(m)
			       : judge(m, &counted[kind], kind)) &&
		    good;
	}
	return good ? 0 : 1;
}
