# SPDX-License-Identifier: ISC
"""Waiting for a condition, never for an amount of time."""

import time

# Seconds after which what was waited for does not come any more, on whatever
# machine: no measure of how fast anything is, and long only where it fails.
LONG = 60.0


def until(condition, what, timeout=LONG, every=0.02):
    """Call CONDITION until it returns something true, and return that.

    WHAT names it for the message when TIMEOUT seconds were not enough; a
    function is called for it then.  Exceptions of the condition count as
    "not yet" and are shown in the message."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        # Who was kept from looking for long looks once more.
        late = time.monotonic() > deadline
        try:
            result = condition()
            if result:
                return result
            last = result
        except (AssertionError, LookupError, OSError, ValueError) as error:
            last = error
        if late:
            text = what() if callable(what) else what
            raise AssertionError(
                f"not within {timeout:g} s: {text} (last seen: {last!r})")
        time.sleep(every)


def never(condition, what, during=1.0, every=0.05):
    """Fail if CONDITION comes true within DURING seconds."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        assert not condition(), what
        time.sleep(every)


def measured(measure, limit, tries=5):
    """Call MEASURE, which does something and says how long that took, until
    it was at most LIMIT; what it was then.  A machine that is busy with other
    things spoils a measurement or two, a thing that is slow spoils them
    all.  What MEASURE asserts itself has no second chance."""
    seen = []
    for _ in range(tries):
        seen.append(measure())
        if seen[-1] <= limit:
            return seen[-1]
    raise AssertionError(f"never at most {limit:g}: {seen}")
