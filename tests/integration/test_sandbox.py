# SPDX-License-Identifier: ISC
"""Each row of the sandbox table, from inside: what must fail is tried and
fails, and what the process lives on still works, so that a filter which
forbade everything would not pass either.

build/tests/integration/sandbox_probe passes both gates as a worker does and
tries one thing; see there for the things."""

import contextlib
import ctypes
import os
import pwd
import re
import signal
import socket
import subprocess
import tempfile

import pytest

from aegis import net

ACCOUNTS = {
    "registry": "_aegis_fetch", "vault": "_aegis_vault",
    "verifyd": "_aegis_verify", "bpfd": "_aegis_bpf",
    "apid": "_aegis_api", "telemd": "_aegis_telem",
}
WORKERS = list(ACCOUNTS)
CLOSED = ["agentd"] + WORKERS           # rows with an allow-list
THREADED = [role for role in CLOSED if role != "verifyd"]
RESOLVING = ["registry", "vault", "apid", "telemd"]

KILLED = "killed by the filter"
SETUID, SETGID, KILL, SETPCAP, NET_ADMIN = 7, 6, 5, 8, 12
SYS_ADMIN, PERFMON, BPF = 21, 38, 39
CAPS = {
    "agentd": [SYS_ADMIN],
    "spawn": [SETUID, SETGID, KILL, SETPCAP, NET_ADMIN, PERFMON, BPF],
    "bpfd": [NET_ADMIN, PERFMON, BPF],
}

# bpf(2) commands
PROG_LOAD, OBJ_PIN, PROG_ATTACH, PROG_GET_FD_BY_ID, OBJ_GET_INFO = \
    5, 6, 8, 13, 15
RAW_TRACEPOINT_OPEN, LINK_CREATE, LINK_UPDATE, ENABLE_STATS = 17, 28, 29, 32
MAP_LOOKUP, MAP_UPDATE, PROG_GET_NEXT_ID, MAP_GET_FD_BY_ID = 1, 2, 11, 14
LINK_GET_FD_BY_ID, LINK_GET_NEXT_ID, LINK_DETACH, PROG_QUERY = 30, 31, 34, 16
PROG_DETACH, PROG_TEST_RUN = 9, 10


def landlock_abi():
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(444, None, 0, 1)
    return max(abi, 0)


def missing_accounts():
    missing = []
    for account in ACCOUNTS.values():
        try:
            pwd.getpwnam(account)
        except KeyError:
            missing.append(account)
    return missing


pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(missing_accounts()),
                       reason=f"no accounts {missing_accounts()}: "
                              "run scripts/setup"),
]
needs_landlock = pytest.mark.skipif(
    landlock_abi() < 1, reason="this kernel has no Landlock")
needs_ports = pytest.mark.skipif(
    landlock_abi() < 4, reason="Landlock before ABI 4 knows no ports")
needs_scopes = pytest.mark.skipif(
    landlock_abi() < 6, reason="Landlock before ABI 6 knows no scopes")


@pytest.fixture(name="probe")
def fixture_probe(build_dir):
    """Call probe(role, thing, ...): "ok", an errno's name, or KILLED."""
    program = os.path.join(build_dir, "tests/integration/sandbox_probe")

    def probe(role, *args):
        done = subprocess.run(
            [program, role, *map(str, args)], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
            env={"ASAN_OPTIONS": "handle_segv=0:handle_abort=0"})
        if done.returncode == -signal.SIGSYS:
            return KILLED
        if done.returncode < 0:
            return signal.Signals(-done.returncode).name
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    probe.program = program
    return probe


@pytest.fixture(name="victim")
def fixture_victim():
    """A process of somebody else."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        assert process.poll() is None, "the victim was hit"
        process.kill()


@contextlib.contextmanager
def listener():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.fixture(name="directory")
def fixture_directory():
    """A directory of the account that role_owner(role) names."""
    with tempfile.TemporaryDirectory(prefix="aegisflux-it-") as path:
        os.chmod(path, 0o755)
        with open(os.path.join(path, "file"), "w", encoding="ascii") as f:
            f.write("content")

        def own(role):
            if role in ACCOUNTS:
                entry = pwd.getpwnam(ACCOUNTS[role])
                os.chown(path, entry.pw_uid, entry.pw_gid)
            return path
        yield own


# ---- what every process must still be able to do ----

@pytest.mark.parametrize("role", CLOSED + ["spawn"])
def test_ordinary_work_goes_on(probe, role):
    assert probe(role, "ordinary") == "ok"


@pytest.mark.parametrize("role", CLOSED)
def test_abort_still_aborts(probe, role):
    assert probe(role, "abort") == "SIGABRT"


@pytest.mark.parametrize("role", CLOSED)
def test_threads_only_where_they_are_needed(probe, role):
    assert probe(role, "thread") == ("ok" if role in THREADED else KILLED)


# ---- processes ----

@pytest.mark.parametrize("role", CLOSED)
@pytest.mark.parametrize("thing", ["execve", "fork", "setuid", "capset",
                                   "mount", "chroot", "unshare"])
def test_no_process_no_privilege_no_namespace(probe, role, thing):
    assert probe(role, thing) == KILLED


@pytest.mark.parametrize("role", CLOSED)
@pytest.mark.parametrize("thing", ["kill", "tgkill", "ptrace", "process_vm",
                                   "setown"])
def test_no_hand_on_other_processes(probe, victim, role, thing):
    assert probe(role, thing, victim.pid) == KILLED


@pytest.mark.parametrize("role", CLOSED)
@pytest.mark.parametrize("number", [
    101,  # ptrace
    175,  # init_module
    246,  # kexec_load
    250,  # keyctl
    323,  # userfaultfd
    425,  # io_uring_setup
    438,  # pidfd_getfd
    424,  # pidfd_send_signal
    304,  # open_by_handle_at
    272,  # unshare
    308,  # setns
    442,  # mount_setattr
])
def test_no_other_doors_of_the_kernel(probe, role, number):
    assert probe(role, "syscall", number) == KILLED


@pytest.mark.parametrize("role", CLOSED)
def test_other_architectures_are_refused(probe, role):
    assert probe(role, "x32") == KILLED
    # SIGSEGV: this kernel was built without 32-bit calls at all.
    assert probe(role, "int80") in (KILLED, "SIGSEGV")


# ---- memory ----

@pytest.mark.parametrize("role", CLOSED)
def test_memory_that_may_not_be_had_is_sent_to_nobody(probe, role):
    """Where there are no huge pages left, who reads one is ended."""
    assert probe(role, "hugetlb") == KILLED


@pytest.mark.parametrize("role", CLOSED)
@pytest.mark.parametrize("thing", ["mmap_exec", "mprotect_exec"])
def test_memory_never_becomes_code(probe, role, thing):
    # Where names are resolved it fails instead: glibc loads modules.
    assert probe(role, thing) == ("EACCES" if role in RESOLVING else KILLED)


# ---- files ----

@needs_landlock
@pytest.mark.parametrize("role", CLOSED)
@pytest.mark.parametrize("path", ["/var/lib/dpkg/status", "/proc/1/status",
                                  "/usr/bin/env"])
def test_paths_outside_the_row(probe, role, path):
    if role == "agentd" and path == "/usr/bin/env":
        path = "/usr/../var/lib/dpkg/status"  # it opens binaries for uprobes
    assert probe(role, "read", path) == "EACCES"


@needs_landlock
@pytest.mark.parametrize("role", CLOSED)
def test_nothing_is_written_where_everybody_may(probe, role):
    path = os.path.join(tempfile.gettempdir(), f"aegisflux-{os.getpid()}")
    assert probe(role, "write", path) == "EACCES"
    assert not os.path.exists(path)


@pytest.mark.parametrize("role,path", [
    ("agentd", "/etc/hosts"), ("agentd", "/proc/self/status"),
    ("agentd", "/usr/bin/env"),
    ("agentd", "/sys/bus/event_source/devices/uprobe/type"),
    ("registry", "/etc/hosts"), ("vault", "/etc/hosts"),
    ("telemd", "/etc/hosts"),
    ("bpfd", "/sys/kernel/btf/vmlinux"), ("bpfd", "/proc/self/fdinfo/0")])
def test_paths_of_the_row(probe, role, path):
    if not os.path.exists(path):
        pytest.skip(f"this kernel has no {path}")
    assert probe(role, "read", path) == "ok"


def test_verifyd_reads_no_file_even_without_landlock(probe, directory):
    path = directory("verifyd")
    assert probe("verifyd", "--dir", path, "read", path + "/file") == "EACCES"


@needs_landlock
@pytest.mark.parametrize("role", ["agentd", "registry", "telemd"])
def test_granted_directory(probe, directory, role):
    path = directory(role)
    inside = path + "/file"
    assert probe(role, "read", inside) == "EACCES"
    assert probe(role, "--dir", path, "read", inside) == "ok"
    assert probe(role, "--dir", path, "list", path) == "ok"
    assert probe(role, "--dir", path, "write", path + "/new") == "EACCES"
    assert probe(role, "--writable", path, "write", path + "/new") == "ok"
    assert probe(role, "--writable", path, "write", "/tmp/new") == "EACCES"


@needs_landlock
def test_bpfd_neither_reads_nor_writes_cgroups(probe):
    # it attaches to them through O_PATH descriptors; names can be listed
    assert probe("bpfd", "read", "/proc/self/cgroup") == "EACCES"
    procs = os.path.join(net.cgroup_root(), "cgroup.procs")
    assert probe("bpfd", "write", procs) == "EACCES"


# ---- network ----

FAMILIES = {
    # what is not in here is killed
    "agentd": {"socket_unix": "ok"},
    **{role: {"socket_inet": "ok", "socket_udp": "ok",
              "socket_unix": "EAFNOSUPPORT",
              "socket_netlink": "EAFNOSUPPORT"} for role in RESOLVING},
    "apid": {"socket_inet": "ok"},  # no names
}


@pytest.mark.parametrize("role", CLOSED)
@pytest.mark.parametrize("thing", [
    "socket_unix", "socket_inet", "socket_udp", "socket_raw", "socket_sctp",
    "socket_ping", "socket_packet", "socket_netlink"])
def test_socket_families(probe, role, thing):
    assert probe(role, thing) == FAMILIES.get(role, {}).get(thing, KILLED)


@needs_ports
@pytest.mark.parametrize("role", ["registry", "vault", "telemd"])
def test_connections_to_granted_ports_only(probe, role):
    with listener() as server, listener() as other:
        grant = ["--connect", server]
        assert probe(role, *grant, "connect", server) == "ok"
        assert probe(role, *grant, "connect", other) == "EACCES"
        # the resolver's port is open: nobody listens there
        assert probe(role, *grant, "connect", 53) == "ECONNREFUSED"
        assert probe(role, *grant, "bind", net.free_port()) == "EACCES"


@pytest.mark.parametrize("role", WORKERS)
@pytest.mark.parametrize("how", ["mptcp", "sendto", "sendmsg", "sendmmsg"])
def test_connections_that_landlock_does_not_see(probe, role, how):
    """MPTCP, and TCP's fast open, in which no connect(2) happens."""
    with listener() as other:
        assert probe(role, "connect_" + how, other) == KILLED


@needs_ports
def test_apid_listens_on_its_port_and_connects_nowhere(probe):
    port = net.free_port()
    assert probe("apid", "--bind", port, "bind", port) == "ok"
    with listener() as other:
        assert probe("apid", "--bind", port, "bind",
                     net.free_port()) == "EACCES"
        assert probe("apid", "--bind", port, "connect", other) == KILLED


@pytest.mark.parametrize("role", WORKERS)
def test_low_ports_are_not_theirs(probe, role):
    # bpfd and verifyd have no TCP socket in the first place
    assert probe(role, "bind", 81) in ("EACCES", KILLED)


@pytest.mark.parametrize("role", ["registry", "vault", "telemd"])
def test_names_are_resolved(probe, role):
    assert probe(role, "resolve") == "ok"


def test_bpfd_asks_for_interfaces_and_changes_none(probe):
    assert probe("bpfd", "ifindex") == "ok"
    assert probe("bpfd", "ifflags") == KILLED


@pytest.mark.parametrize("role", [r for r in CLOSED if r != "bpfd"])
def test_nobody_else_makes_requests_of_interfaces(probe, role):
    assert probe(role, "ifflags") == KILLED


# ---- BPF: who holds the authority ----

def test_bpfd_loads(probe):
    assert probe("bpfd", "map_create") == "ok"
    assert probe("bpfd", "prog_load") == "ok"


@pytest.mark.parametrize("role", [r for r in CLOSED if r != "bpfd"])
@pytest.mark.parametrize("thing", ["prog_load", "map_create"])
def test_nobody_else_loads(probe, role, thing):
    assert probe(role, thing) == KILLED


@pytest.mark.parametrize("command", [PROG_LOAD, LINK_CREATE, LINK_UPDATE,
                                     RAW_TRACEPOINT_OPEN, PROG_ATTACH,
                                     OBJ_PIN, PROG_DETACH, PROG_TEST_RUN])
def test_agentd_neither_loads_nor_attaches(probe, command):
    assert probe("agentd", "bpf_cmd", command) == KILLED


@pytest.mark.parametrize("command", [MAP_LOOKUP, MAP_UPDATE, PROG_GET_NEXT_ID,
                                     MAP_GET_FD_BY_ID, LINK_GET_FD_BY_ID,
                                     LINK_GET_NEXT_ID, LINK_DETACH])
def test_agentd_looks_a_program_up_and_nothing_else(probe, command):
    assert probe("agentd", "bpf_cmd", PROG_GET_FD_BY_ID) != KILLED
    assert probe("agentd", "bpf_cmd", command) == KILLED


def test_agentd_looks_at_what_it_holds_and_counts_run_time(probe):
    assert probe("agentd", "bpf_cmd", ENABLE_STATS) == "ok"
    assert probe("agentd", "bpf_cmd", OBJ_GET_INFO) not in (KILLED, "EPERM")


@pytest.mark.parametrize("command", [PROG_ATTACH, PROG_DETACH, OBJ_PIN,
                                     LINK_DETACH, LINK_GET_FD_BY_ID,
                                     PROG_GET_FD_BY_ID, ENABLE_STATS])
def test_bpfd_pins_nothing_and_takes_nothing_by_number(probe, command):
    assert probe("bpfd", "bpf_cmd", command) == KILLED


@pytest.mark.parametrize("role", [r for r in WORKERS if r != "bpfd"])
@pytest.mark.parametrize("command", [0, 1, 3, OBJ_GET_INFO, ENABLE_STATS])
def test_others_have_no_bpf_at_all(probe, role, command):
    assert probe(role, "bpf_cmd", command) == KILLED


@pytest.mark.parametrize("role", CLOSED)
def test_perf_events_are_the_brokers(probe, role):
    assert probe(role, "perf") == ("ok" if role == "agentd" else KILLED)


# ---- the spawner: a deny-list, which all workers inherit ----

@pytest.mark.parametrize("thing", ["mount", "chroot", "unshare", "perf"])
def test_spawner_lacks_what_nobody_needs(probe, thing):
    assert probe("spawn", thing) == KILLED


def test_spawner_does_not_look_into_processes(probe, victim):
    assert probe("spawn", "ptrace", victim.pid) == KILLED
    assert probe("spawn", "process_vm", victim.pid) == KILLED


def test_spawner_forks_and_executes(probe):
    assert probe("spawn", "fork") == "ok"
    assert probe("spawn", "execve") == ""  # it became /bin/true
    assert probe("spawn", "capset") == "EPERM"


@needs_scopes
def test_spawner_signals_nobody_but_its_own(probe, victim):
    assert probe("spawn", "kill", victim.pid) == "EPERM"


# ---- as the kernel tells it ----

def mask(caps):
    return sum(1 << cap for cap in caps)


@pytest.mark.parametrize("role", CLOSED + ["spawn"])
def test_status_of_the_process(probe, role):
    with subprocess.Popen([probe.program, role, "stay"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline() == "inside\n"
        proc = f"/proc/{process.pid}"
        with open(proc + "/status", encoding="ascii") as f:
            status = dict(re.findall(r"(\w+):[ \t]*(.*)", f.read()))
        with open(proc + "/limits", encoding="ascii") as f:
            limits = f.read()
        owner = os.stat(proc + "/mem").st_uid
        process.kill()
    expected = mask(CAPS.get(role, []))
    uid = pwd.getpwnam(ACCOUNTS[role]).pw_uid if role in ACCOUNTS else 0
    assert set(map(int, status["Uid"].split())) == {uid}
    if role in ACCOUNTS:
        assert status["Groups"].strip() == ""
        gid = pwd.getpwnam(ACCOUNTS[role]).pw_gid
        assert set(map(int, status["Gid"].split())) == {gid}
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == expected, name
    # nothing is handed on over an exec, not even by accident
    assert int(status["CapInh"], 16) == 0
    assert int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert re.search(r"Max core file size\s+0\s+0", limits)
    # not dumpable: its files in /proc are root's, also for its own account
    assert owner == 0
