# SPDX-License-Identifier: ISC
"""A kernel that does not let go of a tc filter: bpfd is the real one, its
requests are made into such as the kernel refuses (stubborn.c).  Nothing is
told to be over that is not."""

import os
import signal

import pytest

from aegis import net, wait
from aegis.stubborn import Stubborn
from test_clsact import filtering, ours  # noqa: F401, the fixture

REASON = "cannot be removed"


@pytest.fixture
def refusing(work_dir, prefix, build_dir):
    return Stubborn(work_dir, prefix, build_dir)


@pytest.fixture
def agent(make_agent, tree, refusing):
    agent = make_agent(tree.url)
    agent.launcher = refusing.launcher
    return agent.start()


def ctl(agent, *command):
    net.run(os.path.join(os.path.dirname(agent.program), "aegisctl"),
            "-s", agent.environment["AGENT_CONTROL_SOCKET"], *command)


def rollback(agent):
    [one] = agent.get("/rollbacks")[1]["rollbacks"]
    return one


def stuck(agent, tree, artifact, refusing, *command):
    """It runs, and COMMAND does not get it out."""
    tree.publish(artifact)
    agent.wait_running(artifact)
    refusing.set(keep_filters=1)
    ctl(agent, *command, artifact.id)
    return agent.wait_log(msg="cannot be unloaded", artifact_id=artifact.id,
                          error=REASON)


def test_a_rollback_has_failed_until_the_filter_has_gone(
        agent, tree, filtering, veth, refusing):  # noqa: F811
    artifact = filtering()
    line = stuck(agent, tree, artifact, refusing, "rollback")
    assert "priority 50" in line["error"] and "Invalid" in line["error"]
    [at] = ours(veth.name)
    one = wait.until(lambda: rollback(agent)["status"] == "failed" and
                     rollback(agent), "it has failed")
    assert REASON in one["error"]
    shown = agent.wait_status(artifact.id, "unloading")
    assert REASON in shown["error"]
    # Samples go by, each with another try.
    wait.never(lambda: agent.log(msg="program unloaded") or
               agent.status_of(artifact.id) != "unloading" or
               at not in ours(veth.name), "it is told to be over")
    refusing.set(keep_filters=0)
    wait.until(lambda: rollback(agent)["status"] == "completed",
               "it has completed", 20)
    assert ours(veth.name) == {} and not rollback(agent).get("error")
    agent.wait_status(artifact.id, "rolled_back")
    assert len(agent.log(msg="cannot be unloaded")) == 1


def test_the_next_bpfd_removes_it(
        agent, tree, filtering, veth, refusing):  # noqa: F811
    artifact = filtering()
    stuck(agent, tree, artifact, refusing, "unload")
    assert len(ours(veth.name)) == 1
    refusing.set(keep_filters=0)
    os.kill(agent.workers()["bpfd"], signal.SIGKILL)
    agent.wait_log(msg="program unloaded", artifact_id=artifact.id,
                   timeout=40)
    assert ours(veth.name) == {}


def test_the_interface_takes_it_along(
        agent, tree, filtering, veth, refusing):  # noqa: F811
    artifact = filtering()
    stuck(agent, tree, artifact, refusing, "unload")
    net.run("ip", "link", "del", veth.name)
    agent.wait_log(msg="program unloaded", artifact_id=artifact.id,
                   timeout=40)


def test_a_shutdown_tells_what_it_leaves(
        agent, tree, filtering, veth, refusing):  # noqa: F811
    artifact = filtering()
    stuck(agent, tree, artifact, refusing, "rollback")
    status, took = agent.stop()
    assert status == 0 and took < 5
    agent.wait_log(msg="1 tc filters stay in the kernel")
    assert not agent.log(msg="program unloaded")
    assert len(ours(veth.name)) == 1
    # The next one removes it, and does not load it again.
    refusing.set(keep_filters=0)
    agent.forget_log()
    agent.start()
    agent.wait_log(msg="removed 1 tc filters")
    agent.wait_status(artifact.id, "rolled_back")
    wait.until(lambda: rollback(agent)["status"] == "completed",
               "the rollback is finished")
    assert ours(veth.name) == {} and not rollback(agent).get("error")


def test_a_killed_agent_leaves_no_rollback_unfinished(
        agent, tree, filtering, veth, refusing):  # noqa: F811
    artifact = filtering()
    stuck(agent, tree, artifact, refusing, "rollback")
    wait.until(lambda: rollback(agent)["status"] == "failed", "it has failed")
    agent.kill()
    agent.forget_log()
    agent.start()  # where the kernel still refuses
    agent.wait_log(msg="cannot all be removed")
    agent.wait_status(artifact.id, "rolled_back")
    assert rollback(agent)["status"] == "failed"
    assert len(ours(veth.name)) == 1
    refusing.set(keep_filters=0)
    os.kill(agent.workers()["bpfd"], signal.SIGKILL)
    wait.until(lambda: rollback(agent)["status"] == "completed",
               "the rollback is finished", 40)
    assert ours(veth.name) == {}
    assert agent.log(msg="BPF program rolled back", artifact_id=artifact.id)
