# SPDX-License-Identifier: ISC
"""agentd's control socket and clients that aegisctl would never be: they do
not read their answers, or take all the connections that there are."""

import grp
import os
import re
import socket
import struct
import subprocess
import sys

import pytest

from aegis import wait

SOURCE = os.path.join(os.path.dirname(__file__), "..", "..", "common")
HEADER = struct.Struct("=IIQII")  # imsg.c: type, len, id, pid, reserved
REQUEST = struct.Struct("=IIII128s64s256s")  # struct msg_ctl_request
STATUS = 0

# Takes as many connections as it may have, and keeps them.
HOARDER = """
import socket, sys
held = []
for _ in range(40):
    held.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    held[-1].connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(agent):
    return agent.environment["AGENT_CONTROL_SOCKET"]


def status_request():
    with open(os.path.join(SOURCE, "msg.def"), encoding="utf-8") as f:
        names = re.findall(r"^MSG\((\w+),", f.read(), re.M)
    return HEADER.pack(names.index("CTL_REQUEST") + 1, REQUEST.size, 1, 1,
                       0) + REQUEST.pack(STATUS, 0, 0, 0, b"", b"", b"")


def ask(prefix, path):
    return subprocess.run(
        [os.path.join(prefix, "sbin", "aegisctl"), "-s", path, "status"],
        capture_output=True, text=True, timeout=wait.LONG, check=False)


def receive(client):
    """A reply's id; None at the end.  Its snapshot is closed."""
    try:
        data, fds, _, _ = socket.recv_fds(client, 8192, 1)
    except ConnectionResetError:  # what we sent was not read any more
        return receive(client)
    for fd in fds:
        os.close(fd)
    return HEADER.unpack_from(data)[2] if data else None


def test_answers_are_read_before_the_next_is_asked_for(prefix, agent, path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(wait.LONG)
        client.connect(path)
        for _ in range(5):
            client.sendall(status_request())
            assert receive(client) == 1
        try:
            for _ in range(100):
                client.sendall(status_request())
        except OSError:
            pass  # it has hung up already
        agent.wait_log(msg="control connection of pid")
        assert receive(client) == 1
        assert receive(client) is None
    assert ask(prefix, path).returncode == 0


def test_readers_leave_connections_to_root(prefix, agent, path):
    os.chmod(agent.directory, 0o755)
    with subprocess.Popen(
            [sys.executable, "-c", HOARDER, path], user=65534,
            group=grp.getgrnam("aegisflux").gr_gid, extra_groups=[],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True) as hoarder:
        assert hoarder.stdout.readline() == "held\n"
        done = ask(prefix, path)
        assert done.returncode == 0, done.stderr
        hoarder.communicate("")
