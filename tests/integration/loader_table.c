/* SPDX-License-Identifier: ISC */
/*
 * The loader's test list: every line of common/attach.def is loaded by a
 * real bpfd, attached, set off, and counted.
 *
 *	loader_table BPFD KINDS_OBJECT
 *
 * One line each: "ROW name works COUNT", "ROW name refused REASON", or
 * "ROW name FAILED WHAT".  Exit status 1 if one failed.  Whether this kernel
 * may refuse a line is for the caller to know; "ROOT name ERROR" says that the
 * kernel refuses the program to root and libbpf alone, too.  Runs as root, in
 * a network namespace of its own making; test_bpfd.py runs it here, tests/vm
 * in guests.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bare_load.h"
#include "common/attach.h"
#include "fake_agentd.h"

static char cgroup_root[256];
static char cgroup_path[512];
static char cgroup_name[64];
static char self[AEGIS_TARGET_SIZE]; /* this binary: and a symbol in it */

static void
find_cgroup_root(void)
{
	_cleanup_file_ FILE *f = fopen("/proc/mounts", "re");
	char line[1024], kind[64];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%*s %255s %63s", cgroup_root, kind) == 2 &&
		    strcmp(kind, "cgroup2") == 0)
			return;
	}
	errx(2, "no cgroup2 is mounted");
}

/* This test is in no sandbox: any place will do. */
static void
find_self(void)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 16);

	if (n <= 0)
		err(2, "/proc/self/exe");
	(void)strcpy(self + n, ":probe_me");
}

/* Not every machine has tracefs mounted; ours alone, if so. */
static void
mount_tracefs(void)
{
	const char *at = "/sys/kernel/tracing";

	if (access("/sys/kernel/tracing/events", F_OK) == 0)
		return;
	if (unshare(CLONE_NEWNS) == -1 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("tracefs", at, "tracefs", 0, NULL) == -1)
		warn("%s", at);
}

static void
loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (ioctl(fd, SIOCSIFFLAGS, &ifr) == -1)
		err(2, "lo");
}

/* ---- what sets a program off ---- */

static void
fill_address(struct sockaddr_storage *ss, socklen_t *len, int family)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		*len = sizeof(*in);
	} else {
		in6->sin6_addr = in6addr_loopback;
		*len = sizeof(*in6);
	}
}

/* bind, sendto, recvfrom, connect, options: on both transports. */
static void
use_sockets(int family)
{
	struct sockaddr_storage ss, from;
	socklen_t len, from_len = sizeof(from);
	int one = 1, type, fd, other;
	socklen_t one_len = sizeof(one);
	struct pollfd pfd = { .events = POLLIN };
	char byte = 'x';

	for (type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		fill_address(&ss, &len, family);
		fd = socket(family, type, 0);
		other = socket(family, type, 0);
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		(void)getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, &one_len);
		if (bind(fd, (struct sockaddr *)&ss, len) == -1 ||
		    getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
			_exit(3);
		if (type == SOCK_STREAM)
			(void)listen(fd, 1);
		else
			(void)sendto(
			    other, &byte, 1, 0, (struct sockaddr *)&ss, len);
		(void)connect(other, (struct sockaddr *)&ss, len);
		pfd.fd = fd;
		if (type == SOCK_DGRAM && poll(&pfd, 1, 1000) == 1)
			(void)recvfrom(fd, &byte, 1, 0,
			    (struct sockaddr *)&from, &from_len);
		(void)close(other);
		(void)close(fd);
	}
}

static void
use_files(void)
{
	char text[64];
	int fd;

	fd = open("/dev/null", O_RDWR);
	(void)close(fd);
	fd = open("/proc/sys/kernel/hostname", O_RDONLY);
	if (fd != -1 && read(fd, text, sizeof(text)) == -1)
		warn("hostname");
	(void)close(fd);
}

/* What uprobes are put into. */
__attribute__((noinline, used)) int probe_me(int value);
int
probe_me(int value)
{
	__asm__ volatile("" : "+r"(value));
	return value + 1;
}

/* Busy for a few ticks of a sampling clock. */
static void
use_processor(void)
{
	volatile unsigned int n;

	for (n = 0; n < 100000000; n++)
		continue;
}

/* Everything there is, from inside the cgroup. */
static void
trigger(void)
{
	char procs[600];
	int fd, status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		(void)snprintf(
		    procs, sizeof(procs), "%s/cgroup.procs", cgroup_path);
		fd = open(procs, O_WRONLY);
		if (fd == -1 || write(fd, "0", 1) != 1)
			_exit(2);
		(void)close(fd);
		use_sockets(AF_INET);
		use_sockets(AF_INET6);
		use_files();
		(void)probe_me(1);
		use_processor();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) == -1 || status != 0)
		errx(2, "the trigger failed: status %x", status);
}

/* ---- the table ---- */

static const char *
target_of(uint32_t kind)
{
	if (kind == ATTACH_TP_BTF || kind == ATTACH_RAW_TP)
		return "sched_switch";
	switch (attach_row(kind)->target) {
	case TARGET_KPROBE:
	case TARGET_KPROBES:
		return "vfs_read";
	case TARGET_TRACEPOINT:
		return "sched/sched_process_fork";
	case TARGET_BINARY:
		return self;
	case TARGET_EVENT:
		return "cpu-clock";
	case TARGET_HOOK:
		return "ipv4/local_out";
	case TARGET_NETNS:
		return "netns";
	case TARGET_INTERFACE:
		return "lo";
	case TARGET_CGROUP:
		return cgroup_name;
	default:
		return "by_section";
	}
}

/*
 * The link's id is the kernel's until nothing is attached any more; a filter
 * (0) is bpfd's to detach.
 */
static bool
is_detached(uint32_t link_id)
{
	int tries, fd;

	if (link_id == 0)
		return fake_await(&fake()->detached) == NULL;
	for (tries = 0; tries < 6000; tries++) {
		fd = bpf_link_get_fd_by_id(link_id);
		if (fd < 0)
			return errno == ENOENT;
		(void)close(fd);
		(void)poll(NULL, 0, 10);
	}
	return false;
}

static void
tell_refused(const char *name, const char *line_name, const char *object,
    const char *error)
{
	char program[64];
	uint8_t tag[8];
	int r;

	(void)printf("ROW %s refused %s\n", name, error);
	(void)snprintf(program, sizeof(program), "k_%s", line_name);
	r = bare_load(object, program, tag);
	if (r < 0)
		(void)printf("ROOT %s %s\n", name, strerror(-r));
}

static bool
try_row(uint32_t kind, const char *line_name, const char *object)
{
	const struct attach_row *row = attach_row(kind);
	struct fake_held *h = fake_get(kind + 1);
	const char *wrong;
	uint32_t link_id;
	uint64_t count;
	char args[512];

	(void)snprintf(args, sizeof(args), "attach=k_%s,%s,%s", line_name,
	    row->name, target_of(kind));
	wrong = fake_start(kind + 1, object, args);
	if (wrong == NULL)
		wrong = fake_await(&h->done);
	if (wrong != NULL) {
		(void)printf("ROW %s FAILED %s\n", row->name, wrong);
		return false;
	}
	if (h->result.result == WORK_REFUSED) {
		tell_refused(row->name, line_name, object, h->result.error);
		return true;
	}
	if (h->result.result != WORK_OK) {
		(void)printf("ROW %s FAILED %s\n", row->name, h->result.error);
		return false;
	}
	trigger();
	wrong = fake_sample();
	if (wrong == NULL && h->sampled.packets_processed == 0)
		wrong = "attached, but the program never ran";
	if (wrong == NULL &&
	    ((h->links[0] < 0 && h->filters[0].handle == 0) ||
		h->sampled.memory_bytes == 0))
		wrong = "no link, or no memory shown";
	count = h->sampled.packets_processed;
	link_id = h->link_ids[0];
	fake_clear(h);
	if (wrong == NULL)
		wrong = fake_forget(kind + 1);
	if (wrong == NULL && !is_detached(link_id))
		wrong = "unloaded, but the kernel still has its link";
	if (wrong != NULL)
		(void)printf("ROW %s FAILED %s\n", row->name, wrong);
	else
		(void)printf("ROW %s works %lu\n", row->name, count);
	return wrong == NULL;
}

/*
 * One priority of a netfilter hook takes one program: is the number of the
 * one that has it told, although bpfd does not know it?
 */
static bool
try_holder(const char *object)
{
	const char *args = "attach=k_NETFILTER,netfilter,ipv4/local_out";
	struct fake_held *first = fake_get(ATTACH_KIND_MAX + 1);
	struct fake_held *second = fake_get(ATTACH_KIND_MAX + 2);
	uint32_t holder = 0, want = 0;
	const char *wrong;
	size_t i;

	wrong = fake_start(ATTACH_KIND_MAX + 1, object, args);
	if (wrong == NULL)
		wrong = fake_await(&first->done);
	if (wrong == NULL && first->result.result == WORK_REFUSED)
		return true; /* its row says why */
	if (wrong == NULL)
		wrong = fake_forget(ATTACH_KIND_MAX + 1);
	if (wrong == NULL)
		wrong = fake_start(ATTACH_KIND_MAX + 2, object, args);
	if (wrong == NULL)
		wrong = fake_await(&second->done);
	for (i = 0; i < FAKE_MAX_FDS; i++)
		want |= first->prog_info[i].prog_id; /* it has but one */
	if (wrong == NULL && second->result.result == WORK_TRANSIENT)
		holder = second->result.holder_id;
	fake_clear(first);
	fake_clear(second);
	if (wrong == NULL && holder == 0 &&
	    access("/sys/module/nfnetlink_hook", F_OK) != 0) {
		(void)printf("FACT nfnetlink_hook absent\n");
		return true;
	}
	if (wrong == NULL && holder != want) {
		(void)printf("CHECK FAILED netfilter: program %u has the hook, "
			     "told is %u\n",
		    want, holder);
		return false;
	}
	(void)printf("CHECK %s netfilter: who has the hook is told\n",
	    wrong == NULL ? "ok" : wrong);
	return wrong == NULL;
}

int
main(int argc, char **argv)
{
	static const char *const names[] = {
#define ATTACH(NAME, name, target, method, type, update, sections) #NAME,
#include "common/attach.def"
#undef ATTACH
	};
	const char *wrong;
	bool good = true;
	uint32_t kind;

	if (argc != 3)
		errx(64, "usage: loader_table BPFD KINDS_OBJECT");
	find_cgroup_root();
	(void)snprintf(
	    cgroup_name, sizeof(cgroup_name), "aegis-table-%d", getpid());
	(void)snprintf(cgroup_path, sizeof(cgroup_path), "%s/%s", cgroup_root,
	    cgroup_name);
	if (mkdir(cgroup_path, 0755) == -1)
		err(2, "%s", cgroup_path);
	find_self();
	mount_tracefs();
	if (unshare(CLONE_NEWNET) == -1)
		err(2, "unshare");
	loopback_up();
	(void)libbpf_set_print(NULL); /* refusals are the table's subject */
	fake()->quiet = true;
	wrong = fake_spawn(argv[1], cgroup_root);
	if (wrong != NULL)
		errx(2, "bpfd: %s", wrong);
	(void)printf("FACT landlock %d\n", fake()->landlock);
	for (kind = 0; kind < ATTACH_KIND_MAX; kind++)
		good = try_row(kind, names[kind], argv[2]) && good;
	good = try_holder(argv[2]) && good;
	(void)rmdir(cgroup_path);
	return good ? 0 : 1;
}
