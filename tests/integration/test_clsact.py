# SPDX-License-Identifier: ISC
"""Programs attached to traffic by tc filters: for a priority here, and on
kernels without tcx links (tests/vm) always.  No descriptor keeps a filter, so
the agent has to undo it, and nobody else's with it."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from aegis import kernel, net, wait
from aegis.artifact import Artifact
from aegis.manager import Manager

MARK = "aegisflux-"

# From the peer's namespace, until told to stop: numbered datagrams; how many.
SENDER = """
import select, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
n = 0
while not select.select([sys.stdin], [], [], 0.0002)[0]:
    s.sendto(b"x", (sys.argv[1], 9))
    n += 1
print(n)
"""


@pytest.fixture
def filtering(key, objects, veth):
    """filtering(...): a tc artifact at a priority on the veth pair."""
    def make(name="it_tc", priority=50, entries=(), version=1, **kwargs):
        where = [{"program": "it_tc", "interface": veth.name,
                  "priority": str(priority)}, *entries]
        kwargs.setdefault("ttl", 600)
        return Artifact(key, name, objects["tc"], where,
                        version=f"1.0.{version}",
                        parameters={"version": version},
                        metadata={"carry_maps": ["stats"]}, **kwargs)
    return make


def filters(dev, direction="ingress"):
    """What the kernel has there: (priority, handle) -> (name, program id)."""
    done = subprocess.run(
        ["tc", "-j", "filter", "show", "dev", dev, direction],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        check=False)
    found = {}
    for one in json.loads(done.stdout or "[]"):
        options = one.get("options", {})
        handle = options.get("handle") or options.get("fh")
        if handle:
            found[one["pref"], int(handle.replace(":", ""), 16)] = (
                options.get("bpf_name", one["kind"]),
                options.get("prog", {}).get("id"))
    return found


def ours(dev, direction="ingress"):
    return {at: prog for at, (name, prog) in filters(dev, direction).items()
            if name.startswith(MARK)}


def qdiscs(dev):
    return {q["kind"] for q in json.loads(
        net.run("tc", "-j", "qdisc", "show", "dev", dev))}


def foreign(dev, priority, *what, direction="ingress"):
    """Somebody else's filter there, for packets that there are none of."""
    if "clsact" not in qdiscs(dev):
        net.run("tc", "qdisc", "add", "dev", dev, "clsact")
    net.run("tc", "filter", "add", "dev", dev, direction, "prio",
            str(priority), *(what or ("u32", "match", "u32", "0xdeadbeef", "0xffffffff")))


def foreign_bpf(work_dir, objects, dev, priority, direction="ingress"):
    """Likewise, of kind bpf; its (priority, handle)."""
    path = os.path.join(work_dir, "foreign.o")
    with open(path, "wb") as out:
        out.write(objects["tc"])
    before = set(filters(dev, direction))
    foreign(dev, priority, "bpf", "da", "obj", path, "sec", "tc/ingress",
            direction=direction)
    [at] = set(filters(dev, direction)) - before
    return at


def points(agent, artifact):
    return (agent.programs().get(artifact.id) or {}).get("attach_points", [])


def running(agent, tree, *artifacts):
    tree.publish(*artifacts)
    agent.wait_running(*artifacts)


def test_a_priority_is_a_filter(agent, tree, filtering, veth):
    foreign(veth.name, 10)
    foreign(veth.name, 90)
    theirs = filters(veth.name)
    artifact = filtering(entries=[
        {"program": "it_out", "interface": veth.name, "priority": "7"}])
    running(agent, tree, artifact)
    [(at, prog)] = ours(veth.name).items()
    assert at[0] == 50 and prog in agent.held()["prog"]
    [(out, _)] = ours(veth.name, "egress").items()
    assert out[0] == 7
    shown = {p["type"]: p for p in points(agent, artifact)}
    assert set(shown) == {"tc/ingress", "tc/egress"}
    assert (shown["tc/ingress"]["priority"],
            shown["tc/ingress"]["handle"]) == at
    assert agent.held()["link"] == set()
    # It runs, and after the one of priority 10.
    assert veth.ping(3) == 3
    wait.until(lambda: agent.programs()[artifact.id]["telemetry"]
               ["packets_processed"] >= 3, "it counts")
    tree.publish()
    agent.wait_log(msg="unloaded", artifact_id=artifact.id)
    assert ours(veth.name) == {} and ours(veth.name, "egress") == {}
    assert filters(veth.name) == theirs
    assert "clsact" in qdiscs(veth.name)


def test_the_qdisc_goes_with_the_last_filter(agent, tree, filtering, veth):
    one = filtering(entries=[
        {"program": "it_out", "interface": veth.name, "priority": "7"}])
    two = filtering(name="it_two", priority=60)
    running(agent, tree, one, two)
    assert len(ours(veth.name)) == 2
    tree.publish(two)
    agent.wait_log(msg="unloaded", artifact_id=one.id)
    assert [at[0] for at in ours(veth.name)] == [60]
    assert "clsact" in qdiscs(veth.name)
    tree.publish()
    agent.wait_log(msg="unloaded", artifact_id=two.id)
    assert "clsact" not in qdiscs(veth.name)
