# SPDX-License-Identifier: ISC
"""aegisctl against the installed agent: who may do what, the event stream,
and a configuration that is read again."""

import grp
import json
import os
import signal
import subprocess

import pytest

from aegis import kernel, schemas, wait
from aegis.artifact import Artifact

DONE, REFUSED, PERMISSION = 0, 1, 77


@pytest.fixture
def ctl(prefix, agent):
    """ctl("status", ...): (exit status, standard output, standard error)"""
    program = os.path.join(prefix, "sbin", "aegisctl")

    def run(*arguments, **popen):
        done = subprocess.run(
            [program, "-s", agent.environment["AGENT_CONTROL_SOCKET"],
             *arguments], capture_output=True, text=True, timeout=30,
            check=False, **popen)
        schemas.check_ctl(arguments, done.stdout)
        return done.returncode, done.stdout, done.stderr
    return run


@pytest.fixture
def follow(prefix, agent):
    """follow("-j"): a process of aegisctl events -f."""
    program = os.path.join(prefix, "sbin", "aegisctl")
    running = []

    def start(*arguments, **popen):
        running.append(subprocess.Popen(
            [program, "-s", agent.environment["AGENT_CONTROL_SOCKET"],
             "events", "-f", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            **popen))
        return running[-1]
    yield start
    for process in running:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def next_line(process, *words):
    """The next line of a follower that has these words in it."""
    for line in process.stdout:
        if all(word in line for word in words):
            return line
    raise AssertionError(f"the stream ended: {process.stderr.read()}")


def test_stream_is_what_goes_to_nats(ctl, follow, agent, tree, counter,
                                     client, validate):
    stream = follow("-j")
    next_line(stream, "agent_heartbeat")
    artifact = counter()
    tree.publish(artifact)
    line = json.loads(next_line(stream, "program_loaded", artifact.id))
    sent = client.wait_event("program_loaded", artifact.id)
    # telemd numbers it; all else is the same object.
    seq = sent["metadata"].pop("seq")
    assert line == sent
    line["metadata"]["seq"] = seq
    validate(line)
    assert ctl("unload", artifact.id)[0] == DONE
    line = json.loads(next_line(stream, "program_unloaded", artifact.id))
    assert line["metadata"]["reason"] == "operator"


def test_stream_for_people(ctl, follow, agent, tree, counter):
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    # What was is told too, without -f and with it.
    status, out, err = ctl("events")
    assert (status, err) == (DONE, "")
    assert any("program_loaded" in line and artifact.id in line
               for line in out.splitlines())
    assert "agent_heartbeat" not in out
    assert ctl("events", "-n", "0") == (DONE, "", "")
    assert len(ctl("events", "-n", "1")[1].splitlines()) == 1
    stream = follow()
    next_line(stream, "program_loaded", artifact.id, "it_count")
    next_line(stream, "agent_heartbeat", "healthy, 1 programs loaded")
    assert ctl("rollback", artifact.id, "-r", "too loud")[0] == DONE
    next_line(stream, "program_rolled_back", artifact.id, "manual: too loud")


def test_refused_program_comes_with_the_verifiers_log(
        ctl, agent, tree, key, objects, cgroup):
    artifact = Artifact(key, "it_reject", objects["reject"],
                        [{"program": "it_reject", "cgroup": "$cgroup"}],
                        parameters={"cgroup": cgroup.path})
    tree.publish(artifact)
    agent.wait_status(artifact.id, "rolled_back")
    event = json.loads(next(
        line for line in ctl("-j", "events")[1].splitlines()
        if "program_error" in line))
    assert event["data"]["verifier_msg"]
    assert event["metadata"]["error"]


def test_follower_that_does_not_read_is_dropped(ctl, follow, agent, tree,
                                                counter):
    """It stops; agentd goes on, stays small, and says why it let go."""
    stuck = follow("-j")
    next_line(stuck, "agent_heartbeat")
    stuck.send_signal(signal.SIGSTOP)
    before = kernel.proc_status(agent.pid)["VmRSS"]
    # Each makes an event when it is loaded and one with every sample.
    artifacts = [counter(name=f"it_count_{n}") for n in range(10)]
    tree.publish(*artifacts)
    agent.wait_running(*artifacts)
    agent.wait_log(msg="a follower does not read", timeout=180)
    grown = (int(kernel.proc_status(agent.pid)["VmRSS"].split()[0])
             - int(before.split()[0]))
    assert grown < 16 * 1024, grown
    # Others are not held up, and the one that was gets the reason.
    assert ctl("status")[0] == DONE
    stuck.send_signal(signal.SIGCONT)
    _, err = stuck.communicate(timeout=wait.LONG)
    assert stuck.returncode != DONE
    assert "no more events" in err or "too slow" in err


def test_followers_are_few(ctl, follow, agent):
    for _ in range(8):
        next_line(follow("-j"), "agent_heartbeat")
    status, _, err = ctl("events", "-f")
    assert status == REFUSED and "too many follow" in err
    # The last of what was is no stream.
    assert ctl("events")[0] == DONE


def test_stop_ends_the_stream(follow, agent):
    stream = follow()
    next_line(stream, "agent_heartbeat")
    agent.stop()
    _, err = stream.communicate(timeout=wait.LONG)
    assert stream.returncode == 69 and "it stopped" in err


READ = [["status"], ["programs", "-v"], ["rollbacks"], ["workers"],
        ["events"]]
CHANGE = [["rollback", "x"], ["unload", "x"], ["pardon", "x"],
          ["allow-downgrade", "x", "1.0.0"], ["poll"], ["log", "debug"],
          ["reload"]]


def test_group_reads_and_root_changes(ctl, agent):
    gid = grp.getgrnam("aegisflux").gr_gid
    os.chmod(agent.directory, 0o755)
    for primary, extra in ((gid, []), (65534, [gid])):
        who = {"user": 65534, "group": primary, "extra_groups": extra}
        for arguments in READ:
            assert ctl(*arguments, **who)[0] == DONE, arguments
        for arguments in CHANGE:
            status, _, err = ctl(*arguments, **who)
            assert status == PERMISSION, arguments
            assert "only root" in err
    for arguments in READ + CHANGE:
        status = ctl(*arguments, user=65534, group=65534,
                     extra_groups=[])[0]
        assert status == PERMISSION, arguments
    for arguments in (["poll"], ["log", "info"], ["reload"]):
        assert ctl(*arguments)[0] == DONE, arguments


def test_reload_applies_what_it_can(make_agent, tree, prefix, work_dir):
    path = os.path.join(work_dir, "agentd.env")
    agent = make_agent(tree.url)
    sockets = [agent.environment.pop("AGENT_CONTROL_SOCKET"),
               os.path.join(work_dir, "other.sock")]
    # What the environment says, no file can change.
    broker = agent.environment.pop("AGENT_NATS_URL")

    def configure(**values):
        values.setdefault("NATS_URL", broker)
        with open(path, "w", encoding="utf-8") as f:
            for name, value in values.items():
                f.write(f"AGENT_{name}={value}\n")
    configure(LOG_LEVEL="info", CONTROL_SOCKET=sockets[0])
    agent.arguments = ["-f", path]
    agent.start()

    def ctl(*arguments):
        done = subprocess.run(
            [os.path.join(prefix, "sbin", "aegisctl"), "-s",
             sockets[0], *arguments],
            capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout + done.stderr
    workers = wait.until(lambda: len(w := agent.workers()) == 5 and w,
                         "all workers")
    configure(LOG_LEVEL="debug", CONTROL_SOCKET=sockets[1])
    status, text = ctl("reload")
    assert status == DONE
    assert "AGENT_CONTROL_SOCKET (after a restart of agentd)" in text
    assert "AGENT_LOG_LEVEL" in text and "AGENT_LOG_LEVEL (" not in text
    assert "AGENT_HOST_ID" not in text
    # Nobody starts anew for a level, and those who do are not in the way.
    assert agent.workers() == workers
    configure(LOG_LEVEL="debug", CONTROL_SOCKET=sockets[1],
              NATS_URL="nats://127.0.0.1:1")
    assert ctl("reload")[0] == DONE
    wait.until(lambda: len(agent.workers()) == len(workers) and
               agent.workers()["telemd"] != workers["telemd"],
               "another telemd")
    assert {k: v for k, v in agent.workers().items() if k != "telemd"} == \
        {k: v for k, v in workers.items() if k != "telemd"}
    assert not agent.log(level="error", msg="worker")
    # The level is in force, and a bad file changes nothing of it.
    agent.wait_log(level="debug")
    # SIGHUP does the same.
    agent.forget_log()
    configure(LOG_LEVEL="info", CONTROL_SOCKET=sockets[1],
              NATS_URL="nats://127.0.0.1:1")
    agent.signal(signal.SIGHUP)
    agent.wait_log(msg="AGENT_LOG_LEVEL")
    configure(LOG_LEVEL="loud", CONTROL_SOCKET=sockets[1])
    status, text = ctl("reload")
    assert status == REFUSED and "1 errors" in text
    assert agent.log(level="error", msg="AGENT_LOG_LEVEL")
    assert agent.get("/healthz")[0] == 200


def test_what_is_not_there_is_told_for_each_command(ctl, agent, tree, counter):
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    assert ctl("unload", artifact.name) == (
        2, "", "aegisctl: no artifact has this id: 'aegisctl programs' lists "
               "them\n")
    assert ctl("pardon", artifact.id) == (
        2, "", "aegisctl: nothing keeps an artifact of this id from being "
               "loaded\n")
    assert ctl("allow-downgrade", "no_such", "1.0.0") == (
        2, "", "aegisctl: no artifact of this name was ever accepted\n")
