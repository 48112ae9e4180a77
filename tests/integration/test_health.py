# SPDX-License-Identifier: ISC
"""/healthz of the whole agent: each thing that can be wrong has a reason that
names it, and the reason goes when it is mended."""

import json
import os
import signal
import subprocess
import sys

import pytest

from aegis import wait
from aegis.artifact import Artifact
from aegis.vault import Vault


@pytest.fixture
def vault(key):
    stub = Vault(key)
    yield stub
    stub.stop()


@pytest.fixture
def sick(make_agent, nginx, nats, vault):
    """An agent that has everything which can be missing."""
    agent = make_agent(nginx.url, nats.url, vault_url=vault.url)
    # Asks Vault again each second, and heeds it for long.
    agent.set(public_key=None, vault_key_max_age_sec=12)
    agent.start()
    healthy(agent)
    return agent


def healthy(agent, timeout=2 * wait.LONG):
    def look():
        status, body = agent.get("/healthz")
        return (status, body["status"], "reasons" in body) == \
            (200, "healthy", False)
    wait.until(look, lambda: f"healthy: {agent.get('/healthz')}", timeout)


def reason(agent, start, status="degraded"):
    """The reason that starts so; nothing else is wrong."""
    def look():
        code, body = agent.get("/healthz")
        assert code == (503 if status == "unhealthy" else 200)
        assert body["status"] == status
        [text] = body["reasons"]
        return text if text.startswith(start) else None
    return wait.until(look, lambda: f"{start!r}, {status}: "
                                    f"{agent.get('/healthz')}")


def test_registry(sick, nginx):
    nginx.stop()
    # The poll that was under way when it stopped may end in another way.
    wait.until(lambda: "Connection refused" in reason(sick, "registry: "),
               lambda: f"it is refused: {sick.get('/healthz')}")
    nginx.start()
    healthy(sick)


def test_cache(sick, nginx, tree, counter):
    artifact = counter()
    artifact.entry["signature"] = "vault:v1:" + artifact.entry["signature"]
    tree.publish(artifact)
    sick.wait_running(artifact)
    sick.stop()
    nginx.stop()
    sick.start()

    def both():
        reasons = sick.get("/healthz")[1]["reasons"]
        return {text.partition(":")[0] for text in reasons} == \
            {"registry", "cache"}
    wait.until(both, lambda: f"both: {sick.get('/healthz')}")
    assert sick.get("/healthz")[1]["status"] == "degraded"
    nginx.start()
    healthy(sick)


def test_vault(sick, vault):
    """While the keys that are known hold."""
    vault.sealed = True
    assert "sealed" in reason(sick, "vault: ")
    vault.sealed = False
    healthy(sick)


def test_nats(sick, nats):
    nats.stop()
    reason(sick, "nats: not connected: ")
    nats.start()
    healthy(sick)


@pytest.mark.parametrize("worker,status", [
    ("telemd", "degraded"), ("registry", "degraded"), ("vault", "degraded"),
    ("verifyd", "unhealthy"), ("bpfd", "unhealthy")])
def test_worker_in_back_off(sick, worker, status):
    """One that keeps dying is started later each time."""
    seen = []

    def beaten():
        pid = sick.workers().get(worker)
        try:
            if pid:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it was its end already
        code, body = sick.get("/healthz")
        seen[:] = [text for text in body.get("reasons", [])
                   if text.startswith(f"{worker}: worker {worker} is not "
                                      "running (killed by signal 9")]
        return seen and (code, body["status"]) == (
            503 if status == "unhealthy" else 200, status)
    wait.until(beaten, lambda: f"a reason: {sick.get('/healthz')}")
    healthy(sick)


def test_state_that_cannot_be_written(sick, tree, counter):
    """Root without capabilities for files is refused like anybody."""
    directory = sick.environment["AGENT_STATE_DIR"]
    os.chmod(directory, 0o500)
    artifact = counter()
    artifact.entry["signature"] = "vault:v1:" + artifact.entry["signature"]
    tree.publish(artifact)
    assert directory in reason(sick, "state: the state cannot be written")
    os.chmod(directory, 0o700)
    # Nothing more has to happen.
    healthy(sick)
    sick.wait_log(msg="the state is written again")


def violate(veth, count):
    """COUNT packets from the peer, as fast as it can."""
    veth.in_peer(sys.executable, "-c",
                 "import socket\n"
                 "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                 f"for i in range({count}):\n"
                 f"    s.sendto(b'x', ('{veth.address}', 9))\n")


def test_spool_full(make_agent, nginx, nats, bpf_dir, key, veth, tree,
                    work_dir):
    # It may violate as often as it takes, and is not rolled back for it.
    agent = make_agent(nginx.url, nats.url, spool_max_mb=1,
                       violation_rate=1000000,
                       rollback_max_violations=1000000000).start()
    artifact = packed(bpf_dir, key, veth, work_dir)
    tree.publish(artifact)
    agent.wait_running(artifact)
    healthy(agent)
    nats.stop()
    reason(agent, "nats: ")

    def full():
        violate(veth, 2000)
        texts = agent.get("/healthz")[1]["reasons"]
        return any(text.startswith("spool: the event spool is full")
                   for text in texts)
    wait.until(full, lambda: f"full: {agent.get('/healthz')}", 2 * wait.LONG)
    assert agent.get("/healthz")[1]["status"] == "degraded"
    dropped = agent.get("/metrics")[1]["counters"]["events_dropped"]
    assert dropped["violation_report"] > 0
    # Delivered, and nothing more is said: there is room.
    nats.start()
    healthy(agent)
    agent.wait_log(component="telemd", msg="the spool has room")


def packed(bpf_dir, key, veth, directory):
    """xdp_drop_cidr, which reports what it drops, by the recipe."""
    entry = os.path.join(directory, "entry.json")
    out = os.path.join(directory, "a.tar.zst")
    subprocess.run(
        [os.path.join(bpf_dir, "pack"), "-k", key.private, "-i", "drop-1",
         "-t", "900", "-e", entry, "-p", json.dumps({
             "interface": veth.name,
             "cidrs": {f"{veth.peer_address}/32": 7}}), "-o", out,
         os.path.join(bpf_dir, "xdp_drop_cidr.bpf.o")],
        check=True, stdout=subprocess.DEVNULL)
    artifact = Artifact.__new__(Artifact)
    artifact.id = "drop-1"
    with open(entry, encoding="utf-8") as made:
        artifact.entry = json.load(made)
    with open(out, "rb") as data:
        artifact.data = data.read()
    return artifact
