# SPDX-License-Identifier: ISC
"""Judge what the kernels said, and print it as one table:

    table.py KERNEL=RESULTS...

RESULTS are files of the lines that guest/lib.sh describes; KERNEL is the
column in "expected".  The last line is PASSED FAILED SKIPPED: a check counts
one, and so does a type on a kernel.  Nothing is skipped."""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ATTACH = os.path.join(HERE, "..", "..", "common", "attach.def")


class Results:
    """One kernel's."""

    def __init__(self, kernel, path):
        self.kernel = kernel
        self.rows, self.root, self.facts = {}, {}, {}
        self.checks, self.log = [], []
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self.take(line.rstrip("\r\n"))

    def take(self, line):
        kind, _, rest = line.partition(" ")
        first, _, more = rest.partition(" ")
        if kind == "CHECK":
            self.checks.append((first == "ok", more))
        elif kind == "ROW":
            self.rows[first] = more.partition(" ")[::2]
        elif kind in ("ROOT", "FACT"):
            (self.root if kind == "ROOT" else self.facts)[first] = more
        else:
            self.log.append(line)

    def title(self):
        return self.facts.get("release", self.kernel)

    def holds(self, condition, name):
        """Is the line of "expected" with this condition about this kernel?"""
        word, _, value = condition.partition(":")
        if word == "root":
            return name in self.root
        if word == "before":
            return version(self.title()) < version(value)
        if word == "without":
            return not os.path.exists(value)
        if word == "unknown":
            with open("/proc/kallsyms", encoding="ascii") as symbols:
                return all(line.split()[2] != value for line in symbols)
        assert word == "always", f"expected: no such condition: {condition}"
        return True


def version(text):
    return tuple(int(n) for n in re.findall(r"\d+", text)[:2])


def attach_types():
    """The names in common/attach.def, in its order."""
    with open(ATTACH, encoding="utf-8") as table:
        return re.findall(r'^ATTACH\(\w+,\s*"([^"]+)"', table.read(), re.M)


def expectations():
    """(type, kernel) -> (verdict, condition, words)"""
    found = {}
    with open(os.path.join(HERE, "expected"), encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, kernel, *rest = line.rstrip("\n").split("\t")
                assert len(rest) == 3, f"expected: five fields: {line}"
                found[name, kernel] = tuple(rest)
    return found


def judge(result, name, line):
    """(what the table shows, reason to tell, what is wrong or None)"""
    verdict, reason = result.rows.get(name, ("FAILED", "no result"))
    if verdict == "FAILED":
        return "FAILED", reason, reason
    must = "works"
    if line and result.holds(line[1], name):
        must = line[0]
    shown = "works" if verdict == "works" else must
    if must == "works":
        if verdict == "works":
            return "works", None, None
        return "REFUSED", reason, f"should work: {reason}"
    if verdict == "works":
        return "works", None, f'works, and "expected" says {must}'
    if line[2] not in reason:
        return "REFUSED", reason, f'not for "{line[2]}": {reason}'
    return shown, reason, None


def show(results, expected):
    """Print the table; (passed, failed)."""
    width = max(18, *(len(r.title()) + 4 for r in results))
    notes, wrong, passed = [], [], 0
    print("attach type".ljust(22) +
          "".join(r.title().ljust(width) for r in results).rstrip())
    for name in attach_types():
        cells = []
        for r in results:
            cell, reason, bad = judge(r, name, expected.get((name, r.kernel)))
            if reason is not None:
                reason = reason.removeprefix(name + ": ")
                if reason not in notes:
                    notes.append(reason)
                cell += f" [{notes.index(reason) + 1}]"
            if bad:
                wrong.append(f"{name} on {r.title()}: {bad}")
            else:
                passed += 1
            cells.append(cell.ljust(width))
        print((name.ljust(22) + "".join(cells)).rstrip())
    for number, note in enumerate(notes, 1):
        print(f"  [{number}] {note}")
    for line in wrong:
        print(f"FAILED  {line}")
    return passed, len(wrong)


def main():
    results = [Results(*word.split("=", 1)) for word in sys.argv[1:]]
    passed = failed = 0
    for r in results:
        good = [name for ok, name in r.checks if ok]
        bad = [name for ok, name in r.checks if not ok]
        passed, failed = passed + len(good), failed + len(bad)
        if not r.checks:
            continue
        print(f"\n{r.title()}, Landlock {r.facts.get('landlock', '-')}:")
        for name in good:
            print(f"ok      {name}")
        for name in bad:
            print(f"FAILED  {name}")
        for line in r.log if bad else ():
            print(f"  | {line}")
    print()
    more = show(results, expectations())
    print(passed + more[0], failed + more[1], 0)


if __name__ == "__main__":
    main()
