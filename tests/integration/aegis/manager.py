# SPDX-License-Identifier: ISC
"""A stand-in for systemd as its services see it: it is told things by
datagram, keeps descriptors over a restart, and drops those that poll as
broken, as systemd does unless FDPOLL=0 asks it not to."""

import array
import os
import re
import select
import socket
import subprocess
import sys
import threading

# Puts descriptors where sd_listen_fds(3) wants them, then becomes the service.
_STARTER = """
import fcntl, os, sys
fds = [int(n) for n in sys.argv[2].split(",") if n]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 3 + len(fds) + max(fds, default=0))
        for fd in fds]
os.closerange(3, min(high, default=3))
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[1], [sys.argv[1]])
"""


class Manager:
    """Give agents start_with(manager); its socket is an abstract one."""

    def __init__(self, store_max=1024):
        self.store_max = store_max
        self.words = []
        self.refused = 0
        self.dropped = []
        self._store = []  # (name, descriptor)
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.name = f"@aegisflux-it-{os.getpid()}-{id(self):x}"
        self._socket.bind("\0" + self.name[1:])
        self._epoll = select.epoll()
        self._epoll.register(self._socket, select.EPOLLIN)
        self._wake = os.eventfd(0)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        os.eventfd_write(self._wake, 1)
        self._thread.join(10)
        self.drop_all()
        self._epoll.close()
        self._socket.close()
        os.close(self._wake)

    def names(self):
        with self._lock:
            return sorted(name for name, _ in self._store)

    def drop_all(self):
        """The service is stopped for good."""
        with self._lock:
            for _, fd in self._store:
                os.close(fd)
            self._store = []

    def add(self, name, fd):
        """Takes a descriptor that no service ever gave."""
        with self._lock:
            self._store.append((name, fd))

    def spawn(self, program, environment, **kwargs):
        """The service as a process, with what is stored for it."""
        environment = dict(environment, NOTIFY_SOCKET=self.name)
        with self._lock:
            fds = [fd for _, fd in self._store]
            names = [name for name, _ in self._store]
            if fds:
                environment["LISTEN_FDS"] = str(len(fds))
                environment["LISTEN_FDNAMES"] = ":".join(names)
            return subprocess.Popen(
                [sys.executable, "-S", "-c", _STARTER, program,
                 ",".join(map(str, fds))],
                env=environment, pass_fds=fds, **kwargs)

    # --- what services say ---

    def _serve(self):
        while True:
            for fd, events in self._epoll.poll():
                if fd == self._wake:
                    return
                if fd == self._socket.fileno():
                    self._receive()
                elif events & (select.EPOLLERR | select.EPOLLHUP):
                    self._drop(fd)

    def _receive(self):
        text, control, _, _ = self._socket.recvmsg(4096, 4096)
        fds = array.array("i")
        for _, _, data in control:
            fds.frombytes(data)
        words = text.decode().split("\n")
        self.words += words
        keys = dict(word.split("=", 1) for word in words)
        if keys.get("FDSTORE") == "1":
            for fd in fds:
                self._keep(keys.get("FDNAME", "stored"), fd,
                           keys.get("FDPOLL") != "0")
            return
        if keys.get("FDSTOREREMOVE") == "1":
            with self._lock:
                for name, fd in self._store:
                    if name == keys["FDNAME"]:
                        os.close(fd)
                self._store = [(name, fd) for name, fd in self._store
                               if name != keys["FDNAME"]]
        for fd in fds:  # BARRIER=1, or nothing that was asked for
            os.close(fd)

    def _keep(self, name, fd, watch):
        with self._lock:
            if len(self._store) >= self.store_max:
                self.refused += 1
                os.close(fd)
                return
            self._store.append((name, fd))
        if watch:
            try:
                self._epoll.register(fd, 0)
            except PermissionError:
                pass  # cannot be polled: systemd does not watch it either

    def _drop(self, fd):
        with self._lock:
            self.dropped += [n for n, other in self._store if other == fd]
            self._store = [e for e in self._store if e[1] != fd]
        self._epoll.unregister(fd)
        os.close(fd)

    def take_link(self):
        """Close one BPF link that is stored; its id."""
        with self._lock:
            for entry in self._store:
                target = os.readlink(f"/proc/self/fd/{entry[1]}")
                if not re.fullmatch("anon_inode:bpf[-_]link", target):
                    continue
                with open(f"/proc/self/fdinfo/{entry[1]}",
                          encoding="ascii") as info:
                    number = re.search(r"^link_id:\s*(\d+)$", info.read(),
                                       re.M)
                os.close(entry[1])
                self._store.remove(entry)
                return int(number[1])
        raise LookupError("no link is stored")
