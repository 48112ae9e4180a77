# SPDX-License-Identifier: ISC
"""A broker that lives and does nothing for five seconds: delivery waits, and
nothing else does.  Nor does anything wait for who reads the log."""

import os
import statistics
import subprocess
import time

from aegis import kernel, wait

STALL_SEC = 5

# What waits for the broker waits for what is left of the stall.  The machine
# of a test is busy: other things may take long as well, but not as long.
WORST_SEC = 2.5


def ctl(prefix, agent, command="status"):
    """agentd's own loop answers, on its control socket."""
    subprocess.run([os.path.join(prefix, "sbin", "aegisctl"), "-s",
                    agent.environment["AGENT_CONTROL_SOCKET"], command],
                   check=True, capture_output=True, timeout=30)


def observe(prefix, agent, artifact, cgroup, seconds):
    """Ask all the time: how long each answer took, and the times at which
    the program was sampled meanwhile."""
    took = {"api": [], "agentd": [], "program": []}
    samples = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for what, ask in (("api", agent.programs),
                          ("agentd", lambda: ctl(prefix, agent)),
                          ("program", cgroup.ping)):
            start = time.monotonic()
            ask()
            took[what].append(time.monotonic() - start)
        telemetry = agent.get("/telemetry")[1]["telemetry"]
        samples.add(telemetry[artifact.id]["timestamp"])
        time.sleep(0.05)
    return took, sorted(samples)


def seqs(client):
    return [e["metadata"]["seq"] for e in client.events()]


def test_a_stalled_broker_delays_nothing_but_delivery(
        prefix, agent, tree, nats, client, counter, cgroup):
    first = counter(name="it_first")
    tree.publish(first)
    agent.wait_running(first)
    client.wait_event("program_loaded", first.id)
    workers = agent.workers()
    before, _ = observe(prefix, agent, first, cgroup, 3)
    listed = [first]

    def stall():
        """How much worse than it may be, 1 at most.  The broker stalls until
        another program runs, and for some seconds at least."""
        listed.append(counter(name=f"it_stall_{len(listed)}"))
        latest = listed[-1].id
        with kernel.stopped(nats.process.pid):
            begun = time.monotonic()
            tree.publish(*listed)
            agent.wait_running(listed[-1])
            loaded = time.monotonic() - begun
            seconds = max(STALL_SEC - loaded, 2)
            during, samples = observe(prefix, agent, first, cgroup, seconds)
            received = len(client.events())
            assert not client.events("program_loaded", latest)
        for what, took in during.items():
            print(f"{what}: {statistics.median(before[what]) * 1e3:.1f} ms "
                  f"before, {statistics.median(took) * 1e3:.1f} during, at "
                  f"most {max(took) * 1e3:.1f}")
        print(f"loaded after {loaded:.2f} s, {len(samples)} samples")
        # All that happened is told, and only now.
        client.wait_event("program_loaded", latest)
        assert len(client.events()) > received
        # One sample a second, and what takes the time of loading is not
        # sampling.
        return max(max(map(max, during.values())) / WORST_SEC,
                   seconds / 2 / max(len(samples), 1))
    wait.measured(stall, 1, tries=3)
    assert agent.workers() == workers
    # In order.
    loads = [e["data"]["artifact_id"] for e in client.events("program_loaded")]
    assert loads == [artifact.id for artifact in listed]
    numbers = seqs(client)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_log_that_nobody_reads_keeps_nothing_running(prefix, agent, tree,
                                                      counter):
    """The pipe of an init script, say, whose reader is stopped."""
    artifact = counter(ttl=2)
    with agent.log_unread():
        for _ in range(40):  # of a line each, and more than a page
            ctl(prefix, agent, "reload")
        tree.publish(artifact)
        agent.wait_status(artifact.id, "unloaded", "expired")
        wait.until(lambda: not agent.held()["prog"], "it is out of the kernel")
        assert not agent.log(artifact_id=artifact.id)
    # And then there is all of it.
    agent.wait_log(artifact_id=artifact.id, msg="unloaded: it_count")
    assert agent.stop()[0] == 0
    assert agent.log(msg="agentd stopped")
