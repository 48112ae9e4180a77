# SPDX-License-Identifier: ISC
"""Samples for monitoring: what they ask for is what the agent says."""

import json
import os
import pathlib
import re
import subprocess
import tomllib

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SUFFIXES = {"GAUGE": ("",), "COUNTER": ("_total",),
            "HISTOGRAM": ("_bucket", "_sum", "_count")}


@pytest.fixture(scope="module")
def share(prefix):
    return os.path.join(prefix, "share/aegisflux/monitoring")


@pytest.fixture(scope="module")
def metrics():
    """Every series that apid has, from its table of families."""
    text = (SOURCE / "apid/prometheus.c").read_text(encoding="utf-8")
    found = re.findall(r'FAMILY_([A-Z]+),\s+"(aegisflux_\w+)"', text)
    found += [(kind, name) for name, kind in re.findall(
        r'{ "(aegisflux_\w+)", FAMILY_([A-Z]+)', text)]
    names = {name + suffix for kind, name in found
             for suffix in SUFFIXES[kind]}
    assert len(names) > 30
    # None is missed by these patterns.
    assert {name for _, name in found} == set(
        re.findall(r'"(aegisflux_\w+)"', text))
    return names


def asked(text):
    return set(re.findall(r"\baegisflux_\w+", text))


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def test_rules(share, metrics):
    path = os.path.join(share, "aegisflux.rules.yml")
    done = subprocess.run(["promtool", "check", "rules", path],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"SUCCESS: (\d+) rules", done.stdout)[1]) >= 10
    names = asked("\n".join(re.findall(r"expr: (.*)", read(path))))
    assert len(names) >= 10 and names <= metrics


def test_dashboard(share, metrics):
    board = json.loads(read(share, "grafana-dashboard.json"))
    expressions = [t["expr"] for p in board["panels"] for t in p["targets"]]
    assert len(expressions) >= 10
    for expression in expressions:
        assert asked(expression) and asked(expression) <= metrics, expression
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    query = board["templating"]["list"][1]["query"]["query"]
    assert asked(query) <= metrics


def test_collectors(share):
    """Vector, Fluent Bit and Logstash are not in Debian: their form is
    looked at, and that they read the subject events come on."""
    vector = tomllib.loads(read(share, "vector.toml"))
    assert vector["sources"]["aegisflux_events"]["type"] == "nats"
    known = set(vector["sources"]) | set(vector["transforms"])
    for part in (*vector["sinks"].values(), *vector["transforms"].values()):
        assert set(part["inputs"]) <= known
    sections = re.findall(r"^\[([A-Z]+)\]$", read(share, "fluent-bit.conf"),
                          re.M)
    assert {"INPUT", "OUTPUT"} <= set(sections)
    logstash = re.sub(r"#.*", "", read(share, "logstash.conf"))
    assert logstash.count("{") == logstash.count("}")
    for name in ("vector.toml", "fluent-bit.conf", "logstash.conf"):
        assert "agent.>" in read(share, name)
