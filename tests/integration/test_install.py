# SPDX-License-Identifier: ISC
"""What was installed, and what it does before it does anything."""

import json
import os
import subprocess

import pytest

WORKERS = ["fetchd", "verifyd", "bpfd", "apid", "telemd"]

# DESIGN.md: who parses untrusted bytes and who may load must not mix.
FORBIDDEN_LIBRARIES = {
    "bpfd": ["json", "archive", "curl", "ssl", "nats", "civetweb"],
    "verifyd": ["curl", "nats", "civetweb", "libssl"],
    "fetchd": ["bpf", "archive", "nats", "civetweb"],
    "apid": ["bpf", "archive", "curl", "nats"],
    "telemd": ["bpf", "archive", "curl", "civetweb"],
}
FORBIDDEN_IN_AGENTD = ["json", "archive", "curl", "ssl", "nats", "civetweb"]


def needed(path):
    """Libraries an executable asks for itself."""
    out = subprocess.run(["readelf", "-d", path], text=True, check=True,
                         stdout=subprocess.PIPE).stdout
    return [line.split("[")[1].rstrip("]") for line in out.splitlines()
            if "(NEEDED)" in line]


@pytest.mark.parametrize("path", [
    "sbin/agentd", "sbin/aegisctl",
    *(f"libexec/aegisflux/{worker}" for worker in WORKERS)])
def test_executables(prefix, path):
    full = os.path.join(prefix, path)
    assert os.access(full, os.X_OK)
    assert os.stat(full).st_mode & 0o6022 == 0
    headers = subprocess.run(["readelf", "-hlW", full], text=True,
                             check=True, stdout=subprocess.PIPE).stdout
    dynamic = subprocess.run(["readelf", "-dW", full], text=True,
                             check=True, stdout=subprocess.PIPE).stdout
    assert "DYN (" in headers, "PIE"
    assert "GNU_RELRO" in headers and "NOW" in dynamic, "full RELRO"
    stack = [line for line in headers.splitlines() if "GNU_STACK" in line]
    assert stack and "RWE" not in stack[0]


@pytest.mark.parametrize("worker", WORKERS)
def test_workers_link_only_what_is_theirs(prefix, worker):
    libraries = needed(os.path.join(prefix, "libexec/aegisflux", worker))
    strange = [library for library in libraries
               for word in FORBIDDEN_LIBRARIES[worker]
               if library.startswith(("lib" + word, word))]
    assert not strange


def test_agentd_links_no_parser(prefix):
    libraries = needed(os.path.join(prefix, "sbin/agentd"))
    assert not [library for library in libraries
                for word in FORBIDDEN_IN_AGENTD
                if library.startswith("lib" + word)]


@pytest.mark.parametrize("path", [
    "share/man/man8/agentd.8", "share/man/man8/aegisctl.8",
    "share/man/man5/agentd.env.5", "share/man/man5/aegis-artifact.5",
    "share/aegisflux/bpf/xdp_drop_cidr.bpf.o",
    "share/aegisflux/bpf/drop_egress_by_cgroup.bpf.o",
    "share/aegisflux/bpf/deny_exec_for_cgroup.bpf.o",
    "share/aegisflux/bpf/pack", "include/aegis/event.h",
    "share/aegisflux/schemas/aegisctl.schema.json"])
def test_other_files(prefix, path):
    full = os.path.join(prefix, path)
    assert os.path.exists(full) or os.path.exists(full + ".gz")


# Whatever an agent of this host has left in the directories by default.
ELSEWHERE = {"PATH": "/usr/bin:/bin", "AGENT_STATE_DIR": "/nonexistent/state",
             "AGENT_CACHE_DIR": "/nonexistent/cache",
             "AGENT_CONTROL_SOCKET": "/nonexistent/run/socket"}


def run_agentd(prefix, *arguments, **environment):
    done = subprocess.run(
        [os.path.join(prefix, "sbin/agentd"), *arguments], text=True,
        env=dict(ELSEWHERE, **environment),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.returncode, done.stdout


def test_check_of_a_good_configuration(prefix, work_dir):
    status, output = run_agentd(
        prefix, "-n", AGENT_HOST_ID="host-1",
        AGENT_STATE_DIR=os.path.join(work_dir, "state"))
    assert status == 0, output
    assert not os.path.exists(os.path.join(work_dir, "state"))


def test_check_tells_every_problem(prefix):
    status, output = run_agentd(
        prefix, "-n", AGENT_HTTP_PORT="99999", AGENT_POLL_INTERVAL_SEC="x",
        AGENT_REGISTRY_URL="gopher://x", AGENT_LOG_LEVEL="loud",
        AGENT_HOST_ID="a b")
    assert status == 1
    for word in ("AGENT_HTTP_PORT", "99999", "65535",
                 "AGENT_POLL_INTERVAL_SEC", "AGENT_REGISTRY_URL", "gopher",
                 "AGENT_LOG_LEVEL", "loud", "AGENT_HOST_ID"):
        assert word in output, output


def test_check_looks_at_files_and_directories_all_the_same(prefix, work_dir):
    """A wrong value hides no other problem, and nothing is made."""
    file = os.path.join(work_dir, "file")
    open(file, "w", encoding="ascii").close()
    os.mkdir(os.path.join(work_dir, "open"))
    os.chmod(os.path.join(work_dir, "open"), 0o777)
    wrong = {"AGENT_HTTP_PORT": "99999", "AGENT_STATE_DIR": file,
             "AGENT_CACHE_DIR": os.path.join(work_dir, "open"),
             "AGENT_CONTROL_SOCKET": os.path.join(work_dir, "open", "socket"),
             "AGENT_REGISTRY_URL": f"file://{work_dir}/none",
             "AGENT_NATS_CREDS": os.path.join(work_dir, "no.creds"),
             "AGENT_PUBLIC_KEY": f"file:{file}"}
    status, output = run_agentd(prefix, "-n", **wrong)
    assert status == 1
    told = [line.split(": ")[1] for line in output.splitlines()]
    assert sorted(told) == sorted(wrong), output
    assert sorted(os.listdir(work_dir)) == ["file", "open"]
    for name in ("AGENT_STATE_DIR", "AGENT_CACHE_DIR", "AGENT_CONTROL_SOCKET",
                 "AGENT_REGISTRY_URL"):
        status, output = run_agentd(prefix, "-n", **{name: wrong[name]})
        assert status == 1 and wrong[name].removeprefix("file://") in output


def test_mistyped_variable_is_a_warning(prefix):
    status, output = run_agentd(prefix, "-n", AGENT_POL_INTERVAL_SEC="5")
    assert status == 0
    assert "AGENT_POL_INTERVAL_SEC" in output
    assert "AGENT_POLL_INTERVAL_SEC" in output


def test_secret_is_not_told_by_the_check(prefix):
    _, output = run_agentd(
        prefix, "-n", AGENT_VAULT_TOKEN="very secret \x01",
        AGENT_NATS_URL="nats://u:hunter2@[bad", AGENT_HTTP_PORT="0")
    assert "very secret" not in output and "hunter2" not in output


def test_file_and_environment(prefix, work_dir):
    path = os.path.join(work_dir, "agentd.env")
    with open(path, "w", encoding="ascii") as out:
        out.write("# a comment\nAGENT_HTTP_PORT=bad\n")
    status, output = run_agentd(prefix, "-n", "-f", path)
    assert status == 1 and "AGENT_HTTP_PORT" in output
    status, output = run_agentd(prefix, "-n", "-f", path,
                                AGENT_HTTP_PORT="8080")
    assert status == 0, output


def test_no_such_file(prefix):
    status, output = run_agentd(prefix, "-n", "-f", "/nonexistent/x.env")
    assert status != 0 and "/nonexistent/x.env" in output


def test_start_with_a_bad_configuration_refuses(prefix, work_dir):
    status, output = run_agentd(
        prefix, AGENT_HTTP_PORT="99999",
        AGENT_STATE_DIR=os.path.join(work_dir, "state"))
    assert status == 1
    assert "AGENT_HTTP_PORT" in output


def test_log_lines_are_json_with_the_fields_of_the_contract(agent):
    lines = [json.loads(line) for line in agent.raw_lines()]
    assert lines
    for line in lines:
        assert {"time", "level", "msg", "host_id", "service",
                "component"} <= set(line), line
        assert line["host_id"] == "host-test"


ENDPOINTS = {
    "/healthz": {"status", "host_id", "timestamp", "uptime", "version",
                 "loaded_programs"},
    "/status": {"host_id", "timestamp", "uptime", "version",
                "applied_artifacts", "total_programs"},
    "/metrics": {"host_id", "timestamp", "counters", "gauges"},
    "/programs": {"host_id", "timestamp", "programs", "total"},
    "/rollbacks": {"host_id", "timestamp", "rollbacks", "total"},
    "/telemetry": {"host_id", "timestamp", "telemetry", "total"},
    "/version": {"version", "host_id", "timestamp", "uptime"},
}


def test_endpoints(agent, tree, counter):
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    for path, keys in ENDPOINTS.items():
        status, body = agent.get(path)
        assert status == 200, path
        assert keys <= set(body), path
    applied = agent.get("/status")[1]["applied_artifacts"][0]
    assert {"artifact_id", "name", "version", "status", "loaded_at",
            "ttl_remaining", "ttl_seconds", "telemetry"} <= set(applied)
    assert agent.get("/nowhere")[0] == 404
    assert agent.get("/status", method="POST")[0] == 405
