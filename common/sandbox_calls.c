/* SPDX-License-Identifier: ISC */
/*
 * The lists of system calls that several rows share.  A line that only a
 * library needs says which one; names of calls that a kernel or an
 * architecture does not have are skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "common/sandbox_rows.h"

const struct sandbox_call sandbox_common_calls[] = {
	/* imsg, pipes, memfds */
	CALL("read"),
	CALL("readv"),
	CALL("pread64"),
	CALL("write"),
	CALL("writev"),
	CALL("pwrite64"),
	CALL("lseek"),
	CALL("close"),
	CALL("recvmsg"),
	/* with MSG_FASTOPEN it connects, and Landlock is not asked */
	CALL_MASK("sendmsg", 2, MSG_FASTOPEN, 0),
	CALL("shutdown"),
	/* not of huge pages: what is promised there may not be to be had, and
	 * then reading it ends whoever was sent it (SIGBUS) */
	CALL_MASK("memfd_create", 1, MFD_HUGETLB, 0),
	CALL("ftruncate"),
	/* glibc's fstat() is newfstatat() with an empty path */
	CALL("fstat"),
	CALL("newfstatat"),
	CALL("statx"),
	/* no F_SETOWN and F_SETSIG: they send signals */
	CALL_IF("fcntl", 1, F_GETFD),
	CALL_IF("fcntl", 1, F_SETFD),
	CALL_IF("fcntl", 1, F_GETFL),
	CALL_IF("fcntl", 1, F_SETFL),
	CALL_IF("fcntl", 1, F_DUPFD_CLOEXEC),
	CALL_IF("fcntl", 1, F_ADD_SEALS),
	CALL_IF("fcntl", 1, F_GET_SEALS),
	/* stdio asks whether a file is a terminal (TCGETS) */
	CALL_FAILS_IF("ioctl", 1, SANDBOX_INT, 0x5401, ENOTTY),
	/* the event loop: libevent's epoll backend, and waiting in imsg */
	CALL("epoll_create1"),
	CALL("epoll_ctl"),
	CALL("epoll_wait"),
	CALL("epoll_pwait"),
	CALL("epoll_pwait2"),
	CALL("poll"),
	CALL("ppoll"),
	CALL("eventfd2"),
	CALL("timerfd_create"),
	CALL("timerfd_settime"),
	/* time, where the vDSO falls back to a call */
	CALL("clock_gettime"),
	CALL("clock_getres"),
	CALL("clock_nanosleep"),
	CALL("nanosleep"),
	CALL("gettimeofday"),
	CALL("time"),
	/* memory: malloc, mappings of memfds (mmap: sandbox_noexec_calls) */
	CALL("brk"),
	CALL("munmap"),
	CALL("mremap"),
	CALL("madvise"),
	CALL("futex"),
	/* libraries size themselves: qsort, malloc's arenas, OpenSSL */
	CALL("sysinfo"),
	CALL("sched_getaffinity"),
	CALL_IF("prlimit64", 0, 0), /* of oneself */
	CALL("getrlimit"),
	CALL("getrusage"),
	CALL("uname"),
	CALL("getrandom"),
	/* who am I: imsg's header, OpenSSL's and libbpf's checks */
	CALL("getpid"),
	CALL("gettid"),
	CALL("getppid"),
	CALL("getuid"),
	CALL("geteuid"),
	CALL("getgid"),
	CALL("getegid"),
	/* signals to oneself; tgkill() is allowed for the own pid alone, by
	 * sandbox_enter(): abort() uses it */
	CALL("rt_sigaction"),
	CALL("rt_sigprocmask"),
	CALL("rt_sigreturn"),
	CALL("sigaltstack"),
	CALL("restart_syscall"),
	CALL("sched_yield"),
	CALL("exit"),
	CALL("exit_group"),
	CALL_END,
};

const struct sandbox_call sandbox_noexec_calls[] = {
	CALL_MASK("mmap", 2, PROT_EXEC, 0),
	CALL_MASK("mprotect", 2, PROT_EXEC, 0),
	CALL_END,
};

/*
 * Processes that resolve host names: glibc loads NSS modules when it first
 * needs them, which then has to fail instead of ending the process.
 */
const struct sandbox_call sandbox_noexec_soft_calls[] = {
	CALL_MASK("mmap", 2, PROT_EXEC, 0),
	CALL_MASK("mprotect", 2, PROT_EXEC, 0),
	CALL_FAILS_IF("mmap", 2, PROT_EXEC, PROT_EXEC, EACCES),
	CALL_FAILS_IF("mprotect", 2, PROT_EXEC, PROT_EXEC, EACCES),
	CALL_END,
};

const struct sandbox_call sandbox_thread_calls[] = {
	/* clone3() hides its flags in memory, so glibc is made to use
	 * clone(), of which only that of threads is allowed: no fork() */
	CALL_FAILS("clone3", ENOSYS),
	CALL_MASK("clone", 0, CLONE_THREAD, CLONE_THREAD),
	CALL("set_robust_list"),
	CALL("rseq"),
	CALL("set_tid_address"),
	CALL_IF("prctl", 0, PR_SET_NAME), /* names of threads */
	CALL("sched_getparam"),           /* pthread_getattr_np() */
	CALL("sched_getscheduler"),
	CALL_END,
};

const struct sandbox_call sandbox_read_calls[] = {
	CALL("openat"),
	CALL("openat2"),
	CALL("open"),
	CALL("access"),
	CALL("faccessat"),
	CALL("faccessat2"),
	CALL("stat"),
	CALL("lstat"),
	CALL("fstatfs"),
	CALL("readlink"),
	CALL("readlinkat"),
	CALL("getdents64"),
	CALL("getcwd"),
	CALL("fadvise64"),
	CALL_END,
};

const struct sandbox_call sandbox_write_calls[] = {
	CALL("mkdirat"),
	CALL("unlinkat"),
	CALL("unlink"),
	CALL("rename"),
	CALL("renameat"),
	CALL("renameat2"),
	CALL("linkat"),
	CALL("fsync"),
	CALL("fdatasync"),
	CALL("fallocate"),
	CALL("fchmod"),
	CALL("utimensat"), /* last use of a cached file */
	CALL("flock"),
	CALL_IF("fcntl", 1, F_SETLK),
	CALL_END,
};

const struct sandbox_call sandbox_inet_calls[] = {
	/* TCP and UDP: others, MPTCP say, pass by Landlock's rules for TCP */
	CALL_SOCKET(AF_INET, SOCK_STREAM, 0),
	CALL_SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	CALL_SOCKET(AF_INET, SOCK_DGRAM, 0),
	CALL_SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	CALL_SOCKET(AF_INET6, SOCK_STREAM, 0),
	CALL_SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	CALL_SOCKET(AF_INET6, SOCK_DGRAM, 0),
	CALL_SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
	/* glibc tries nscd (AF_UNIX) and asks for the host's addresses
	 * (AF_NETLINK); it resolves names without either */
	CALL_FAILS_IF("socket", 0, SANDBOX_INT, AF_UNIX, EAFNOSUPPORT),
	CALL_FAILS_IF("socket", 0, SANDBOX_INT, AF_NETLINK, EAFNOSUPPORT),
	CALL_IF("socketpair", 0, AF_UNIX), /* libcurl wakes its threads */
	CALL("pipe2"),
	CALL("connect"),
	CALL("bind"), /* TCP ports: Landlock; UDP: the resolver */
	CALL("getsockname"),
	CALL("getpeername"),
	CALL("getsockopt"),
	CALL("setsockopt"),
	CALL_MASK("sendto", 3, MSG_FASTOPEN, 0),
	CALL("recvfrom"),
	/* the resolver asks for A and AAAA at once */
	CALL_MASK("sendmmsg", 3, MSG_FASTOPEN, 0),
	CALL("recvmmsg"),
	CALL_IF("ioctl", 1, FIONREAD), /* the resolver */
	CALL_IF("ioctl", 1, FIONBIO),
	CALL("select"), /* libcurl, nats.c */
	CALL("pselect6"),
	CALL_END,
};

const struct sandbox_call sandbox_sanitizer_calls[] = {
	CALL("sigaltstack"),
	CALL("readlink"), /* which executable am I */
	CALL("readlinkat"),
	CALL("openat"), /* /proc/self/maps, for a report */
	CALL("open"),
	CALL("sched_getaffinity"),
	CALL("mincore"),
	CALL("msync"),
	CALL("pipe"), /* is this address readable? */
	CALL("pipe2"),
	CALL("dup"),
	CALL("getcwd"),
	CALL_IF("prctl", 0, 0x53564d41 /* PR_SET_VMA: names of mappings */),
	CALL_IF("prctl", 0, PR_GET_DUMPABLE),
	CALL_END,
};
