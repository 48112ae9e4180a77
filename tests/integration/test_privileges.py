# SPDX-License-Identifier: ISC
"""DESIGN.md's table "Who may do what", read from /proc of the running
processes: what the kernel says, not what the agent does."""

import grp
import os
import pwd
import re
import shutil
import tempfile

import pytest

from aegis import kernel, net, wait
from aegis.agent import ACCOUNTS, Agent
from aegis.artifact import Artifact
from aegis.broker import Nats
from aegis.registry import Nginx, Tree

WORKERS = ["registry", "verifyd", "bpfd", "apid", "telemd"]
LOADER_CAPS = kernel.caps("bpf", "perfmon", "net_admin")
# What agentd may keep: hand on, or broker.
AGENTD_MAY = kernel.caps("setuid", "setgid", "setpcap", "kill", "bpf",
                         "perfmon", "net_admin", "sys_admin", "dac_override",
                         "dac_read_search", "chown", "fowner", "syslog")

TOKEN = "registry-token-8f1c2e"
PASSWORD = "nats-password-77ab09"


@pytest.fixture(scope="module")
def running(prefix, key, objects):
    """One agent for all of this file: a token for the registry, a password
    for the broker, and a program running."""
    root = tempfile.mkdtemp(prefix="aegisflux-it-")
    os.chmod(root, 0o755)
    group = net.Cgroup().create()
    tree = Tree(os.path.join(root, "registry"), "host-test")
    nginx = Nginx(tree, os.path.join(root, "nginx"), TOKEN).start()
    nats = Nats(os.path.join(root, "nats"), "agent", PASSWORD).start()
    token_file = os.path.join(root, "token")
    with open(token_file, "w", encoding="ascii",
              opener=lambda p, f: os.open(p, f, 0o600)) as out:
        out.write(TOKEN + "\n")
    os.mkdir(os.path.join(root, "agent"), 0o755)
    agent = Agent(prefix, os.path.join(root, "agent"), nginx.url, key.public,
                  nats.url, registry_token_file=token_file)
    agent.start()
    artifact = Artifact(key, "it_count", objects["count"],
                        [{"program": "it_count", "cgroup": group.path}])
    tree.publish(artifact)
    agent.wait_running(artifact)
    wait.until(lambda: set(agent.workers()) == set(WORKERS), "all workers")
    yield agent
    agent.destroy()
    nats.stop()
    nginx.stop()
    group.destroy()
    shutil.rmtree(root, ignore_errors=True)


def status_of(running, role):
    return kernel.proc_status(running.workers()[role])


def sockets(pid):
    """What a process's sockets are: "unix", "inet", "netlink" ... by
    descriptor, from the kernel's tables of its network namespace."""
    tables = {}
    for table, kind in (("unix", "unix"), ("tcp", "inet"), ("tcp6", "inet"),
                        ("udp", "inet"), ("udp6", "inet"), ("raw", "inet"),
                        ("netlink", "netlink"), ("packet", "packet")):
        try:
            with open(f"/proc/{pid}/net/{table}", encoding="ascii") as rows:
                for line in list(rows)[1:]:
                    fields = line.split()
                    column = {"unix": 6, "netlink": 9, "packet": 8}.get(
                        table, 9)
                    tables[fields[column]] = kind
        except FileNotFoundError:
            pass
    found = {}
    for fd, target in kernel.descriptors(pid).items():
        inode = re.fullmatch(r"socket:\[(\d+)\]", target)
        if inode:
            # A socket that is neither bound nor connected is in no table.
            found[fd] = tables.get(inode[1], "unbound")
    return found


def test_exactly_the_workers_that_are_needed(running):
    """AGENT_PUBLIC_KEY is pinned: nobody speaks to Vault."""
    assert set(running.workers()) == set(WORKERS)


@pytest.mark.parametrize("role", WORKERS)
def test_worker_uid_and_groups(running, role):
    account = pwd.getpwnam(ACCOUNTS[role])
    status = status_of(running, role)
    assert set(status["Uid"].split()) == {str(account.pw_uid)}
    assert set(status["Gid"].split()) == {str(account.pw_gid)}
    assert set(status["Groups"].split()) <= {str(account.pw_gid)}
    assert account.pw_uid != 0


def test_workers_have_different_uids(running):
    uids = [status_of(running, role)["Uid"] for role in WORKERS]
    assert len(set(uids)) == len(WORKERS)


@pytest.mark.parametrize("role", WORKERS)
@pytest.mark.parametrize("which", ["CapEff", "CapPrm", "CapInh", "CapAmb",
                                   "CapBnd"])
def test_worker_capabilities(running, role, which):
    bits = int(status_of(running, role)[which], 16)
    may = LOADER_CAPS if role == "bpfd" else 0
    assert kernel.cap_names(bits & ~may) == []
    if role == "bpfd" and which in ("CapEff", "CapPrm", "CapBnd"):
        assert bits == LOADER_CAPS


@pytest.mark.parametrize("role", WORKERS)
def test_worker_no_new_privs_and_seccomp(running, role):
    status = status_of(running, role)
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


@pytest.mark.parametrize("role", WORKERS)
def test_worker_threads_are_confined_too(running, role):
    """A filter that one thread escaped is none."""
    pid = running.workers()[role]
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            status = kernel.proc_status(f"{pid}/task/{task}")
        except (FileNotFoundError, ProcessLookupError):
            assert task != str(pid)
            continue  # one that looked a name up, say
        assert status["Seccomp"] == "2"
        assert status["NoNewPrivs"] == "1"
        assert int(status["CapEff"], 16) == (
            LOADER_CAPS if role == "bpfd" else 0)


@pytest.mark.parametrize("role", WORKERS)
def test_worker_is_not_dumpable(running, role):
    """Files of a process that is not dumpable belong to root, so nobody of
    the same uid may ptrace it or read its memory."""
    assert os.stat(f"/proc/{running.workers()[role]}/mem").st_uid == 0


@pytest.mark.parametrize("role", WORKERS)
def test_worker_limits(running, role):
    with open(f"/proc/{running.workers()[role]}/limits",
              encoding="ascii") as limits:
        text = limits.read()
    core = re.search(r"Max core file size\s+(\S+)\s+(\S+)", text)
    assert core.groups() == ("0", "0")
    files = re.search(r"Max open files\s+(\S+)\s+(\S+)", text)
    assert files[2] != "unlimited" and int(files[2]) <= 65536
    processes = re.search(r"Max processes\s+(\S+)\s+(\S+)", text)
    # apid's account has threads for some agents: tests, containers.
    assert int(processes[2]) <= {"apid": 2048}.get(role, 1024)


@pytest.mark.parametrize("role", WORKERS)
def test_worker_executable_and_environment(running, prefix, role):
    """Its own executable; nothing of agentd's environment."""
    pid = running.workers()[role]
    program = {"registry": "fetchd"}.get(role, role)
    assert os.readlink(f"/proc/{pid}/exe") == \
        f"{prefix}/libexec/aegisflux/{program}"
    with open(f"/proc/{pid}/environ", "rb") as environ:
        assert b"AGENT_" not in environ.read()


DESCRIPTORS = {
    # role -> what may stand behind a descriptor above 3, beside the event
    # loop's; sockets by family
    "registry": {"inet", "dir", "memfd"},
    "verifyd": {"memfd"},
    # unbound: it asks for interfaces' numbers by ioctl; netns: its own, where
    # sk_lookup attaches, and without CAP_SYS_ADMIN nothing else
    "bpfd": {"bpf-prog", "bpf-map", "netlink", "unbound", "memfd", "btf",
             "dir", "netns"},
    "apid": {"inet", "memfd"},
    "telemd": {"inet", "dir", "file", "memfd", "bpf-map"},
}


def describe(pid):
    """Descriptor -> kind, for those the tests below reason about."""
    kinds = {}
    families = sockets(pid)
    for fd, target in kernel.descriptors(pid).items():
        if fd in families:
            kinds[fd] = families[fd]
        elif target.startswith("/memfd:"):
            kinds[fd] = "memfd"
        elif target == "/dev/null":
            kinds[fd] = "null"
        elif target.startswith("anon_inode:"):
            kinds[fd] = target[len("anon_inode:"):].strip("[]")
        elif target == os.readlink("/proc/self/ns/net"):
            kinds[fd] = "netns"
        elif target.startswith("pipe:"):
            kinds[fd] = "pipe"
        elif os.path.isdir(f"/proc/{pid}/fd/{fd}"):
            kinds[fd] = "dir"
        else:
            kinds[fd] = "file"
    return kinds


@pytest.mark.parametrize("role", WORKERS)
def test_worker_descriptors(running, role):
    """Standard descriptors lead nowhere, 3 is the channel, and the rest is
    of the kinds its work needs."""
    pid = running.workers()[role]
    loop = {"eventpoll", "eventfd", "signalfd", "timerfd", "pipe", "unix"}

    def look():
        kinds = describe(pid)
        assert all(kinds.get(fd) in (None, "null") for fd in (0, 1, 2)), kinds
        assert kinds[3] == "unix"
        return kinds, {fd: kind for fd, kind in kinds.items()
                       if fd > 3 and kind not in DESCRIPTORS[role] | loop}
    # A connection that comes or goes between two looks is neither.
    wait.until(lambda: not look()[1], lambda: f"nothing strange: {look()}")
    kinds = look()[0]
    if "unix" not in DESCRIPTORS[role]:
        # libevent's own wake-up pair, at most; never another's channel.
        assert sum(k == "unix" for fd, k in kinds.items() if fd > 3) <= 2


def test_directories_that_bpfd_holds(running):
    """Where cgroups are, and what procfs says of its own descriptors; both
    without the means to read more of the file system."""
    pid = running.workers()["bpfd"]
    held = {os.readlink(f"/proc/{pid}/fd/{fd}")
            for fd, kind in describe(pid).items() if kind == "dir"}
    assert held <= {net.cgroup_root(), f"/proc/{pid}/fdinfo"}


@pytest.mark.parametrize("role", ["registry", "verifyd", "apid", "telemd"])
def test_only_the_loader_holds_programs_and_links(running, role):
    held = kernel.held(running.workers()[role])
    assert not held["prog"] and not held["link"]
    assert role == "telemd" or not held["map"]


def test_bpfd_keeps_no_link(running):
    # It has the last one until it has given it away.
    wait.until(lambda: not kernel.held(running.workers()["bpfd"])["link"],
               "it lets go of its links")
    assert running.held()["link"]


def test_agentd_is_cut_down(running):
    status = kernel.proc_status(running.pid)
    for which in ("CapEff", "CapPrm", "CapBnd"):
        over = int(status[which], 16) & ~AGENTD_MAY
        assert kernel.cap_names(over) == []
    assert int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert os.stat(f"/proc/{running.pid}/mem").st_uid == 0


def test_spawner_is_cut_down(running):
    status = kernel.proc_status(running.spawner())
    over = int(status["CapEff"], 16) & ~AGENTD_MAY
    assert kernel.cap_names(over) == []
    assert status["Seccomp"] == "2"
    assert not kernel.held(running.spawner())["link"]
    assert not kernel.held(running.spawner())["prog"]


def test_agentd_and_spawner_have_no_network(running):
    for pid in (running.pid, running.spawner()):
        # The kernel's table is read in pieces, while others change it.
        wait.until(lambda p=pid: set(sockets(p).values()) <= {"unix"},
                   lambda p=pid: f"nothing but unix: {sockets(p)}")


def test_control_socket_is_closed_to_others(running):
    path = running.environment["AGENT_CONTROL_SOCKET"]
    info = os.stat(path)
    assert info.st_uid == 0
    assert info.st_gid in (0, grp.getgrnam("aegisflux").gr_gid)
    assert info.st_mode & 0o007 == 0


# --- secrets ---

SECRETS = [TOKEN, PASSWORD]


def test_no_secret_on_a_command_line(running):
    for pid in [running.pid, running.spawner(), *running.workers().values()]:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as cmdline:
            text = cmdline.read()
        assert not [s for s in SECRETS if s in text]


def test_no_secret_in_log_or_answers(running):
    text = "\n".join(running.raw_lines())
    for path in ("/healthz", "/status", "/metrics", "/programs",
                 "/rollbacks", "/telemetry", "/version", "/"):
        text += str(running.get(path)[1])
    assert not [s for s in SECRETS if s in text]


@pytest.mark.parametrize("role", WORKERS)
def test_secret_is_only_where_it_is_used(running, role):
    """Looked for in the worker's memory, all of it."""
    pid = running.workers()[role]
    may = {"registry": TOKEN, "telemd": PASSWORD}.get(role)
    for secret in SECRETS:
        there = kernel.memory_contains(pid, secret.encode())
        assert there == (secret == may), f"{secret} in {role}"


def test_spawner_has_no_secret(running):
    """It is agentd's other half; it must have been forked before, or wiped."""
    for secret in SECRETS[:1]:
        assert not kernel.memory_contains(running.spawner(),
                                          secret.encode())


def test_no_secret_in_state_and_cache(running):
    for directory in ("state", "cache"):
        for parent, _, files in os.walk(
                os.path.join(running.directory, directory)):
            for name in files:
                with open(os.path.join(parent, name), "rb") as content:
                    data = content.read()
                assert not [s for s in SECRETS if s.encode() in data]


@pytest.mark.parametrize("directory", ["state", "cache"])
def test_directories_are_closed_to_others(running, directory):
    info = os.stat(os.path.join(running.directory, directory))
    assert info.st_mode & 0o007 == 0
