# SPDX-License-Identifier: ISC
"""Configurations that are read again while that is under way already: each
is answered, the last one is in force, and no program notices."""

import os
import signal
import subprocess
import time

import pytest

from aegis import wait
from aegis.broker import Nats

DONE, REFUSED = 0, 1


@pytest.fixture
def other_nats(work_dir):
    server = Nats(os.path.join(work_dir, "other-nats")).start()
    yield server
    server.stop()


@pytest.fixture
def configured(make_agent, nginx, nats, work_dir, tree, counter, prefix):
    """An agent with a file, and a program that runs."""
    agent = make_agent(nginx.url, nats.url)
    path = os.path.join(work_dir, "agentd.env")
    agent.arguments = ["-f", path]
    for name in ("AGENT_NATS_URL", "AGENT_REGISTRY_URL"):
        agent.environment.pop(name)

    def configure(**values):
        values = {"NATS_URL": nats.url, "REGISTRY_URL": nginx.url, **values}
        with open(path + ".new", "w", encoding="utf-8") as file:
            for name, value in values.items():
                file.write(f"AGENT_{name}={value}\n")
        os.rename(path + ".new", path)

    def ctl():
        return subprocess.Popen(
            [os.path.join(prefix, "sbin", "aegisctl"), "-s",
             agent.environment["AGENT_CONTROL_SOCKET"], "reload"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    agent.configure, agent.reload = configure, ctl
    configure()
    agent.start()
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    healthy(agent)
    agent.artifact, agent.kept = artifact, agent.held()
    agent.killed = 0
    yield agent
    # Nothing of it was for the program to notice.
    assert agent.held() == agent.kept
    assert agent.status_of(artifact.id) == "running"
    assert len(agent.log(msg="BPF program loaded",
                         artifact_id=artifact.id)) == 1
    assert not agent.log(level="error", msg="broke the protocol")
    assert len(agent.log(level="error", msg="worker")) == agent.killed


def healthy(agent):
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy" and
               len(agent.workers()) == 5,
               lambda: f"healthy: {agent.get('/healthz')}, "
                       f"{agent.workers()}")


def hears(broker, agent):
    """The agent's events come to this broker, its heartbeats at least."""
    client = broker.client()
    try:
        client.wait_event("agent_heartbeat")
    finally:
        client.close()


def test_two_signals_at_once(configured, nats, other_nats):
    """Perhaps they become one; what was written last is in force."""
    agent = configured
    for last, url in ((other_nats, other_nats.url), (nats, nats.url)):
        before = len(agent.log(msg="reload: "))
        agent.configure(NATS_URL="nats://127.0.0.1:1")
        agent.signal(signal.SIGHUP)
        agent.configure(NATS_URL=url)
        agent.signal(signal.SIGHUP)
        wait.until(lambda b=before: len(agent.log(msg="reload: ")) > b,
                   "it is said")
        agent.wait_log(component="telemd",
                       msg=f"connected to NATS at {url}")
        healthy(agent)
        hears(last, agent)
    assert not agent.log(msg="reload: the new configuration has")


def test_reload_while_workers_start_anew(configured, nats, other_nats):
    """Both are answered, with what is new for each."""
    agent = configured
    agent.configure(NATS_URL=other_nats.url, LOG_LEVEL="debug")
    first = agent.reload()
    assert first.wait(wait.LONG) == DONE
    assert "AGENT_NATS_URL" in first.stdout.read()
    # telemd is ending or starting now.
    agent.configure(NATS_URL=nats.url, LOG_LEVEL="debug", HEARTBEAT_SEC=2)
    second, third = agent.reload(), agent.reload()
    texts = []
    for process in (second, third):
        assert process.wait(wait.LONG) == DONE
        texts.append(process.stdout.read().strip())
    # One of them brings the news; for the other there is nothing more.
    assert "nothing changed" in texts
    assert any("AGENT_NATS_URL" in text for text in texts), texts
    healthy(agent)
    hears(nats, agent)


def test_reload_while_a_start_is_under_way(configured, nats, other_nats):
    """The spawner has not said yet which process it is.  One that is of no
    use any more ends before the next is started."""
    agent = configured
    spawner = agent.spawner()
    os.kill(spawner, signal.SIGSTOP)
    try:
        os.kill(agent.workers()["telemd"], signal.SIGKILL)
        agent.killed = 1
        agent.wait_log(msg="worker telemd ended")
        # Another is asked for after 0.1 s, which nothing tells.
        time.sleep(1)
        agent.configure(NATS_URL=other_nats.url)
        process = agent.reload()
        assert process.wait(wait.LONG) == DONE
        assert "AGENT_NATS_URL" in process.stdout.read()
        # Were it asked for a second one, it would be by now.
        time.sleep(0.3)
    finally:
        os.kill(spawner, signal.SIGCONT)
    healthy(agent)
    hears(other_nats, agent)
    assert not agent.log(error="still runs")
    row, = (row for row in agent.get("/version")[1]["workers"]
            if row["worker"] == "telemd")
    assert row["restarts"] == 1


def test_many_at_once(configured, nats, other_nats, tree, counter):
    """Signals and commands together, with a bad file among the good; what
    happens meanwhile is told to one of the brokers, and once."""
    agent = configured
    answers = []
    clients = nats.client(), other_nats.client()
    second = counter(name="it_second")
    for turn in range(6):
        bad = turn == 3
        agent.configure(NATS_URL=(other_nats, nats)[turn % 2].url,
                        LOG_LEVEL="loud" if bad else "info")
        agent.signal(signal.SIGHUP)
        process = agent.reload()
        assert process.wait(wait.LONG) == (REFUSED if bad else DONE)
        answers.append(process.stdout.read())
        if turn == 2:
            tree.publish(agent.artifact, second)
    assert "1 errors" in answers[3]
    agent.wait_running(second)
    healthy(agent)

    def told():
        return [event for client in clients for event in
                client.events("program_loaded", second.id)]
    wait.until(told, "it is told")
    hears(nats, agent)
    assert len({event["metadata"]["event_id"] for event in told()}) == 1
    for client in clients:
        client.close()
    tree.publish(agent.artifact)
    wait.until(lambda: agent.held() == agent.kept, "the second is gone")
