/* SPDX-License-Identifier: ISC */
/*
 * From inside a row of the sandbox table, try one thing and say how it went:
 *
 *	sandbox_probe ROLE [--connect PORT] [--bind PORT] [--dir PATH]
 *	    [--writable PATH] THING [ARGUMENT]
 *
 * It passes both gates as a worker does: sandbox_become(), an exec,
 * sandbox_enter().  Prints "ok" or the name of an errno; a call that the
 * filter does not know ends the process by SIGSYS, which is the point.
 * test_sandbox.py has the expectations.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/perf_event.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "common/memfd.h"
#include "common/sandbox.h"
#include "common/strnum.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

struct probe {
	const char *name;
	/* 0 or more: it worked; -1: errno says why not. */
	long (*run)(const char *arg);
};

static long
number(const char *arg)
{
	int64_t n;

	if (arg == NULL || strnum_parse_i64(arg, 0, INT32_MAX, &n) < 0)
		errx(64, "a number is missing");
	return (long)n;
}

/* ---- processes ---- */

static long
probe_execve(const char *arg)
{
	char *const argv[] = { (char[]){ "true" }, NULL };

	return execve("/bin/true", argv, NULL);
}

static long
probe_fork(const char *arg)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return pid;
}

static void *
thread_body(void *arg)
{
	*(int *)arg = 1;
	return NULL;
}

static long
probe_thread(const char *arg)
{
	pthread_t thread;
	int ran = 0, r;

	r = pthread_create(&thread, NULL, thread_body, &ran);
	if (r != 0) {
		errno = r;
		return -1;
	}
	(void)pthread_join(thread, NULL);
	return ran == 1 ? 0 : -1;
}

static long
probe_ptrace(const char *arg)
{
	return ptrace(PTRACE_ATTACH, (pid_t)number(arg), NULL, NULL);
}

static long
probe_process_vm(const char *arg)
{
	char buf[8];
	struct iovec mine = { buf, sizeof(buf) };
	struct iovec theirs = { buf, sizeof(buf) };

	return process_vm_readv((pid_t)number(arg), &mine, 1, &theirs, 1, 0);
}

static long
probe_kill(const char *arg)
{
	return kill((pid_t)number(arg), SIGTERM);
}

static long
probe_tgkill(const char *arg)
{
	return syscall(SYS_tgkill, number(arg), number(arg), SIGTERM);
}

static long
probe_abort(const char *arg)
{
	abort();
}

static long
probe_setown(const char *arg)
{
	return fcntl(0, F_SETOWN, (int)number(arg));
}

static long
probe_setuid(const char *arg)
{
	return syscall(SYS_setresuid, 0, 0, 0);
}

static long
probe_capset(const char *arg)
{
	cap_t caps = cap_from_text("cap_sys_admin,cap_net_raw,cap_bpf=ep");

	return cap_set_proc(caps);
}

/* ---- memory ---- */

static long
probe_mmap_exec(const char *arg)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long
probe_mprotect_exec(const char *arg)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	return mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static long
probe_hugetlb(const char *arg)
{
	return memfd_create("probe", MFD_CLOEXEC | MFD_HUGETLB);
}

/* What every worker lives on: memfds, seals, mappings, malloc, epoll. */
static long
probe_ordinary(const char *arg)
{
	struct memfd_map map;
	int fd, ep, ev;
	void *p;

	fd = memfd_from_bytes("probe", "bytes", 5);
	if (fd < 0) {
		errno = -fd;
		return -1;
	}
	if (memfd_map(fd, 10, &map) < 0)
		return -1;
	memfd_unmap(&map);
	p = malloc(64 << 20);
	free(p);
	ep = epoll_create1(EPOLL_CLOEXEC);
	ev = eventfd(0, EFD_CLOEXEC);
	return p == NULL || ep == -1 || ev == -1 ? -1 : 0;
}

/* ---- files ---- */

static long
probe_read(const char *arg)
{
	char buf[16];
	int fd = open(arg, O_RDONLY | O_CLOEXEC);

	return fd == -1 ? -1 : read(fd, buf, sizeof(buf));
}

static long
probe_list(const char *arg)
{
	return open(arg, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long
probe_write(const char *arg)
{
	int fd = open(arg, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd == -1 ? -1 : write(fd, "x", 1);
}

static long
probe_mount(const char *arg)
{
	return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static long
probe_chroot(const char *arg)
{
	return chroot("/tmp");
}

static long
probe_unshare(const char *arg)
{
	return unshare(CLONE_NEWUSER);
}

/* ---- network ---- */

static long
probe_socket_unix(const char *arg)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long
probe_socket_inet(const char *arg)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long
probe_socket_raw(const char *arg)
{
	return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
}

/* Of types and protocols that nobody here speaks. */
static long
probe_socket_sctp(const char *arg)
{
	return socket(AF_INET, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static long
probe_socket_ping(const char *arg)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
}

static long
probe_socket_udp(const char *arg)
{
	return socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static long
probe_socket_packet(const char *arg)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
}

static long
probe_socket_netlink(const char *arg)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static struct sockaddr_in
loopback(const char *arg)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)number(arg)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	return sin;
}

static long
probe_connect(const char *arg)
{
	struct sockaddr_in sin = loopback(arg);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	return connect(fd, (struct sockaddr *)&sin, sizeof(sin));
}

/* MPTCP speaks TCP to whoever knows no MPTCP. */
static long
probe_connect_mptcp(const char *arg)
{
	struct sockaddr_in sin = loopback(arg);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);

	if (fd == -1)
		return -1;
	return connect(fd, (struct sockaddr *)&sin, sizeof(sin));
}

/* TCP fast open: to send is to connect.  As sendto, sendmsg and sendmmsg. */
static long
probe_connect_sendto(const char *arg)
{
	struct sockaddr_in sin = loopback(arg);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return sendto(
	    fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&sin, sizeof(sin));
}

static long
connect_by_message(const char *arg, bool many)
{
	struct sockaddr_in sin = loopback(arg);
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct mmsghdr msg = { .msg_hdr = {
				   .msg_name = &sin,
				   .msg_namelen = sizeof(sin),
				   .msg_iov = &iov,
				   .msg_iovlen = 1,
			       } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return many ? sendmmsg(fd, &msg, 1, MSG_FASTOPEN)
		    : sendmsg(fd, &msg.msg_hdr, MSG_FASTOPEN);
}

static long
probe_connect_sendmsg(const char *arg)
{
	return connect_by_message(arg, false);
}

static long
probe_connect_sendmmsg(const char *arg)
{
	return connect_by_message(arg, true);
}

static long
probe_bind(const char *arg)
{
	struct sockaddr_in sin = loopback(arg);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		return -1;
	return listen(fd, 1);
}

static long
probe_resolve(const char *arg)
{
	struct addrinfo *ai, hints = { .ai_socktype = SOCK_STREAM };
	int r = getaddrinfo("localhost", "80", &hints, &ai);

	if (r != 0)
		errx(2, "getaddrinfo: %s", gai_strerror(r));
	freeaddrinfo(ai);
	return 0;
}

static long
probe_ifindex(const char *arg)
{
	/* The socket was opened before the sandbox closed: fd 3. */
	struct ifreq req = { .ifr_name = "lo" };

	return ioctl(3, SIOCGIFINDEX, &req);
}

static long
probe_ifflags(const char *arg)
{
	struct ifreq req = { .ifr_name = "lo" };

	return ioctl(3, SIOCSIFFLAGS, &req);
}

/* ---- BPF ---- */

static long
bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static long
probe_prog_load(const char *arg)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (uintptr_t)insns,
		.insn_cnt = 2,
		.license = (uintptr_t) "GPL",
	};

	return bpf(BPF_PROG_LOAD, &attr);
}

static long
probe_map_create(const char *arg)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_HASH,
		.key_size = 4,
		.value_size = 4,
		.max_entries = 1,
	};

	return bpf(BPF_MAP_CREATE, &attr);
}

static long
probe_bpf_cmd(const char *arg)
{
	union bpf_attr attr = { 0 };

	return bpf((enum bpf_cmd)number(arg), &attr);
}

static long
probe_perf(const char *arg)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
	};

	return syscall(
	    SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
}

/* ---- anything by number ---- */

static long
probe_syscall(const char *arg)
{
	return syscall(number(arg), 0, 0, 0, 0, 0, 0);
}

/* The same kernel by its other doors: x32 numbers, and int $0x80. */
static long
probe_x32(const char *arg)
{
	return syscall(0x40000000 + SYS_getpid);
}

static long
probe_int80(const char *arg)
{
#ifdef __x86_64__
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory");
	return r;
#else
	return syscall(0x7fffffff);
#endif
}

/* Stay, so that /proc/<pid> can be looked at, until stdin closes. */
static long
probe_stay(const char *arg)
{
	char c;

	if (write(1, "inside\n", 7) != 7)
		return -1;
	return read(0, &c, 1);
}

static const struct probe probes[] = {
	{ "execve", probe_execve },
	{ "fork", probe_fork },
	{ "thread", probe_thread },
	{ "ptrace", probe_ptrace },
	{ "process_vm", probe_process_vm },
	{ "kill", probe_kill },
	{ "tgkill", probe_tgkill },
	{ "abort", probe_abort },
	{ "setown", probe_setown },
	{ "setuid", probe_setuid },
	{ "capset", probe_capset },
	{ "mmap_exec", probe_mmap_exec },
	{ "mprotect_exec", probe_mprotect_exec },
	{ "hugetlb", probe_hugetlb },
	{ "ordinary", probe_ordinary },
	{ "read", probe_read },
	{ "list", probe_list },
	{ "write", probe_write },
	{ "mount", probe_mount },
	{ "chroot", probe_chroot },
	{ "unshare", probe_unshare },
	{ "socket_unix", probe_socket_unix },
	{ "socket_inet", probe_socket_inet },
	{ "socket_raw", probe_socket_raw },
	{ "socket_sctp", probe_socket_sctp },
	{ "socket_ping", probe_socket_ping },
	{ "socket_udp", probe_socket_udp },
	{ "socket_packet", probe_socket_packet },
	{ "socket_netlink", probe_socket_netlink },
	{ "connect", probe_connect },
	{ "connect_mptcp", probe_connect_mptcp },
	{ "connect_sendto", probe_connect_sendto },
	{ "connect_sendmsg", probe_connect_sendmsg },
	{ "connect_sendmmsg", probe_connect_sendmmsg },
	{ "bind", probe_bind },
	{ "resolve", probe_resolve },
	{ "ifindex", probe_ifindex },
	{ "ifflags", probe_ifflags },
	{ "prog_load", probe_prog_load },
	{ "map_create", probe_map_create },
	{ "bpf_cmd", probe_bpf_cmd },
	{ "perf", probe_perf },
	{ "syscall", probe_syscall },
	{ "x32", probe_x32 },
	{ "int80", probe_int80 },
	{ "stay", probe_stay },
};

static const struct probe *
find_probe(const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < nitems(probes); i++)
		if (strcmp(probes[i].name, name) == 0)
			return &probes[i];
	errx(64, "no such thing to try: %s", name != NULL ? name : "(none)");
}

static enum proc_role
find_role(const char *name)
{
	unsigned int role;

	for (role = 0; role < PROC_MAX; role++)
		if (strcmp(proc_name((enum proc_role)role), name) == 0)
			return (enum proc_role)role;
	errx(64, "no such role: %s", name);
}

/* Options before THING; returns where THING stands. */
static char **
read_grants(char **argv, struct sandbox_grants *g)
{
	int r = 0, fd;

	for (; *argv != NULL && argv[1] != NULL && argv[0][0] == '-';
	     argv += 2) {
		if (strcmp(argv[0], "--connect") == 0) {
			r = sandbox_grant_connect(g, (uint16_t)number(argv[1]));
		} else if (strcmp(argv[0], "--bind") == 0) {
			r = sandbox_grant_bind(g, (uint16_t)number(argv[1]));
		} else {
			fd = open(argv[1], O_PATH | O_CLOEXEC);
			if (fd == -1)
				err(65, "%s", argv[1]);
			r = sandbox_grant_dir(
			    g, fd, strcmp(argv[0], "--writable") == 0);
		}
		if (r < 0)
			errx(65, "%s %s", argv[0], argv[1]);
	}
	return argv;
}

/* The socket that bpfd holds for interface names. */
static void
open_interface_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd == -1 || dup2(fd, 3) == -1)
		err(65, "socket");
}

int
main(int argc, char **argv)
{
	struct sandbox_grants grants = { 0 };
	const struct probe *probe;
	enum proc_role role;
	const char *what;
	char **thing;
	long r;

	if (argc < 3)
		errx(64, "usage: sandbox_probe ROLE [GRANT]... THING [ARG]");
	role = find_role(argv[1]);
	if (sandbox_user(role) != NULL && geteuid() == 0) {
		r = sandbox_become(role, &what);
		if (r < 0)
			errx(66, "%s: %s", what, strerror((int)-r));
		(void)execv("/proc/self/exe", argv);
		err(66, "exec");
	}
	open_interface_socket();
	thing = read_grants(argv + 2, &grants);
	probe = find_probe(thing[0]);
	r = sandbox_enter(role, &grants);
	if (r < 0)
		errx(67, "sandbox_enter: %s", strerror((int)-r));
	errno = 0;
	r = probe->run(thing[1]);
	dprintf(1, "%s\n", r == -1 ? strerrorname_np(errno) : "ok");
	return 0;
}
