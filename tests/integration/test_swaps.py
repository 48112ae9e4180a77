# SPDX-License-Identifier: ISC
"""A new version takes its predecessor's links over one after the other, and
does not come to be: what the kernel runs then, and who holds it.  bpfd is the
real one, whose swaps fail, and whose answer waits, when the test says so
(stubborn.c).  bpfd alone: test_bpfd.py's test_failed_update_is_undone; killed
by chance: test_kills.py."""

import os

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
