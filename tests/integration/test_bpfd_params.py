# SPDX-License-Identifier: ISC
"""Other parameters for what runs, asked of bpfd alone: what makes no sense
changes no map, and what is forgotten meanwhile leaves nothing."""

import os
import signal
import struct

import pytest

from aegis import kernel, wait
from test_bpfd import (bpfd_path, build, built, driver,  # noqa: F401
                       nothing_left)


def number(value):
    return struct.pack("=I", value).hex()


def element(name, key, value):
    return f"elem={name},{number(key)},{number(value)}"


@pytest.fixture
def running(driver, built, cgroup, nothing_left):  # noqa: F811
    """Artifact 1, with one element of it_hash and one of it_array."""
    attach = f"attach=it_params,cgroup_skb/egress,{cgroup.name}"
    before = [attach, element("it_hash", 1, 10), element("it_array", 0, 5)]
    done = driver.loaded(1, built["params"], *before)

    def values():
        def at(name, key):
            try:
                return struct.unpack("=I", kernel.map_value(
                    done.maps[name], struct.pack("=I", key), 4))[0]
            except FileNotFoundError:
                return None
        return ([at("it_hash", k) for k in (1, 2)] +
                [at("it_array", k) for k in (0, 1)])
    yield attach, values
    driver("clear", 1)
    driver.send("forget", 1)  # which is an error where bpfd has ended
    driver.process.stdout.readline()


def has_ended(driver):  # noqa: F811
    with pytest.raises(AssertionError, match="bpfd is gone|error send"):
        driver("ping")


def answer(driver, *words):  # noqa: F811
    (line,) = [l for l in driver(*words) if l.startswith("change ")]
    number_, in_place, mixed, error = line.split(" ", 4)[1:]
    return int(number_), in_place == "1", mixed == "1", error


def test_values_of_the_same_artifact(driver, built, running):  # noqa: F811
    attach, values = running
    assert answer(driver, "update", 7, 1, built["params"], attach,
                  element("it_hash", 2, 20), element("it_array", 1, 6)) == (
        7, True, False, "")
    assert values() == [None, 20, 0, 6]
    # The next one starts from there.
    assert answer(driver, "update", 8, 1, built["params"], attach,
                  element("it_hash", 1, 11))[1:3] == (True, False)
    assert values() == [11, None, 0, 0]


def test_plan_of_another_artifact(driver, built, running):  # noqa: F811
    attach, values = running
    before = values()
    for other in (["params", attach, "name=it_hash,it_other"],
                  ["params", element("it_hash", 1, 11)],
                  ["count"], ["kinds"]):
        _, in_place, mixed, error = answer(
            driver, "update", 7, 1, built[other[0]], *other[1:])
        assert (in_place, mixed) == (False, False) and "change" in error
        assert values() == before
    assert set(driver.sample()) == {1}


def test_one_that_nobody_loaded(driver, built, running):  # noqa: F811
    """It ends: agentd does not ask such things."""
    attach, values = running
    before = values()
    driver("change", 7, 5, built["params"], attach,
           element("it_hash", 1, 11))
    has_ended(driver)
    assert values() == before


def test_two_at_once(driver, built, running):  # noqa: F811
    """The second does not find the first half done: it ends bpfd."""
    attach, values = running
    os.kill(driver.pid, signal.SIGSTOP)  # so that it reads both at once
    try:
        driver("change", 7, 1, built["params"], attach,
               element("it_hash", 1, 11))
        driver("change", 8, 1, built["params"], attach,
               element("it_hash", 1, 12))
    finally:
        os.kill(driver.pid, signal.SIGCONT)
    has_ended(driver)
    assert values() in ([10, None, 5, 0], [11, None, 0, 0])


def test_forgotten_while_it_is_changed(driver, built, cgroup,  # noqa: F811
                                       nothing_left):  # noqa: F811
    """Right behind the question, and before bpfd looks for an answer."""
    attach = f"attach=it_params,cgroup_skb/egress,{cgroup.name}"
    open_before = None
    for turn in range(20):
        driver.loaded(1, built["params"], attach, element("it_hash", 1, 10))
        driver.send("change", 7, 1, built["params"], attach,
                    element("it_hash", 1, 11))
        driver.send("unload", 1)
        driver.answer()
        driver.answer()
        assert driver.sample() == {}
        if turn == 4:
            open_before = len(kernel.descriptors(driver.pid))
    wait.until(lambda: len(kernel.descriptors(driver.pid)) <= open_before,
               "bpfd has closed all")
