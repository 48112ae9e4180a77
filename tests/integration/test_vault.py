# SPDX-License-Identifier: ISC
"""Without a pinned key the trust anchor comes from Vault: the whole agent
against a stub that answers as Vault's Transit documentation says (there is no
Vault package)."""

import os
import pwd
import subprocess

import pytest

from aegis import kernel, wait
from aegis.vault import Vault


@pytest.fixture
def vault(key):
    stub = Vault(key)
    yield stub
    stub.stop()


def agent_with(make_agent, tree, nats, vault):
    agent = make_agent(tree.url, nats.url, vault_url=vault.url)
    agent.set(public_key=None)
    return agent


def signed_by_vault(artifact):
    artifact.entry["signature"] = "vault:v1:" + artifact.entry["signature"]
    return artifact


def test_key_from_vault_loads_a_program(make_agent, tree, nats, vault,
                                        counter):
    agent = agent_with(make_agent, tree, nats, vault).start()
    artifact = signed_by_vault(counter())
    tree.publish(artifact)
    agent.wait_running(artifact)
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy",
               lambda: f"healthy: {agent.get('/healthz')}")
    # Its own process, as its own user, with nothing else.
    pid = agent.workers()["vault"]
    status = kernel.proc_status(pid)
    assert int(status["Uid"].split()[0]) == pwd.getpwnam("_aegis_vault").pw_uid
    assert status["Uid"] != kernel.proc_status(
        agent.workers()["registry"])["Uid"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    # The token is known to who uses it, and shown nowhere.
    assert not kernel.memory_contains(agent.workers()["registry"],
                                      b"dev-token")
    assert not any("dev-token" in line for line in agent.raw_lines())


def test_vault_refuses_and_then_does_not(make_agent, tree, nats, vault,
                                         counter):
    vault.token = "another"
    agent = agent_with(make_agent, tree, nats, vault).start(ready=False)
    wait.until(lambda: agent.get("/healthz")[0] == 503, "unhealthy")
    tree.publish(signed_by_vault(counter()))
    wait.until(lambda: vault.asked > 0 and any(
        "Vault" in line["msg"] for line in agent.log(level="warn")),
        "a warning about Vault")
    wait.until(lambda: any("vault" in reason for reason in
                           agent.get("/healthz")[1]["reasons"]),
               lambda: f"it is a reason: {agent.get('/healthz')}")
    assert not agent.held()["prog"]
    vault.token = "dev-token"
    wait.until(lambda: agent.get("/healthz")[0] == 200,
               lambda: f"keys: {agent.get('/healthz')}")


def test_vault_worker_killed(make_agent, tree, nats, vault, counter):
    agent = agent_with(make_agent, tree, nats, vault).start()
    first = signed_by_vault(counter())
    tree.publish(first)
    agent.wait_running(first)
    for _ in range(3):
        pid = wait.until(lambda: agent.workers().get("vault"),
                         "the worker")
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
        wait.until(lambda: agent.workers().get("vault") not in (None, pid),
                   "another worker")
    # Keys known so far stay in use meanwhile.
    second = signed_by_vault(counter(name="it_second"))
    tree.publish(first, second)
    agent.wait_running(first, second)


def test_keys_not_confirmed_come_of_age(make_agent, tree, nats, vault,
                                        counter):
    agent = agent_with(make_agent, tree, nats, vault)
    agent.set(vault_key_max_age_sec=5)
    agent.start()
    first = signed_by_vault(counter())
    tree.publish(first)
    agent.wait_running(first)
    # On a busy machine they may be too old before, and renewed: what was
    # asked before it was sealed is answered when two more were.
    vault.sealed = True
    asked = vault.asked
    wait.until(lambda: vault.asked >= asked + 2, "Vault is asked")
    agent.wait_log(level="warn", msg="no longer used")
    wait.until(lambda: any(
        "no longer used" in reason and "5 s" in reason for reason in
        agent.get("/healthz")[1].get("reasons", [])),
        lambda: f"they are too old: {agent.get('/healthz')}")
    told = len(agent.log(msg="no longer used"))
    # Nothing new, but what runs stays; and /healthz says why.
    second = signed_by_vault(counter(name="it_second"))
    tree.publish(first, second)
    agent.wait_status(second.id, "loading")
    wait.never(lambda: agent.status_of(second.id) != "loading",
               "it is verified with keys that are too old", 2)
    assert agent.status_of(first.id) == "running"
    status, body = agent.get("/healthz")
    assert (status, body["status"]) == (200, "degraded")
    # It is told once, and not with every try.
    assert len(agent.log(msg="no longer used")) == told
    vault.sealed = False
    agent.wait_running(second)
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy",
               lambda: f"healthy: {agent.get('/healthz')}")


def test_token_file_is_read_again_when_it_changes(make_agent, tree, nats,
                                                  vault, counter, work_dir):
    path = os.path.join(work_dir, "token")
    with open(path, "w", encoding="ascii") as out:
        out.write("dev-token\n")
    os.chmod(path, 0o600)
    agent = agent_with(make_agent, tree, nats, vault)
    agent.set(vault_token=None, vault_token_file=path,
              vault_key_max_age_sec=12)
    agent.start()
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy",
               "healthy")
    # The old one is no good any more ...
    vault.token = "renewed-token"
    wait.until(lambda: any("token has expired" in reason for reason in
                           agent.get("/healthz")[1].get("reasons", [])),
               lambda: f"refused: {agent.get('/healthz')}")
    # ... and whoever renews it puts the new one in its place, as one does.
    with open(path + ".new", "w", encoding="ascii") as out:
        out.write("renewed-token\n")
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy",
               lambda: f"healthy: {agent.get('/healthz')}")
    agent.wait_log(msg="has changed and is read again")
    assert not any("renewed-token" in line for line in agent.raw_lines())


def test_key_is_rotated(make_agent, tree, nats, vault, counter):
    """A version that is not known makes the agent ask, long before it would
    by itself; a retired one is refused by name."""
    agent = agent_with(make_agent, tree, nats, vault).start()
    first = signed_by_vault(counter())
    tree.publish(first)
    agent.wait_running(first)
    asked = vault.asked
    vault.versions, vault.minimum = (1, 2), 2
    second = counter(name="it_second")
    second.entry["signature"] = "vault:v2:" + second.entry["signature"]
    tree.publish(first, second)
    agent.wait_running(second)
    # Once for the version; not with every try.
    assert vault.asked <= asked + 2
    third = signed_by_vault(counter(name="it_third"))
    tree.publish(first, second, third)
    agent.wait_status(third.id, "failed")
    assert "min_decryption_version is 2" in \
        agent.programs()[third.id]["error"]
    # What was verified before it was retired stays.
    assert agent.status_of(first.id) == "running"
