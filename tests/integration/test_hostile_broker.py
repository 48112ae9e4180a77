# SPDX-License-Identifier: ISC
"""telemd against a broker that is nobody's friend: what a NATS server may
say is up to it, and nats.c, which reads it, knows no bounds."""

import base64
import json
import os
import re
import socket
import subprocess
import threading
import time

from aegis import wait
# pylint: disable=unused-import
from aegis.telemd import Telemd, make, things  # noqa: F401

INFO = {"server_id": "X", "server_name": "x", "version": "2.9.0", "proto": 1,
        "headers": True, "max_payload": 1 << 20, "host": "127.0.0.1"}
TO_HOST = "orchestrator.rollback.host-001"
MB = 1 << 20


class HostileBroker:
    """Speaks as much NATS as a connection takes; the rest it is told."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "nats://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sids = {}  # subject -> number
        self.client = None
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,),
                             daemon=True).start()

    def _serve(self, client):
        client.sendall(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
        try:
            for line in client.makefile("rb"):
                word = line.split()
                if word[:1] == [b"SUB"]:
                    self.sids[word[1].decode()] = word[-1].decode()
                elif word[:1] == [b"PING"]:
                    client.sendall(b"PONG\r\n")
                    if TO_HOST in self.sids and client is not self.client:
                        self.client = client
                        self.connections += 1
        except OSError:
            return  # telemd has hung up

    def message(self, sid, subject, body, headers=()):
        head = "NATS/1.0\r\n" + "".join(
            f"{n}: {v}\r\n" for n, v in headers) + "\r\n"
        self.client.sendall(
            f"HMSG {subject} {sid} {len(head)} {len(head) + len(body)}\r\n"
            f"{head}{body}\r\n".encode())

    def stop(self):
        # close() alone would leave accept() waiting.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if self.client is not None:
            self.client.close()


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def test_signed_for_another_host(work_dir, things, make):
    key, pub, text = (os.path.join(work_dir, n) for n in ("k", "p", "t"))
    openssl("genpkey", "-algorithm", "ed25519", "-out", key)
    openssl("pkey", "-in", key, "-pubout", "-out", pub)
    broker = HostileBroker()
    things.append(broker)
    t = make(Telemd, broker.url, secret__signal_key=pub)
    t.connected()

    def play(subject, artifact):
        """A sound signal to SUBJECT, on what is subscribed to for us."""
        body = json.dumps({"artifact_id": artifact})
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with open(text, "w", encoding="utf-8") as f:
            f.write(f"{subject}\n{stamp}\n{body}")
        openssl("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", text,
                "-out", text + ".sig")
        with open(text + ".sig", "rb") as f:
            sig = base64.b64encode(f.read()).decode()
        broker.message(broker.sids[TO_HOST], subject, body,
                       (("Aegis-Time", stamp), ("Aegis-Signature", sig)))
    play("orchestrator.rollback.host-002", "theirs")
    # To a subscription that there never was: nats.c leaves it out.
    broker.message(77, TO_HOST, '{"artifact_id":"nobody"}')
    play(TO_HOST, "ours")
    assert t.wait("signal")["artifact_id"] == "ours"
    assert [m["artifact_id"] for m in t.all("signal")] == ["ours"]
    assert t.logs("another host")
    assert t.state()["bad_signals"] == 1


def peak(pid):
    """The most memory that a process ever had, in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) // 1024


def test_line_without_an_end(things, make):
    """It costs the broker its connection, and not this host its memory."""
    broker = HostileBroker()
    things.append(broker)
    t = make(Telemd, broker.url)
    t.connected()
    sent = 0
    try:
        broker.client.sendall(b"INFO ")
        while sent < 1024 * MB:
            broker.client.sendall(b"x" * MB)
            sent += MB
    except OSError:
        pass
    assert sent < 600 * MB, "telemd takes all that comes"
    # It goes on: the same process, connected again.
    wait.until(lambda: broker.connections == 2, "telemd is back")
    t.connected()
    broker.message(broker.sids[TO_HOST], TO_HOST, '{"artifact_id":"a"}')
    assert t.wait("signal")["artifact_id"] == "a"
    assert peak(t.pid) < 600
    assert not t.all("exit")
