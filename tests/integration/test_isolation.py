# SPDX-License-Identifier: ISC
"""Code of an attacker's choosing in the place of a worker: fetchd (both
instances), verifyd, bpfd, telemd, apid.  It starts as they do, with the same row of
the sandbox table, and then tries what it should not be able to do.  The real
agentd is on the other side; traitor.c has the orders that it takes."""

import os
import re
import shutil
import signal
import time

import pytest

from aegis import kernel, net, wait
from aegis.vault import Vault

PROGRAMS = ("fetchd", "verifyd", "bpfd", "apid", "telemd")
VAULT_TOKEN = "the-token-of-vault-and-no-other"
REGISTRY_TOKEN = "the-token-of-the-registry-alone"


class Stage:
    """A directory of workers that agentd finds in the place of its own: in
    a mount namespace of its, so that nothing of the product knows of it."""

    def __init__(self, directory, prefix, build_dir):
        self.directory = os.path.join(directory, "libexec")
        installed = os.path.join(prefix, "libexec", "aegisflux")
        traitor = os.path.join(build_dir, "tests/integration/traitor")
        shutil.copytree(installed, os.path.join(self.directory, "real"))
        for program in PROGRAMS:
            shutil.copy(traitor, os.path.join(self.directory, program))
        os.chmod(self.directory, 0o755)
        self.launcher = ["unshare", "--mount", "sh", "-c",
                         f"mount --bind {self.directory} {installed} && "
                         'exec "$0"']

    def order(self, role, *orders):
        path = os.path.join(self.directory, "orders." + role)
        with open(path + ".new", "w", encoding="ascii") as out:
            out.write("".join(order + "\n" for order in orders))
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)

    def dismiss(self, role):
        os.unlink(os.path.join(self.directory, "orders." + role))


@pytest.fixture
def stage(work_dir, prefix, build_dir):
    return Stage(work_dir, prefix, build_dir)


@pytest.fixture
def vault(key):
    stub = Vault(key, VAULT_TOKEN)
    yield stub
    stub.stop()


def secret_file(work_dir, name, text):
    path = os.path.join(work_dir, name)
    with open(path, "w", encoding="ascii") as out:
        out.write(text + "\n")
    os.chmod(path, 0o600)
    return path


@pytest.fixture
def agent(make_agent, nginx, nats, vault, stage, work_dir):
    agent = make_agent(nginx.url, nats.url, vault_url=vault.url)
    agent.set(public_key=None, vault_token=None,
              vault_token_file=secret_file(work_dir, "vault", VAULT_TOKEN),
              registry_token_file=secret_file(work_dir, "registry-token",
                                              REGISTRY_TOKEN))
    agent.launcher = stage.launcher
    agent.start()
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy",
               lambda: f"healthy: {agent.get('/healthz')}")
    return agent


@pytest.fixture
def signed(counter):
    """signed(...): counter(), by the key that Vault has."""
    def make(**kwargs):
        artifact = counter(**kwargs)
        artifact.entry["signature"] = ("vault:v1:" +
                                       artifact.entry["signature"])
        return artifact
    return make


def end(agent, role):
    """The honest worker goes, so that the next start takes the orders."""
    pid = wait.until(lambda: agent.workers().get(role), "the worker runs")
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: agent.workers().get(role) != pid, "it is gone")


def outcome(agent, role, order):
    """How an order ended: an errno's name, "ok", "SIGSYS", or None."""
    for line in agent.log(component=role):
        if line["msg"].startswith(f"order {order}: "):
            return line["msg"].rpartition(": ")[2]
    for line in agent.log(component=role):
        begun = re.fullmatch(rf"order {re.escape(order)}, pid (\d+)",
                             line["msg"])
        if begun and agent.log(msg=f"pid {begun[1]}: killed by signal 31"):
            return "SIGSYS"
    return None


def obey(agent, stage, role, orders):
    """Order -> outcome.  Each that is fatal costs a start."""
    outcomes = {}
    left = list(orders)
    stage.order(role, *left)
    end(agent, role)
    while left:
        outcomes[left[0]] = wait.until(
            lambda: outcome(agent, role, left[0]),
            lambda: f"{role}: {left[0]}; so far {outcomes}; the last lines:\n"
                    + "\n".join(agent.raw_lines()[-12:]))
        fatal = outcomes[left.pop(0)] == "SIGSYS"
        if fatal and left:
            stage.order(role, *left)
    return outcomes


@pytest.mark.parametrize("role", ["registry", "vault", "verifyd", "bpfd",
                                  "apid", "telemd"])
def test_a_worker_taken_over_gets_nowhere(agent, stage, role, work_dir):
    other = {"registry": "vault"}.get(role, "registry")
    pid = agent.workers()[other]
    ports = {"registry": agent.environment["AGENT_VAULT_URL"],
             "vault": agent.environment["AGENT_REGISTRY_URL"]}
    port = int(ports.get(role, ports["registry"]).rpartition(":")[2])
    assert net.connects(port), "there is somebody to connect to"
    orders = [
        # the other instance's secret, and what else lies about
        f"open {work_dir}/vault", f"open {work_dir}/registry-token",
        f"open {agent.directory}/state/state",
        "open /proc/1/environ", "open /usr/bin/true",
        f"create {work_dir}/file", "create /tmp/traitor",
        f"memory {pid}", f"memory {agent.pid}",
        # somebody else's server
        f"connect {port}",
        # a descriptor for agentd that holds it up when it closes it
        "linger 60",
        # each of these is mostly the last thing it does
        f"fastopen {port}",
        "exec /usr/bin/true", f"ptrace {pid}", f"readv {pid}", f"kill {pid}",
    ]
    outcomes = obey(agent, stage, role, orders)
    assert set(outcomes.values()) <= {"SIGSYS", "EACCES", "EPERM"}, outcomes
    fatal = {order for order, how in outcomes.items() if how == "SIGSYS"}
    assert {"exec /usr/bin/true", f"fastopen {port}", f"ptrace {pid}",
            f"readv {pid}"} <= fatal
    if role in ("verifyd", "bpfd"):
        assert f"connect {port}" in fatal
    assert agent.workers()[other] == pid
    # agentd says what it was, in the log, as a counter and as a reason.
    agent.wait_log(msg="it made a system call that its sandbox forbids")
    if role != "apid":
        wait.until(lambda: any(
            f"worker {role} is not running" in reason
            for reason in agent.get("/healthz")[1].get("reasons", [])),
            lambda: f"a reason: {agent.get('/healthz')}")
    stage.dismiss(role)
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy",
               lambda: f"healthy: {agent.get('/healthz')}", 60)
    row = next(row for row in agent.get("/version")[1]["workers"]
               if row["worker"] == role)
    assert row["restarts"] >= len(fatal)


def test_a_worker_that_talks_too_much(agent, stage):
    """Its lines are left out, and counted; what is logged is not held up."""
    lines = 3000
    stage.order("apid", f"log {lines}")
    start = time.monotonic()
    end(agent, "apid")
    left_out = "log lines of apid are left out: more than 500 a second"

    def written():
        return len(agent.log(component="apid", msg=f"of {lines}"))

    def told():
        return sum(int(line["msg"].split()[0])
                   for line in agent.log(msg=left_out, level="warn"))
    # All in one second, mostly.
    wait.until(lambda: written() + told() >= lines,
               lambda: f"{lines} lines: {written()} written, {told()} told")
    assert 0 < written() <= 500 * (1 + time.monotonic() - start)
    assert told() > 0
    stage.dismiss("apid")
    end(agent, "apid")
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy",
               lambda: f"healthy: {agent.get('/healthz')}", 60)


def test_neither_instance_has_the_others_secret(agent):
    """Nor was it ever there to be found."""
    workers = agent.workers()
    for role, secret in (("registry", VAULT_TOKEN), ("vault", REGISTRY_TOKEN)):
        assert not kernel.memory_contains(workers[role], secret.encode()), role
    for role in ("verifyd", "bpfd", "apid", "telemd"):
        for secret in (VAULT_TOKEN, REGISTRY_TOKEN):
            assert not kernel.memory_contains(workers[role],
                                              secret.encode()), role


def violations(agent):
    return agent.get("/metrics")[1]["counters"]["protocol_violations"]


def breach_over(agent, role, order):
    """The line that says how the worker ended that had this order; one that
    had the order before may have been started, and ended, once more."""
    def find():
        lines = agent.log()
        begun = next(i for i, line in enumerate(lines)
                     if line["component"] == role
                     and line["msg"].startswith(f"order {order}, pid"))
        return next(line for line in lines[begun:]
                    if line["msg"] == f"worker {role} ended"
                    and "broke the protocol and was killed" in line["error"])

    def found():
        try:
            return find()
        except StopIteration:
            return None
    return wait.until(found, lambda: f"{role} ended over {order}:\n"
                      + "\n".join(agent.raw_lines()[-12:]))


def breaches(agent, stage, role, steps, cause=lambda: None):
    """Each order ends the worker, and agentd says so with these words.
    CAUSE is what the worker is then asked about."""
    before = violations(agent) if role != "apid" else 0
    stage.order(role, steps[0][0])
    for at, (order, words) in enumerate(steps):
        agent.forget_log()
        if at == 0:
            end(agent, role)  # before it is asked: it would answer
        cause()
        line = breach_over(agent, role, order)
        if at + 1 < len(steps):
            stage.order(role, steps[at + 1][0])
        else:
            stage.dismiss(role)
        if order.startswith(("send", "with")):
            assert f"message {order.split()[-1]} " in line["error"] or \
                f"message {order.split()[-1]}:" in line["error"], line
        assert words in line["error"], line
        # It is not only cut off but ended.
        agent.wait_log(msg=f"worker {role}, pid")
    wait.until(lambda: agent.get("/healthz")[0] == 200 and
               role in agent.workers(), "another takes its place")
    wait.until(lambda: violations(agent) >= before + (
        len(steps) if role != "apid" else 1), "protocol_violations counts")


NOT_OURS = "not this peer's message"
SENDS = {
    "registry": ("VAULT_KEYS", "VERIFY_DONE", "LOAD_LINK", "FETCH_POLL"),
    "vault": ("FETCH_LIST", "FETCH_DONE", "VERIFY_DONE", "SECRET"),
    # VERIFY_INSPECT and what it answers are between aegisctl and its own.
    "verifyd": ("FETCH_LIST", "LOAD_PROG", "VAULT_KEYS", "VERIFY_KEYS",
                "VERIFY_INSPECT"),
    # It attaches, but who else may be asked for anything is agentd's to say.
    "bpfd": ("VERIFY_PLAN", "FETCH_LIST", "SIGNAL_ROLLBACK", "SPAWN_STARTED"),
    "apid": ("CTL_REQUEST", "SIGNAL_ROLLBACK", "API_SNAPSHOT"),
    "telemd": ("FETCH_LIST", "LOAD_DONE", "API_STATE", "SPAWN_STARTED"),
}


@pytest.mark.parametrize("role", SENDS)
def test_messages_of_others(agent, stage, role):
    """All roles and types: tests/unit/test_imsg.c, direction_is_the_tables."""
    breaches(agent, stage, role,
             [("send " + message, NOT_OURS) for message in SENDS[role]])


@pytest.mark.parametrize("role,message", [("registry", "FETCH_LIST"),
                                          ("vault", "VAULT_KEYS")])
def test_descriptors_that_are_none(agent, stage, role, message):
    breaches(agent, stage, role,
             [(f"with {kind} {message}", "bad value") for kind in
              ("pipe", "directory", "unsealed", "half", "nonsense")])


def test_programs_that_are_none(agent, stage, signed, tree):
    """bpfd can load what it likes, but what it hands over is of the kind that
    it says; what agentd holds it keeps."""
    artifact = signed()
    tree.publish(artifact)
    agent.wait_running(artifact)
    held = agent.held()
    breaches(agent, stage, "bpfd",
             [("with pipe LOAD_PROG", "bad value"),
              ("with nonsense LOAD_MAP", "bad value"),
              ("with directory LOAD_LINK", "bad value"),
              ("with unsealed INTERFACES", "bad value")])
    assert agent.held() == held
    agent.wait_running(artifact)


def test_artifacts_that_may_change(agent, stage, signed, tree):
    """The one who sent it answers for it, not verifyd, who would get it."""
    verifyd = agent.workers()["verifyd"]
    list_missing(agent, tree, signed())
    breaches(agent, stage, "registry",
             [(f"with {kind} FETCH_DONE", "bad value") for kind in
              ("pipe", "directory", "unsealed", "half")])
    assert agent.workers()["verifyd"] == verifyd


def list_missing(agent, tree, artifact):
    """It stays to be fetched: the list has it, the server not."""
    tree.publish(entries=[artifact.entry])
    agent.wait_log(artifact_id=artifact.id, level="error")


def test_bytes_that_nobody_signed(agent, stage, signed, tree):
    artifact = signed()
    stage.order("registry", "with nonsense FETCH_DONE")
    list_missing(agent, tree, artifact)
    agent.forget_log()
    end(agent, "registry")
    # The honest one may have failed once more before.
    agent.wait_log(artifact_id=artifact.id, level="error",
                   error="checksum mismatch")
    assert not agent.held()["prog"]
    # It withheld, and that is all: the honest one goes on.
    stage.dismiss("registry")
    tree.store(artifact)
    end(agent, "registry")
    agent.wait_running(artifact)


@pytest.mark.parametrize("orders", [
    ("with pipe VERIFY_OBJECT", "with directory VERIFY_OBJECT",
     "with unsealed VERIFY_OBJECT", "with half VERIFY_OBJECT"),
    ("with unsealed VERIFY_PLAN", "with nonsense VERIFY_PLAN",
     "with unsealed VERIFY_EFFECTIVE", "answer nothing", "answer name"),
], ids=["object", "plan"])
def test_results_that_are_none(agent, stage, signed, tree, orders):
    """Each for an artifact of its own, since one that three die over is
    refused."""
    breaches(agent, stage, "verifyd",
             [(order, "bad value") for order in orders],
             lambda: tree.publish(signed()))
    for name in agent.programs():
        assert agent.status_of(name) != "failed"


def test_descriptions_are_aegisctls(agent, stage, signed, tree):
    """verifyd may write them, but agentd never asked for one."""
    breaches(agent, stage, "verifyd",
             [("with nonsense VERIFY_DESCRIPTION", "Protocol error")],
             lambda: tree.publish(signed()))


def test_an_object_that_is_none(agent, stage, signed, tree):
    """agentd forwards it unread; bpfd, which may load, refuses it."""
    artifact = signed()
    stage.order("verifyd", "answer noelf")
    end(agent, "verifyd")
    bpfd = agent.workers()["bpfd"]
    wait.until(lambda: agent.workers().get("verifyd"), "the traitor")
    tree.publish(artifact)
    line = agent.wait_log(artifact_id=artifact.id, level="error")
    assert "program.o" in line["error"] or "ELF" in line["error"], line
    assert not agent.held()["prog"]
    assert agent.workers()["bpfd"] == bpfd


def test_a_stuck_verifyd_is_killed_and_its_artifact_refused(agent, stage,
                                                            signed, tree):
    artifact = signed()
    stage.order("verifyd", "answer forever")
    end(agent, "verifyd")
    pid = wait.until(lambda: agent.workers().get("verifyd"), "the traitor")
    tree.publish(artifact)
    # Half a minute is longer than any honest artifact takes.
    line = agent.wait_log(timeout=120, artifact_id=artifact.id, level="error")
    assert "verifyd" in line["error"] and "in time" in line["error"], line
    wait.until(lambda: agent.workers().get("verifyd") not in (None, pid),
               "another one")
    agent.wait_status(artifact.id, "failed")
    # What it held up goes on.
    stage.dismiss("verifyd")
    end(agent, "verifyd")
    second = signed(name="it_second")
    tree.publish(artifact, second)
    agent.wait_running(second, timeout=60)


def test_the_threat_tables_tests_exist():
    """aegis-artifact(5) names a test for each thing that an attacker cannot
    do: they are there."""
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    with open(os.path.join(top, "man/aegis-artifact.5"),
              encoding="utf-8") as page:
        text = page.read().partition(".Sh SECURITY CONSIDERATIONS")[2].replace(
            "\\\n", "")
    names = set()
    for line in re.findall(r"^\.Pq (.*)", text, re.M):
        names.update(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b(?![./])", line))
    sources = ""
    for folder in ("tests/unit", "tests/integration"):
        for name in os.listdir(os.path.join(top, folder)):
            if name.startswith("test_"):
                with open(os.path.join(top, folder, name),
                          encoding="utf-8") as source:
                    sources += source.read()
    known = set(re.findall(r"(?:def |START_TEST \()(\w+)", sources))
    names = {name for name in names
             if not os.path.exists(os.path.join(top, "tests/unit",
                                                name + ".c"))
             and not name.startswith(("aegisflux_", "fuzz_"))}
    assert len(names) > 25
    assert names <= known, names - known
