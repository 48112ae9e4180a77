# SPDX-License-Identifier: ISC
"""A restart under a service manager that keeps descriptors: programs go on
without a gap, and whatever does not belong together is let go."""

import datetime
import os
import signal
import subprocess
import sys
import time

import pytest

from aegis import kernel, wait
from aegis.manager import Manager

HANDED_OVER = 75

# Sends numbered datagrams until its input ends, then says how many.
_SENDER = """
import select, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
n = 0
while not select.select([sys.stdin], [], [], 0.0005)[0]:
    s.sendto(b"x", ("127.0.0.1", 9))
    n += 1
print(n)
"""


@pytest.fixture
def manager():
    manager = Manager()
    yield manager
    manager.close()


@pytest.fixture
def managed(make_agent, tree, nats, client, manager):
    agent = make_agent(tree.url, nats.url)
    agent.manager = manager
    return agent.start()


def hand_over(agent):
    """What systemd's restart does first: RestartKillSignal=."""
    agent.signal(signal.SIGUSR1)
    assert agent.process.wait(wait.LONG) == HANDED_OVER


def restart(agent):
    hand_over(agent)
    agent.forget_log()
    agent.start()


def link_exists(link):
    return kernel.exists("link", link)


def packets(agent, artifact):
    return agent.programs()[artifact.id]["telemetry"]["packets_processed"]


def test_restart_without_a_gap(managed, manager, tree, counter, passer,
                               client):
    counted, dropped = counter(ttl=600), passer(ttl=600)
    tree.publish(counted, dropped)
    managed.wait_running(counted, dropped)
    held, before = managed.held(), managed.programs()
    for _ in range(2):
        hand_over(managed)
        assert manager.names().count("aegisflux-record") == 1
        assert all(map(link_exists, held["link"]))
        managed.forget_log()
        managed.start()
        wait.until(lambda: managed.held() == held,
                   lambda: f"{held} again: {managed.held()}")
        wait.until(lambda: manager.names() == [], "the store is empty")
        wait.until(lambda: len(managed.log(
            msg="taken up from the agent before")) == 2, "both are taken up")
    assert manager.dropped == [] and manager.refused == 0

    after = managed.wait_running(counted, dropped) and managed.programs()
    for artifact in counted, dropped:
        for name in ("loaded_at", "ttl", "parameters", "version"):
            assert after[artifact.id][name] == before[artifact.id][name], name
    wait.until(lambda: len(client.events("program_loaded")) >= 2, "two loads")
    assert client.events("program_unloaded") == []

    # And it is in charge: what it unloads is out of the kernel.
    tree.publish(dropped)
    managed.wait_log(msg="unloaded", artifact_id=counted.id)
    wait.until(lambda: len(managed.held()["link"]) == 1, "one link is left")
    gone = held["link"] - managed.held()["link"]
    wait.until(lambda: not any(map(link_exists, gone)), "it is detached")
    # What replaces a program that was taken up does it in place.
    newer = passer(version="2.0.0", ttl=600, artifact_id="newer")
    left = managed.held()["link"]
    tree.publish(newer)
    managed.wait_running(newer)
    assert managed.held()["link"] == left
    client.wait_event("program_loaded", newer.id)
    assert len(client.events("program_loaded")) == 3


def test_nothing_is_missed(managed, tree, counter, cgroup):
    """Packets over a whole restart, by number."""
    artifact = counter(ttl=600)
    tree.publish(artifact)
    managed.wait_running(artifact)
    with subprocess.Popen(
            [sys.executable, "-S", "-c", _SENDER], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, preexec_fn=cgroup.join) as sender:
        wait.until(lambda: packets(managed, artifact) > 0, "it counts")
        restart(managed)
        sent = int(sender.communicate()[0])
    assert sent > 100
    wait.until(lambda: packets(managed, artifact) == sent,
               lambda: f"{packets(managed, artifact)} of {sent} counted")


def loaded_at(program):
    """When it was loaded, in seconds since 1970."""
    return datetime.datetime.fromisoformat(
        program["loaded_at"].replace("Z", "+00:00")).timestamp()


def test_time_goes_on(managed, tree, counter, client):
    """Though nobody is there for half of it."""
    ttl = 15
    artifact = counter(ttl=ttl)
    tree.publish(artifact)
    program = managed.wait_running(artifact)
    loaded = time.monotonic() - (time.time() - loaded_at(program))
    link, = managed.held()["link"]
    hand_over(managed)
    wait.until(lambda: time.monotonic() > loaded + ttl / 2, "half is over")
    managed.forget_log()
    again = time.monotonic()
    managed.start()
    managed.wait_log(msg="taken up from the agent before")
    wait.until(lambda: not link_exists(link), "it expires")
    gone = time.monotonic()
    assert ttl - 0.1 < gone - loaded
    # Not as late as if it had begun anew.
    assert gone - again < ttl
    event = client.wait_event("program_unloaded", artifact.id)
    assert event["metadata"]["reason"] == "ttl_expired"


def test_time_is_over_meanwhile(managed, tree, counter, client):
    artifact = counter(ttl=6)
    tree.publish(artifact)
    loaded = loaded_at(managed.wait_running(artifact))
    link, = managed.held()["link"]
    hand_over(managed)
    wait.until(lambda: time.time() > loaded + 7,
               "the time is over")
    assert link_exists(link)
    managed.start()
    wait.until(lambda: not link_exists(link), "it is gone at once")
    event = client.wait_event("program_unloaded", artifact.id)
    assert event["metadata"]["reason"] == "ttl_expired"


def test_what_belongs_to_nothing_is_let_go(managed, manager, tree, counter,
                                           denier, cgroup):
    artifact, guard = counter(ttl=600), denier(ttl=600)
    tree.publish(artifact, guard)
    managed.wait_running(artifact, guard)
    links = managed.held()["link"]
    hand_over(managed)
    # A link of one program is lost, and strangers have come.
    lost = manager.take_link()
    manager.add("aegisflux-held", os.memfd_create("stranger"))
    manager.add("other", os.eventfd(0))
    manager.add("aegisflux-record", os.memfd_create("no-record"))
    managed.forget_log()
    managed.start()
    wait.until(lambda: not link_exists(lost), "it is detached")
    managed.wait_log(msg="cannot be taken up", error="a link is missing")
    managed.wait_log(msg="the record of the agent before cannot be used")
    managed.wait_log(msg="belong to no program that is known")
    managed.wait_running(artifact, guard)
    wait.until(lambda: len(managed.held()["link"]) == 2, "two links")
    assert len(managed.held()["link"] & links) == 1
    wait.until(lambda: manager.names() == [], "the store is empty")


def test_state_file_speaks_against_it(managed, tree, counter):
    artifact = counter(ttl=600)
    tree.publish(artifact)
    managed.wait_running(artifact)
    link, = managed.held()["link"]
    hand_over(managed)
    os.unlink(os.path.join(managed.directory, "state", "state"))
    managed.forget_log()
    managed.start()
    managed.wait_log(msg="cannot be taken up",
                     error="the state file does not know it")
    wait.until(lambda: not link_exists(link), "it is detached")
    managed.wait_running(artifact)


def test_stop_detaches(managed, manager, tree, counter, client):
    artifact = counter(ttl=600)
    tree.publish(artifact)
    managed.wait_running(artifact)
    link, = managed.held()["link"]
    status, took = managed.stop()
    assert status == 0
    wait.until(lambda: not link_exists(link), "it is detached")
    wait.until(lambda: manager.names() == [], "the store is empty")
    event = client.wait_event("program_unloaded", artifact.id)
    assert event["metadata"]["reason"] == "shutdown"

    def again():
        managed.start()
        status, took = managed.stop()
        assert status == 0
        return took
    assert took < 5 or wait.measured(again, 5)


def test_killed_takes_its_programs_along(managed, manager, tree, counter):
    artifact = counter(ttl=600)
    tree.publish(artifact)
    managed.wait_running(artifact)
    restart(managed)
    link, = managed.held()["link"]
    managed.kill()
    wait.until(lambda: not link_exists(link), "it is detached")
    wait.until(lambda: manager.names() == [], "the store is empty")


def test_no_store(managed, manager, tree, counter):
    """FileDescriptorStoreMax=0: nothing is kept, all is loaded anew."""
    manager.store_max = 0
    artifact = counter(ttl=600)
    tree.publish(artifact)
    managed.wait_running(artifact)
    link, = managed.held()["link"]
    restart(managed)
    wait.until(lambda: manager.refused > 0, "it was asked to keep some")
    wait.until(lambda: not link_exists(link), "it is detached")
    managed.wait_running(artifact)


def test_no_service_manager(agent, tree, counter):
    artifact = counter(ttl=600)
    tree.publish(artifact)
    agent.wait_running(artifact)
    agent.signal(signal.SIGUSR1)
    agent.wait_log(msg="SIGUSR1: no service manager")
    assert agent.status_of(artifact.id) in ("running", "loaded")
    assert agent.stop()[0] == 0
