# SPDX-License-Identifier: ISC
"""The installed agent as a process: start, watch, stop."""

import contextlib
import fcntl
import http.client
import json
import os
import pwd
import re
import select
import signal
import subprocess
import threading
import time

from . import kernel, net, schemas, wait

# The accounts of DESIGN.md's table, by what the process is called.
ACCOUNTS = {
    "registry": "_aegis_fetch", "vault": "_aegis_vault",
    "verifyd": "_aegis_verify", "bpfd": "_aegis_bpf",
    "apid": "_aegis_api", "telemd": "_aegis_telem",
}
_ROLE_OF_ACCOUNT = {account: role for role, account in ACCOUNTS.items()}
# How the report of a sanitizer begins.
_REPORT = re.compile(r"==\d+==ERROR: |: runtime error: |"
                     r"WARNING: ThreadSanitizer")


def executable(pid):
    """What a process executes; None of one that has ended."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


class Output:
    """What comes through a pipe, line by line, given to TAKE: by a thread, so
    that the pipe never is full, and by whoever wants to know now."""

    def __init__(self, pipe, take):
        self._pipe, self._take, self._rest = pipe, take, b""
        self._lock = threading.Lock()
        self._reading = threading.Event()  # or the pipe is left alone
        self._reading.set()
        os.set_blocking(pipe.fileno(), False)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def read(self):
        """All that was written before this call; False at the end."""
        with self._lock:
            while self._reading.is_set():
                try:
                    got = os.read(self._pipe.fileno(), 1 << 16)
                except BlockingIOError:
                    return True
                *lines, self._rest = (self._rest + got).split(b"\n")
                for line in lines:
                    self._take(line.decode("utf-8", "replace"))
                if not got:
                    if self._rest:
                        self._take(self._rest.decode("utf-8", "replace"))
                        self._rest = b""
                    return False
            return True

    @contextlib.contextmanager
    def unread(self):
        """Nobody reads it, and the pipe has room for a page."""
        wait.until(lambda: fcntl.fcntl(
            self._pipe, fcntl.F_SETPIPE_SZ, 4096) == 4096, "a small pipe")
        with self._lock:
            self._reading.clear()
        try:
            yield
        finally:
            self._reading.set()

    def _run(self):
        ready = select.poll()
        ready.register(self._pipe, select.POLLIN)
        while self.read():
            ready.poll()
            self._reading.wait()


class Agent:
    """One agentd under a prefix, with its configuration in the environment.

    Everything it logs is collected; settings are those of a test: poll every
    second, sample every second, own directories, loopback only."""

    def __init__(self, prefix, directory, registry_url, public_key,
                 nats_url=None, **settings):
        self.program = os.path.join(prefix, "sbin", "agentd")
        self.directory = directory
        self.port = net.free_port()
        self.host_id = "host-test"
        self.arguments = []
        self.process = None
        self.launcher = []  # what execs the program, if not we
        self.manager = None  # manager.Manager: it starts the process
        self._lines = []
        self.reports = []  # of sanitizers, in a build that has them
        self._reporting = False
        self._output = None
        self.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "AGENT_HOST_ID": self.host_id,
            "AGENT_REGISTRY_URL": registry_url,
            "AGENT_POLL_INTERVAL_SEC": "1",
            "AGENT_NATS_URL": nats_url or
                              f"nats://127.0.0.1:{net.free_port()}",
            "AGENT_PUBLIC_KEY": "file:" + public_key,
            "AGENT_CACHE_DIR": os.path.join(directory, "cache"),
            "AGENT_STATE_DIR": os.path.join(directory, "state"),
            "AGENT_CONTROL_SOCKET": os.path.join(directory, "control.sock"),
            "AGENT_HTTP_ADDRESS": "127.0.0.1",
            "AGENT_HTTP_PORT": str(self.port),
            "AGENT_ROLLBACK_CHECK_INTERVAL_SEC": "1",
            "AGENT_ROLLBACK_DELAY_SEC": "0",
            "AGENT_HEARTBEAT_SEC": "1",
        }
        self.set(**settings)

    def set(self, **settings):
        """set(max_programs=2) is AGENT_MAX_PROGRAMS=2; None unsets."""
        for name, value in settings.items():
            name = "AGENT_" + name.upper()
            if value is None:
                self.environment.pop(name, None)
            else:
                self.environment[name] = str(value)

    # --- its life ---

    def start(self, ready=True):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.STDOUT, "cwd": self.directory}
        if self.manager is not None:
            self.process = self.manager.spawn(self.program, self.environment,
                                              **options)
        else:
            self.process = subprocess.Popen(
                [*self.launcher, self.program, *self.arguments],
                env=self.environment,
                **options)
        self._reporting = False
        self._output = Output(self.process.stdout, self._take)
        if ready:
            wait.until(self._is_ready, self._why_not_ready)
        return self

    def _is_ready(self):
        assert self.process.poll() is None, "agentd exited"
        # The apid of one that was killed may answer for a moment yet.
        mine = set(kernel.descriptors(self.workers()["apid"]).values())
        assert mine & {f"socket:[{inode}]"
                       for inode in net.listeners(self.port)}
        return self.get("/healthz")[0] == 200

    def _why_not_ready(self):
        return "agentd answers; its last lines:\n" + "\n".join(
            self.raw_lines()[-15:])

    def _take(self, line):
        self._lines.append(line)
        if _REPORT.search(line):
            self._reporting = True
        elif line.startswith("{"):
            self._reporting = False
        if self._reporting:
            self.reports.append(line.rstrip())

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=wait.LONG):
        """SIGTERM; (exit status, seconds it took)."""
        started = time.monotonic()
        self.process.terminate()
        try:
            status = self.process.wait(timeout)
        finally:
            if self.process.poll() is None:
                self.process.kill()
        took = time.monotonic() - started
        self._output.thread.join(5)
        return status, took

    def kill(self):
        """SIGKILL, as the kernel's OOM killer would."""
        self.process.kill()
        self.process.wait(wait.LONG)

    def destroy(self):
        """Whatever is left of it goes."""
        if self.process is None:
            return
        left = self.workers()
        if self.process.poll() is None:
            self.stop()
        for pid in left.values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    @property
    def pid(self):
        return self.process.pid

    def spawner(self):
        """Pid of agentd's other half, which starts the workers."""
        for pid in kernel.children(self.pid):
            if os.path.samefile(f"/proc/{pid}/exe", self.program):
                return pid
        raise LookupError("agentd has no spawner")

    def workers(self):
        """Role -> pid of every worker that runs under its own account, and
        is not the spawner any more."""
        found = {}
        own = executable(self.pid)
        queue = [self.pid]
        while queue:
            for pid in kernel.children(queue.pop()):
                queue.append(pid)
                try:
                    uid = int(kernel.proc_status(pid)["Uid"].split()[0])
                    role = _ROLE_OF_ACCOUNT.get(pwd.getpwuid(uid).pw_name)
                except (OSError, KeyError):
                    continue
                if role and executable(pid) not in (own, None):
                    found[role] = pid
        return found

    def held(self):
        """Ids of BPF objects that agentd holds."""
        return kernel.held(self.pid)

    # --- what it says ---

    def forget_log(self):
        """Lines so far are not looked at any more."""
        self.raw_lines()
        self._lines = []

    def log_unread(self):
        """A context in which nobody reads its log, in a small pipe."""
        return self._output.unread()

    def raw_lines(self):
        """All lines that were written before: what an answer of the agent
        tells, it may have logged before it answered."""
        if self._output is not None:
            self._output.read()
        return list(self._lines)

    def log(self, **fields):
        """Log lines so far with these fields; a str is looked for in the
        field, other values must be equal.  Lines that are no JSON raise."""
        found = []
        for line in self.raw_lines():
            entry = json.loads(line)
            if all(v in entry.get(k, "") if isinstance(v, str)
                   else entry.get(k) == v for k, v in fields.items()):
                found.append(entry)
        return found

    def wait_log(self, timeout=wait.LONG, **fields):
        return wait.until(
            lambda: self.log(**fields),
            lambda: f"log line {fields}; the last lines:\n" + "\n".join(
                self.raw_lines()[-15:]), timeout)[0]

    def get(self, path, headers=None, method="GET"):
        """(status, body); JSON bodies come decoded."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=20)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            body = answer.read()
            kind = answer.getheader("Content-Type", "")
            if body and kind.startswith("application/json"):
                body = json.loads(body)
                if answer.status == 200:
                    schemas.check_answer(path, body)
            return answer.status, body
        finally:
            connection.close()

    def programs(self):
        """/programs by artifact id."""
        status, body = self.get("/programs")
        assert status == 200, body
        return {p["artifact_id"]: p for p in body["programs"]}

    def status_of(self, artifact_id):
        """The JSON status of an artifact, None if it is not shown."""
        return self.programs().get(artifact_id, {}).get("status")

    def wait_status(self, artifact_id, *statuses, timeout=wait.LONG):
        """Wait until an artifact has one of these; its /programs entry."""
        def reached():
            program = self.programs().get(artifact_id)
            return program if program and program["status"] in statuses \
                else None
        return wait.until(
            reached,
            lambda: f"{artifact_id} {'/'.join(statuses)}, but it is "
                    f"{self.status_of(artifact_id)}; the last lines:\n"
                    + "\n".join(self.raw_lines()[-15:]), timeout)

    def wait_running(self, *artifacts, timeout=wait.LONG):
        for artifact in artifacts:
            program = self.wait_status(artifact.id, "running", "loaded",
                                       timeout=timeout)
        return program
