# SPDX-License-Identifier: ISC
"""bpfd killed at any moment: in the middle of a load, between load and
attach, after a swap that it could not tell of any more, while it attaches to
an interface that has come, while it adopts.  Nothing is lost, doubled or
leaked: the kernel has the objects that agentd holds, and none of ours
besides.

Whose an object is, its name says: the programs and maps of these tests are
called by the test's process, so that others on the machine do not count."""

import json
import os
import random
import re
import select
import signal
import subprocess
import time

import pytest

from aegis import kernel, net, wait
from aegis.artifact import Artifact
# pylint: disable=unused-import
from test_bpfd import bpfd_path, build, built, driver  # noqa: F401
from test_gapless import CONNECTS, finish, start

TAG = f"{os.getpid() % 100000:05d}"


def named(data):
    """An object whose program and marks have names of our own: of the same
    length, so that nothing moves."""
    for old, new in ((b"it_count", b"ik_" + TAG.encode()),
                     (b"it_marks", b"im_" + TAG.encode()),
                     (b"it_connect", b"ic_00" + TAG.encode()),
                     (b"it_event", b"ie_" + TAG.encode()),
                     (b"it_btf_event", b"ib_0000" + TAG.encode()),
                     (b"it_pass", b"p_" + TAG.encode())):
        data = data.replace(old + b"\0", new + b"\0")
    return data


def ours():
    """Ids of all objects in the kernel that have our names, by kind."""
    progs = {i for i in kernel.all_ids("prog")
             if TAG in (kernel.prog_name(i) or "")}
    return {"prog": progs,
            "map": {i for i in kernel.all_ids("map")
                    if TAG in (kernel.map_name(i) or "")},
            "link": {i for i in kernel.all_ids("link")
                     if kernel.link_prog(i) in progs}}


def wait_ours(expected, what):
    wait.until(lambda: ours() == expected,
               lambda: f"{what}: {expected}, not {ours()}")


def wait_exact(agent, links):
    """The kernel has what agentd holds and nothing more of ours, so many
    links."""
    def exact():
        held, there = agent.held(), ours()
        return (len(there["link"]) == links and
                held["link"] == there["link"] and
                held["prog"] == there["prog"] and
                held["map"] >= there["map"])
    wait.until(exact, lambda: f"{links} links; held {agent.held()}, there "
               f"{ours()}")


class Strace:
    """Attached to a process with all its threads; OPTIONS say what for."""

    def __init__(self, pid, *options):
        self.log = f"/tmp/aegisflux-strace-{TAG}"
        self.process = subprocess.Popen(
            ["strace", "-f", "-p", str(pid), "-o", self.log, "-e",
             "trace=bpf", *options], stderr=subprocess.PIPE, text=True)
        # It says so when it is attached.
        assert select.select([self.process.stderr], [], [], wait.LONG)[0]
        line = self.process.stderr.readline()
        assert "attached" in line, line

    def end(self):
        """Let go; the commands of bpf(2), in order, of the thread that
        loaded."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()  # it cannot let go of one that is dead
            self.process.wait()
        self.process.stderr.close()
        with open(self.log, encoding="utf-8", errors="replace") as log:
            calls = re.findall(r"^(\d+) +bpf\((\w+)", log.read(), re.M)
        os.unlink(self.log)
        loaders = {tid for tid, command in calls
                   if command in ("BPF_PROG_LOAD", "BPF_LINK_CREATE")}
        return [command for tid, command in calls if tid in loaders]


# --- bpfd by itself ---

def test_killed_at_every_call(driver, objects, work_dir, cgroup):
    """One load, and bpfd dies at its first bpf(2), at its second, ...: no
    program, map or link of it outlives it."""
    path = os.path.join(work_dir, "named.o")
    with open(path, "wb") as out:
        out.write(named(objects["count"]))
    load = (1, path, f"attach=ik_{TAG},cgroup_skb/egress,{cgroup.name}")
    none = {kind: set() for kind in kernel.KINDS}
    wait_ours(none, "nothing yet")
    strace = Strace(driver.pid)
    driver.loaded(*load)
    assert len(ours()["link"]) == 1 and len(ours()["map"]) == 1
    driver("unload", 1)
    calls = strace.end()
    wait_ours(none, "unloaded")
    last = calls.index("BPF_LINK_CREATE") + 1
    assert "BPF_PROG_LOAD" in calls[:last] and len(calls) > last
    driver("kill")
    for number in range(1, len(calls) + 1):
        driver.spawn()
        strace = Strace(driver.pid, "-e",
                        f"inject=bpf:signal=SIGKILL:when={number}")
        driver("start", *load)
        driver("lost")
        driver("clear", 1)
        strace.end()
        wait_ours(none, f"killed at {calls[number - 1]}, call {number}")
    print(f"killed at each of {len(calls)} calls: {' '.join(calls)}")


# --- in the whole agent ---

@pytest.fixture
def agent(make_agent, tree, nats, client):
    """It takes no samples but of what it has loaded: the calls of bpfd are
    counted thread by thread, those of the one that samples as well."""
    return make_agent(tree.url, nats.url,
                      rollback_check_interval_sec=3600).start()


@pytest.fixture
def counting(key, objects, cgroup):
    """counting(name, ...): counts in the cgroup, under our names."""
    data = named(objects["count"])

    def make(name, **kwargs):
        return Artifact(key, name, data,
                        [{"program": f"ik_{TAG}", "cgroup": cgroup.path}],
                        ttl=3600, **kwargs)
    return make


def bpfd(agent):
    return wait.until(lambda: agent.workers().get("bpfd"), "bpfd runs")


def another_bpfd(agent, old):
    return wait.until(lambda: (p := agent.workers().get("bpfd")) != old and p,
                      "another bpfd")


def traced_load(agent, tree, artifact, *options):
    """Have it listed, and loaded under strace."""
    strace = Strace(bpfd(agent), *options)
    tree.publish(*tree.listed, artifact)
    return strace


def test_killed_between_load_and_attach(agent, tree, counting):
    first, second = counting("it_first"), counting("it_second")
    strace = traced_load(agent, tree, first)
    agent.wait_running(first)
    calls = strace.end()
    attach = calls.index("BPF_LINK_CREATE") + 1
    wait_exact(agent, 1)
    before = ours()
    # A new one: it probes the kernel again, as the first one did.
    old = bpfd(agent)
    os.kill(old, signal.SIGKILL)
    old = another_bpfd(agent, old)
    agent.wait_log(msg="worker bpfd ended")
    agent.forget_log()
    strace = traced_load(agent, tree, second, "-e",
                         f"inject=bpf:signal=SIGKILL:when={attach}")
    agent.wait_log(msg="worker bpfd ended")
    again = strace.end()
    assert again[-1] == "BPF_LINK_CREATE" and "BPF_PROG_LOAD" in again
    # What it had loaded has gone with it, and what ran goes on; or it is
    # there again by now, loaded by the next one.
    assert before["link"] <= ours()["link"]
    agent.wait_running(second)
    wait_exact(agent, 2)
    assert before["link"] < ours()["link"]
    assert another_bpfd(agent, old)
    assert agent.stop()[0] == 0
    wait_ours({kind: set() for kind in kernel.KINDS}, "stopped")


@pytest.fixture
def denying(key, objects, cgroup):
    """denying(number): no connect leaves the cgroup, by that version."""
    data = named(objects["gapless"])

    def make(number):
        return Artifact(
            key, "it_denying", data,
            [{"program": f"ic_00{TAG}", "cgroup": cgroup.path},
             {"program": f"ie_{TAG}", "attach": False},
             {"program": f"ib_0000{TAG}", "attach": False}],
            version=f"1.0.{number}", ttl=3600,
            parameters={"version": number})
    return make


def test_killed_after_a_swap_it_could_not_tell_of(agent, tree, denying,
                                                  cgroup, client):
    """The old version's link runs the new one's program, whose loader is
    dead, for seconds: that is no drift, nobody else's doing, and not one
    connect gets through."""
    versions = [denying(number) for number in range(1, 4)]
    tree.publish(versions[0])
    agent.wait_running(versions[0])
    [link] = agent.held()["link"]
    # At which call of a new bpfd it swaps.
    old = bpfd(agent)
    os.kill(old, signal.SIGKILL)
    strace = Strace(another_bpfd(agent, old))
    tree.publish(versions[1])
    agent.wait_running(versions[1])
    swap = strace.end().index("BPF_LINK_UPDATE") + 1
    # Killed so often that the agent waits seconds before it starts another.
    old = bpfd(agent)
    for _ in range(5):
        os.kill(old, signal.SIGKILL)
        old = another_bpfd(agent, old)
    prog = kernel.link_prog(link)
    connects = start(CONNECTS, cgroup)
    try:
        # It swaps, and the call does not return.
        strace = Strace(old, "-e",
                        f"inject=bpf:delay_exit=60000000:when={swap}")
        tree.publish(versions[2])
        wait.until(lambda: kernel.link_prog(link) not in (prog, None),
                   "swapped")
        os.kill(old, signal.SIGKILL)
        strace.end()
        agent.wait_running(versions[2])
    finally:
        outcomes = json.loads(finish(connects))
    assert set(outcomes) == {"EPERM"}, outcomes
    assert outcomes["EPERM"] > 100
    assert agent.held()["link"] == {link}
    wait_exact(agent, 1)
    assert not client.events("program_error")


def test_what_is_replaced_ends_during_the_swap(agent, tree, denying):
    """Its link runs the new one's program already, but bpfd has not told of
    it, and the link goes: the new one is loaded anew, by the same bpfd."""
    versions = [denying(number) for number in range(1, 4)]
    tree.publish(versions[0])
    agent.wait_running(versions[0])
    old = bpfd(agent)
    os.kill(old, signal.SIGKILL)
    loader = another_bpfd(agent, old)
    strace = Strace(loader)
    tree.publish(versions[1])
    agent.wait_running(versions[1])
    swap = strace.end().index("BPF_LINK_UPDATE") + 1
    os.kill(loader, signal.SIGKILL)
    loader = another_bpfd(agent, loader)
    [link] = agent.held()["link"]
    prog = kernel.link_prog(link)
    # Until strace lets go of it.
    strace = Strace(loader, "-e",
                    f"inject=bpf:delay_exit=60000000:when={swap}")
    tree.publish(versions[2])
    wait.until(lambda: kernel.link_prog(link) not in (prog, None),
               "swapped")
    net.run(os.path.join(os.path.dirname(agent.program), "aegisctl"),
            "-s", agent.environment["AGENT_CONTROL_SOCKET"],
            "unload", versions[1].id)
    strace.end()
    agent.wait_running(versions[2])
    assert bpfd(agent) == loader
    agent.wait_log(msg="what it was to replace ended while it was loaded: "
                   "loading anew")
    assert not agent.log(level="error", msg="worker bpfd ended",
                         error="broke the protocol")
    wait_exact(agent, 1)


# --- at random ---

SEED = int(os.environ.get("KILLS_SEED", "0")) or random.randrange(1 << 32)
AGENTS, KILLS = 5, 6  # after six deaths an agent waits for seconds
DEATHS = 2  # over one artifact; of the third it is refused


@pytest.fixture
def making_interfaces():
    made = []

    def make():
        name = f"kl{TAG}x{len(made)}"
        net.run("ip", "link", "add", name, "type", "veth",
                "peer", "name", f"p{name}")
        made.append(name)
    yield make
    for name in made:
        net.run("ip", "link", "del", name)


def test_killed_at_random(make_agent, tree, nats, client, key, objects,
                          counting, denying, making_interfaces):
    """Thirty times, in whatever it is doing: loading, replacing, attaching
    to an interface that came, adopting what runs."""
    print(f"KILLS_SEED={SEED}")
    rng = random.Random(SEED)
    none = {kind: set() for kind in kernel.KINDS}
    follower = Artifact(key, "it_follower", named(objects["pass"]),
                        [{"program": f"p_{TAG}", "interface": f"kl{TAG}*"}],
                        ttl=3600)
    kills = version = interfaces = 0
    for _ in range(AGENTS):
        agent = make_agent(tree.url, nats.url, max_programs=64).start()
        version += 1
        steady, guard = [follower], denying(version)
        tree.publish(*steady, guard)
        agent.wait_running(*steady, guard)
        deaths = 0  # since all were running
        for number in range(KILLS):
            what = rng.choice(("load", "replace", "place", "adopt"))
            more = 2 if what == "adopt" else 1
            if deaths + more > DEATHS:
                agent.wait_running(*steady, guard)
                deaths = 0
            deaths += more
            old = bpfd(agent)
            if what == "load":
                steady.append(counting(f"it_load_{kills}"))
            elif what == "replace":
                version += 1
                guard = denying(version)
            elif what == "place":
                making_interfaces()
                interfaces += 1
            if what in ("load", "replace"):
                tree.publish(*steady, guard)
                newest = steady[-1] if what == "load" else guard
                wait.until(lambda a=newest: agent.programs().get(a.id),
                           "listed", every=0.001)
            if what == "adopt":
                # The next one, while it is told of what runs.
                os.kill(old, signal.SIGKILL)
                old = another_bpfd(agent, old)
            time.sleep(rng.uniform(0, 0.06))
            os.kill(old, signal.SIGKILL)
            kills += 1
            another_bpfd(agent, old)
            print(f"{kills}: {what}")
        agent.wait_running(*steady, guard)
        wait_exact(agent, len(steady) + interfaces)
        assert agent.stop()[0] == 0
        wait_ours(none, "stopped")
    assert kills >= 30
