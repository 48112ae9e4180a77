# SPDX-License-Identifier: ISC
"""Service files, and what a service manager sees of the agent."""

import grp
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import threading

import pytest

from aegis import wait

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")

# What the unit leaves open has its reason there; more must not come.
EXPOSURE_MAX = 2.9


@pytest.fixture
def unit(prefix):
    return os.path.join(prefix, "lib/systemd/system/aegisflux-agentd.service")


def unit_capabilities(unit):
    with open(unit, encoding="utf-8") as file:
        lines = re.findall(r"^CapabilityBoundingSet=(.*)$", file.read(), re.M)
    return {name for line in lines for name in line.split()}


def test_unit_is_sound(unit):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
         unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", unit],
        capture_output=True, text=True, check=False)
    exposure = re.search(r"exposure level for .*: ([0-9.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure.group(1)) <= EXPOSURE_MAX


def unit_values(unit, name):
    """All words that the unit gives to a directive."""
    with open(unit, encoding="utf-8") as file:
        lines = re.findall(rf"^{name}=(.*)$", file.read(), re.M)
    return [word for line in lines for word in line.split()]


def denied_calls(unit):
    """What its SystemCallFilter= comes to; groups as systemd has them."""
    calls, left = set(), [word.removeprefix("~") for word in
                          unit_values(unit, "SystemCallFilter")]
    assert left
    while left:
        word = left.pop()
        if not word.startswith("@"):
            calls.add(word)
            continue
        text = subprocess.run(
            ["systemd-analyze", "syscall-filter", word], check=True,
            capture_output=True, text=True).stdout
        left += re.findall(r"^ +([@\w]+)$", text, re.M)
    return calls


def confined(unit, build_dir, program):
    """PROGRAM as the unit confines it, in capabilities and calls."""
    names = ",".join("+" + name.removeprefix("CAP_").lower()
                     for name in sorted(unit_capabilities(unit)))
    command = ["setpriv", "--inh-caps=-all",
               f"--bounding-set=-all,{names}", "--no-new-privs",
               f"{build_dir}/tests/integration/unit_filter"]
    for call in sorted(denied_calls(unit)):
        command += ["-d", call]
    for family in unit_values(unit, "RestrictAddressFamilies"):
        command += ["-f", str(int(getattr(socket, family)))]
    assert unit_values(unit, "MemoryDenyWriteExecute") == ["yes"]
    return [*command, "-e", "--", program]


def test_denied_calls_are_denied(unit, build_dir):
    """The test's own stand-in for systemd's filter does something."""
    calls = denied_calls(unit)
    assert {"chown", "mount", "ptrace", "io_uring_setup"} <= calls
    assert not {"setresuid", "setfsuid", "bpf", "perf_event_open"} & calls
    program = confined(unit, build_dir, "/usr/bin/python3")
    code = ("import os, socket\n"
            "for f in (lambda: os.chown('/tmp', 0, 0),\n"
            "          lambda: socket.socket(socket.AF_PACKET)):\n"
            "    try: f()\n"
            "    except OSError as e: print(e.errno)\n")
    done = subprocess.run([*program, "-c", code], check=True,
                          capture_output=True, text=True)
    assert done.stdout.split() == ["1", "97"]


def test_the_units_limits_leave_what_is_needed(unit, make_agent, tree, nats,
                                               build_dir, work_dir, passer,
                                               counter):
    """Twice: the second time the workers' directories are theirs already."""
    agent = make_agent(tree.url, nats.url)
    wrapper = os.path.join(work_dir, "agentd")
    with open(wrapper, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\numask 0077\nexec " + " ".join(
            confined(unit, build_dir, agent.program)) + "\n")
    os.chmod(wrapper, 0o755)
    agent.program = wrapper
    artifacts = passer(), counter()
    tree.publish(*artifacts)
    times = []
    for _ in range(2):
        agent.start()
        agent.wait_running(*artifacts)
        wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy",
                   lambda: f"healthy: {agent.get('/healthz')}")
        status, took = agent.stop()
        assert status == 0
        times.append(took)
        for name, account in (("cache", "_aegis_fetch"),
                              ("state/spool", "_aegis_telem")):
            made = os.stat(os.path.join(agent.directory, name))
            assert made.st_uid == pwd.getpwnam(account).pw_uid
            assert stat.S_IMODE(made.st_mode) == 0o700
    assert min(times) < 5
    group = grp.getgrnam("aegisflux").gr_gid
    agent.start()
    made = os.stat(os.path.join(agent.directory, "control.sock"))
    assert (made.st_gid, stat.S_IMODE(made.st_mode)) == (group, 0o660)


class Listener(threading.Thread):
    """Reads what comes to a service manager's socket at once, as managers do:
    a full one takes no more words."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.words, self._socket = [], sock
        self.start()

    def run(self):
        while text := self._socket.recv(4096).decode():
            self.words += text.split("\n")

    def await_word(self, start):
        wait.until(lambda: any(word.startswith(start) for word in self.words),
                   lambda: f"{start} in {self.words}")


@pytest.fixture(params=["path", "abstract"])
def manager(request, work_dir):
    """What a service manager hears, and the name of its socket."""
    name = os.path.join(work_dir, "notify")
    address = name
    if request.param == "abstract":
        name = "@aegisflux-it-notify"
        address = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        listener = Listener(sock)
        yield listener, name
        sock.shutdown(socket.SHUT_RD)
        listener.join(wait.LONG)


def test_service_manager_is_told(manager, make_agent, tree):
    listener, name = manager
    agent = make_agent(tree.url)
    agent.environment["NOTIFY_SOCKET"] = name
    agent.environment["WATCHDOG_USEC"] = "200000"
    agent.start(ready=False)
    for word in ("READY=1", "WATCHDOG=1", "STATUS="):
        listener.await_word(word)
    workers = wait.until(lambda: (w := agent.workers()) and len(w) == 5 and w,
                         lambda: f"all workers: {agent.workers()}")
    for pid in workers.values():
        with open(f"/proc/{pid}/environ", "rb") as file:
            assert b"NOTIFY_SOCKET" not in file.read()
    agent.process.terminate()
    listener.await_word("STOPPING=1")
    assert agent.process.wait(wait.LONG) == 0


def runs(pid):
    """Whether it is more than a zombie: nobody reaps in some containers."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Sysv:
    """The installed script, with files of its own."""

    def __init__(self, prefix, directory, config):
        with open(f"{prefix}/share/aegisflux/init.d/aegisflux-agentd.init",
                  encoding="utf-8") as file:
            text = file.read()
        self.path = os.path.join(directory, "aegisflux-agentd")
        self.pid_file = os.path.join(directory, "pid")
        for name, value in (("PIDFILE", self.pid_file),
                            ("PIPE", os.path.join(directory, "pipe")),
                            ("LOG", os.path.join(directory, "log")),
                            ("DAEMON_OPTS", f'"-f {config}"')):
            text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text,
                                  flags=re.M)
            assert count == 1, name
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path, 0o755)

    def run(self, action, **popen):
        return subprocess.run(
            [self.path, action], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120,
            check=False, **popen).returncode

    def pid(self):
        with open(self.pid_file, encoding="utf-8") as file:
            return int(file.read())


@pytest.mark.skipif(shutil.which("start-stop-daemon") is None,
                    reason="no start-stop-daemon: not Debian")
def test_sysv_script(prefix, make_agent, tree, work_dir):
    agent = make_agent(tree.url)
    config = os.path.join(work_dir, "agentd.env")
    good = "".join(f"{name}={value}\n"
                   for name, value in agent.environment.items()
                   if name.startswith("AGENT_"))

    def configure(text):
        # agentd may be reading it, for the reload before.
        with open(config + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(config + ".new", 0o600)
        os.rename(config + ".new", config)

    script = Sysv(prefix, work_dir, config)
    configure(good + "AGENT_HTTP_PORT=none\n")
    assert script.run("start") == 1
    configure(good)
    assert script.run("status") == 3
    assert script.run("stop") == 0
    # LSB's: insufficient privilege, not running.
    assert script.run("start", user="nobody") == 4
    assert script.run("reload") == script.run("force-reload") == 7
    assert script.run("start") == 0
    try:
        pid = script.pid()
        wait.until(lambda: agent.get("/healthz")[0] == 200, "it answers")
        assert script.run("status") == 0
        assert script.run("start") == 0
        assert script.pid() == pid
        assert script.run("reload") == 0
        # By Debian's policy: a restart only where there is no reload.
        assert script.run("force-reload") == 0
        assert script.pid() == pid
        # A configuration that cannot work costs nothing.
        configure(good + "AGENT_HTTP_PORT=none\n")
        assert script.run("reload") != 0
        assert script.run("restart") == 1
        assert script.pid() == pid
        assert runs(pid)
        configure(good)
        assert script.run("restart") == 0
        assert script.pid() != pid
        wait.until(lambda: agent.get("/healthz")[0] == 200, "it answers")
        pid = script.pid()
    finally:
        assert script.run("stop") == 0
    assert not runs(pid)
    assert script.run("status") == 3
    assert script.run("frobnicate") == 3


def lines_of(prefix, path):
    with open(os.path.join(prefix, path), encoding="utf-8") as file:
        return [line.split() for line in file
                if line.strip() and not line.startswith("#")]


def test_accounts_are_the_tables(prefix):
    """sysusers.d: one for each worker, and the group of the operators."""
    with open(os.path.join(SOURCE, "common/sandbox_rows.c"),
              encoding="utf-8") as file:
        users = set(re.findall(r'\.user = "(\w+)"', file.read()))
    lines = lines_of(prefix, "lib/sysusers.d/aegisflux.conf")
    assert {line[1] for line in lines if line[0] == "u"} == users
    assert len(users) == 6
    assert [line[1] for line in lines if line[0] != "u"] == ["aegisflux"]
    for line in lines:
        assert line[2] == "-"  # no number of its own
        if line[0] == "u":
            assert line[-2:] == ["/nonexistent", "/usr/sbin/nologin"]


def test_directories_are_the_units(prefix, unit):
    """tmpfiles.d makes what the unit has made, and nothing is cleaned."""
    made = {line[1]: line for line in
            lines_of(prefix, "lib/tmpfiles.d/aegisflux.conf")}
    for kind, top, mode in (("Runtime", "/run", "0755"),
                            ("State", "/var/lib", "0700"),
                            ("Cache", "/var/cache", "0755")):
        [name] = unit_values(unit, f"{kind}Directory")
        line = made.pop(f"{top}/{name}")
        assert line[0] == "d" and line[2:] == [mode, "root", "root", "-"]
        assert unit_values(unit, f"{kind}DirectoryMode") in ([mode], [])
        assert mode == "0755" or unit_values(unit, f"{kind}DirectoryMode")
    assert not made


def test_logs_need_no_rotation(prefix):
    """The manual says so, and nothing comes along for it."""
    with open(os.path.join(SOURCE, "man/agentd.8"), encoding="utf-8") as file:
        assert "Log rotation is not needed" in file.read()
    for _, _, files in os.walk(os.path.join(prefix, "share/aegisflux")):
        assert not [name for name in files if "logrotate" in name]
