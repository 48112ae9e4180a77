# SPDX-License-Identifier: ISC
"""Attaching to a hook and detaching from it can take long (XDP: 8-16 ms of
RCU; here: until the test says so, by stubborn.c).  No message, no sample and
no request waits for that.  bpfd alone, and in figures: test_bpfd.py's
test_answers_while_it_loads."""

import os

import pytest

from aegis import kernel, net, wait
from aegis.artifact import Artifact
from aegis.stubborn import Stubborn


@pytest.fixture
def stubborn(work_dir, prefix, build_dir):
    return Stubborn(work_dir, prefix, build_dir)


@pytest.fixture
def agent(make_agent, tree, nats, stubborn):
    agent = make_agent(tree.url, nats.url)
    agent.launcher = stubborn.launcher
    yield agent.start()
    stubborn.set(hold_attach=0, hold_close=0)


@pytest.fixture
def slow(key, objects, veth):
    return Artifact(key, "it_pass", objects["pass"],
                    [{"program": "it_pass", "interface": veth.name}])


@pytest.fixture
def quick(key, objects, cgroup):
    """quick(name)"""
    def make(name):
        return Artifact(key, name, objects["count"],
                        [{"program": "it_count", "cgroup": cgroup.path}])
    return make


def link_of(agent, artifact):
    [point] = agent.programs()[artifact.id]["attach_points"]
    return point["link_id"]


def check_samples_go_on(agent, artifact):
    """Samples, taken by bpfd, and requests, answered from agentd's word."""
    def sampled():
        return agent.programs()[artifact.id]["telemetry"].get("timestamp")
    for _ in range(2):
        last = sampled()
        wait.until(lambda t=last: sampled() != t, "a sample")


def test_attaching(agent, tree, slow, quick, stubborn):
    """What runs is unloaded meanwhile, too."""
    other = quick("it_other")
    tree.publish(other)
    agent.wait_running(other)
    link = link_of(agent, other)
    stubborn.set(hold_attach=1)
    tree.publish(other, slow)
    wait.until(lambda: stubborn.get("held"), "the kernel takes its time")
    agent.wait_status(slow.id, "loading")
    check_samples_go_on(agent, other)
    net.run(os.path.join(os.path.dirname(agent.program), "aegisctl"),
            "-s", agent.environment["AGENT_CONTROL_SOCKET"],
            "unload", other.id)
    agent.wait_status(other.id, "unloaded")
    assert not kernel.exists("link", link)
    assert agent.status_of(slow.id) == "loading"
    stubborn.set(hold_attach=0)
    agent.wait_running(slow)


def test_detaching(agent, tree, slow, quick, stubborn):
    """What comes new is loaded meanwhile, too."""
    other, third = quick("it_other"), quick("it_third")
    tree.publish(other, slow)
    agent.wait_running(other)
    agent.wait_running(slow)
    link = link_of(agent, slow)
    stubborn.set(hold_close=1)
    tree.publish(other)
    wait.until(lambda: stubborn.get("held"), "the kernel takes its time")
    agent.wait_status(slow.id, "unloading")
    check_samples_go_on(agent, other)
    tree.publish(other, third)
    agent.wait_running(third)
    assert agent.status_of(slow.id) == "unloading"
    assert kernel.exists("link", link)
    stubborn.set(hold_close=0)
    wait.until(lambda: not kernel.exists("link", link), "it is detached")
    agent.wait_status(slow.id, "unloaded")
