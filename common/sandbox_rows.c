/* SPDX-License-Identifier: ISC */
/*
 * One row a process: DESIGN's table "Who may do what", as the kernel is told.
 * A line without a reason of its own has it in the heading above; add a line
 * only with its reason.
 */
#include "common/sandbox_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define CAP(name) (UINT64_C(1) << CAP_##name)
#define MB        (UINT64_C(1) << 20)

/* What a loader needs, and the spawner must hold to hand it on. */
#define LOADER_CAPS (CAP(BPF) | CAP(PERFMON) | CAP(NET_ADMIN))
#define SPAWN_CAPS                                                             \
	(CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP) | CAP(KILL) | LOADER_CAPS)

/*
 * The broker opens perf events (CAP_SYS_ADMIN where perf_event_paranoid is
 * Debian's 3, and for uprobes always) and holds BPF_ENABLE_STATS.  It stands
 * in for CAP_BPF and CAP_PERFMON too; what it could do besides, the filter
 * and Landlock take away.
 */
#define BROKER_CAPS CAP(SYS_ADMIN)

/* ---- agentd ---- */

static const struct sandbox_call agentd_calls[] = {
	/* Custody reads what it holds; it can neither load nor attach. */
	CALL_IF("bpf", 0, BPF_OBJ_GET_INFO_BY_FD),
	CALL_IF("bpf", 0, BPF_ENABLE_STATS),
	/* The name of a program that holds a hook; no maps and no links by
	 * number, and what it opens it can neither attach nor run. */
	CALL_IF("bpf", 0, BPF_PROG_GET_FD_BY_ID),
	/* the broker */
	CALL("perf_event_open"),
	/* the control socket, its peers' credentials, the service manager */
	CALL_IF("socket", 0, AF_UNIX),
	CALL_IF("socketpair", 0, AF_UNIX), /* a worker's channel */
	CALL("bind"),
	CALL("listen"),
	CALL("connect"),
	CALL("accept4"),
	CALL("getsockname"),
	CALL("getsockopt"),
	CALL("setsockopt"),
	CALL("sendto"),
	CALL("recvfrom"),
	CALL("pipe2"),
	CALL("dup"),
	CALL("wait4"), /* the spawner, at the end */
	CALL("umask"), /* of the control socket and the state file */
	CALL("chmod"),
	CALL("fchmodat"),
	CALL("mkdir"),
	CALL("ftruncate"),
	CALL("signalfd4"),
	CALL("set_tid_address"),
	CALL_END,
};

static const struct sandbox_path agentd_paths[] = {
	/* SIGHUP reads the configuration and the secrets again; a file that
	 * lies elsewhere is granted by its directory */
	{ .path = "/etc", .directory_list = true },
	/* perf event ids of tracepoints, the PMU types, kernel facts */
	{ .path = "/sys/kernel/tracing" },
	{ .path = "/sys/kernel/debug/tracing" },
	{ .path = "/sys/bus/event_source/devices/kprobe" },
	{ .path = "/sys/bus/event_source/devices/uprobe" },
	/* binaries that uprobes go into, opened for verifyd: what everybody
	 * may read, and no other place, so that nothing secret is among it */
	{ .path = "/usr" },
	{ .path = "/opt" },
	{ .path = "/bin" },
	{ .path = "/sbin" },
	{ .path = "/lib" },
	{ .path = "/lib64" },
	{ .path = "/proc/sys/kernel" },
	{ .path = "/proc/self", .directory_list = true, .pinned = true },
	/* stdio of a daemon */
	{ .path = "/dev/null", .writable = true },
	{ .path = NULL },
};

/* ---- the spawner: it and all workers after it inherit this ---- */

/*
 * A filter is inherited over fork and exec, so an allow-list here would have
 * to hold everything that any worker does before its own filter closes:
 * linking, glibc's start, OpenSSL's tables.  This is a deny-list instead, of
 * what no process of the agent ever needs, so that a worker lacks it from its
 * first instruction on; the allow-list of a worker is its own row.
 */
static const struct sandbox_call spawn_denied[] = {
	/* other processes' memory and files */
	CALL("process_vm_readv"),
	CALL("process_vm_writev"),
	CALL("ptrace"),
	CALL("pidfd_getfd"),
	CALL("kcmp"),
	CALL("process_madvise"),
	/* mounts, roots, namespaces */
	CALL("mount"),
	CALL("umount2"),
	CALL("pivot_root"),
	CALL("chroot"),
	CALL("move_mount"),
	CALL("open_tree"),
	CALL("fsopen"),
	CALL("fsconfig"),
	CALL("fsmount"),
	CALL("fspick"),
	CALL("mount_setattr"),
	CALL("setns"),
	CALL("unshare"),
	CALL_MASK("clone", 0, 0x10000000 /* CLONE_NEWUSER */, 0x10000000),
	CALL("name_to_handle_at"),
	CALL("open_by_handle_at"),
	/* the machine */
	CALL("init_module"),
	CALL("finit_module"),
	CALL("delete_module"),
	CALL("kexec_load"),
	CALL("kexec_file_load"),
	CALL("reboot"),
	CALL("swapon"),
	CALL("swapoff"),
	CALL("acct"),
	CALL("quotactl"),
	CALL("syslog"),
	CALL("sethostname"),
	CALL("setdomainname"),
	CALL("settimeofday"),
	CALL("clock_settime"),
	CALL("clock_adjtime"),
	CALL("adjtimex"),
	CALL("iopl"),
	CALL("ioperm"),
	CALL("mknod"),
	CALL("mknodat"),
	/* old and large attack surface that nothing here uses */
	CALL("keyctl"),
	CALL("add_key"),
	CALL("request_key"),
	CALL("userfaultfd"),
	CALL("io_uring_setup"),
	CALL("io_uring_enter"),
	CALL("io_uring_register"),
	CALL("vmsplice"),
	CALL("modify_ldt"),
	CALL("personality"),
	CALL("perf_event_open"), /* agentd's broker has no such filter */
	CALL("fanotify_init"),
	CALL("lookup_dcookie"),
	CALL("nfsservctl"),
	CALL("uselib"),
	CALL("vhangup"),
	CALL("move_pages"),
	CALL("migrate_pages"),
	CALL("mbind"),
	CALL("set_mempolicy"),
	/* A socket that lingers keeps whoever closes it last waiting: agentd,
	 * if a worker sent it one.  nats.c connects only if it can set it. */
	CALL_IGNORED_IF("setsockopt", 1, SOL_SOCKET, 2, SO_LINGER),
	CALL_END,
};

/* ---- fetchd, for the registry and for Vault ---- */

static const struct sandbox_path fetchd_paths[] = {
	/*
	 * Name resolution and trust stores.  All of /etc, because
	 * resolv.conf is replaced by rename when a lease changes: a rule on
	 * the file would stay with the old one.  Permissions of files still
	 * hold; the account reads nothing secret there.
	 */
	{ .path = "/etc", .directory_list = true },
	{ .path = "/run/systemd/resolve" }, /* where resolv.conf points */
	{ .path = "/run/resolvconf" },
	{ .path = "/run/NetworkManager" },
	{ .path = "/usr/share/ca-certificates", .directory_list = true },
	{ .path = "/usr/local/share/ca-certificates", .directory_list = true },
	{ .path = "/usr/share/zoneinfo" },
	{ .path = "/dev/urandom" }, /* OpenSSL without getrandom() */
	{ .path = NULL },
};

static const struct sandbox_call registry_calls[] = {
	/* nothing but the shared lists; its cache is granted by descriptor */
	CALL_END,
};

static const struct sandbox_call vault_calls[] = {
	/* nothing but the shared lists: no files are written */
	CALL_END,
};

/* ---- verifyd ---- */

static const struct sandbox_call verify_calls[] = {
	/* libraries look for locales, time zones, configuration: there is
	 * none, by this filter and not only by Landlock */
	CALL_FAILS("openat", EACCES),
	CALL_FAILS("open", EACCES),
	CALL_FAILS("access", EACCES),
	CALL_FAILS("faccessat", EACCES),
	CALL_FAILS("faccessat2", EACCES),
	CALL_FAILS("readlink", EACCES),
	/* verification is limited in CPU time by a timer of its own */
	CALL("setitimer"),
	CALL("timer_create"),
	CALL("timer_settime"),
	CALL("timer_delete"),
	CALL_END,
};

/* ---- bpfd ---- */

static const struct sandbox_call bpf_calls[] = {
	/* load, write, attach, sample: what the three capabilities are for */
	CALL_IF("bpf", 0, BPF_MAP_CREATE),
	CALL_IF("bpf", 0, BPF_MAP_LOOKUP_ELEM),
	CALL_IF("bpf", 0, BPF_MAP_UPDATE_ELEM),
	/* parameters of what runs: elements that are listed no more */
	CALL_IF("bpf", 0, BPF_MAP_DELETE_ELEM),
	CALL_IF("bpf", 0, BPF_MAP_FREEZE),
	CALL_IF("bpf", 0, BPF_PROG_LOAD),
	CALL_IF("bpf", 0, BPF_PROG_BIND_MAP),
	CALL_IF("bpf", 0, BPF_BTF_LOAD),
	CALL_IF("bpf", 0, BPF_OBJ_GET_INFO_BY_FD),
	CALL_IF("bpf", 0, BPF_LINK_CREATE),
	CALL_IF("bpf", 0, BPF_LINK_UPDATE),
	CALL_IF("bpf", 0, BPF_RAW_TRACEPOINT_OPEN),
	/* numbers of the programs at a hook: who has it */
	CALL_IF("bpf", 0, BPF_PROG_QUERY),
	/* libbpf walks module BTFs when vmlinux lacks a type: needs
	 * CAP_SYS_ADMIN, so these only give a clean EPERM */
	CALL_IF("bpf", 0, BPF_BTF_GET_NEXT_ID),
	CALL_IF("bpf", 0, BPF_BTF_GET_FD_BY_ID),
	/* no BPF_OBJ_PIN (outlives its TTL), no *_GET_FD_BY_ID (others'
	 * programs), no BPF_PROG_TEST_RUN, no BPF_PROG_ATTACH (no link) */

	/* interfaces by name, on a socket opened before the sandbox closed */
	CALL_IF("ioctl", 1, 0x8933 /* SIOCGIFINDEX */),
	CALL("dup3"), /* libbpf: bpf_map__reuse_fd(), for carry_maps */
	CALL_END,
};

/* Cgroups need no line: O_PATH is all that they are opened with. */
static const struct sandbox_path bpf_paths[] = {
	{ .path = "/sys/kernel/btf", .directory_list = true }, /* CO-RE */
	/* libbpf's bpf_map__reuse_fd() opens "/" for the number of a new
	 * descriptor: names of files can be seen, none of them opened */
	{ .path = "/", .list_only = true },
	/* memory of programs and maps */
	{ .path = "/proc/self/fdinfo", .pinned = true },
	/* libbpf: which kernel is this (Ubuntu), is memory accounted */
	{ .path = "/proc/version_signature" },
	{ .path = NULL },
};

/* ---- apid ---- */

/*
 * Of the network only what a server of its own port needs: it never connects,
 * resolves no names, and so does not have the shared list of the clients.
 */
static const struct sandbox_call api_calls[] = {
	/* the listening socket, tried again while the port is not to be had */
	CALL_SOCKET(AF_INET, SOCK_STREAM, 0),
	CALL_SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP), /* civetweb's */
	CALL_SOCKET(AF_INET6, SOCK_STREAM, 0),
	CALL_SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	CALL("bind"), /* TCP ports: Landlock */
	CALL("listen"),
	CALL("getsockname"),
	CALL("getsockopt"),
	CALL("setsockopt"),
	CALL("dup3"), /* our listening socket in the place of civetweb's */
	/* its clients */
	CALL("accept"),
	CALL("accept4"),
	CALL_MASK("sendto", 3, MSG_FASTOPEN, 0), /* else it connects */
	CALL("recvfrom"),
	CALL_IF("ioctl", 1, FIONBIO),
	CALL_END,
};

static const struct sandbox_path api_paths[] = {
	{ .path = "/dev/urandom" }, /* civetweb's and OpenSSL's seed */
	{ .path = NULL },
};

/* ---- telemd: bpf() is not in here; rings are mapped and polled ---- */

static const struct sandbox_call telem_calls[] = {
	CALL_END,
};

static const struct sandbox_path telem_paths[] = {
	/* names and trust stores, as for fetchd */
	{ .path = "/etc", .directory_list = true },
	{ .path = "/run/systemd/resolve" },
	{ .path = "/run/resolvconf" },
	{ .path = "/run/NetworkManager" },
	{ .path = "/usr/share/ca-certificates", .directory_list = true },
	{ .path = "/usr/local/share/ca-certificates", .directory_list = true },
	{ .path = "/usr/share/zoneinfo" },
	{ .path = "/dev/urandom" },
	{ .path = NULL },
};

const struct sandbox_row sandbox_rows[PROC_MAX] = {
	[PROC_AGENTD] = {
		.caps = BROKER_CAPS,
		.bounding = BROKER_CAPS,
		.nofile = 65536, /* three descriptors and more a program */
		.sets = { sandbox_common_calls, sandbox_noexec_calls,
		    sandbox_thread_calls, /* detaching takes long: a thread */
		    sandbox_read_calls, sandbox_write_calls },
		.calls = agentd_calls,
		.paths = agentd_paths,
	},
	[PROC_SPAWN] = {
		.caps = SPAWN_CAPS,
		.bounding = SPAWN_CAPS,
		.nofile = 65536, /* the most that it hands to a worker */
		.deny = true,
		.calls = spawn_denied,
		.paths_free = true, /* workers inherit this, too */
		.tcp_connect = true,
		.tcp_bind = true,
	},
	[PROC_REGISTRY] = {
		.user = "_aegis_fetch",
		.nofile = 256,
		.address_space = 4096 * MB, /* threads of the resolver */
		.file_size = 128 * MB, /* one artifact, one list */
		.nproc = 64,
		.sets = { sandbox_common_calls, sandbox_noexec_soft_calls,
		    sandbox_thread_calls, sandbox_inet_calls,
		    sandbox_read_calls, sandbox_write_calls },
		.calls = registry_calls,
		.paths = fetchd_paths,
		.tcp_connect = true,
	},
	[PROC_VAULT] = {
		.user = "_aegis_vault",
		.nofile = 128,
		.address_space = 4096 * MB,
		.file_size = 16 * MB,
		.nproc = 64,
		.sets = { sandbox_common_calls, sandbox_noexec_soft_calls,
		    sandbox_thread_calls, sandbox_inet_calls,
		    sandbox_read_calls },
		.calls = vault_calls,
		.paths = fetchd_paths,
		.tcp_connect = true,
	},
	[PROC_VERIFY] = {
		.user = "_aegis_verify",
		.nofile = 64,
		/* artifact, its members, the plan, each twice, and room */
		.address_space = 1024 * MB,
		.file_size = 80 * MB, /* the largest memfd: extracted */
		.nproc = 16,
		.sets = { sandbox_common_calls, sandbox_noexec_calls },
		.calls = verify_calls,
	},
	[PROC_BPF] = {
		.user = "_aegis_bpf",
		.caps = LOADER_CAPS,
		.bounding = LOADER_CAPS,
		.nofile = 16384, /* it samples through programs and maps */
		.address_space = 4096 * MB,
		.file_size = 16 * MB, /* the verifier's log */
		.nproc = 16,
		.sets = { sandbox_common_calls, sandbox_noexec_calls,
		    sandbox_thread_calls, sandbox_read_calls },
		.calls = bpf_calls,
		.paths = bpf_paths,
	},
	[PROC_API] = {
		.user = "_aegis_api",
		.nofile = 1024, /* connections */
		.address_space = 4096 * MB, /* civetweb's threads */
		.file_size = 16 * MB,
		.nproc = 2048, /* 256 connections, of several agents */
		.sets = { sandbox_common_calls, sandbox_noexec_soft_calls,
		    sandbox_thread_calls, sandbox_read_calls },
		.calls = api_calls,
		.paths = api_paths,
		.tcp_bind = true,
	},
	[PROC_TELEM] = {
		.user = "_aegis_telem",
		.nofile = 4096, /* a ring a program, the spool's segments */
		.address_space = 8192 * MB, /* rings are mapped twice */
		.file_size = 1024 * MB, /* the spool */
		.nproc = 64,
		.sets = { sandbox_common_calls, sandbox_noexec_soft_calls,
		    sandbox_thread_calls, sandbox_inet_calls,
		    sandbox_read_calls, sandbox_write_calls },
		.calls = telem_calls,
		.paths = telem_paths,
		.tcp_connect = true,
	},
};
