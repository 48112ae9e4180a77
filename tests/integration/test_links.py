# SPDX-License-Identifier: ISC
"""Programs stay where they should be: interfaces that match a pattern are
followed as they come, go and are renamed, and what is detached behind the
agent's back is attached again once."""

import json
import os
import signal
import struct
import subprocess

import pytest

from aegis import kernel, net, wait
from aegis.artifact import Artifact
from test_attach import probing  # noqa: F401, the fixture


@pytest.fixture
def make_link():
    """make_link(name): a veth pair in this namespace, the peer's name with a
    p at its end."""
    made = []

    def make(name):
        net.run("ip", "link", "add", name, "type", "veth",
                "peer", "name", "p" + name)
        net.run("ip", "link", "set", name, "up")
        made.append(name)

    yield make
    for name in made:
        subprocess.run(["ip", "link", "del", name], check=False,
                       stderr=subprocess.DEVNULL)


@pytest.fixture
def xdp(key, objects):
    """xdp(pattern, ...): an XDP artifact for interfaces of that name."""
    def make(pattern, name="it_pass", **kwargs):
        kwargs.setdefault("ttl", 600)
        return Artifact(key, name, objects["pass"],
                        [{"program": "it_pass", "interface": pattern}],
                        **kwargs)
    return make


def program(agent, artifact):
    return agent.programs().get(artifact.id)


def places(agent, artifact):
    """Interface -> link id, by /programs."""
    return {a["target"]: a["link_id"]
            for a in (program(agent, artifact) or {}).get(
                "attach_points", [])}


def wait_places(agent, artifact, *names):
    wait.until(lambda: set(places(agent, artifact)) == set(names),
               lambda: f"attached to {names}, not {places(agent, artifact)}")
    return places(agent, artifact)


def xdp_on(name):
    """Id of the XDP program that the kernel says an interface has."""
    shown = json.loads(net.run("ip", "-j", "-d", "link", "show", name))[0]
    return shown.get("xdp", {}).get("prog", {}).get("id")


def detach(link_id):
    net.run("bpftool", "link", "detach", "id", str(link_id))


def counter_of(agent, name):
    return agent.get("/metrics")[1]["counters"][name]


def test_interfaces_that_match_are_followed(agent, tree, xdp, make_link):
    make_link("fol0")
    make_link("other0")
    artifact = xdp("fol*")
    tree.publish(artifact)
    agent.wait_running(artifact)
    first = wait_places(agent, artifact, "fol0")
    prog = xdp_on("fol0")
    assert prog in agent.held()["prog"]
    make_link("fol1")
    both = wait_places(agent, artifact, "fol0", "fol1")
    assert both["fol0"] == first["fol0"]
    assert xdp_on("fol1") == prog and xdp_on("other0") is None
    # What goes is let go, ...
    net.run("ip", "link", "del", "fol0")
    wait_places(agent, artifact, "fol1")
    wait.until(lambda: agent.held()["link"] == {both["fol1"]},
               "the dead link is closed")
    # ... and a new one of that name is another interface.
    make_link("fol0")
    again = wait_places(agent, artifact, "fol0", "fol1")
    assert again["fol0"] != first["fol0"]
    assert again["fol1"] == both["fol1"]
    assert counter_of(agent, "drift_found") == 0


def test_a_rename_is_a_coming_and_a_going(agent, tree, xdp, make_link):
    make_link("fol0")
    make_link("other0")
    artifact = xdp("fol*")
    tree.publish(artifact)
    agent.wait_running(artifact)
    wait_places(agent, artifact, "fol0")
    net.run("ip", "link", "set", "fol0", "down")
    net.run("ip", "link", "set", "fol0", "name", "gone0")
    wait_places(agent, artifact)
    wait.until(lambda: xdp_on("gone0") is None, "it is detached")
    net.run("ip", "link", "set", "other0", "down")
    net.run("ip", "link", "set", "other0", "name", "fol7")
    link = wait_places(agent, artifact, "fol7")
    # Under another name that matches it stays as it is.
    net.run("ip", "link", "set", "fol7", "name", "fol8")
    assert wait_places(agent, artifact, "fol8")["fol8"] == link["fol7"]
    for name in ("gone0", "fol8"):
        net.run("ip", "link", "del", name)


def test_none_need_match_and_the_loopback_does_not(agent, tree, xdp,
                                                   make_link):
    artifact = xdp("zzz*")
    everything = xdp("*", name="it_all")
    tree.publish(artifact)
    agent.wait_running(artifact)
    assert places(agent, artifact) == {}
    make_link("zzz0")
    wait_places(agent, artifact, "zzz0")
    tree.publish(artifact, everything)
    agent.wait_running(everything)
    # What another has is told, and does not keep it from the rest.
    wait_places(agent, everything, "pzzz0")
    assert xdp_on("lo") is None
    agent.wait_log(artifact_id=everything.id, error='attached to "zzz0"')
    # When it becomes free it is taken.
    tree.publish(everything)
    wait_places(agent, everything, "pzzz0", "zzz0")


def test_following_goes_on_with_another_bpfd(agent, tree, xdp, make_link):
    artifact = xdp("fol*")
    tree.publish(artifact)
    agent.wait_running(artifact)
    make_link("fol0")
    links = wait_places(agent, artifact, "fol0")
    old = agent.workers()["bpfd"]
    os.kill(old, signal.SIGKILL)
    make_link("fol1")  # while there is none
    wait.until(lambda: agent.workers().get("bpfd") not in (None, old),
               "another bpfd")
    now = wait_places(agent, artifact, "fol0", "fol1")
    assert now["fol0"] == links["fol0"]
    make_link("fol2")
    net.run("ip", "link", "del", "fol0")
    wait_places(agent, artifact, "fol1", "fol2")


def test_each_interface_carries_over_by_itself(agent, tree, xdp, make_link):
    make_link("fol0")
    make_link("fol1")
    make_link("new0")
    first = xdp("fol*", artifact_id="rep-1")
    tree.publish(first)
    agent.wait_running(first)
    old = wait_places(agent, first, "fol0", "fol1")
    second = xdp("*[wl]1", artifact_id="rep-2", version="1.1.0")
    third = xdp("[fn]??[01]", artifact_id="rep-3", version="1.2.0")
    tree.publish(second)
    agent.wait_running(second)
    assert wait_places(agent, second, "fol1", "pfol1")["fol1"] == old["fol1"]
    wait.until(lambda: xdp_on("fol0") is None, "the old one's link is closed")
    tree.publish(third)
    agent.wait_running(third)
    assert wait_places(agent, third, "fol0", "fol1",
                       "new0")["fol1"] == old["fol1"]


def test_a_named_interface_that_comes_back_has_its_program(
        agent, tree, passer, veth):
    artifact = passer(ttl=600)
    tree.publish(artifact)
    agent.wait_running(artifact)
    wait_places(agent, artifact, veth.name)
    veth.remove_link()
    wait_places(agent, artifact)
    assert agent.status_of(artifact.id) == "running"
    veth.create()
    wait_places(agent, artifact, veth.name)
    assert xdp_on(veth.name) in agent.held()["prog"]
    assert veth.ping(3) == 3


def test_drift_is_repaired_once(agent, tree, passer, counter, veth, cgroup,
                                client, validate):
    artifact, guard = passer(ttl=600), counter(ttl=600)
    tree.publish(artifact, guard)
    agent.wait_running(artifact, guard)
    first = wait_places(agent, artifact, veth.name)[veth.name]
    prog = xdp_on(veth.name)
    with kernel.stopped(agent.pid):
        detach(first)
        assert xdp_on(veth.name) is None
    event = client.wait_event("program_error", artifact.id)
    validate(event)
    assert event["metadata"]["reason"] == "drift"
    assert veth.name in event["metadata"]["error"]
    assert "attached again" in event["metadata"]["error"]
    assert event["data"]["status"] == "running"
    assert xdp_on(veth.name) == prog
    again = wait.until(
        lambda: {first, places(agent, artifact).get(veth.name, first)}
        - {first}, "it is shown").pop()
    wait.until(lambda: not kernel.exists("link", first),
               "the old link is gone")
    wait.until(lambda: counter_of(agent, "drift_repaired") == 1, "counted")
    # The second time somebody means it.
    detach(again)
    wait.until(lambda: len(client.events("program_error", artifact.id)) == 2,
               "reported again")
    event = client.events("program_error", artifact.id)[1]
    assert event["metadata"]["reason"] == "drift"
    assert "left as it is" in event["metadata"]["error"]
    wait_places(agent, artifact)
    wait.until(lambda: counter_of(agent, "drift_found") == 2, "counted")
    assert counter_of(agent, "drift_repaired") == 1
    assert xdp_on(veth.name) is None
    assert "drift" in program(agent, artifact)["error"]
    # A cgroup's, and what was untouched was left alone.
    link = list(places(agent, guard).values())[0]
    detach(link)
    assert "cgroup" in client.wait_event(
        "program_error", guard.id)["metadata"]["error"]
    wait.until(lambda: places(agent, guard) and
               list(places(agent, guard).values()) != [link], "it is shown")
    before = program(agent, guard)["telemetry"]["packets_processed"]
    assert cgroup.ping(3) == 3
    wait.until(lambda: program(agent, guard)["telemetry"]
               ["packets_processed"] > before, "it counts")


LINK_UPDATE = 29


def put_into(link_id, prog_id):
    """Have a link run another program, as root may."""
    link, prog = kernel.fd_of("link", link_id), kernel.fd_of("prog", prog_id)
    try:
        kernel.bpf(LINK_UPDATE, struct.pack("=IIII", link, prog, 0, 0))
    finally:
        os.close(link)
        os.close(prog)


def test_another_program_in_its_link_is_drift(agent, tree, passer, xdp, veth,
                                              make_link, client):
    make_link("upd0")
    artifact, other = passer(ttl=600), xdp("upd0", name="it_other")
    tree.publish(artifact, other)
    agent.wait_running(artifact, other)
    first = wait_places(agent, artifact, veth.name)[veth.name]
    prog = xdp_on(veth.name)
    put_into(first, xdp_on("upd0"))
    error = client.wait_event("program_error", artifact.id)["metadata"]
    assert error["reason"] == "drift" and "attached again" in error["error"]
    assert xdp_on(veth.name) == prog
    assert counter_of(agent, "drift_repaired") == 1
    assert client.events("program_error", other.id) == []


def test_a_link_that_ends_with_its_interface_is_no_drift(
        agent, tree, passer, veth, client):
    artifact = passer(ttl=600)
    tree.publish(artifact)
    agent.wait_running(artifact)
    for _ in range(3):
        veth.remove_link()
        wait_places(agent, artifact)
        veth.create()
        wait_places(agent, artifact, veth.name)
    assert counter_of(agent, "drift_found") == 0
    assert client.events("program_error", artifact.id) == []


def test_a_network_namespace_has_its_program_again(
        agent, tree, probing, client):  # noqa: F811
    """sk_lookup, which names neither an interface nor a cgroup."""
    artifact = probing({"program": "it_lookup"})
    tree.publish(artifact)
    agent.wait_running(artifact)
    [first] = agent.held()["link"]
    prog = kernel.link_prog(first)
    detach(first)
    event = client.wait_event("program_error", artifact.id)
    assert event["metadata"]["reason"] == "drift"
    assert "sk_lookup" in event["metadata"]["error"]
    assert "attached again" in event["metadata"]["error"]
    wait.until(lambda: not kernel.exists("link", first), "the dead one is gone")
    [again] = agent.held()["link"]
    assert kernel.link_prog(again) == prog
