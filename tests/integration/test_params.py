# SPDX-License-Identifier: ISC
"""Other parameters for what runs: in the maps of the running program where
that is all it takes, by a replacement otherwise, and all or nothing."""

import datetime
import os
import signal
import struct
import subprocess
import time

import pytest

from aegis import kernel, wait
from aegis.artifact import Artifact
from aegis.manager import Manager


@pytest.fixture
def with_parameters(key, objects, cgroup):
    """with_parameters(...): the same artifact, with these."""
    base = Artifact(key, "it_params", objects["params"],
                    [{"program": "it_params", "cgroup": "$cgroup"}], ttl=600,
                    artifact_id="it-params")

    def make(**parameters):
        other = base.with_id(base.id)
        other.entry["parameters"] = dict(parameters, cgroup=cgroup.path)
        return other
    return make


def number_at(agent, name, at, cpus=False):
    """What the agent's map of that name holds there; None: nothing."""
    # Of what was replaced and is kept: the older ones.
    numbers = {kernel.map_name(n): n for n in sorted(agent.held()["map"])}
    size = 8 * os.sysconf("SC_NPROCESSORS_CONF") if cpus else 4
    try:
        value = kernel.map_value(numbers[name], at, size)
    except FileNotFoundError:
        return None
    if not cpus:
        return struct.unpack("=I", value)[0]
    each = {struct.unpack_from("=I", value, i)[0] for i in range(0, size, 8)}
    assert len(each) == 1
    return each.pop()


def prefix(bits, *address):
    return struct.pack("=I4B", bits, *address)


def program_of(agent):
    """Id of the program that is attached: a replaced one is kept a while."""
    (program,) = agent.programs()["it-params"]["kernel_programs"]
    return program["id"]


def wait_another(agent, old):
    """The change is shown a moment after it is logged."""
    wait.until(lambda: program_of(agent) != old, "another program")
    agent.wait_status("it-params", "running")


def data_of(agent, offset):
    name = next(n for n in map(kernel.map_name, agent.held()["map"])
                if n.endswith(".data"))
    numbers = {kernel.map_name(n): n for n in agent.held()["map"]}
    return struct.unpack_from(
        "=I", kernel.map_value(numbers[name], 0, 8), offset)[0]


def change(agent, tree, artifact, **waited):
    """List ARTIFACT and wait for the event that says it is in force."""
    agent.forget_log()
    tree.publish(artifact)
    agent.wait_log(**waited)


def in_place(agent, tree, artifact):
    change(agent, tree, artifact, msg="BPF program has new parameters")
    # What is published follows in a moment.
    wait.until(lambda: [p["status"] for p in agent.get("/programs")[1][
        "programs"]] == ["running"], "the newcomer is gone")


def test_maps_of_the_running_program(agent, tree, client, cgroup, validate,
                                     with_parameters):
    tree.publish(with_parameters(
        it_hash={"1": 10, "2": 20, "3": 30}, it_array={"0": 5, "1": 6},
        it_percpu={"1": 1}, level=1,
        it_trie={"10.0.0.0/8": 1, "10.1.0.0/16": 2}))
    agent.wait_status("it-params", "running")
    cgroup.ping(3)
    held, before = agent.held(), agent.programs()["it-params"]
    # Two of three elements go, as many come: the map is full meanwhile.
    in_place(agent, tree, with_parameters(
        it_hash={"1": 11, "8": 80, "9": 90}, it_array={"1": 7, "2": 8},
        it_percpu={"1": 2, "2": 3}, level=4000000000,
        it_trie={"10.1.0.0/16": 2, "10.0.0.0/12": 3}))
    # Not one object of the kernel is another.
    assert agent.held() == held
    after = agent.programs()["it-params"]
    for same in ("loaded_at", "attach_points", "kernel_programs"):
        assert after[same] == before[same]
    assert after["parameters"]["it_hash"] == {"1": 11, "8": 80, "9": 90}
    assert [number_at(agent, "it_hash", i) for i in (1, 2, 3, 8, 9)] == [
        11, None, None, 80, 90]
    # What no parameter says any more is as it was at first.
    assert [number_at(agent, "it_array", i) for i in range(4)] == [0, 7, 8, 0]
    assert number_at(agent, "it_percpu", 1, cpus=True) == 2
    assert number_at(agent, "it_percpu", 2, cpus=True) == 3
    assert number_at(agent, "it_trie", prefix(32, 10, 1, 1, 1)) == 2
    assert number_at(agent, "it_trie", prefix(32, 10, 2, 1, 1)) == 3
    assert number_at(agent, "it_trie", prefix(32, 10, 99, 1, 1)) is None
    cgroup.ping(1)
    assert {data_of(agent, 0), data_of(agent, 4)} == {4000000000}
    # Counters go on.
    wait.until(lambda: agent.programs()["it-params"]["telemetry"][
        "packets_processed"] >= 4, "the counters go on")
    events = wait.until(
        lambda: (found := client.events("program_loaded", "it-params")) and
        len(found) > 1 and found, "two events")
    assert events[-1]["metadata"]["reason"] == "parameters"
    assert "reason" not in events[0]["metadata"]
    validate(events[-1])
    assert client.events("program_unloaded", "it-params") == []


@pytest.mark.parametrize("before, after, why", [
    ({"constant": 1}, {"constant": 2}, "constants"),
    ({"level": 1}, {}, "not the same variables"),
])
def test_what_only_a_load_can_change(agent, tree, cgroup, with_parameters,
                                     before, after, why):
    tree.publish(with_parameters(**before))
    agent.wait_status("it-params", "running")
    old = program_of(agent)
    change(agent, tree, with_parameters(**after), msg="BPF program unloaded")
    assert agent.log(msg="cannot be changed in place", error=why)
    wait_another(agent, old)


def test_all_or_nothing(agent, tree, with_parameters):
    """A program's own elements leave no room for the new ones: what was
    written is taken back, and the program is loaded anew."""
    tree.publish(with_parameters(it_hash={"1": 10}, it_array={"0": 5}))
    agent.wait_status("it-params", "running")
    hash_id = next(n for n in agent.held()["map"]
                   if kernel.map_name(n) == "it_hash")
    for i in (100, 101):
        kernel.map_update(hash_id, i, struct.pack("=I", i))
    old = program_of(agent)
    change(agent, tree,
           with_parameters(it_hash={"1": 11, "2": 20, "3": 30},
                           it_array={"0": 6}),
           msg="BPF program unloaded")
    assert agent.log(msg="cannot be changed in place", error="it_hash")
    wait_another(agent, old)
    assert [number_at(agent, "it_hash", i) for i in (1, 2, 3, 100)] == [
        11, 20, 30, None]


def test_refused_ones_change_nothing(agent, tree, client, with_parameters):
    good = with_parameters(it_hash={"1": 10})
    tree.publish(good)
    agent.wait_status("it-params", "running")
    held = agent.held()
    bad = with_parameters(it_hash={"1": 11, "2": 1 << 40}, it_array={"9": 1})
    change(agent, tree, bad, msg="is not running")
    error = client.wait_event("program_error", "it-params")
    # Every problem is named.
    assert "it_hash" in error["metadata"]["error"]
    assert "it_array" in error["metadata"]["error"]
    assert agent.held() == held
    assert number_at(agent, "it_hash", 1) == 10
    # Over a restart too: the good ones are loaded, others are tried.
    agent.stop()
    agent.start()
    agent.wait_status("it-params", "failed")
    tree.publish(good)
    agent.wait_status("it-params", "running")
    in_place(agent, tree, with_parameters(it_hash={"1": 12}))
    assert number_at(agent, "it_hash", 1) == 12


def test_a_loader_that_dies_over_it(make_agent, tree, nats,
                                    with_parameters):
    """bpfd is stopped when the change reaches it, and killed: the next one
    takes back what may have been written, and the program is replaced."""
    agent = make_agent(tree.url, nats.url, log_level="debug").start()
    tree.publish(with_parameters(it_hash={"1": 10, "2": 20}))
    agent.wait_status("it-params", "running")
    bpfd = agent.workers()["bpfd"]
    os.kill(bpfd, signal.SIGSTOP)
    change(agent, tree, with_parameters(it_hash={"1": 11, "3": 30}),
           msg="signature holds")
    # It logged that before it asked bpfd; when it answers, it has.
    subprocess.run([os.path.join(os.path.dirname(agent.program), "aegisctl"),
                    "-s", agent.environment["AGENT_CONTROL_SOCKET"],
                    "status"], check=True, capture_output=True, timeout=60)
    os.kill(bpfd, signal.SIGKILL)
    agent.wait_log(msg="cannot be changed in place", error="died")
    agent.wait_log(msg="BPF program unloaded")
    agent.wait_status("it-params", "running")
    wait.until(lambda: [number_at(agent, "it_hash", i) for i in (1, 2, 3)]
               == [11, None, 30], "what is in force now")


@pytest.mark.parametrize("dies", [True, False])
def test_a_restart_over_it(make_agent, tree, nats, with_parameters, dies):
    """The agent is restarted while bpfd is at the change.  If bpfd dies, the
    next one takes it back before the program is handed over; if it answers
    no more, the next agent knows, and replaces the program."""
    manager = Manager()
    agent = make_agent(tree.url, nats.url, log_level="debug")
    agent.manager = manager
    try:
        agent.start()
        tree.publish(with_parameters(it_hash={"1": 10, "2": 20}))
        agent.wait_status("it-params", "running")
        bpfd = agent.workers()["bpfd"]
        os.kill(bpfd, signal.SIGSTOP)
        change(agent, tree, with_parameters(it_hash={"1": 11, "3": 30}),
               msg="signature holds")
        signalled = time.monotonic()
        agent.signal(signal.SIGUSR1)
        agent.wait_log(msg="stay attached")
        if dies:
            os.kill(bpfd, signal.SIGKILL)
        assert agent.process.wait(wait.LONG) == 75
        # If all that took 4 s, agentd may have given it up before bpfd died.
        late = dies and time.monotonic() - signalled >= 4
        if dies and not late:
            assert agent.log(msg="cannot be changed in place", error="died")
        agent.wait_log(msg="handed 1 programs over")
        agent.forget_log()
        agent.start()
        agent.wait_log(msg="taken up from the agent before")
        assert late or \
            bool(agent.log(msg="were being changed")) != dies
        wait.until(lambda: [number_at(agent, "it_hash", i)
                            for i in (1, 2, 3)] == [11, None, 30],
                   "the new parameters are in force")
    finally:
        manager.close()


def logged_at(agent, **fields):
    """When a line was logged, by the agent's clock."""
    return datetime.datetime.fromisoformat(
        agent.wait_log(**fields)["time"].replace("Z", "+00:00")).timestamp()


def test_unloaded_by_its_time_meanwhile(agent, tree, with_parameters):
    """Changed ones do not prolong its life."""
    first = with_parameters(it_hash={"1": 10})
    first.entry["ttl_sec"] = 20
    clock = time.time() - time.monotonic()
    tree.publish(first)
    loaded = logged_at(agent, msg="BPF program loaded")
    half = time.monotonic() + 10
    wait.until(lambda: time.monotonic() > half, "some of it is over")
    second = with_parameters(it_hash={"1": 11})
    second.entry["ttl_sec"] = 20
    tree.publish(second)
    agent.wait_log(msg="BPF program has new parameters")
    changed = time.monotonic()
    ended = logged_at(agent, msg="BPF program unloaded")
    assert time.monotonic() - changed < 20 - 2
    # Whoever sets the clock meanwhile does not prolong it either.
    clock = time.time() - time.monotonic() - clock
    assert ended - loaded - clock > 20 - 0.1
    assert agent.held()["prog"] == set()
