# SPDX-License-Identifier: ISC
"""The installed JSON Schemas against what apid really answers, and against
signals; test_telemd.py has the events."""

import json
import os

import jsonschema
import pytest

from aegis.apid import Apid

SCHEMAS = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       "../../schemas")
DEFINITIONS = {"/healthz": "healthz", "/status": "status",
               "/metrics": "metrics", "/programs": "programs",
               "/rollbacks": "rollbacks", "/telemetry": "telemetry_document",
               "/version": "version"}


def load(name):
    with open(os.path.join(SCHEMAS, name + ".schema.json"),
              encoding="utf-8") as f:
        return json.load(f)


def validator(schema, definition):
    return jsonschema.Draft202012Validator(
        {"$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]})


@pytest.mark.parametrize("name", ["aegisctl", "api", "event", "signal"])
def test_schema_is_one(name):
    jsonschema.Draft202012Validator.check_schema(load(name))


def test_api_answers(prefix, build_dir):
    schema = load("api")
    apid = Apid(prefix, build_dir).start()
    try:
        for numbers in ({"programs": 0, "rollbacks": 0},
                        {"programs": 1, "rollbacks": 1},
                        {"programs": 11, "mixed": 1, "rollbacks": 9,
                         "health": 1}):
            apid.publish(**numbers)
            for path, definition in DEFINITIONS.items():
                document = json.loads(apid.request(path)[2])
                validator(schema, definition).validate(document)
    finally:
        assert apid.stop() == "exited 0"


@pytest.mark.parametrize("definition, value, good", [
    ("rollback", {"artifact_id": "a"}, True),
    ("rollback", {"artifact_id": "a", "reason": None, "more": 1}, True),
    ("rollback", {"artifact_id": "../a"}, False),
    ("rollback", {"reason": "x"}, False),
    ("action", {"artifact_id": "a", "targets": ["h"]}, True),
    ("action", {"artifact_id": "a"}, False),
    ("answer", {"status": "accepted"}, True),
    ("answer", {"status": "rejected", "error": "no"}, True),
    ("answer", {"status": "rejected"}, False),
])
def test_signals(definition, value, good):
    assert validator(load("signal"), definition).is_valid(value) == good
