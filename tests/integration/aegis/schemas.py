# SPDX-License-Identifier: ISC
"""Every event and answer that the tests see is held against schemas/.  Only
of violations, of which a flood has a hundred thousand, and of answers, which
are asked for again and again, those are taken as samples, one in twenty, that
differ in nothing but numbers, ids and times from one that was looked at."""

import json
import os
import re

import jsonschema

_DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                          "../../../schemas")
_SAMPLE = 20
ANSWERS = {
    "/healthz": "healthz", "/status": "status", "/metrics": "metrics",
    "/programs": "programs", "/rollbacks": "rollbacks",
    "/telemetry": "telemetry_document", "/version": "version",
}
_WORD = re.compile("[a-z_]{0,32}")  # a status, a reason, a type
_validators, _seen = {}, {}


def _validator(schema, definition):
    key = (schema, definition)
    if key not in _validators:
        defs = load(schema)["$defs"]
        assert definition in defs, f"{definition} is in no schema"
        _validators[key] = jsonschema.Draft202012Validator(
            {"$ref": f"#/$defs/{definition}", "$defs": defs})
    return _validators[key]


def _shape(value):
    if isinstance(value, dict):
        return tuple((k, _shape(v)) for k, v in sorted(value.items()))
    if isinstance(value, list):
        return frozenset(_shape(v) for v in value)
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    if isinstance(value, (int, float)):
        return type(value), value < 0
    return type(value)


def _check_sample(schema, definition, value):
    key = (schema, definition, _shape(value))
    _seen[key] = _seen.get(key, 0) + 1
    if _seen[key] % _SAMPLE == 1:
        _validator(schema, definition).validate(value)


def check_event(event):
    """An event, or a step of a rollback."""
    if event["type"] == "violation_report":
        _check_sample("event", event["type"], event)
    else:
        _validator("event", event["type"]).validate(event)


def load(name):
    """A schema by its file's name."""
    with open(os.path.join(_DIRECTORY, name + ".schema.json"),
              encoding="utf-8") as f:
        return json.load(f)


def commands():
    """The commands of which aegisctl.schema.json says what -j prints."""
    return set(load("aegisctl")["$defs"]["command"]["properties"])


def check_ctl(arguments, text):
    """What aegisctl printed, if it was asked for JSON."""
    if "-j" not in arguments or not text:
        return
    command = next(word for word in arguments if word in commands())
    if "aegisctl" not in _validators:
        api, text_of = load("api"), json.dumps(load("aegisctl"))
        own = json.loads(text_of.replace(api["$id"] + "#", "#"))["$defs"]
        assert not set(own) & set(api["$defs"])
        _validators["aegisctl"] = jsonschema.Draft202012Validator(
            {"$ref": "#/$defs/command", "$defs": own | api["$defs"]})
    decoder, text = json.JSONDecoder(), text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        _validators["aegisctl"].validate({command: document})
        text = text[end:].lstrip()


def check_answer(path, body):
    """The agent's answer to GET PATH, if that is one of the API's."""
    if path in ANSWERS and isinstance(body, dict):
        _check_sample("api", ANSWERS[path], body)
