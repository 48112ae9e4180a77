# SPDX-License-Identifier: ISC
"""Where a hook takes one program and somebody has it, the error says who."""

import json
import os
import struct

import pytest

from aegis import kernel, net, wait
from aegis.artifact import Artifact

LINK_CREATE, BPF_XDP = 28, 37


@pytest.fixture
def pinned(objects):
    """pinned(object, type): a program of somebody else's, its path and id."""
    root = f"/sys/fs/bpf/aegis-test-{os.getpid()}"
    mounted = os.path.ismount("/sys/fs/bpf")
    if not mounted:
        net.run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    os.mkdir(root)
    made = []

    def load(name, kind):
        path = os.path.join(root, name)
        source = f"/tmp/aegis-test-{os.getpid()}-{name}.o"
        with open(source, "wb") as out:
            out.write(objects[name])
        made.append(source)
        net.run("bpftool", "prog", "load", source, path, "type", kind)
        made.append(path)
        shown = json.loads(net.run("bpftool", "-j", "prog", "show", "pinned",
                                   path))
        assert shown["name"] == "it_" + name
        return path, shown["id"]

    yield load
    for path in made:
        os.unlink(path)
    os.rmdir(root)
    if not mounted:
        net.run("umount", "/sys/fs/bpf")


def named(agent, artifact, number, name):
    said = f'it is program {number}, "{name}", which is not this agent\'s'
    line = agent.wait_log(artifact_id=artifact.id, error=said)
    wait.until(lambda: agent.programs()[artifact.id]["error"] ==
               line["error"], "it is shown")
    return line["error"]


def test_xdp_by_netlink(agent, tree, passer, veth, pinned):
    path, number = pinned("pass", "xdp")
    net.run("ip", "link", "set", "dev", veth.name, "xdpgeneric", "pinned",
            path)
    artifact = passer(ttl=600)
    tree.publish(artifact)
    error = named(agent, artifact, number, "it_pass")
    assert f'attached to "{veth.name}" already' in error
    # And it is left alone, until it goes.
    shown = net.run("ip", "link", "show", "dev", veth.name)
    assert f"prog/xdp id {number}" in shown
    net.run("ip", "link", "set", "dev", veth.name, "xdpgeneric", "off")
    agent.wait_running(artifact)


def link_by(number, ifindex):
    """Somebody's link: an owned descriptor."""
    prog = kernel.fd_of("prog", number)
    try:
        return kernel.bpf(LINK_CREATE, struct.pack(
            "=IIII", prog, ifindex, BPF_XDP, 0))
    finally:
        os.close(prog)


def interface_index(veth):
    shown = net.run("ip", "-o", "link", "show", "dev", veth.name)
    return int(shown.split(":")[0])


def test_xdp_by_a_link(agent, tree, passer, veth, pinned):
    _, number = pinned("pass", "xdp")
    link = link_by(number, interface_index(veth))
    artifact = passer(ttl=600)
    try:
        tree.publish(artifact)
        named(agent, artifact, number, "it_pass")
    finally:
        os.close(link)
    agent.wait_running(artifact)


def test_xdp_on_one_interface_of_a_pattern(agent, tree, key, objects, veth,
                                           pinned, client):
    """Told by itself, as the others are attached."""
    _, number = pinned("pass", "xdp")
    link = link_by(number, interface_index(veth))
    artifact = Artifact(key, "it_all", objects["pass"],
                        [{"program": "it_pass", "interface": "ag*"}], ttl=600)
    try:
        tree.publish(artifact)
        event = client.wait_event("program_error", artifact.id)
        assert (f'it is program {number}, "it_pass", which is not this '
                "agent's") in event["metadata"]["error"]
    finally:
        os.close(link)
    wait.until(lambda: [p["target"] for p in agent.programs()[artifact.id]
                        ["attach_points"]] == [veth.name], "it is taken")
    # The next one is told of ours in the same way.
    other = Artifact(key, "it_other", objects["pass"],
                     [{"program": "it_pass", "interface": "a*"}], ttl=600)
    tree.publish(artifact, other)
    error = client.wait_event("program_error", other.id)["metadata"]["error"]
    assert f'it is artifact "{artifact.id}" (it_all 1.0.0)' in error


def test_a_cgroup(agent, tree, counter, cgroup, pinned):
    """One that was attached without BPF_F_ALLOW_MULTI, there or above."""
    path, number = pinned("count", "cgroup/skb")
    net.run("bpftool", "cgroup", "attach", cgroup.path, "cgroup_inet_egress",
            "pinned", path)
    artifact = counter(ttl=600)
    try:
        tree.publish(artifact)
        error = named(agent, artifact, number, "it_count")
        assert "without BPF_F_ALLOW_MULTI" in error
    finally:
        net.run("bpftool", "cgroup", "detach", cgroup.path,
                "cgroup_inet_egress", "pinned", path)
