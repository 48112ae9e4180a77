# SPDX-License-Identifier: ISC
"""A worker that lives and does nothing.  It takes agentd a minute to be sure
of that: a load may keep bpfd for as long."""

import os
import signal
import time

from aegis import wait


def test_hung_worker_is_replaced(agent, tree, client, counter, denier,
                                 cgroup):
    """A dozen pings, one every five seconds, are not answered.  What is
    loaded stays all the while, and then work goes on."""
    artifact, guard = counter(ttl=600), denier(ttl=600)
    tree.publish(artifact, guard)
    agent.wait_running(artifact, guard)
    role = "verifyd"
    held, pid = agent.held(), agent.workers()[role]
    os.kill(pid, signal.SIGSTOP)
    stopped = time.monotonic()

    def gone():
        assert agent.held() == held
        assert cgroup.ping(wait=0.3) == 0
        return not os.path.exists(f"/proc/{pid}")
    try:
        wait.until(gone, f"the hung {role} is killed", 240, every=0.5)
    finally:
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, signal.SIGCONT)
    took = time.monotonic() - stopped
    print(f"{role} was replaced after {took:.0f} s")
    assert took > 30, "it was given no time"
    wait.until(lambda: agent.workers().get(role) not in (None, pid),
               f"{role} runs again")
    line = agent.wait_log(level="error", msg=f"worker {role} ended")
    assert "did not answer" in line["error"]
    assert agent.held() == held
    fresh = counter(name="it_fresh")
    tree.publish(artifact, guard, fresh)
    agent.wait_running(fresh)
    wait.until(
        lambda: client.events("agent_heartbeat")[-1]["metadata"][
            "worker_restarts"][role] == 1,
        "one restart is told")
