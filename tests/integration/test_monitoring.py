# SPDX-License-Identifier: ISC
"""Samples for monitoring: what they ask for is what the agent says."""

import datetime
import fnmatch
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


# Vector, Fluent Bit and Logstash are in no package archive that the tests
# reach: their samples are parsed by the grammars of their documentation.

@pytest.fixture(scope="module")
def subjects():
    """What the agent publishes on, by default."""
    text = (SOURCE / "agentd/config.def").read_text(encoding="utf-8")
    [events] = re.findall(r'AGENT_TELEMETRY_SUBJECT[^)]*"([a-z.]+)"', text)
    page = (SOURCE / "man/aegis-events.7").read_text(encoding="utf-8")
    assert "agent.rollback.status" in page
    return {events, "agent.rollback.status"}


def takes(pattern, subject):
    """NATS: * is one token, > is all that follow."""
    want, have = pattern.split("."), subject.split(".")
    for at, token in enumerate(want):
        if token == ">":
            return len(have) > at
        if at >= len(have) or token not in ("*", have[at]):
            return False
    return len(want) == len(have)


def fields(definition):
    """Names of an event's members, as the schema has them."""
    schema = json.loads(read(SOURCE, "schemas/event.schema.json"))
    return set(schema["$defs"][definition]["properties"])


def test_subjects_match_as_nats_has_it():
    assert takes("agent.>", "agent.rollback.status")
    assert not takes("agent.>", "agent") and not takes("agent.*", "agent.a.b")
    assert takes("agent.*", "agent.telemetry") and not takes("a.b", "a.c")


def test_vector(share, subjects):
    vector = tomllib.loads(read(share, "vector.toml"))
    parts = {**vector["sources"], **vector["transforms"], **vector["sinks"]}
    assert len(parts) == sum(map(len, (vector["sources"],
                                       vector["transforms"],
                                       vector["sinks"])))
    source = vector["sources"]["aegisflux_events"]
    # These three have no default; what is unknown is refused.
    assert set(source) == {"type", "url", "subject", "connection_name",
                           "decoding"}
    assert source["type"] == "nats" and source["decoding"] == {"codec": "json"}
    assert all(takes(source["subject"], subject) for subject in subjects)
    assert vector["sources"]["aegisflux_log"]["include_units"] == [
        "aegisflux-agentd.service"]
    used = set()
    for part in (*vector["sinks"].values(), *vector["transforms"].values()):
        assert set(part["inputs"]) <= set(parts) - set(vector["sinks"])
        used.update(part["inputs"])
    # Nothing is read and then goes nowhere.
    assert used == set(vector["sources"]) | set(vector["transforms"])


def sections(text):
    """Fluent Bit's classic form: [SECTION], and indented keys of it."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if heading := re.fullmatch(r"\[([A-Z_]+)\]", line):
            found.append((heading[1], {}))
            continue
        entry = re.fullmatch(r" {4}([A-Z][A-Za-z_]*) +(\S.*)", line)
        assert entry and found, f"line {number}: {line!r}"
        assert entry[1] not in found[-1][1], f"line {number}: twice"
        found[-1][1][entry[1]] = entry[2]
    return found


def test_fluent_bit(share, subjects):
    text = read(share, "fluent-bit.conf")
    found = sections(text)
    of_kind = {kind: [keys for other, keys in found if other == kind]
               for kind in ("SERVICE", "INPUT", "FILTER", "OUTPUT")}
    assert sum(map(len, of_kind.values())) == len(found)
    [service] = of_kind["SERVICE"]
    parsers = {keys["Name"]: keys for kind, keys in
               sections(read(share, service["Parsers_File"]))
               if kind == "PARSER"}
    tags = {keys["Tag"] for keys in of_kind["INPUT"]}
    assert len(tags) == 2
    for keys in (*of_kind["FILTER"], *of_kind["OUTPUT"]):
        assert keys["Name"]
        assert any(fnmatch.fnmatchcase(tag, keys["Match"]) for tag in tags)
    assert all(any(fnmatch.fnmatchcase(tag, keys["Match"])
                   for keys in of_kind["OUTPUT"]) for tag in tags)
    asked_for = {keys["Parser"] for keys in
                 (*of_kind["INPUT"], *of_kind["FILTER"]) if "Parser" in keys}
    assert asked_for == set(parsers)
    # The times that the agent writes are read by them.
    assert parsers["aegisflux_event"]["Time_Key"] in fields("program_loaded")
    assert parsers["aegisflux_event"]["Time_Key"] in fields("rollback_status")
    assert parsers["aegisflux_log"]["Time_Key"] == "time"
    for keys in parsers.values():
        datetime.datetime.strptime(
            "2026-11-24T11:13:15.318952Z",
            keys["Time_Format"].replace("%L", "%f"))
    pattern = re.search(r"nats sub --raw '([^']+)'", text)[1]
    assert all(takes(pattern, subject) for subject in subjects)


TOKEN = re.compile(r'\s*(?:#[^\n]*|(=>|[{}\[\],])|("[^"\n]*"|\'[^\'\n]*\')'
                   r'|([A-Za-z_@][\w@-]*|-?[0-9.]+))')


def tokens(text):
    """Of Logstash's configuration language, without its conditionals."""
    at, found = 0, []
    text = text.rstrip()
    while at < len(text):
        token = TOKEN.match(text, at)
        assert token, f"no token: {text[at:at + 40]!r}"
        at = token.end()
        if any(token.groups()):
            found.append(token[1] or token[2] or token[3])
    return found


def take(left, *wanted):
    token = left.pop(0)
    assert not wanted or token in wanted, f"{token} is not {wanted}"
    return token


def value(left):
    token = take(left)
    if token == "[":
        items = []
        while left[0] != "]":
            items.append(value(left))
            if left[0] != "]":
                take(left, ",")
        take(left, "]")
        return items
    assert token not in ("{", "}", "=>", ",")
    return token[1:-1] if token[0] in "\"'" else token


def pipeline(text):
    """[(section, plugin, {setting: value})]"""
    left, found = tokens(text), []
    while left:
        section = take(left, "input", "filter", "output")
        take(left, "{")
        while left[0] != "}":
            plugin, settings = take(left), {}
            take(left, "{")
            while left[0] != "}":
                name = take(left)
                take(left, "=>")
                assert name not in settings
                settings[name] = value(left)
            take(left, "}")
            found.append((section, plugin, settings))
        take(left, "}")
    return found


def test_logstash(share, subjects):
    plugins = {(section, name): settings for section, name, settings in
               pipeline(read(share, "logstash.conf"))}
    source = plugins["input", "pipe"]
    # It gives lines without their ends, for which json_lines would wait.
    assert source["codec"] == "json"
    pattern = re.search(r"nats sub --raw .*'([^']+)'$", source["command"])[1]
    assert all(takes(pattern, subject) for subject in subjects)
    field, form = plugins["filter", "date"]["match"]
    assert field in fields("program_loaded") and form == "ISO8601"
    assert plugins["output", "elasticsearch"]["hosts"]
