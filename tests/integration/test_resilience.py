# SPDX-License-Identifier: ISC
"""kill -9 of everything, servers that are away, limits that are reached:
programs stay attached, state is kept, nothing leaks, nothing is stuck."""

import datetime
import os
import signal
import time

import pytest

from aegis import kernel, wait
from aegis.artifact import Artifact

KILLED = ["registry", "verifyd", "bpfd", "apid", "telemd"]
ROUNDS = 10


def kill_worker(agent, role):
    pid = wait.until(lambda: agent.workers().get(role), f"{role} runs", 40)
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_respawned(agent, role, old, timeout=40):
    """Until another process of the role is there and said READY."""
    def respawned():
        pid = agent.workers().get(role)
        return pid if pid not in (None, old) else None
    return wait.until(respawned, f"{role} runs again", timeout)


def kill_all(agent):
    """agentd is killed, and what it had started is gone as well."""
    started = [agent.spawner(), *agent.workers().values()]
    agent.kill()
    wait.until(lambda: not [p for p in started
                            if os.path.exists(f"/proc/{p}")],
               "workers are gone")


def fd_count(pid):
    return len(kernel.descriptors(pid))


def test_every_worker_killed_ten_times_in_turn(agent, tree, counter, denier,
                                               cgroup, client):
    """Takes long: each round the agent waits longer before it starts a
    worker again that died so often."""
    artifact, guard = counter(ttl=600), denier(ttl=600)
    tree.publish(artifact, guard)
    agent.wait_running(artifact, guard)
    held = agent.held()
    fds = memory = None
    for number in range(ROUNDS):
        for role in KILLED:
            old = kill_worker(agent, role)
            # While it is away: attached, enforcing, and the same objects.
            assert cgroup.ping(wait=0.3) == 0
            assert agent.held() == held
            wait.until(lambda r=role, o=old: agent.workers().get(r) != o,
                       f"{role} is gone")
        for role in KILLED:
            wait.until(lambda r=role: agent.workers().get(r),
                       f"{role} runs again", 40)
        assert agent.held() == held
        if number == 0:
            # What is set up at the first crash is there after it.
            wait_healthy(agent)
            fds, memory = fd_count(agent.pid), kernel.anonymous_kb(agent.pid)
    wait_healthy(agent)
    assert agent.held() == held
    assert agent.status_of(artifact.id) == "running"
    wait.until(lambda: fd_count(agent.pid) <= fds,
               lambda: f"{fds} descriptors: "
                       f"{kernel.descriptors(agent.pid)}")
    wait.until(lambda: kernel.anonymous_kb(agent.pid) <= memory + 256,
               lambda: f"{memory} KiB: {kernel.anonymous_kb(agent.pid)}", 20)
    # The new ones are as good as the first: work goes through them.
    fresh = counter(name="it_fresh")
    tree.publish(artifact, guard, fresh)
    agent.wait_running(fresh)
    client.wait_event("program_loaded", fresh.id)
    # And it is told.
    wait.until(
        lambda: all(restarts(e, role) >= ROUNDS for role in KILLED for e in
                    client.events("agent_heartbeat")[-1:]),
        lambda: f"restarts in {client.events('agent_heartbeat')[-1:]}")
    assert agent.process.poll() is None


def wait_healthy(agent, timeout=40):
    def healthy():
        return agent.get("/healthz")[1]["status"] == "healthy"
    wait.until(healthy, lambda: f"healthy: {agent.get('/healthz')}", timeout)


def restarts(heartbeat, role):
    """How often a worker was restarted, as a heartbeat says."""
    for part in (heartbeat["metadata"], heartbeat["data"]):
        counts = part.get("worker_restarts")
        if isinstance(counts, dict):
            return counts.get(role, 0)
    return 0


def test_counters_go_on_over_a_bpfd_crash(agent, tree, counter, cgroup):
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    cgroup.ping(5)

    def counted(number):
        return lambda: agent.programs()[artifact.id]["telemetry"][
            "packets_processed"] == number
    wait.until(counted(5), "five counted")
    wait_respawned(agent, "bpfd", kill_worker(agent, "bpfd"))
    cgroup.ping(5)
    wait.until(counted(10), "ten counted")


def test_bpfd_killed_while_loading(agent, tree, counter):
    """At whatever moment it dies: loaded once, in the end, nothing twice."""
    for number in range(5):
        artifact = counter(name=f"it_load_{number}")
        pid = wait.until(lambda: agent.workers().get("bpfd"), "bpfd runs", 40)
        tree.publish(*tree.listed, artifact)
        wait.until(lambda a=artifact: agent.programs().get(a.id), "listed",
                   every=0.001)
        os.kill(pid, signal.SIGKILL)
        wait_respawned(agent, "bpfd", pid)
        agent.wait_running(artifact, timeout=40)
    wait.until(lambda: [len(agent.held()[k]) for k in ("link", "prog")] ==
               [5, 5], lambda: f"five of each: {agent.held()}")
    held = agent.held()
    assert agent.stop()[0] == 0
    for kind in kernel.KINDS:
        wait.until(lambda k=kind: not [i for i in held[k]
                                       if kernel.exists(k, i)],
                   f"every {kind} is gone")


def test_ttl_holds_while_workers_are_away(agent, tree, counter):
    """Unloading is close(2) in agentd and needs nobody."""
    def live():
        artifact = counter(ttl=3)
        tree.publish(artifact)
        absent = time.monotonic()

        def appears():
            nonlocal absent
            before, links = time.monotonic(), agent.held()["link"]
            absent = absent if links else before
            return links
        link = wait.until(appears, "a link", every=0.002).pop()
        appeared = time.monotonic()
        # bpfd says that it is done after it has handed over the link.
        agent.wait_log(msg="BPF program loaded", artifact_id=artifact.id)
        with kernel.stopped(*agent.workers().values()):
            wait.until(lambda: not kernel.exists("link", link),
                       "the link is gone", every=0.002)
            gone = time.monotonic()
        assert gone - absent >= 3 - 0.05
        # What of this is the machine's is not known, but it is not always.
        return gone - appeared
    wait.measured(live, 3.1)


def test_agentd_killed_takes_its_programs_along(agent, tree, counter,
                                                cgroup, denier):
    """Fail-safe: nothing outlives whoever keeps its TTL."""
    artifacts = [counter(), denier()]
    tree.publish(*artifacts)
    agent.wait_running(*artifacts)
    held = agent.held()
    assert cgroup.ping() == 0
    kill_all(agent)
    for kind in kernel.KINDS:
        wait.until(lambda k=kind: not [i for i in held[k]
                                       if kernel.exists(k, i)],
                   f"every {kind} is gone")
    wait.until(lambda: cgroup.ping() == 1, "packets pass")
    # The next one takes up where this one was.
    agent.start()
    agent.wait_running(*artifacts)


def test_agentd_killed_at_any_moment_keeps_state(agent, tree, counter):
    """What expired before a crash stays expired after it."""
    gone = counter(name="it_gone", ttl=1)
    tree.publish(gone)
    agent.wait_status(gone.id, "unloaded")
    assert agent.wait_log(msg="BPF program loaded", artifact_id=gone.id)
    for delay in (0.0, 0.05, 0.2):
        stays = counter(name="it_stays")
        tree.publish(gone, stays)
        time.sleep(delay)
        kill_all(agent)
        agent.start()
        agent.wait_running(stays)
        assert agent.status_of(gone.id) != "running"
        # Its predecessor may have been running from the cache.
        wait.until(lambda: len(agent.held()["link"]) == 1, "one link")


def test_spawner_killed(agent, tree, counter):
    """Without it no worker can be started: agentd must not go on as if."""
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    held = agent.held()
    os.kill(agent.spawner(), signal.SIGKILL)

    def settled():
        if agent.process.poll() is not None:
            return "exited"
        return "respawned" if set(agent.workers()) == set(KILLED) and \
            agent.spawner() else None
    how = wait.until(settled, "an end, or a new spawner")
    if how == "exited":
        assert agent.process.returncode != 0
        wait.until(lambda: not [i for i in held["link"]
                                if kernel.exists("link", i)], "detached")
    else:
        assert agent.held() == held


def test_registry_down_unloads_nothing(make_agent, nginx, nats, tree, counter,
                                       client):
    agent = make_agent(nginx.url, nats.url).start()
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    links = agent.held()["link"]
    nginx.stop()
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "degraded",
               "degraded")
    reasons = str(agent.get("/healthz")[1]["reasons"])
    assert "registry" in reasons
    wait.never(lambda: agent.held()["link"] != links, "unloaded", 2.5)
    nginx.start()
    wait_healthy(agent)
    assert agent.held()["link"] == links
    # Refused polls are said, but not once a second for ever.
    assert len(agent.log(component="registry", level="error")) + \
        len(agent.log(component="registry", level="warn")) <= 10


def test_registry_down_at_start(make_agent, nginx, nats, tree, counter):
    artifact = counter()
    tree.publish(artifact)
    nginx.stop()
    agent = make_agent(nginx.url, nats.url).start()
    assert agent.get("/status")[1]["total_programs"] == 0
    nginx.start()
    agent.wait_running(artifact)


def test_registry_down_at_start_runs_from_cache(make_agent, nginx, nats, tree,
                                                counter):
    agent = make_agent(nginx.url, nats.url).start()
    artifact = counter(ttl=300)
    tree.publish(artifact)
    agent.wait_running(artifact)
    assert agent.get("/status")[1]["from_cache"] is False
    wait.until(lambda: agent.programs()[artifact.id]["ttl_seconds"] <= 297,
               "some of its time is over")
    agent.stop()
    nginx.stop()
    agent.start()
    agent.wait_running(artifact)
    wait.until(lambda: agent.get("/status")[1]["from_cache"], "it is said")
    status = agent.get("/status")[1]
    # Its time goes on from when it was loaded first.
    assert status["applied_artifacts"][0]["ttl_seconds"] <= 297
    health = agent.get("/healthz")[1]
    assert health["status"] == "degraded"
    assert any(reason.startswith("cache") for reason in health["reasons"])
    nginx.start()
    wait_healthy(agent)
    wait.until(lambda: agent.get("/status")[1]["from_cache"] is False,
               "nor any more")
    assert agent.status_of(artifact.id) == "running"


def test_frozen_registry_is_told(agent, tree, counter):
    """A list that is past its own time is used, but not in silence."""
    artifact = counter()
    at = datetime.datetime.now(datetime.timezone.utc)
    later = at + datetime.timedelta(hours=1)
    tree.publish(artifact, expires=later.strftime("%Y-%m-%dT%H:%M:%SZ"))
    agent.wait_running(artifact)
    wait_healthy(agent)
    soon = (datetime.datetime.now(datetime.timezone.utc) +
            datetime.timedelta(seconds=4))
    tree.publish(artifact, expires=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    wait.until(lambda: any(
        "the list expired at" in reason
        for reason in agent.get("/healthz")[1].get("reasons", [])),
        lambda: f"degraded: {agent.get('/healthz')}")
    assert datetime.datetime.now(datetime.timezone.utc) >= soon - \
        datetime.timedelta(seconds=1)
    assert agent.get("/healthz")[0] == 200
    assert agent.status_of(artifact.id) == "running"
    tree.publish(artifact, expires=later.strftime("%Y-%m-%dT%H:%M:%SZ"))
    wait_healthy(agent)


def test_registry_errors_unload_nothing(agent, tree, counter):
    """A list that cannot be read, or is no list, is a failed poll."""
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    links = agent.held()["link"]
    for bad in (b"", b"{", b"<html>502</html>", b'{"artifacts": 7}',
                b'"artifacts"', b"\x00\xff" * 100):
        tree.publish_raw(bad)
        wait.never(lambda: agent.held()["link"] != links,
                   f"unloaded by {bad!r}", 1.3)
    os.unlink(os.path.join(tree.root, "artifacts", "for-host",
                           agent.host_id))
    wait.never(lambda: agent.held()["link"] != links, "unloaded", 2.5)


def subscribed_first(agent, nats):
    """Start the broker; a client that is there before telemd is."""
    with kernel.stopped(agent.workers()["telemd"]):
        return nats.start().client()


def test_broker_down_at_start(make_agent, tree, nats, counter):
    """It works, says so, and delivers in order when the broker is there."""
    nats.stop()
    agent = make_agent(tree.url, nats.url).start()
    artifact = counter(ttl=2)
    tree.publish(artifact)
    agent.wait_status(artifact.id, "unloaded")
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "degraded",
               "degraded")
    assert "nats" in str(agent.get("/healthz")[1]["reasons"])
    client = subscribed_first(agent, nats)
    client.wait_event("program_unloaded", artifact.id)
    kinds = [e["type"] for e in client.events(artifact_id=artifact.id)
             if e["type"] in ("program_loaded", "program_unloaded")]
    assert kinds == ["program_loaded", "program_unloaded"]
    wait_healthy(agent)
    client.close()


def test_broker_restart(agent, tree, nats, client, counter):
    first, second, third = (counter(name=f"it_b{n}") for n in range(3))
    tree.publish(first)
    client.wait_event("program_loaded", first.id)
    nats.stop()
    tree.publish(first, second)
    agent.wait_running(second)
    again = subscribed_first(agent, nats)
    again.wait_event("program_loaded", second.id)
    tree.publish(first, second, third)
    again.wait_event("program_loaded", third.id)
    # One whose delivery the first broker had not told yet came twice.
    numbered = {(e["metadata"]["seq"], e["metadata"]["event_id"])
                for e in client.events() + again.events()}
    assert len(numbered) == len({seq for seq, _ in numbered})
    again.close()


# --- rollback ---

def test_violations_roll_back(make_agent, tree, nats, client, counter,
                              cgroup):
    agent = make_agent(tree.url, nats.url, rollback_max_violations=5).start()
    artifact = counter(parameters={"violations_each": 1})
    tree.publish(artifact)
    agent.wait_running(artifact)
    cgroup.ping(5)
    wait.never(lambda: agent.status_of(artifact.id) != "running",
               "rolled back at the threshold, not above it", 1.5)
    cgroup.ping(1)
    agent.wait_status(artifact.id, "rolled_back")
    wait.until(lambda: not agent.held()["link"], "unloaded")
    event = client.wait_event("program_rolled_back", artifact.id)
    assert event["data"]["status"] == "rolled_back"
    assert event["metadata"]["rollback_reason"] == "telemetry_threshold"
    assert event["metadata"]["threshold"] == "max_violations"
    assert float(event["metadata"]["value"]) == 6
    steps = wait.until(
        lambda: [s for s in client.on("agent.rollback.status")
                 if s["artifact_id"] == artifact.id][2:] and
        client.on("agent.rollback.status"), "three steps")
    assert [s["status"] for s in steps] == ["initiated", "in_progress",
                                            "completed"]
    body = agent.get("/rollbacks")[1]
    assert body["total"] == 1
    entry = body["rollbacks"][0]
    assert entry["artifact_id"] == artifact.id
    assert entry["threshold"] == "max_violations"
    wait.until(lambda: agent.get("/rollbacks")[1]["rollbacks"][0][
        "status"] == "completed", "it is shown")
    # A tombstone: still listed, not loaded, not after a restart either.
    wait.never(lambda: agent.held()["link"], "loaded again", 1.5)
    agent.stop()
    agent.start()
    wait.never(lambda: agent.held()["link"], "loaded after a restart", 1.5)
    assert agent.get("/rollbacks")[1]["total"] == 1


def test_errors_roll_back(make_agent, tree, nats, client, counter, cgroup):
    agent = make_agent(tree.url, nats.url, rollback_max_errors=3).start()
    bad = counter(parameters={"errors_each": 10})
    good = counter(name="it_good")
    tree.publish(bad, good)
    agent.wait_running(bad, good)
    cgroup.ping(1)
    agent.wait_status(bad.id, "rolled_back")
    agent.wait_status(good.id, "running")
    event = client.wait_event("program_rolled_back", bad.id)
    assert event["metadata"]["threshold"] == "max_errors"


def test_orchestrator_signal_rolls_back(agent, tree, nats, client, counter):
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    subject = f"orchestrator.rollback.{agent.host_id}"
    answer = client.request(subject, {"artifact_id": artifact.id,
                                      "reason": "looks \"bad\"\n"})
    assert answer["status"] == "accepted"
    agent.wait_status(artifact.id, "rolled_back")
    event = client.wait_event("program_rolled_back", artifact.id)
    assert event["metadata"]["rollback_reason"] == "orchestrator_signal"
    # What it said, without what would make another line of it.
    assert event["metadata"]["reason"] == 'looks "bad"?'
    [entry] = agent.get("/rollbacks")[1]["rollbacks"]
    assert entry["metadata"]["detail"] == 'looks "bad"?'
    unloaded = client.wait_event("program_unloaded", artifact.id)
    assert unloaded["metadata"]["reason"] == "rolled_back"
    answer = client.request(subject, {"artifact_id": "no-such"})
    assert answer["status"] == "rejected" and "no-such" in answer["error"]


def steps_of(client, artifact):
    return [s["status"] for s in client.on("agent.rollback.status")
            if s["artifact_id"] == artifact.id]


@pytest.mark.parametrize("wanted", [True, False])
def test_verifier_failure_is_a_rollback_where_that_is_wanted(
        make_agent, tree, nats, client, counter, key, objects, cgroup, wanted):
    """And the version that it was to replace goes on untouched, either way."""
    agent = make_agent(tree.url, nats.url, rollback_verifier_failure=
                       "true" if wanted else "false").start()
    old = counter()
    tree.publish(old)
    agent.wait_running(old)
    links = agent.held()["link"]
    new = Artifact(key, old.name, objects["reject"],
                   [{"program": "it_reject", "cgroup": cgroup.path}],
                   version="1.1.0")
    tree.publish(new)
    agent.wait_status(new.id, "rolled_back" if wanted else "failed")
    error = client.wait_event("program_error", new.id)
    assert error["data"]["verifier_msg"]
    rollbacks = agent.get("/rollbacks")[1]["rollbacks"]
    if wanted:
        event = client.wait_event("program_rolled_back", new.id)
        for cause in (event["metadata"]["rollback_reason"],
                      event["metadata"]["threshold"],
                      rollbacks[0]["reason"], rollbacks[0]["threshold"]):
            assert cause == "verifier_failure"
        wait.until(lambda: steps_of(client, new) == [
            "initiated", "in_progress", "completed"], "three steps")
    else:
        assert rollbacks == [] and not steps_of(client, new)
    # Two polls without it have passed by then, and more.
    wait.never(lambda: agent.held()["link"] != links, "it was let go", 3)
    assert agent.status_of(old.id) == "running"


def test_signed_limits_tighten(agent, tree, client, counter, cgroup):
    """An artifact's own limit is the lower one, and cannot be a higher one."""
    tight = counter(name="it_tight", parameters={"violations_each": 1},
                    metadata={"rollback": {"max_violations": 2}})
    loose = counter(name="it_loose", parameters={"violations_each": 30},
                    metadata={"rollback": {"max_violations": 1000000}})
    tree.publish(tight, loose)
    agent.wait_running(tight, loose)
    cgroup.ping(3)
    agent.wait_status(tight.id, "rolled_back")
    assert agent.status_of(loose.id) == "running"
    event = client.wait_event("program_rolled_back", tight.id)
    assert (event["metadata"]["value"], event["metadata"]["limit"]) == (3, 2)
    cgroup.ping(1)  # the agent's is 100
    agent.wait_status(loose.id, "rolled_back")
    event = client.wait_event("program_rolled_back", loose.id)
    assert (event["metadata"]["value"], event["metadata"]["limit"]) == (
        120, 100)


SIGNALS = {
    "empty": b"",
    "cut off": b"{",
    "no object": b"[]",
    "id no string": b'{"artifact_id": 7}',
    "no id": b'{"reason": "x"}',
    "long id": b'{"artifact_id": "' + b"a" * 200 + b'"}',
    "too long": b'{"artifact_id": "' + b"a" * 5000 + b'"}',
    "path": b'{"artifact_id": "../../etc/passwd"}',
    "no text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("what", SIGNALS)
def test_malformed_signal(agent, tree, client, counter, what):
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    answer = client.request(f"orchestrator.rollback.{agent.host_id}",
                            SIGNALS[what])
    assert answer["status"] == "rejected" and answer["error"]
    agent.wait_status(artifact.id, "running")  # "loaded" until it is sampled
    assert agent.process.poll() is None


def test_previous_version_comes_back(agent, tree, client, counter):
    """Rolled back within its probation: the one before is restored."""
    old = counter(version="1.0.0")
    tree.publish(old)
    agent.wait_running(old)
    new = counter(version="1.1.0")
    tree.publish(new)
    agent.wait_running(new)
    wait.until(lambda: len(agent.held()["link"]) == 1, "replaced")
    client.request(f"orchestrator.rollback.{agent.host_id}",
                   {"artifact_id": new.id})
    agent.wait_status(old.id, "running", "loaded")
    agent.wait_status(new.id, "rolled_back")
    wait.until(lambda: len(agent.held()["link"]) == 1, "one link")


@pytest.mark.parametrize("carry", [True, False])
def test_previous_version_comes_back_as_it_was(agent, tree, client, counter,
                                               cgroup, carry):
    """It was never out of the kernel: the same program is attached again,
    with the maps it had, or those that the newer one went on with."""
    def packets(artifact):
        telemetry = agent.programs()[artifact.id]["telemetry"]
        return telemetry["packets_processed"]

    metadata = {"carry_maps": ["stats"]} if carry else {}
    old = counter(version="1.0.0", metadata=metadata)
    tree.publish(old)
    agent.wait_running(old)
    cgroup.ping(5)
    wait.until(lambda: packets(old) >= 5, "counted")
    programs, maps = agent.held()["prog"], agent.held()["map"]
    new = counter(version="1.1.0", metadata=metadata)
    tree.publish(new)
    agent.wait_running(new)
    both = agent.held()
    assert programs < both["prog"] and len(both["prog"]) == 2
    cgroup.ping(5)
    counted = 10 if carry else 5
    wait.until(lambda: packets(new) >= counted, "counted")
    assert carry or packets(new) < 10
    client.request(f"orchestrator.rollback.{agent.host_id}",
                   {"artifact_id": new.id})
    agent.wait_status(new.id, "rolled_back")
    wait.until(lambda: agent.held()["prog"] == programs, "the same program")
    wait.until(lambda: agent.held()["map"] == maps, "the same maps")
    wait.until(lambda: len(agent.held()["link"]) == 1, "one link")
    wait.until(lambda: packets(old) >= counted, "counted")
    cgroup.ping(5)
    wait.until(lambda: packets(old) >= counted + 5, "counted on")


def held_by_others(prefix):
    """Ids of the programs that others' processes have descriptors of."""
    ids = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if not os.readlink(f"/proc/{entry}/exe").startswith(prefix):
                    ids |= kernel.held(int(entry))["prog"]
            except OSError:
                pass
    return ids


def test_objects_before_and_after(make_agent, tree, nats, counter, passer,
                                  denier, prefix):
    """A day in short: loads, expiry, replacement, failure, crash, stop; the
    kernel has as many programs of ours as before."""
    names = ("it_count", "it_pass", "it_deny")
    before = {n: kernel.progs_named(n) for n in names}
    agent = make_agent(tree.url, nats.url).start()
    for version in range(3):
        good = (counter(ttl=2), passer(version=f"1.0.{version}"),
                denier(version=f"1.0.{version}"))
        tree.publish(*good, counter(name="it_bad").tampered())
        for artifact in good:
            agent.wait_log(msg="BPF program loaded", artifact_id=artifact.id)
        wait_respawned(agent, "bpfd", kill_worker(agent, "bpfd"))
    assert agent.stop()[0] == 0
    for name in names:
        # What somebody else on the machine holds is not ours.
        wait.until(lambda n=name: kernel.progs_named(n) - before[n] <=
                   held_by_others(prefix), f"no {name} is left")
