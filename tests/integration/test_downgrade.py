# SPDX-License-Identifier: ISC
"""Replay: what was accepted once is the least that is accepted, by version
and by the signed sequence, over restarts too, unless the operator says so."""

import os
import subprocess

import pytest


def ctl(agent, prefix, *words):
    subprocess.run(
        [os.path.join(prefix, "sbin", "aegisctl"), "-s",
         agent.environment["AGENT_CONTROL_SOCKET"], *words],
        check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("old,words", [
    ({"version": "1.9.0", "metadata": {"sequence": 8}},
     "version 1.9.0 is older than 2.0.0"),
    ({"version": "2.0.0", "metadata": {"sequence": 6}},
     "sequence 6 of version 2.0.0 is lower than 7"),
    ({"version": "2.1.0"}, "sequence: version 2.1.0 carries none, after 7"),
], ids=["version", "sequence", "none"])
def test_replay_is_refused_until_allowed(agent, tree, counter, prefix, old,
                                         words):
    new = counter(version="2.0.0", metadata={"sequence": 7})
    tree.publish(new)
    agent.wait_running(new)
    # It is kept in the state, not in memory.
    agent.stop()
    agent.start()
    agent.wait_running(new)
    replayed = counter(**old)
    tree.publish(new, replayed)
    agent.wait_status(replayed.id, "failed")
    error = agent.programs()[replayed.id]["error"]
    assert words in error
    assert f"allow-downgrade it_count {old['version']}" in error
    # A pardon alone is no leave: it is tried, and refused again.
    agent.forget_log()
    ctl(agent, prefix, "pardon", replayed.id)
    agent.wait_log(level="error", artifact_id=replayed.id, error=words)
    agent.wait_status(replayed.id, "failed")
    ctl(agent, prefix, "allow-downgrade", "it_count", old["version"])
    ctl(agent, prefix, "pardon", replayed.id)
    agent.wait_running(replayed)
    # Once: the next of that kind needs a word of its own.
    third = counter(**old)
    tree.publish(new, replayed, third)
    agent.wait_status(third.id, "failed")
    # What was accepted stays good.
    assert agent.status_of(new.id) == "running"
    assert agent.status_of(replayed.id) == "running"
