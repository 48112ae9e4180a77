# SPDX-License-Identifier: ISC
"""A new version takes its predecessor's links over one after the other, and
does not come to be: what the kernel runs then, and who holds it.  bpfd is the
real one, whose swaps fail, and whose answer waits, when the test says so
(stubborn.c).  bpfd alone: test_bpfd.py's test_failed_update_is_undone; killed
by chance: test_kills.py."""

import os
import signal

import pytest

from aegis import kernel, net, wait
from aegis.artifact import Artifact
from aegis.stubborn import Stubborn


@pytest.fixture
def stubborn(work_dir, prefix, build_dir):
    return Stubborn(work_dir, prefix, build_dir)


@pytest.fixture
def agent(make_agent, tree, nats, client, stubborn):
    assert client
    agent = make_agent(tree.url, nats.url)
    agent.launcher = stubborn.launcher
    return agent.start()


@pytest.fixture
def version(key, objects, cgroup, other_cgroup):
    """version(number, ...): at two places, in this order."""
    def make(number, **kwargs):
        return Artifact(
            key, "it_count", objects["count"],
            [{"program": "it_count", "cgroup": group.path}
             for group in (cgroup, other_cgroup)],
            version=f"1.0.{number}", ttl=3600, **kwargs)
    return make


def links_of(agent, artifact):
    """Ids of the links that /programs shows, in the order of the places."""
    points = agent.programs().get(artifact.id, {}).get("attach_points", [])
    return [point["link_id"] for point in points if point.get("link_id")]


def progs_of(links):
    return [kernel.link_prog(link) for link in links]


def counter_of(agent, name):
    return agent.get("/metrics")[1]["counters"][name]


def sampled_at(agent, artifact):
    return agent.programs()[artifact.id]["telemetry"]["timestamp"]


def run_first(agent, tree, version):
    """Version 1 runs; it, its links, and what they run."""
    old = version(1)
    tree.publish(old)
    agent.wait_running(old)
    links = wait.until(lambda: len(found := links_of(agent, old)) == 2 and
                       found, "two links are shown")
    assert set(links) == agent.held()["link"]
    return old, links, progs_of(links)


def test_what_has_ended_is_given_no_link_back(agent, tree, version, stubborn):
    """The new version has the first link, when the old one, which is listed
    still, is unloaded; then it turns out that the second swap failed."""
    old, links, _ = run_first(agent, tree, version)
    new = version(2, entry={"replaces": old.id})
    stubborn.set(first_swap_lost=2, next_swap_good=9, hold_done=1)
    tree.publish(old, new)
    wait.until(lambda: stubborn.get("held"), "bpfd is to say how it went")
    # What it says of the links it has said, and it is shown.
    wait.until(lambda: links_of(agent, old) == links[1:],
               "the first link has changed hands")
    net.run(os.path.join(os.path.dirname(agent.program), "aegisctl"),
            "-s", agent.environment["AGENT_CONTROL_SOCKET"],
            "unload", old.id)
    agent.wait_status(old.id, "unloaded")
    assert agent.held()["link"] == set(links[:1])
    stubborn.set(hold_done=0)
    shown = agent.wait_status(new.id, "failed")
    assert "cannot swap the program" in shown["error"]
    wait.until(lambda: not kernel.exists("link", links[0]),
               "the link is closed")
    wait.until(lambda: agent.held() == {kind: set() for kind in kernel.KINDS},
               lambda: f"nothing is held: {agent.held()}")
    assert agent.status_of(old.id) == "unloaded"


RUNS_ANOTHER = "1 of its links run the program of a version that did not"


def check_old_is_back(agent, client, old, links, progs):
    """In its own links, without a moment outside of them; and it is nobody
    else's doing."""
    wait.until(lambda: progs_of(links) == progs,
               lambda: f"{progs} run in {links}: {progs_of(links)}")
    for _ in range(2):  # the links were looked at since
        last = sampled_at(agent, old)
        wait.until(lambda t=last: sampled_at(agent, old) != t, "a sample")
    assert progs_of(links) == progs
    wait.until(lambda: set(links) == agent.held()["link"],
               lambda: f"{links} are held: {agent.held()}")
    assert sorted(links_of(agent, old)) == sorted(links)
    assert agent.status_of(old.id) == "running"
    assert counter_of(agent, "drift_found") == 0
    assert not client.events("program_error", old.id)


def test_the_second_swap_fails(agent, tree, version, stubborn, client):
    """bpfd undoes the first one itself."""
    old, links, progs = run_first(agent, tree, version)
    stubborn.set(first_swap_lost=2, next_swap_good=3)
    new = version(2)
    tree.publish(new)
    shown = agent.wait_status(new.id, "failed")
    assert "cannot swap the program" in shown["error"]
    assert "old one back" not in shown["error"]
    assert progs_of(links) == progs
    check_old_is_back(agent, client, old, links, progs)
    assert not agent.log(msg=RUNS_ANOTHER)


def test_the_second_swap_fails_and_undoing_the_first_does(
        agent, tree, version, stubborn, client):
    """Then bpfd is asked once more, and that works."""
    old, links, progs = run_first(agent, tree, version)
    stubborn.set(first_swap_lost=2, next_swap_good=4)
    new = version(2)
    tree.publish(new)
    shown = agent.wait_status(new.id, "failed")
    assert "could not be given the old one back" in shown["error"]
    agent.wait_log(msg=RUNS_ANOTHER, artifact_id=old.id)
    check_old_is_back(agent, client, old, links, progs)


def test_bpfd_dies_before_the_second_swap(agent, tree, version, stubborn,
                                          client):
    """Three times, so that the new version is refused.  Each time the first
    link runs the program of a version that nobody has any more."""
    old, links, progs = run_first(agent, tree, version)
    new, seen = version(2), set(progs)
    # The next bpfd swaps back first: that is one more that it tries.
    stubborn.set(last_swap=2)
    tree.publish(new)
    for _ in range(3):
        wait.until(lambda: (p := kernel.link_prog(links[0])) and
                   p not in seen and (seen.add(p) or True), "it has swapped")
        assert kernel.link_prog(links[1]) == progs[1]
        stubborn.set(last_swap=3)
        os.kill(agent.workers()["bpfd"], signal.SIGKILL)
    shown = agent.wait_status(new.id, "failed")
    assert "over this artifact" in shown["error"]
    check_old_is_back(agent, client, old, links, progs)
    assert len(agent.log(msg=RUNS_ANOTHER,
                         artifact_id=old.id)) == 3
