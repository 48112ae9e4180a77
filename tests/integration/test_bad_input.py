# SPDX-License-Identifier: ISC
"""Whatever is malformed gets one error that names the thing, the value and
what would be right; nothing else stops.

Each artifact below is signed with the trusted key: these are the mistakes of
those who may sign, found after the signature held."""

import hashlib
import json
import os
import platform
import shutil
import tarfile
import tempfile

import pytest

from aegis import kernel, net, wait
from aegis.agent import Agent
from aegis.artifact import Artifact, compress, make_tar
from aegis.broker import Nats
from aegis.registry import Tree


def info(name, **fields):
    made = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


# --- one agent for all of this file: it must bear all of it ---

@pytest.fixture(scope="module")
def work_dir():
    path = tempfile.mkdtemp(prefix="aegisflux-it-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def cgroup():
    group = net.Cgroup().create()
    yield group
    group.destroy()


@pytest.fixture(scope="module")
def nats(work_dir):
    server = Nats(os.path.join(work_dir, "nats")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(nats):
    connection = nats.client()
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def tree(work_dir):
    return Tree(os.path.join(work_dir, "registry"), "host-test")


@pytest.fixture(scope="module")
def beside(key, objects, cgroup):
    """The good artifact that is always listed and must always run."""
    return Artifact(key, "it_beside", objects["count"],
                    [{"program": "it_count", "cgroup": cgroup.path}],
                    ttl=3600)


@pytest.fixture(scope="module")
def shared_agent(prefix, work_dir, key, tree, nats, client, beside):
    directory = os.path.join(work_dir, "shared")
    os.mkdir(directory, 0o755)
    agent = Agent(prefix, directory, tree.url, key.public, nats.url)
    tree.publish(beside)
    agent.start()
    agent.wait_running(beside)
    wait.until(lambda: len(agent.workers()) == 5, "all workers")
    agent.first_pid = agent.pid
    agent.first_workers = agent.workers()
    yield agent
    agent.destroy()
    assert not agent.reports, "\n".join(agent.reports)


@pytest.fixture
def agent(request, shared_agent, tree, beside):
    """The agent, with only the good artifact listed and an empty log; after
    the test it and its workers must be the same processes."""
    request.node.agents = [shared_agent]
    tree.publish(beside)
    wait.until(lambda: len(shared_agent.held()["link"]) == 1,
               "only the good one is loaded")
    shared_agent.forget_log()
    yield shared_agent
    assert shared_agent.process.poll() is None
    assert shared_agent.workers() == shared_agent.first_workers
    assert shared_agent.status_of(beside.id) == "running"


@pytest.fixture
def refused(agent, tree, client, beside):
    """refused(artifact, words...): the artifact gets exactly one error with
    these words, in the log and as an event, while a good one beside it runs
    and agentd keeps its descriptors, but for KEPT that it must keep."""
    def check(artifact, *words, status=("failed",), kept=0, timeout=wait.LONG):
        links = agent.held()["link"]
        fds = len(kernel.descriptors(agent.pid)) + kept
        tree.publish(beside, artifact)
        event = client.wait_event("program_error", artifact.id)
        error = event["metadata"]["error"]
        for word in words:
            assert word in error, error
        agent.wait_status(artifact.id, *status, timeout=timeout)
        shown = agent.programs()[artifact.id]["error"]
        for word in words:
            assert word in shown, shown
        wait.never(
            lambda: len(client.events("program_error", artifact.id)) > 1 or
            len(agent.log(artifact_id=artifact.id, level="error")) > 1,
            "the error is said again", 1.2)
        assert len(agent.log(artifact_id=artifact.id, level="error")) == 1
        assert agent.held()["link"] == links
        wait.until(lambda: len(kernel.descriptors(agent.pid)) <= fds,
                   lambda: f"{fds} descriptors again: "
                           f"{kernel.descriptors(agent.pid)}")
        return error
    return check


# --- the registry's list ---

MALFORMED_ENTRIES = {
    "no id": ({"artifact_id": None}, "id"),
    "id no string": ({"artifact_id": 7}, "artifact_id"),
    "id with a slash": ({"artifact_id": "../../etc/passwd"}, "artifact_id"),
    "id with a newline": ({"artifact_id": "a\nb"}, "artifact_id"),
    "id too long": ({"artifact_id": "a" * 500}, "artifact_id"),
    "name no string": ({"name": ["x"]}, "name"),
    "ttl no number": ({"ttl_sec": "soon"}, "ttl_sec"),
    "ttl negative": ({"ttl_sec": -1}, "ttl_sec"),
    "parameters no object": ({"parameters": [1]}, "parameters"),
    "checksum short": ({"checksum": "abc"}, "checksum"),
    "size no number": ({"size": "big"}, "size"),
}


def complaints(agent):
    return [e for e in agent.log(component="registry")
            if e["level"] in ("warn", "error")]


@pytest.mark.parametrize("what", MALFORMED_ENTRIES)
def test_malformed_entry_beside_a_good_one(agent, tree, beside, counter,
                                           what):
    change, word = MALFORMED_ENTRIES[what]
    base = counter(name="it_entry")
    entry = {k: v for k, v in dict(base.entry, **change).items()
             if v is not None}
    tree.store(base)
    tree.publish(beside, entries=[entry])
    line = wait.until(lambda: complaints(agent),
                      "an error about the entry")[0]
    assert word in line["msg"] + line.get("error", ""), line
    assert len(agent.held()["link"]) == 1


def test_entries_that_are_no_objects(agent, tree, beside):
    tree.publish(beside, entries=[7, "x", None, []])
    wait.until(lambda: len(complaints(agent)) >= 4, "four errors")


def test_malformed_entry_first(agent, tree, beside, counter):
    """What comes after it counts as much as what comes before."""
    late = counter(name="it_late")
    tree.store(late)
    tree.publish(entries=[{"artifact_id": 7}, beside.entry, late.entry])
    agent.wait_running(late)


def test_same_error_is_not_repeated_with_every_poll(agent, tree, beside):
    tree.publish(beside, entries=[{"artifact_id": 7}])
    wait.until(lambda: complaints(agent), "an error about the entry")
    first = len(complaints(agent))
    wait.never(lambda: len(complaints(agent)) > first, "said again", 2.5)


@pytest.mark.parametrize("body", [
    b"", b"nonsense", b"{", b'{"artifacts": {}}', b'{"artifacts": "x"}',
    b"[" * 100000, b'{"total": 0}'], ids=[
    "empty", "nonsense", "cut off", "object", "string", "deep", "no list"])
def test_malformed_list(agent, tree, beside, body):
    agent.forget_log()
    tree.publish_raw(body)
    agent.wait_log(level="warn", msg="registry poll failed")
    tree.publish(beside)
    # It waits longer after each failure, so another may not come between.
    agent.wait_log(msg="registry answers again")
    wait.until(lambda: agent.get("/healthz")[1]["status"] == "healthy",
               lambda: f"healthy: {agent.get('/healthz')}")


def test_bytes_are_not_what_the_list_says(refused, counter):
    """Fetched anew some times, since the registry may list before it
    stores; then refused, and told once."""
    refused(counter(name="it_bad", entry={"checksum": "0" * 64}), "checksum",
            timeout=90)


def test_registry_lists_before_it_stores(agent, tree, client, beside, counter):
    early, late = (counter(name="it_early", version=version)
                   for version in ("1.0.0", "1.1.0"))
    late.id = late.entry["artifact_id"] = early.id
    # Without it, or the number of bytes might be the first to tell.
    del late.entry["size"]
    tree.publish(beside, early)
    agent.wait_running(early)
    # The new list, the old bytes.
    tree.publish(beside, entries=[late.entry])
    tree.store(early)
    error = client.wait_event("program_error", late.id)
    assert "checksum mismatch" in error["metadata"]["error"]
    tree.store(late)
    wait.until(lambda: agent.programs()[late.id]["version"] == "1.1.0",
               "the new one runs")


def test_binary_is_missing(agent, tree, client, beside, counter):
    """Not the artifact's fault: tried again, and loaded when it is there."""
    # A name of its own: the cache knows the bytes of every other one.
    late = counter(name="it_missing")
    tree.publish(beside, entries=[late.entry])
    client.wait_event("program_error", late.id)
    tree.store(late)
    agent.wait_running(late)


# --- the artifact ---

def test_no_archive(refused, counter, key):
    bad = counter(name="it_bad", members=[])
    bad.data = b"these bytes are signed, but they are no archive"
    resign(bad, key)
    refused(bad)


def test_compressed_nonsense(refused, counter, key):
    bad = counter(name="it_bad")
    bad.data = compress(b"no tar" * 1000)
    resign(bad, key)
    refused(bad)


def test_truncated(refused, counter, key):
    bad = counter(name="it_bad")
    bad.data = bad.data[:len(bad.data) // 2]
    resign(bad, key)
    refused(bad)


def resign(artifact, key):
    """Make entry and signature fit the artifact's changed bytes."""
    artifact.entry.update(
        size=len(artifact.data), signature=key.sign(artifact.data),
        checksum=hashlib.sha256(artifact.data).hexdigest())


TAR_MEMBERS = {
    "symbolic link": (info("x", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
                      "x"),
    "hard link": (info("x", type=tarfile.LNKTYPE, linkname="program.o"), "x"),
    "device": (info("x", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "x"),
    "fifo": (info("x", type=tarfile.FIFOTYPE), "x"),
    "absolute path": (info("/x"), "/x"),
    "dot dot": (info("../x"), "../x"),
    "dot dot inside": (info("a/../../x"), "a/../../x"),
}


@pytest.mark.parametrize("what", TAR_MEMBERS)
def test_tar_member_is_refused(refused, counter, objects, what):
    member, word = TAR_MEMBERS[what]
    base = counter(name="it_bad")
    bad = counter(name="it_bad", members=[
        ("metadata.json", json.dumps(base.metadata).encode()),
        ("program.o", objects["count"]), (member.name, member)])
    refused(bad, word)


def test_other_regular_members_are_ignored(agent, tree, beside, counter,
                                           objects):
    base = counter(name="it_readme")
    artifact = counter(name="it_readme", members=[
        ("README", b"read me"),
        ("metadata.json", json.dumps(base.metadata).encode()),
        ("program.o", objects["count"])])
    tree.publish(beside, artifact)
    agent.wait_running(artifact)


@pytest.mark.parametrize("missing", ["metadata.json", "program.o"])
def test_member_is_missing(refused, counter, objects, missing):
    base = counter(name="it_bad")
    members = [("metadata.json", json.dumps(base.metadata).encode()),
               ("program.o", objects["count"])]
    refused(counter(name="it_bad",
                    members=[m for m in members if m[0] != missing]), missing)


def test_metadata_is_no_json(refused, counter, objects):
    refused(counter(name="it_bad", members=[
        ("metadata.json", b"{ name: 'x' }"),
        ("program.o", objects["count"])]), "metadata.json")


def test_program_is_no_object(refused, counter, cgroup, key):
    refused(Artifact(key, "it_bad", b"\x7fELF but not really" * 10,
                     [{"program": "x", "cgroup": cgroup.path}]), "program.o")


METADATA = {
    "another name": ({"name": "it_other"}, ["name", "it_other", "it_bad"]),
    "another version": ({"version": "9.9.9"}, ["version", "9.9.9", "1.0.0"]),
    "another architecture": ({"architecture": "s390x"},
                             ["architecture", "s390x", platform.machine()]),
    "kernel too old": ({"kernel_version": "99.0"},
                       ["kernel_version", "99.0", platform.release()]),
    "checksum of the object": ({"checksums": {"program.o": "0" * 64}},
                               ["program.o", "SHA-256"]),
    "attach no list": ({"attach": 7}, ["attach"]),
    "attach to nothing known": (
        {"attach": [{"program": "it_count", "moon": "dark side"}]},
        ["attach entry 1", "moon", "cgroup"]),
    "no such program": (
        {"attach": [{"program": "it_nowhere", "cgroup": "/"}]},
        ["it_nowhere"]),
    "placeholder without parameter": (
        {"attach": [{"program": "it_count", "cgroup": "$nowhere"}]},
        ["nowhere"]),
}


@pytest.mark.parametrize("what", METADATA)
def test_metadata_does_not_fit(refused, counter, what):
    change, words = METADATA[what]
    refused(counter(name="it_bad", metadata=change), *words)


# --- parameters ---

PARAMETERS = {
    "unknown": ({"colour": "red"}, ["colour"]),
    "out of range": ({"violations_each": 4294967296},
                     ["violations_each", "4294967296", "4294967295"]),
    "negative": ({"violations_each": -1}, ["violations_each", "-1"]),
    "no number": ({"violations_each": "many"}, ["violations_each", "many"]),
    "fraction": ({"violations_each": 1.5}, ["violations_each", "1.5"]),
    "object for a number": ({"violations_each": {"a": 1}},
                            ["violations_each"]),
    "map overflow": ({"it_marks": {str(n): n for n in range(5)}},
                     ["it_marks", "4"]),
    "map key": ({"it_marks": {"x": 1}}, ["it_marks", "x"]),
    "map value": ({"it_marks": {"1": "x"}}, ["it_marks", "x"]),
}


@pytest.mark.parametrize("what", PARAMETERS)
def test_parameter_does_not_fit(refused, counter, what):
    parameters, words = PARAMETERS[what]
    refused(counter(name="it_bad", parameters=parameters), *words)


def test_all_problems_are_told_at_once(refused, counter):
    refused(counter(name="it_bad", parameters={
        "colour": "red", "violations_each": -1, "errors_each": "x",
        "it_marks": {"y": 1}}),
        "colour", "violations_each", "errors_each", "it_marks")


def test_parameter_schema_refuses(refused, counter):
    refused(counter(
        name="it_bad", parameters={"violations_each": 11},
        metadata={"parameters_schema": {
            "violations_each": {"max": 10}, "cgroup": {}}}),
        "violations_each", "11", "10")


def test_good_parameters_reach_the_program(agent, tree, beside, counter,
                                           cgroup):
    artifact = counter(parameters={"violations_each": "0x3",
                                   "it_marks": {"7": 8}})
    tree.publish(beside, artifact)
    agent.wait_running(artifact)
    cgroup.ping(4)
    wait.until(lambda: agent.programs()[artifact.id]["telemetry"][
        "violations"] == 12, "3 violations for each of 4 packets")


# --- the kernel ---

def test_verifier_refuses(refused, client, objects, key, cgroup):
    bad = Artifact(key, "it_reject", objects["reject"],
                   [{"program": "it_reject", "cgroup": cgroup.path}])
    # For whoever asks it keeps the parameters and the verifier's log, and the
    # log with the event in the operators' stream.
    refused(bad, "verifier", status=("failed", "rolled_back"), kept=3)
    event = client.wait_event("program_error", bad.id)
    text = json.dumps(event)
    assert "invalid bpf_context access" in text


def test_end_of_a_long_verifier_log(refused, agent, client, objects, key,
                                    cgroup):
    """Of more than 100 KiB the last 16: in /programs, the event, the log."""
    bad = Artifact(key, "it_longlog", objects["longlog"],
                   [{"program": "it_longlog", "cgroup": cgroup.path}])
    refused(bad, "invalid bpf_context access",
            status=("failed", "rolled_back"), kept=3)
    told = [
        client.wait_event("program_error", bad.id)["data"]["verifier_msg"],
        agent.programs()[bad.id]["telemetry"]["verifier_msg"],
        agent.wait_log(artifact_id=bad.id, error="invalid bpf_context access",
                       msg="is not running")["verifier_msg"]]
    for text in told:
        assert 15 * 1024 < len(text) <= 16 * 1024
        assert "invalid bpf_context access" in text[-1024:]
        assert text.rstrip().rsplit("\n", 1)[-1].startswith("processed ")


def test_missing_interface_is_waited_for(agent, tree, client, beside, veth,
                                         passer):
    veth.remove_link()
    artifact = passer()
    tree.publish(beside, artifact)
    event = client.wait_event("program_error", artifact.id)
    assert veth.name in event["metadata"]["error"]
    # Tried again with back-off; there some day.
    veth.create()
    agent.wait_running(artifact)
    wait.until(lambda: veth.ping(1) == 1, "packets pass")


def test_missing_cgroup_is_named(agent, tree, client, beside, counter,
                                 cgroup):
    artifact = counter(parameters={"cgroup": cgroup.path + "-gone"})
    tree.publish(beside, artifact)
    event = client.wait_event("program_error", artifact.id)
    assert cgroup.name + "-gone" in event["metadata"]["error"]
    assert len(agent.held()["link"]) == 1


def test_second_xdp_names_the_first(agent, tree, client, beside, passer):
    first, second = passer(), passer(name="it_second")
    tree.publish(beside, first)
    agent.wait_running(first)
    links = agent.held()["link"]
    tree.publish(beside, first, second)
    event = client.wait_event("program_error", second.id)
    assert "xdp" in event["metadata"]["error"].lower()
    assert agent.held()["link"] == links


# --- all of it at once ---

def test_many_bad_ones_leak_nothing(agent, tree, beside, counter, objects,
                                    key, cgroup):
    """Twenty refusals, each another way, listed and gone again; then the
    agent is as before."""
    processes = dict(agent.workers(), agentd=agent.pid)

    def counts():
        return {role: len(kernel.descriptors(pid))
                for role, pid in processes.items()}
    before = counts()
    rounds = 4
    # The operators' stream keeps the verifier's logs, until it has kept as
    # many other events.
    before["agentd"] += rounds
    bad = []
    for number in range(rounds):
        bad += [
            counter(name=f"it_t{number}").tampered(),
            counter(name=f"it_p{number}", parameters={"colour": number}),
            counter(name=f"it_m{number}", metadata={"name": "other"}),
            counter(name=f"it_a{number}", members=[("x", b"y")]),
            Artifact(key, f"it_r{number}", objects["reject"],
                     [{"program": "it_reject", "cgroup": cgroup.path}]),
        ]
    tree.publish(beside, *bad)
    for artifact in bad:
        agent.wait_status(artifact.id, "failed", "rolled_back")
    tree.publish(beside)
    wait.until(lambda: all(n <= before[role] for role, n in counts().items()),
               lambda: f"descriptors as before: {before} {counts()}")
    assert len(agent.held()["link"]) == 1


def test_tar_bomb(refused, counter, key):
    """64 MiB is what may come out of an artifact."""
    bad = counter(name="it_bomb")
    bad.data = compress(make_tar([("metadata.json", b"{}"),
                                  ("zeros", bytes(65 << 20))]))
    resign(bad, key)
    refused(bad)


def test_leftovers_of_others_in_the_cache(make_agent, tree, nats, work_dir,
                                          counter):
    """A cache directory that is a link, or open to others, is refused with
    the reason; what is then done is the operator's matter."""
    real = os.path.join(work_dir, "elsewhere")
    os.mkdir(real, 0o700)
    link = os.path.join(work_dir, "cache-link")
    os.symlink(real, link)
    agent = make_agent(tree.url, nats.url, cache_dir=link)
    agent.start(ready=False)
    wait.until(lambda: any(link in line and "link" in line
                           for line in agent.raw_lines()),
               lambda: f"a refusal that names {link}: {agent.raw_lines()}")
    assert os.listdir(real) == []
