# SPDX-License-Identifier: ISC
"""Network namespaces, veth pairs, free ports, and cgroups."""

import ctypes
import itertools
import os
import re
import signal
import socket
import subprocess

from . import wait

_CLONE_NEWNET = 0x40000000
_serial = itertools.count(1)


def run(*command, **kwargs):
    """Run a command that must succeed; its output is in the failure."""
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          check=False, **kwargs)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}"
    return done.stdout


def enter_own_namespace():
    """Put this process (and all it starts) into a network namespace of its
    own, with a loopback: nothing of the machine's network is in reach, and
    nothing of the tests in the machine's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    run("ip", "link", "set", "lo", "up")


# From below what the kernel gives to those who ask for any port: who gets one
# here may take his time to listen on it.
_ports = itertools.count(20000 + os.getpid() % 1000)


def free_port():
    """A loopback port that nobody has and that is given out once."""
    for port in _ports:
        with socket.socket() as probe:
            # As servers do: closed connections are in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def connects(port):
    """True if something listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def listeners(port):
    """Inode numbers of the sockets that listen on a port."""
    found = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/self/net/{table}", encoding="ascii") as sockets:
            for line in list(sockets)[1:]:
                fields = line.split()
                if fields[3] == "0A" and \
                        int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(int(fields[9]))
    return found


PATIENCE = 2  # seconds for the answers to a ping


def ping_command(address, count, wait):
    """All of them at once (-l): ping waits so long for answers only if none
    came before the last was sent, else no more than two round trips, and a
    ping that loses its processor then has lost packets."""
    return ("ping", "-n", "-q", "-l", str(count), "-c", str(count), "-i",
            "0.01", "-W", str(wait), address)


def received(output):
    """How many answers a ping says that there were."""
    found = re.search(r"(\d+) received", output)
    assert found, output
    return int(found[1])


class Veth:
    """A veth pair: NAME with address 10.77.N.1 here, the peer with .2 in a
    namespace of its own."""

    def __init__(self):
        number = next(_serial)
        tag = f"{os.getpid() % 100000}x{number}"
        self.name = f"ag{tag}"
        self.netns = f"aegis-test-{tag}"
        self.address = f"10.77.{number % 250}.1"
        self.peer_address = f"10.77.{number % 250}.2"

    def create(self):
        """Make the namespace (once) and the pair."""
        peer = self.name + "p"
        if not os.path.exists(f"/run/netns/{self.netns}"):
            run("ip", "netns", "add", self.netns)
        run("ip", "link", "add", self.name, "type", "veth",
            "peer", "name", peer, "netns", self.netns)
        run("ip", "address", "add", f"{self.address}/24", "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        self.in_peer("ip", "address", "add", f"{self.peer_address}/24",
                     "dev", peer)
        self.in_peer("ip", "link", "set", peer, "up")
        self.in_peer("ip", "link", "set", "lo", "up")
        # The kernel sends nothing before it has seen, some time later, that
        # both ends are up.
        wait.until(lambda: self.ping() == 1, "packets pass")
        return self

    def remove_link(self):
        run("ip", "link", "del", self.name)

    def destroy(self):
        subprocess.run(["ip", "link", "del", self.name], check=False,
                       stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", self.netns], check=False,
                       stderr=subprocess.DEVNULL)

    def in_peer(self, *command):
        return run("ip", "netns", "exec", self.netns, *command)

    def ping(self, count=1, wait=PATIENCE):
        """Ping us from the peer; how many answers came."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.netns,
             *ping_command(self.address, count, wait)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
        return received(done.stdout)


def cgroup_root():
    """Where cgroup2 is mounted, None if it is not."""
    with open("/proc/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, where, kind = line.split()[:3]
            if kind == "cgroup2":
                return where
    return None


class Cgroup:
    """A cgroup v2 directory of our own."""

    def __init__(self):
        self.name = f"aegis-test-{os.getpid()}-{next(_serial)}"
        self.path = os.path.join(cgroup_root(), self.name)

    def create(self):
        os.mkdir(self.path)
        return self

    def destroy(self):
        procs = os.path.join(self.path, "cgroup.procs")

        def gone():
            """Busy until those that were killed have ended."""
            if not os.path.exists(procs):
                return True
            with open(procs, encoding="ascii") as left:
                for pid in left.read().split():
                    os.kill(int(pid), signal.SIGKILL)
            os.rmdir(self.path)
            return True
        wait.until(gone, f"{self.path} is removed")

    def join(self):
        """Put the calling process inside (for preexec_fn)."""
        with open(os.path.join(self.path, "cgroup.procs"), "w",
                  encoding="ascii") as procs:
            procs.write("0")

    def run(self, *command):
        """Run a command inside; (exit status, output)."""
        done = subprocess.run(command, preexec_fn=self.join, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout

    def ping(self, count=1, wait=PATIENCE):
        """Ping the loopback from inside; how many answers came."""
        _, output = self.run(*ping_command("127.0.0.1", count, wait))
        return received(output)
