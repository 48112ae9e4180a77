# SPDX-License-Identifier: ISC
"""apid alone: apid_driver plays agentd for it and publishes what a test
says; and requests to it, down to raw bytes."""

import http.client
import os
import queue
import signal
import socket
import ssl
import subprocess
import threading
import time

from aegis import net, wait


class Apid:
    """apid behind its driver.  publish() makes a snapshot; what apid tells
    agentd is in `said`, a line each."""

    def __init__(self, prefix, build_dir, address="", port=None, limits=(),
                 **files):
        self.port = port or net.free_port()
        self.address = address
        command = [os.path.join(build_dir, "tests", "integration",
                                "apid_driver"),
                   "-p", str(self.port), "-a", address]
        for flag, path in files.items():
            command += ["-" + flag[0], path]
        command.append(os.path.join(prefix, "libexec", "aegisflux", "apid"))
        self.said = []
        self._lines = queue.Queue()
        self._driver = subprocess.Popen(
            ["prlimit", *limits, *command], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._driver.stdout:
            self.said.append(line.strip())
            self._lines.put(line.strip())

    def wait_said(self, start, timeout=wait.LONG):
        """The first line that starts so."""
        def find():
            return next((x for x in self.said if x.startswith(start)), None)
        return wait.until(find, lambda: f"{start!r} in {self.said}", timeout)

    def start(self, publish=True, **numbers):
        self.wait_said("listening")
        if publish:
            self.publish(**numbers)
        return self

    def publish(self, **numbers):
        """content health programs mixed rollbacks ttl uptime beat"""
        before = self.said.count("published")
        self.tell("publish " + " ".join(
            f"{key}={value}" for key, value in numbers.items()))
        wait.until(lambda: self.said.count("published") > before,
                   "a snapshot published")
        return self

    def tell(self, line):
        self._driver.stdin.write(line + "\n")
        self._driver.stdin.flush()

    def pid(self):
        """apid's own pid: the driver's only child."""
        with open(f"/proc/{self._driver.pid}/task/{self._driver.pid}/children",
                  encoding="ascii") as children:
            return int(children.read().split()[0])

    def stop(self):
        """End it as agentd does, and say how it ended: "exited 0"."""
        if self._driver.poll() is None:
            try:
                self._driver.stdin.close()
                self._driver.wait(wait.LONG)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._driver.send_signal(signal.SIGKILL)
                self._driver.wait()
        return wait.until(
            lambda: next((x for x in self.said
                          if x.startswith(("exited", "killed"))), None),
            lambda: f"an end in {self.said}")

    # --- requests ---

    def host(self):
        return self.address or "127.0.0.1"

    def connect(self, host=None, timeout=20):
        return socket.create_connection((host or self.host(), self.port),
                                        timeout=timeout)

    def request(self, path, method="GET", headers=None, body=None, host=None,
                context=None):
        """(status, headers, body) of one request on a connection of its
        own."""
        for tries_left in range(TRIES)[::-1]:
            if context is None:
                connection = http.client.HTTPConnection(
                    host or self.host(), self.port, timeout=20)
            else:
                connection = http.client.HTTPSConnection(
                    host or self.host(), self.port, timeout=20,
                    context=context)
            start, asked = time.monotonic(), None
            try:
                connection.connect()
                connection.request(method, path, body=body,
                                   headers=headers or {})
                asked = time.monotonic()
                response = connection.getresponse()
                return response.status, response.headers, response.read()
            except ConnectionError:
                if not tries_left or not was_slow(start, asked):
                    raise
            finally:
                connection.close()

    def raw(self, data, timeout=20):
        """Send bytes, read until the other end closes or TIMEOUT."""
        for _ in range(TRIES):
            start = time.monotonic()
            with self.connect(timeout=timeout) as connection:
                connection.sendall(data)
                asked = time.monotonic()
                got = read_all(connection)
            if got or not was_slow(start, asked):
                break
        return got

    def ask(self, data):
        """A connection that has sent DATA as soon as it was there."""
        while True:
            start = time.monotonic()
            connection = self.connect()
            connection.sendall(data)
            if not was_slow(start):
                return connection
            connection.close()


# Who says nothing for 50 ms in a crowd, or for 3 s otherwise, may be left
# without an answer.
SLOW = 0.04  # seconds
TRIES = 10


def was_slow(start, asked=None):
    """Were we ourselves kept from asking for so long?"""
    return (asked or time.monotonic()) - start > SLOW


def read_all(connection):
    got = b""
    try:
        while chunk := connection.recv(65536):
            got += chunk
    except (TimeoutError, ConnectionResetError):
        pass
    return got


def make_certificate(directory, name="cert"):
    """A self-signed certificate for localhost: paths of it and its key."""
    cert = os.path.join(directory, name + ".pem")
    key = os.path.join(directory, name + ".key")
    net.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
            "-days", "2", "-subj", "/CN=localhost", "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1")
    return cert, key


def trusting(cert):
    return ssl.create_default_context(cafile=cert)
