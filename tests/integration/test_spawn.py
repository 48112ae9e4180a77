# SPDX-License-Identifier: ISC
"""The spawner by itself: what a worker is born with, and who ends when.

build/tests/integration/spawn_probe plays agentd; copies of it under the
workers' names play the workers and say what they see of themselves."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time

import pytest

from aegis import wait

NET_ADMIN, PERFMON, BPF = 12, 38, 39
WORKERS = {
    # role: (program, argument, account, capabilities)
    "registry": ("fetchd", "registry", "_aegis_fetch", []),
    "vault": ("fetchd", "vault", "_aegis_vault", []),
    "verifyd": ("verifyd", "-", "_aegis_verify", []),
    "bpfd": ("bpfd", "-", "_aegis_bpf", [NET_ADMIN, PERFMON, BPF]),
    "apid": ("apid", "-", "_aegis_api", []),
    "telemd": ("telemd", "-", "_aegis_telem", []),
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def alive(pid):
    """False for zombies, too."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, seconds=wait.LONG):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


class Driver:
    """spawn_probe, line by line."""

    def __init__(self, program, directory, **kwargs):
        self.process = subprocess.Popen(
            [program, directory], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1, **kwargs)
        self.spawner = int(self.expect("spawner")[0])

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def read(self):
        line = self.process.stdout.readline()
        assert line, "spawn_probe ended"
        return line.rstrip("\n").split(" ", 1)

    def expect(self, word):
        """The words of the next line that begins with WORD."""
        while True:
            first, rest = (self.read() + [""])[:2]
            if first == word:
                return rest.split(" ")

    def start(self, role):
        """Start a worker and collect what it says of itself."""
        self.tell(f"start {role}")
        said, started = [], None
        # The worker may speak before the spawner does.
        while started is None or (started[1] != "0" and
                                  (not said or said[-1] != "end")):
            first, rest = self.read()
            if first == "started":
                started = rest.split(" ")
            elif first == "said":
                said.append(rest.split(" ", 1)[1])
        return (int(started[1]), int(started[2]),
                said or " ".join(started[3:]))

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(name="libexec")
def fixture_libexec(build_dir, work_dir):
    program = os.path.join(build_dir, "tests/integration/spawn_probe")
    for name in {row[0] for row in WORKERS.values()}:
        shutil.copy(program, os.path.join(work_dir, name))
    return work_dir


@pytest.fixture(name="driver")
def fixture_driver(build_dir, libexec):
    program = os.path.join(build_dir, "tests/integration/spawn_probe")
    driver = Driver(program, libexec)
    yield driver
    driver.end()


def field(said, name):
    return [line.split(":", 1)[1].split() for line in said
            if line.startswith(name + ":")][0]


@pytest.mark.parametrize("role", WORKERS)
def test_birth_of_a_worker(build_dir, libexec, role):
    program = os.path.join(build_dir, "tests/integration/spawn_probe")
    # As bad as a parent can be: descriptors, ignored signals, environment.
    leak = os.open("/etc/shadow", os.O_RDONLY)
    driver = Driver(
        program, libexec, pass_fds=[leak],
        env={"SECRET": "in the environment", "LD_PRELOAD": ""},
        preexec_fn=lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN))
    os.close(leak)
    try:
        pid, _, said = driver.start(role)
        assert alive(pid)
    finally:
        driver.end()
    name, argument, account, caps = WORKERS[role]
    assert f"argv {name} {argument}" in said
    # channel on 3, nothing on 0 1 2, nothing else
    fds = dict(line.split()[1:3] for line in said if line.startswith("fd "))
    assert re.match(r"socket:", fds.pop("3"))
    assert fds == {"0": "/dev/null", "1": "/dev/null", "2": "/dev/null"}
    names = {line.split()[1].split("=")[0] for line in said
             if line.startswith("env ")}
    assert names - {"ASAN_OPTIONS", "UBSAN_OPTIONS"} == {"LANG", "PATH"}
    entry = pwd.getpwnam(account)
    assert field(said, "Uid") == [str(entry.pw_uid)] * 4
    assert field(said, "Gid") == [str(entry.pw_gid)] * 4
    assert field(said, "Groups") == []
    mask = sum(1 << cap for cap in caps)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(field(said, kind)[0], 16) == mask, kind
    assert field(said, "NoNewPrivs") == ["1"]
    assert field(said, "Seccomp") == ["2"]  # the spawner's, inherited
    assert int(field(said, "SigBlk")[0], 16) == 0
    assert int(field(said, "SigIgn")[0], 16) == 0
    assert f"pdeathsig {int(signal.SIGKILL)}" in said


def test_program_that_is_not_there(driver, libexec):
    os.unlink(os.path.join(libexec, "bpfd"))
    _, result, text = driver.start("bpfd")
    assert result == -2
    assert text == f"execve {libexec}/bpfd: No such file or directory"
    # and the spawner goes on
    assert driver.start("verifyd")[0] > 0


def test_one_process_a_role(driver):
    # apid, since it stays when the driver lets go of its first socket
    pid = driver.start("apid")[0]
    _, result, text = driver.start("apid")
    assert result == -16
    assert str(pid) in text
    driver.tell(f"kill apid {int(signal.SIGKILL)}")
    assert driver.expect("exited") == ["apid", str(pid), "9"]
    assert driver.start("apid")[0] not in (0, pid)


def test_exit_is_reported(driver):
    pid = driver.start("telemd")[0]
    os.kill(pid, signal.SIGSEGV)
    _, gone, status = driver.expect("exited")
    assert int(gone) == pid
    assert os.WTERMSIG(int(status)) == signal.SIGSEGV


@pytest.mark.parametrize("how", ["close", "crash"])
def test_workers_end_with_agentd(build_dir, libexec, how):
    """Those that obey at once, the stubborn one after a while."""
    def end():
        driver = Driver(program, libexec)
        try:
            pids = [driver.start(role)[0] for role in ("verifyd", "bpfd")]
            stubborn = driver.start("apid")[0]  # ignores SIGTERM
            begin = time.monotonic()
            if how == "close":
                driver.tell("close")
                driver.expect("closed")  # which waits for the spawner
            else:
                driver.process.kill()
            told = time.monotonic()
            wait_for(lambda: not any(map(alive, pids)))
            first = time.monotonic() - told
            wait_for(lambda: not alive(stubborn))
            last = time.monotonic() - begin
            assert last > 0.3
            wait_for(lambda: not alive(driver.spawner))
        finally:
            driver.end()
        return max(first / 0.4, last / 2)
    program = os.path.join(build_dir, "tests/integration/spawn_probe")
    wait.measured(end, 1)


def test_workers_end_with_the_spawner(driver):
    pids = [driver.start(role)[0] for role in ("verifyd", "apid", "bpfd")]
    os.kill(driver.spawner, signal.SIGKILL)
    text = " ".join(driver.expect("lost"))
    assert "killed by signal 9" in text
    wait_for(lambda: not any(map(alive, pids)))


@pytest.mark.parametrize("line", [
    "start spawn", "start agentd", "start aegisctl", "kill agentd 9",
    "kill verifyd 19", "kill verifyd 0"])
def test_breach_ends_the_spawner(driver, line):
    """Only worker roles, and only signals that end one."""
    driver.tell(line)
    driver.expect("lost")


def test_terminals_signals_leave_it_alone(driver):
    pid = driver.start("verifyd")[0]
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(driver.spawner, sig)
    assert driver.start("bpfd")[0] > 0
    assert alive(pid)
    # not of agentd's process group: Ctrl-C does not reach it either
    assert os.getpgid(driver.spawner) != os.getpgid(driver.process.pid)


def test_name_for_ps(driver):
    with open(f"/proc/{driver.spawner}/comm", encoding="ascii") as f:
        assert f.read() == "agentd: spawn\n"
