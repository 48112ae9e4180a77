# SPDX-License-Identifier: ISC
"""telemd behind telemd_driver, which plays agentd; a nats-server that can be
paused; a subscriber."""

import json
import os
import pwd
import re
import signal
import subprocess
import threading
import time

import pytest

from . import net, schemas, wait
from .wait import LONG  # where wait is a method


def tool(name):
    return os.path.join(os.environ["AEGIS_BUILD"], "tests/integration", name)


class Server:
    """A nats-server on a port that it keeps over restarts."""

    def __init__(self, directory, config="", scheme="nats", login=""):
        self.directory = directory
        self.port = net.free_port()
        self.url = f"{scheme}://{login}127.0.0.1:{self.port}"
        os.makedirs(directory, exist_ok=True)
        self.config = os.path.join(directory, "nats.conf")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f'listen: "127.0.0.1:{self.port}"\n{config}\n')
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["nats-server", "-c", self.config, "-l",
             os.path.join(self.directory, "nats.log")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait.until(lambda: net.connects(self.port), "nats-server listens")
        return self

    def stop(self, sig=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(sig)
            self.process.wait(wait.LONG)
            self.process = None

    def pause(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)


class Subscriber:
    """natssub in the background: messages as (subject, data)."""

    def __init__(self, url, *subjects, env=None):
        self.messages = []
        self.process = subprocess.Popen(
            [tool("natssub"), url, *(subjects or ("agent.>",)), "-R"],
            stdout=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})})
        assert json.loads(self.process.stdout.readline())["ready"]
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            m = json.loads(line)
            self.messages.append((m["subject"], m["data"]))

    def close(self):
        self.process.kill()
        self.process.wait()
        for _, event in self.messages:
            schemas.check_event(event)

    def events(self, *types):
        return [d for _, d in list(self.messages)
                if not types or d["type"] in types]

    def await_count(self, count, *types, timeout=wait.LONG):
        wait.until(lambda: len(self.events(*types)) >= count,
                   lambda: f"{count} events, got {len(self.events(*types))}",
                   timeout)
        return self.events(*types)


class Telemd:
    """telemd behind its driver."""

    def __init__(self, url="", **options):
        program = os.environ.get("AEGIS_TELEMD") or os.path.join(
            os.environ["AEGIS_PREFIX"], "libexec/aegisflux/telemd")
        args = [f"{k.replace('__', '.')}={v}" for k, v in options.items()]
        if url:
            args.append(f"url={url}")
        self.process = subprocess.Popen(
            [tool("telemd_driver"), program, *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = []
        self.taken = 0
        self.number = 0
        threading.Thread(target=self._read, daemon=True).start()
        self.ready()

    def _read(self):
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def say(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()

    def all(self, msg):
        return [m for m in list(self.said) if m["msg"] == msg]

    def wait(self, msg, test=lambda m: True, timeout=wait.LONG):
        """The first such message that was not waited for before."""
        def find():
            for i, m in enumerate(list(self.said)[self.taken:]):
                if m["msg"] == msg and test(m):
                    self.taken += i + 1
                    return m
            return None
        return wait.until(find, lambda: f"{msg}; telemd said "
                          f"{self.said[-8:]}", timeout)

    def ready(self):
        self.pid = self.wait("ready")["pid"]

    def event(self, kind, artifact="art-1", **fields):
        self.number += 1
        self.say("event", self.number, kind, artifact,
                 *(f"{k}={v}" for k, v in fields.items()))
        return self.number

    def accepted(self):
        return max((m["id"] for m in self.all("accepted")), default=0)

    def await_accepted(self, number, timeout=LONG):
        wait.until(lambda: self.accepted() >= number,
                   lambda: f"event {number} accepted, only "
                           f"{self.accepted()}", timeout)

    def connected(self, timeout=LONG):
        self.wait("state", lambda m: m["connected"], timeout)

    def state(self):
        """A state of after now: what telemd says after the answer to a
        ping, it says of what was before, too."""
        self.taken = len(self.said)
        self.say("ping")
        self.wait("pong")
        return self.wait("state")

    def kill(self):
        self.say("kill", 9)
        self.wait("exit")

    def restart(self):
        self.say("restart")
        self.ready()

    def logs(self, pattern):
        return [m for m in self.all("log")
                if re.search(pattern, m["text"] + " " + m["error"])]

    def close(self):
        if self.process.poll() is None:
            try:
                self.say("quit")
                self.process.wait(wait.LONG)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        bad = [m for m in self.all("exit") if m["signal"] not in (0, 9)]
        assert not bad, f"telemd died: {bad}"


@pytest.fixture
def things():
    """What must be closed at the end, last one first."""
    made = []
    yield made
    for thing in reversed(made):
        (thing.close if hasattr(thing, "close") else thing.stop)()


@pytest.fixture
def server(work_dir, things):
    made = Server(os.path.join(work_dir, "nats")).start()
    things.append(made)
    return made


@pytest.fixture
def spool(work_dir):
    path = os.path.join(work_dir, "spool")
    os.mkdir(path, 0o700)
    account = pwd.getpwnam("_aegis_telem")
    os.chown(path, account.pw_uid, account.pw_gid)
    return path


@pytest.fixture
def make(things):
    def start(kind, *args, **kwargs):
        thing = kind(*args, **kwargs)
        things.append(thing)
        return thing
    return start


def seqs(events):
    return [e["metadata"]["seq"] for e in events]


def request(url, subject, data, timeout=20, env=None, headers=()):
    out = subprocess.run(
        [tool("natspub"), url, subject, data, "-r", str(timeout),
         *(word for h in headers for word in ("-H", h))],
        capture_output=True, text=True, env={**os.environ, **(env or {})})
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)
