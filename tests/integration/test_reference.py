# SPDX-License-Identifier: ISC
"""What the manuals list is what the sources have, no more and no less: event
types, endpoints, statuses, options, signals.  Variables are compared in
tests/unit/test_config.c, commands and metrics in test_aegisctl.py, messages in
test_manuals.py."""

import json
import os
import re

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as text:
        return text.read()


def part(text, start, end):
    assert start in text, start
    return text.partition(start)[2].partition(end)[0]


def names(function):
    """The words that a function of common/lifecycle.c gives."""
    body = part(read("common", "lifecycle.c"), f"\n{function}(", "\n}")
    return set(re.findall(r'\] = "(\w+)"', body))


def outer_heads(text):
    """The heads of the outermost lists, without their first macro."""
    depth, found = 0, []
    for line in text.splitlines():
        depth += line.startswith(".Bl ") - line.startswith(".El")
        if depth == 1 and line.startswith(".It "):
            found.append(line.split(" ", 2)[2])
    return found


def test_event_types():
    page = read("man", "aegis-events.7")
    types = outer_heads(part(page, "\n.Sh TYPES\n", "\n.Ss "))
    # This one has a subject of its own, and is described with it.
    assert "rollback_status" in part(page, "\n.Ss agent.rollback", "\n.Sh ")
    assert set(types) | {"rollback_status"} == names("event_type_name")
    assert len(types) == len(set(types)) == 7


@pytest.mark.parametrize("function, page, start, end, count", [
    ("unload_reason_name", "aegis-events.7", "\n.It Li program_unloaded\n",
     "\n.It Li program_error\n", 7),
    ("unload_reason_name", "aegis-api.7", "\n.It Va unload_reason\n",
     "\n.It Va listed\n", 7),
    ("rollback_reason_name", "aegis-events.7",
     "\n.It Li metadata.rollback_reason\n", "\n.It Li metadata.threshold\n", 6),
    ("threshold_name", "aegis-events.7", "\n.It Li metadata.threshold\n",
     "\n.It Li metadata.value", 6),
    ("rollback_status_name", "aegis-events.7", "\n.Ss agent.rollback.status\n",
     "\n.Sh ", 4),
    ("status_name", "aegis-events.7", "\n.Ss The telemetry object\n",
     "\n.Sh ", 6),
    ("status_name", "aegis-api.7", "\n.It Va status\n", "\n.It Va loaded_at",
     7),
    ("status_stage", "aegis-api.7", "\n.It Va stage\n",
     "\n.It Va unload_reason\n", 11),
])
def test_words(function, page, start, end, count):
    told = set(re.findall(r"\w+", part(read("man", page), start, end)))
    assert len(names(function)) >= count
    assert names(function) <= told


def properties(schema):
    if isinstance(schema, list):
        return set().union(*map(properties, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", ())).union(
        *map(properties, schema.values()))


@pytest.mark.parametrize("schema, page, count", [
    ("event.schema.json", "aegis-events.7", 60),
    ("signal.schema.json", "aegis-events.7", 8),
    ("api.schema.json", "aegis-api.7", 50)])
def test_fields(schema, page, count):
    fields = properties(json.loads(read("schemas", schema)))
    assert len(fields) >= count
    assert fields <= set(re.findall(r"\w+", read("man", page)))


def test_endpoints():
    routes = set(re.findall(r'\{ "(/[^"]*)", ROUTE_',
                            read("apid", "routes.c")))
    section = part(read("man", "aegis-api.7"), "\n.Sh ENDPOINTS\n", "\n.Ss ")
    heads = outer_heads(section)
    files = {r for r in routes if "." in r}
    assert set(heads) | files == routes
    assert all(f".Pa {name}" in section for name in files)


def test_http_statuses():
    sent = set(re.findall(r"case (\d+):", part(
        read("apid", "answer.c"), "\nanswer_status_text(", "\n}")))
    page = part(read("man", "aegis-api.7"), "\n.Bl -tag -width 401\n", "\n.El")
    told = set(re.findall(r"\d+", " ".join(re.findall(r"^\.It (.*)$", page,
                                                     re.M))))
    assert sent == told


def test_exit_statuses_of_aegisctl():
    code = "".join(read("aegisctl", name)
                   for name in sorted(os.listdir(os.path.join(TOP, "aegisctl")))
                   if name.endswith(".c"))
    given = set(re.findall(r"EXIT_\w+ = (\d+)", code))
    given |= set(re.findall(r"\berrx?\((\d+)", code))
    page = part(read("man", "aegisctl.8"), "\n.Sh EXIT STATUS\n", "\n.Sh ")
    assert set(re.findall(r"^\.It (\d+)$", page, re.M)) == given


def test_options_of_agentd():
    code, page = read("agentd", "agentd.c"), read("man", "agentd.8")
    taken = set(re.findall(r"[a-z]", re.search(
        r'getopt\(argc, argv, "([a-z:]*)"', code).group(1)))
    assert set(re.findall(r"^\.It Fl (\w)", page, re.M)) == taken
    synopsis = part(page, "\n.Sh SYNOPSIS\n", "\n.Sh ")
    assert set("".join(re.findall(r"Fl (\w+)", synopsis))) == taken


def test_options_of_aegisctl():
    """Each command's own, in its head."""
    table = part(read("aegisctl", "aegisctl.c"), "struct command commands[] =",
                 "\n};")
    taken = {name: set(flags.replace(":", "")) for name, flags in re.findall(
        r'\{\s*"([a-z-]+)",\s*"[^"]*",\s*\d, \d,\s*"([a-z:]*)"', table)}
    told = {}
    for head in re.findall(r"^\.It Cm ([a-z].*)$", read("man", "aegisctl.8"),
                           re.M):
        told[head.split()[0]] = set(re.findall(r"Fl (\w)", head)) - {"s"}
    assert len(taken) == 18
    assert told == taken


def test_signals():
    code = part(read("agentd", "agentd.c"), "static const int signals[] = {",
                "}")
    page = part(read("man", "agentd.8"), "\n.Ss Signals\n", "\n.Ss ")
    told = set(re.findall(r"SIG\w+", " ".join(re.findall(
        r"^\.It Dv (.*)$", page, re.M))))
    assert told == set(re.findall(r"SIG\w+", code)) | {"SIGKILL"}
