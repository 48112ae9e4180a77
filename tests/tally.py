#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Count checks for scripts/test: print "PASSED FAILED SKIPPED" on one line.

tally.py unit TESTLOG.json    a `meson test` log of Check programs
tally.py pytest JUNIT.xml     a pytest result file

A unit test program counts with the checks it made, as Check's own summary
says; one that died before its summary counts as one failed check.
"""

import json
import re
import sys
import xml.etree.ElementTree as xml

CHECK_LINE = re.compile(
    r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)


def count_unit(path):
    passed = failed = skipped = 0
    with open(path, encoding="utf-8") as log:
        runs = [json.loads(line) for line in log if line.strip()]
    for run in runs:
        sums = CHECK_LINE.findall(run.get("stdout") or "")
        bad = sum(int(f) + int(e) for _, f, e in sums)
        passed += sum(int(c) for c, _, _ in sums) - bad
        if run["result"] == "SKIP":
            skipped += 1
        elif run["result"] in ("OK", "EXPECTEDFAIL"):
            passed += not sums
            failed += bad
        else:
            failed += max(bad, 1)
            print(f"--- {run['name']}: {run['result']}", file=sys.stderr)
            print((run.get("stdout") or "")[-4000:], file=sys.stderr)
            print((run.get("stderr") or "")[-4000:], file=sys.stderr)
    return passed, failed, skipped


def count_pytest(path):
    root = xml.parse(path).getroot()
    suites = [root] if root.tag == "testsuite" else root.findall("testsuite")
    tests, bad, skipped = (
        sum(sum(int(s.get(key, 0)) for key in keys) for s in suites)
        for keys in (("tests",), ("failures", "errors"), ("skipped",)))
    return tests - bad - skipped, bad, skipped


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("unit", "pytest"):
        sys.exit(__doc__)
    count = count_unit if sys.argv[1] == "unit" else count_pytest
    print(*count(sys.argv[2]))


if __name__ == "__main__":
    main()
