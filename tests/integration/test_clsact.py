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


def send(veth):
    return subprocess.Popen(
        ["ip", "netns", "exec", veth.netns, sys.executable, "-S", "-c",
         SENDER, veth.address], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)


def dropped(agent, artifact):
    return agent.programs()[artifact.id]["telemetry"]["packets_processed"]


def finish(sender):
    said, _ = sender.communicate("stop\n", timeout=wait.LONG)
    return int(said)


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
    # It runs, and lets others decide on what it is not for.
    sender = send(veth)
    wait.until(lambda: dropped(agent, artifact) > 3, "it drops")
    assert finish(sender) > 3 and veth.ping(3) == 3
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


def test_filters_share_a_hook_and_the_lower_is_first(agent, tree, filtering,
                                                     veth):
    """Also at one priority, where the newest is first."""
    one = filtering(priority=50)
    two = filtering(name="it_two", priority=50)
    three = filtering(name="it_three", priority=40)
    running(agent, tree, one)
    [first] = ours(veth.name)
    running(agent, tree, one, two)
    running(agent, tree, one, two, three)
    assert {at[0] for at in ours(veth.name)} == {40, 50}
    assert len(ours(veth.name)) == 3
    tree.publish(two, three)
    agent.wait_log(msg="unloaded", artifact_id=one.id)
    assert first not in ours(veth.name) and len(ours(veth.name)) == 2


def test_a_priority_of_another_kind_is_named(agent, tree, filtering, veth):
    foreign(veth.name, 50)
    theirs = filters(veth.name)
    artifact = filtering()
    tree.publish(artifact)
    line = agent.wait_log(artifact_id=artifact.id,
                          error='belongs to a filter of kind "u32"')
    assert f'priority 50 of interface "{veth.name}"' in line["error"]
    assert filters(veth.name) == theirs
    # When it comes free it is taken.
    net.run("tc", "filter", "del", "dev", veth.name, "ingress", "prio", "50")
    agent.wait_running(artifact)
    assert len(ours(veth.name)) == 1


def test_replacement_lets_nothing_by(agent, tree, filtering, veth):
    last = filtering(version=1)
    running(agent, tree, last)
    [at] = ours(veth.name)
    sender = send(veth)
    try:
        wait.until(lambda: dropped(agent, last) > 0, "it drops")
        for version in range(2, 7):
            before = ours(veth.name)
            last = filtering(version=version)
            running(agent, tree, last)
            [now] = ours(veth.name)
            assert now == at and ours(veth.name) != before
            seen = dropped(agent, last)
            wait.until(lambda n=seen: dropped(agent, last) > n, "it drops")
    finally:
        sent = finish(sender)
    assert sent > 100
    wait.until(lambda: dropped(agent, last) == sent,
               lambda: f"{dropped(agent, last)} of {sent} dropped")


def test_at_another_priority_the_new_one_is_first_attached(
        agent, tree, filtering, veth):
    first = filtering(version=1)
    running(agent, tree, first)
    second = filtering(version=2, priority=70)
    running(agent, tree, second)
    wait.until(lambda: [at[0] for at in ours(veth.name)] == [70],
               "the old one is gone")


def test_rollback_brings_the_old_program_back_in_place(
        agent, tree, filtering, veth):
    first = filtering(version=1)
    running(agent, tree, first)
    old = ours(veth.name)
    second = filtering(version=2)
    running(agent, tree, second)
    assert set(ours(veth.name)) == set(old) and ours(veth.name) != old
    net.run(os.path.join(os.path.dirname(agent.program), "aegisctl"),
            "-s", agent.environment["AGENT_CONTROL_SOCKET"], "rollback",
            second.id)
    agent.wait_status(first.id, "running", "loaded")
    wait.until(lambda: ours(veth.name) == old, "as before")


def test_ttl_ends_it(agent, tree, filtering, veth):
    artifact = filtering(ttl=3)
    running(agent, tree, artifact)
    assert len(ours(veth.name)) == 1
    agent.wait_log(msg="unloaded", artifact_id=artifact.id)
    assert ours(veth.name) == {} and "clsact" not in qdiscs(veth.name)


def test_a_failed_load_leaves_nothing(agent, tree, filtering, veth):
    """Its second attachment cannot be: the first is undone."""
    foreign(veth.name, 9, direction="egress")
    theirs = filters(veth.name, "egress")
    artifact = filtering(entries=[
        {"program": "it_out", "interface": veth.name, "priority": "9"}])
    tree.publish(artifact)
    agent.wait_log(artifact_id=artifact.id, error='kind "u32"')
    assert ours(veth.name) == {} and ours(veth.name, "egress") == {}
    assert filters(veth.name, "egress") == theirs


# --- deaths ---

def another_bpfd(agent, old):
    wait.until(lambda: agent.workers().get("bpfd") not in (None, old),
               "another bpfd")


def kill_bpfd(agent):
    old = agent.workers()["bpfd"]
    os.kill(old, signal.SIGKILL)
    return old


def test_bpfd_may_die(agent, tree, filtering, veth, objects, work_dir):
    artifact = filtering()
    running(agent, tree, artifact)
    theirs = foreign_bpf(work_dir, objects, veth.name, 50)
    before = filters(veth.name)
    old = kill_bpfd(agent)
    assert filters(veth.name) == before
    another_bpfd(agent, old)
    second = filtering(version=2)
    running(agent, tree, second)
    assert set(filters(veth.name)) == set(before)
    # It dies while the filter is to be detached: the next one does it.
    old = kill_bpfd(agent)
    tree.publish()
    agent.wait_log(msg="unloaded", artifact_id=second.id)
    assert set(filters(veth.name)) == {theirs}
    assert filters(veth.name)[theirs] == before[theirs]


def test_bpfd_dies_at_any_moment(agent, tree, filtering, veth, objects,
                                 work_dir):
    """While versions replace each other: nothing slips by, nothing is left,
    nothing of others is touched."""
    last = filtering(version=1)
    running(agent, tree, last)
    [at] = ours(veth.name)
    theirs = foreign_bpf(work_dir, objects, veth.name, 90)
    [foreign_prog] = [p for a, (_, p) in filters(veth.name).items()
                      if a == theirs]
    sender = send(veth)
    try:
        for version in range(2, 8):
            last = filtering(version=version)
            tree.publish(last)
            old = agent.workers()["bpfd"]
            # As it comes: before, within and after the load.
            wait.until(lambda: agent.status_of(last.id) in
                       ("loading", "loaded", "running"), "it is known")
            if version % 2:
                wait.until(lambda: set(ours(veth.name).values()) -
                           agent.held()["prog"] or
                           agent.status_of(last.id) != "loading", "so far")
            os.kill(old, signal.SIGKILL)
            another_bpfd(agent, old)
            agent.wait_running(last)
            wait.until(lambda: set(ours(veth.name).values()) <=
                       agent.held()["prog"] and len(ours(veth.name)) == 1,
                       "one filter, of a program that is held")
    finally:
        sent = finish(sender)
    wait.until(lambda: dropped(agent, last) == sent,
               lambda: f"{dropped(agent, last)} of {sent} dropped")
    assert list(ours(veth.name)) == [at]
    assert filters(veth.name)[theirs][1] == foreign_prog
    assert kernel.exists("prog", foreign_prog)


def test_the_agent_dies_at_any_moment(make_agent, tree, filtering, veth,
                                      objects, work_dir):
    """Before, within and after a load: one filter there is in the end."""
    theirs = foreign_bpf(work_dir, objects, veth.name, 50)
    last = filtering(version=1)
    tree.publish(last)
    agent = make_agent(tree.url).start()
    for version in range(2, 6):
        agent.wait_running(last)
        last = filtering(version=version)
        tree.publish(last)
        held = agent.held()["prog"]
        wait.until(lambda n=version, p=held: agent.status_of(last.id)
                   if n % 2 else set(ours(veth.name).values()) - p, "so far")
        agent.kill()
        agent.forget_log()
        agent.start()
    agent.wait_running(last)
    [prog] = ours(veth.name).values()
    assert prog in agent.held()["prog"]
    assert set(filters(veth.name)) - set(ours(veth.name)) == {theirs}
    tree.publish()
    agent.wait_log(msg="unloaded", artifact_id=last.id)
    assert set(filters(veth.name)) == {theirs}


def test_what_a_killed_agent_left_is_removed(
        make_agent, tree, filtering, veth, objects, work_dir):
    """And nothing else: neither others' filters nor another agent's."""
    agent, neighbour = make_agent(tree.url), make_agent(tree.url)
    agent.start()
    running(agent, tree, filtering(entries=[
        {"program": "it_out", "interface": veth.name, "priority": "7"}]))
    mine = ours(veth.name)
    neighbour.start()
    neighbour.wait_running(*tree.listed)
    [theirs] = set(ours(veth.name)) - set(mine)
    foreign_bpf(work_dir, objects, veth.name, 50)
    foreign_bpf(work_dir, objects, veth.name, 7, "egress")
    rest = {at: one for at, one in filters(veth.name).items()
            if at not in mine}
    out = {at: one for at, one in filters(veth.name, "egress").items()
           if not one[0].startswith(MARK)}
    assert len(rest) == 2 and len(out) == 1
    agent.kill()
    # It goes on, and nobody else takes it away.
    assert set(ours(veth.name)) == {*mine, theirs}
    os.kill(neighbour.workers()["bpfd"], signal.SIGKILL)
    wait.never(lambda: not set(mine) <= set(ours(veth.name)), "it is gone")
    os.mkdir(os.path.join(work_dir, "nothing"))
    agent.set(registry_url=f"file://{work_dir}/nothing")
    agent.forget_log()
    agent.start(ready=False)
    agent.wait_log(msg="removed 2 tc filters")
    assert filters(veth.name) == rest
    assert len(ours(veth.name, "egress")) == 1  # the neighbour's
    assert {at: one for at, one in filters(veth.name, "egress").items()
            if not one[0].startswith(MARK)} == out


def test_a_killed_agent_leaves_no_qdisc_in_the_end(
        make_agent, tree, filtering, veth):
    agent = make_agent(tree.url).start()
    running(agent, tree, filtering(entries=[
        {"program": "it_out", "interface": veth.name, "priority": "7"}]))
    agent.kill()
    assert "clsact" in qdiscs(veth.name)
    tree.publish()
    agent.forget_log()
    agent.start()
    agent.wait_log(msg="removed 2 tc filters")
    assert "clsact" not in qdiscs(veth.name)


def test_shutdown_detaches(agent, tree, filtering, veth):
    running(agent, tree, filtering())
    status, took = agent.stop()
    assert status == 0 and took < 5
    assert "clsact" not in qdiscs(veth.name)


def test_shutdown_without_bpfd_waits_for_another(agent, tree, filtering,
                                                 veth):
    running(agent, tree, filtering())
    kill_bpfd(agent)
    status, took = agent.stop()
    assert status == 0 and took < 10
    assert "clsact" not in qdiscs(veth.name)


# --- what others do ---

def counter_of(agent, name):
    return agent.get("/metrics")[1]["counters"][name]


def test_drift_is_repaired_once(agent, tree, filtering, veth, client):
    artifact = filtering()
    running(agent, tree, artifact)
    for number in 1, 2:
        [(priority, handle)] = ours(veth.name)
        net.run("tc", "filter", "del", "dev", veth.name, "ingress", "prio",
                str(priority), "handle", hex(handle), "bpf")
        wait.until(lambda n=number: len(client.events(
            "program_error", artifact.id)) == n, "reported")
        event = client.events("program_error", artifact.id)[-1]
        assert event["metadata"]["reason"] == "drift"
        if number == 1:
            assert "attached again" in event["metadata"]["error"]
            assert len(ours(veth.name)) == 1
    assert "left as it is" in event["metadata"]["error"]
    assert ours(veth.name) == {}
    wait.until(lambda: counter_of(agent, "drift_found") == 2, "counted")
    assert counter_of(agent, "drift_repaired") == 1


def test_what_is_put_in_its_place_is_left_there(
        agent, tree, filtering, veth, client, objects, work_dir):
    artifact = filtering()
    running(agent, tree, artifact)
    [(priority, handle)] = ours(veth.name)
    path = os.path.join(work_dir, "foreign.o")
    with open(path, "wb") as out:
        out.write(objects["tc"])
    # Else the agent may see it before we do.
    with kernel.stopped(agent.pid):
        net.run("tc", "filter", "replace", "dev", veth.name, "ingress",
                "prio", str(priority), "handle", hex(handle), "bpf", "da",
                "obj", path, "sec", "tc/ingress")
        theirs = filters(veth.name)
        assert list(theirs) == [(priority, handle)]
        assert ours(veth.name) == {}
    assert client.wait_event("program_error", artifact.id)[
        "metadata"]["reason"] == "drift"
    wait.until(lambda: len(ours(veth.name)) == 1, "attached beside it")
    assert filters(veth.name)[priority, handle] == theirs[priority, handle]
    tree.publish()
    agent.wait_log(msg="unloaded", artifact_id=artifact.id)
    assert filters(veth.name) == theirs


def test_it_goes_with_its_interface(agent, tree, filtering, veth, client):
    artifact = filtering()
    running(agent, tree, artifact)
    veth.remove_link()
    wait.until(lambda: points(agent, artifact) == [], "it is gone")
    veth.create()
    wait.until(lambda: len(ours(veth.name)) == 1, "it is back")
    wait.until(lambda: points(agent, artifact), "and shown")
    assert counter_of(agent, "drift_found") == 0
    assert client.events("program_error", artifact.id) == []


# --- a restart without a gap ---

@pytest.fixture
def manager():
    manager = Manager()
    yield manager
    manager.close()


def test_restart_without_a_gap(make_agent, tree, filtering, veth, manager):
    agent = make_agent(tree.url)
    agent.manager = manager
    agent.start()
    artifact = filtering()
    running(agent, tree, artifact)
    before = ours(veth.name)
    sender = send(veth)
    try:
        wait.until(lambda: dropped(agent, artifact) > 0, "it drops")
        for _ in range(2):
            agent.signal(signal.SIGUSR1)
            assert agent.process.wait(wait.LONG) == 75
            assert ours(veth.name) == before
            agent.forget_log()
            agent.start()
            agent.wait_log(msg="taken up from the agent before")
            wait.until(lambda: dropped(agent, artifact) > 0, "it drops")
            assert ours(veth.name) == before
    finally:
        sent = finish(sender)
    wait.until(lambda: dropped(agent, artifact) == sent,
               lambda: f"{dropped(agent, artifact)} of {sent} dropped")
    assert agent.log(msg="removed") == []
    # And it is in charge.
    newer = filtering(version=2)
    running(agent, tree, newer)
    assert set(ours(veth.name)) == set(before)
    tree.publish()
    agent.wait_log(msg="unloaded", artifact_id=newer.id)
    assert ours(veth.name) == {}
