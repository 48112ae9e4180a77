# SPDX-License-Identifier: ISC
"""A real nats-server, and a client of its own for it: the NATS protocol as
its documentation says, sharing no code with nats.c, which telemd uses."""

import itertools
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.request

from . import net, wait


class Nats:
    """nats-server from Debian on a loopback port, which it keeps when it is
    stopped and started again."""

    def __init__(self, directory, user=None, password=None):
        self.directory = directory
        self.port, self.monitor = net.free_port(), net.free_port()
        self.user, self.password = user, password
        self.process = None
        os.makedirs(directory, exist_ok=True)

    @property
    def url(self):
        login = f"{self.user}:{self.password}@" if self.user else ""
        return f"nats://{login}127.0.0.1:{self.port}"

    def start(self):
        command = ["nats-server", "-a", "127.0.0.1", "-p", str(self.port),
                   "-m", str(self.monitor), "-l", os.path.join(self.directory, "nats.log")]
        if self.user:
            command += ["--user", self.user, "--pass", self.password]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait.until(lambda: net.connects(self.port), "nats-server listens")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(wait.LONG)
            self.process = None

    def client(self):
        return Client(self)

    def hears(self, subject):
        """True if somebody subscribed to exactly this subject."""
        with urllib.request.urlopen(
                f"http://127.0.0.1:{self.monitor}/subsz?subs=1&limit=9999",
                timeout=20) as answer:
            return any(s["subject"] == subject for s in
                       json.load(answer)["subscriptions_list"])


class Client:
    """A connection that subscribes to everything (">") and keeps it."""

    _inboxes = itertools.count(1)

    def __init__(self, broker):
        self.messages = []  # (time of arrival, subject, bytes)
        self._broker = broker
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._socket = socket.create_connection(("127.0.0.1", broker.port), 5)
        self._socket.settimeout(None)
        self._file = self._socket.makefile("rb")
        assert self._file.readline().startswith(b"INFO ")
        hello = {"verbose": False, "pedantic": False, "lang": "test",
                 "version": "1", "headers": True, "protocol": 1}
        if broker.user:
            hello.update(user=broker.user)
            hello["pass"] = broker.password
        self._send(f"CONNECT {json.dumps(hello)}\r\nSUB > 1\r\nPING\r\n")
        line = self._file.readline()
        assert line == b"PONG\r\n", line
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _send(self, text):
        with self._sending:  # PONG is another thread's
            self._socket.sendall(text if isinstance(text, bytes)
                                 else text.encode())

    def _read(self):
        try:
            while line := self._file.readline():
                if line.startswith(b"PING"):
                    self._send("PONG\r\n")
                    continue
                found = re.match(
                    rb"(MSG|HMSG) (\S+) \S+ (?:\S+ )?(?:(\d+) )?(\d+)\r\n",
                    line)
                if not found:
                    continue
                body = self._file.read(int(found[4]) + 2)
                if len(body) < int(found[4]) + 2:
                    break  # the connection ended amid it
                body = body[:-2]
                if found[1] == b"HMSG":
                    body = body[int(found[3]):]
                with self._lock:
                    self.messages.append(
                        (time.time(), found[2].decode(), body))
        except (OSError, ValueError):
            pass

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(5)
        self._socket.close()

    def publish(self, subject, body, reply=""):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        head = f"PUB {subject} {reply}{' ' if reply else ''}{len(body)}\r\n"
        self._send(head.encode() + body + b"\r\n")

    def request(self, subject, body, timeout=wait.LONG):
        """Publish with a reply subject, to somebody who is there; the answer,
        decoded."""
        wait.until(lambda: self._broker.hears(subject),
                   f"a subscriber to {subject}")
        inbox = f"_INBOX.test{os.getpid()}.{next(self._inboxes)}"
        self.publish(subject, body, inbox)
        return wait.until(lambda: self.on(inbox),
                          f"an answer to {subject}", timeout)[0]

    def on(self, subject):
        """All messages of a subject so far, decoded."""
        with self._lock:
            return [json.loads(b) for _, s, b in self.messages
                    if s == subject]

    def events(self, kind=None, artifact_id=None,
               subject="agent.telemetry"):
        """Events so far, in order of arrival."""
        return [e for e in self.on(subject)
                if kind in (None, e.get("type"))
                and artifact_id in (None, event_artifact(e))]

    def wait_event(self, kind, artifact_id=None, timeout=wait.LONG,
                   **kwargs):
        """The first event of that kind, waiting for it."""
        return wait.until(
            lambda: self.events(kind, artifact_id, **kwargs),
            lambda: f"event {kind} for {artifact_id}, but only "
                    f"{[(e.get('type'), event_artifact(e)) for e in self.events(**kwargs)]}",
            timeout)[0]


def event_artifact(event):
    return (event.get("data") or {}).get("artifact_id") or \
        (event.get("metadata") or {}).get("artifact_id")
