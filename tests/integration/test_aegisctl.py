# SPDX-License-Identifier: ISC
"""aegisctl against a driver that plays agentd's control socket, and what the
manuals say of it and of the API."""

import json
import os
import re
import subprocess

import pytest

from aegis import schemas

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
DONE, REFUSED, NO_SUCH, UNHEALTHY = 0, 1, 2, 3
USAGE, NO_AGENT, PROTOCOL, PERMISSION = 64, 69, 76, 77


class Control:
    """A control socket with a driver behind it."""

    def __init__(self, prefix, build_dir, directory, mode):
        self.path = os.path.join(directory, "control.sock")
        self.program = os.path.join(prefix, "sbin", "aegisctl")
        self.driver = subprocess.Popen(
            [os.path.join(build_dir, "tests", "integration", "ctl_driver"),
             self.path, mode], stdout=subprocess.PIPE, text=True)
        assert self.driver.stdout.readline() == "listening\n"

    def run(self, *arguments):
        """(exit status, standard output, standard error)"""
        done = subprocess.run([self.program, "-s", self.path, *arguments],
                              capture_output=True, text=True, timeout=30,
                              check=False)
        schemas.check_ctl(arguments, done.stdout)
        return done.returncode, done.stdout, done.stderr

    def asked(self):
        """The next request that came: command, id, version, reason."""
        line = self.driver.stdout.readline()
        found = re.fullmatch(
            r"request (\d+) \[(.*)\] \[(.*)\] \[(.*)\]\n", line)
        return int(found[1]), *found.groups()[1:]


@pytest.fixture
def make(prefix, build_dir, work_dir):
    made = []

    def build(mode="ok"):
        made.append(Control(prefix, build_dir, work_dir, mode))
        return made[-1]

    yield build
    for control in made:
        control.driver.terminate()
        control.driver.wait()


@pytest.fixture
def control(make):
    return make()


@pytest.mark.parametrize("arguments,request_", [
    (["rollback", "a-1", "-r", "too loud"], (1, "a-1", "", "too loud")),
    (["rollback", "-r", "x", "a-1"], (1, "a-1", "", "x")),
    (["rollback", "a-1"], (1, "a-1", "", "")),
    (["unload", "a-1"], (2, "a-1", "", "")),
    (["pardon", "a-1"], (3, "a-1", "", "")),
    (["allow-downgrade", "xdp", "1.0.0"], (4, "xdp", "1.0.0", "")),
    (["poll"], (5, "", "", "")),
    (["log", "debug"], (6, "debug", "", "")),
    (["reload"], (7, "", "", "")),
])
def test_what_is_asked(control, arguments, request_):
    status, out, err = control.run(*arguments)
    assert (status, err) == (DONE, "")
    assert control.asked() == request_
    # What agentd says must not speak to the terminal.
    assert f"command {request_[0]}" in out and "\x1b" not in out
    status, out, _ = control.run("-j", *arguments)
    assert status == DONE and json.loads(out)["ok"] is True


def test_refusals_have_their_exit_codes(control):
    assert control.run("unload", "missing")[0] == NO_SUCH
    assert control.run("unload", "denied")[0] == PERMISSION
    status, out, _ = control.run("-j", "unload", "missing")
    assert status == NO_SUCH and json.loads(out)["ok"] is False


def test_documents_for_programs(control):
    for command, key, count in (("status", "applied_artifacts", 11),
                                ("programs", "programs", 11),
                                ("rollbacks", "rollbacks", 4)):
        status, out, _ = control.run("-j", command)
        document = json.loads(out)
        assert status == DONE and len(document[key]) == count
        assert document["host_id"] == "host-001"
    workers = json.loads(control.run("workers", "-j")[1])
    assert {w["worker"] for w in workers} >= {"bpfd", "apid", "telemd"}
    program = json.loads(control.run("-j", "show", "artifact-010")[1])
    assert "unknown#999" in program["verifier_log"]


def test_tables_for_people(control):
    out = control.run("status")[1]
    assert out.startswith("host-001: healthy, version 1.0.0, up 2h15m3")
    assert "2 of 10 in the kernel" in out
    rows = [line.split() for line in control.run("programs")[1].splitlines()]
    assert rows[0][:4] == ["ID", "NAME", "VERSION", "STATUS"]
    running = next(r for r in rows if r and r[0] == "artifact-005")
    assert running[1:4] == ["drop_egress_by_cgroup", "1.5.0", "running"]
    assert "attached: xdp_drop on eth0 by xdp, link 100" in \
        control.run("programs", "-v")[1]
    shown = control.run("show", "artifact-010")[1]
    assert "1: (85) call unknown#999" in shown and "\x01" not in shown
    assert '"dst_port":443' in shown
    assert "orchestrator_signal" in control.run("rollbacks")[1]
    assert "ready" in control.run("workers")[1]


def test_show_by_name_only_if_it_is_one(control):
    status, _, err = control.run("show", "xdp_drop_cidr")  # six have it
    assert status == NO_SUCH and "xdp_drop_cidr" in err
    assert control.run("show", "nobody")[0] == NO_SUCH


@pytest.mark.parametrize("mode,status", [("0", DONE), ("1", DONE),
                                         ("2", UNHEALTHY)])
def test_health_in_the_exit_status(make, mode, status):
    control = make(mode)
    got, out, _ = control.run("status")
    assert got == status
    assert ("registry: poll failed" in out) == (mode != "0")


def test_agent_that_is_not_there(make, prefix, work_dir):
    done = subprocess.run(
        [os.path.join(prefix, "sbin", "aegisctl"), "-s",
         os.path.join(work_dir, "nobody.sock"), "status"],
        capture_output=True, text=True, check=False)
    assert done.returncode == NO_AGENT and "not running" in done.stderr
    control = make()
    control.driver.kill()
    control.driver.wait()
    status, _, err = control.run("status")
    assert status == NO_AGENT and "no agent listens" in err


def test_snapshot_that_is_none(make):
    status, _, err = make("bad").run("status")
    assert status == PROTOCOL and "same version" in err


def test_agent_that_does_not_answer(make):
    status, _, err = make("mute").run("poll")
    assert status == NO_AGENT and "did not answer within 10 s" in err


def test_socket_that_may_not_be_opened(control):
    os.chmod(control.path, 0o600)
    os.chmod(os.path.dirname(control.path), 0o755)
    done = subprocess.run(
        [control.program, "-s", control.path, "status"],
        capture_output=True, text=True, user="nobody", check=False)
    assert done.returncode == PERMISSION and "aegisflux" in done.stderr


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["show"], ["show", "a", "b"], ["status", "x"],
    ["status", "-v"], ["unload", "-r", "why", "a"], ["log", "loud"],
    ["rollback", "x" * 200], ["rollback", "x", "-r", "a\nb"],
    ["events", "-n", "many"], ["events", "-v"], ["unload", "no such"], ["unload", ""], ["rollback", "x", "-r", "y" * 300], ["-x"]])
def test_wrong_usage(control, arguments):
    status, out, err = control.run(*arguments)
    assert (status, out) == (USAGE, "") and err


def test_usage_is_an_answer_where_it_is_asked_for(control):
    assert control.run("-h") == (DONE, control.run()[2], "")
    assert control.run("nonsense")[2].splitlines() == [
        "aegisctl: nonsense: no such command; aegisctl -h lists them"]


# --- manuals ---

def manual(name):
    with open(os.path.join(TOP, "man", name), encoding="utf-8") as page:
        return page.read()


def test_manual_and_usage_have_the_same_commands(control):
    usage = set(re.findall(r"^  ([a-z-]+) ", control.run()[2], re.M))
    page = manual("aegisctl.8")
    described = set(re.findall(r"^\.It Cm ([a-z-]+)", page, re.M))
    assert usage == described and len(usage) == 18
    # agentd -n prints what check-config does: lines for people.
    assert schemas.commands() == usage - {"check-config"}


def test_manual_and_source_have_the_same_metrics():
    with open(os.path.join(TOP, "apid", "prometheus.c"),
              encoding="utf-8") as source:
        code = source.read()
    names = set(re.findall(r'"(aegisflux_\w+)"', code))
    described = set(re.findall(r"^\.It Va (aegisflux_\w+)",
                               manual("aegis-api.7"), re.M))
    assert len(names) > 30
    assert {n.removesuffix("_total") for n in described} == names


def test_manual_and_source_have_the_same_paths():
    with open(os.path.join(TOP, "apid", "routes.c"),
              encoding="utf-8") as source:
        paths = set(re.findall(r'\{ "(/[^"]*)", ROUTE_', source.read()))
    described = set(re.findall(r"\.(?:It )?Pa (/\S*)", manual("aegis-api.7")))
    assert len(paths) == 10 and paths <= described


