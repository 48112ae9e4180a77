# SPDX-License-Identifier: ISC
"""An HTTP server made of sockets, which misbehaves exactly as told: no HTTP
library would send what the tests want to send."""

import socket
import ssl
import threading

from . import net


class Request:
    """One request as it came: method, path and headers (lower case)."""

    def __init__(self, head, connection):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, self.protocol = lines[0].split(" ", 2)
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.connection = connection  # number of the TCP connection


def answer(body=b"", status="200 OK", headers=(), length=None):
    """The bytes of an ordinary answer."""
    lines = [f"HTTP/1.1 {status}"]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    lines.extend(f"{name}: {value}" for name, value in headers)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class RawServer:
    """Serves `routes`: path -> bytes, or a function (request, socket) that
    returns bytes, or None when it has said what it wanted itself and the
    connection is to be closed."""

    def __init__(self, tls=None):
        self.routes = {}
        self.requests = []
        self.connections = 0
        self.tls = tls
        self.stopping = threading.Event()
        self.sockets = []
        # Not one that the kernel gives to others when it is free again, or
        # to who connects to it: that one would talk to himself.
        self.port = net.free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def stop(self):
        self.stopping.set()
        # close() alone would leave accept() waiting.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in self.sockets:
            try:
                sock.close()
            except OSError:
                pass

    def seen(self, path):
        return [r for r in self.requests if r.path == path]

    def _accept(self):
        while not self.stopping.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, daemon=True,
                             args=(sock, self.connections)).start()

    def _serve(self, sock, number):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.sockets.append(sock)
            while self._one(sock, number):
                pass
        except (OSError, ssl.SSLError):
            pass
        finally:
            sock.close()

    def _one(self, sock, number):
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                return False
            head += data
            if head[0] == 0x16:  # TLS, which this is not
                return False
        request = Request(head.split(b"\r\n\r\n")[0], number)
        self.requests.append(request)
        route = self.routes.get(request.path, answer(status="404 Not Found"))
        out = route(request, sock) if callable(route) else route
        if out is None:
            return False
        sock.sendall(out)
        return True
