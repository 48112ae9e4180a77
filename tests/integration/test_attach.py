# SPDX-License-Identifier: ISC
"""The whole agent with programs that need its broker, or that hang neither
at an interface nor at a cgroup: from the metadata's entry to a link in
agentd's custody.  Every kind by itself: test_bpfd.py's table."""

import ctypes
import glob
import json
import os
import signal
import socket

import pytest

from aegis import net, wait
from aegis.artifact import Artifact

LIBC = os.path.realpath(glob.glob("/usr/lib/*-linux-gnu/libc.so.6")[0])
PROGRAMS = ("it_uprobe", "it_kprobe", "it_tracepoint", "it_sample",
            "it_netfilter", "it_lookup")


@pytest.fixture
def probing(key, objects):
    """probing({entry}, ...): an artifact of those attachments alone."""
    def make(*entries, name="it_probes", **kwargs):
        used = {entry["program"] for entry in entries}
        rest = [{"program": p, "attach": False} for p in PROGRAMS
                if p not in used]
        return Artifact(key, name, objects["probes"], list(entries) + rest,
                        **kwargs)
    return make


def counted(agent, artifact):
    return agent.programs()[artifact.id]["telemetry"]["packets_processed"]


def counts(agent, artifact, trigger, times=5):
    """What TRIGGER does moves the counter, as often as it is done."""
    before = counted(agent, artifact)
    for _ in range(times):
        trigger()
    wait.until(lambda: counted(agent, artifact) >= before + times,
               "the counter moves")


def gethostid():
    ctypes.CDLL(LIBC).gethostid()


def send_packet():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", ("127.0.0.1", 9))


def test_uprobe_by_symbol(agent, tree, probing):
    artifact = probing({"program": "it_uprobe", "binary": "$lib",
                        "symbol": "gethostid"}, parameters={"lib": LIBC})
    tree.publish(artifact)
    agent.wait_running(artifact)
    counts(agent, artifact, gethostid)
    [point] = agent.programs()[artifact.id]["attach_points"]
    assert point["type"] == "uprobe"
    assert point["target"] == f"{LIBC}:gethostid"
    # A new bpfd takes over; the link was agentd's all the time.
    os.kill(agent.workers()["bpfd"], signal.SIGKILL)
    gethostid()
    counts(agent, artifact, gethostid)
    tree.publish()
    wait.until(lambda: agent.status_of(artifact.id) != "running", "withdrawn")


def test_uprobe_by_offset(agent, tree, probing):
    """A place in the file: where gethostid() is in this very process."""
    address = ctypes.cast(ctypes.CDLL(LIBC).gethostid, ctypes.c_void_p).value
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            span, _, offset = line.split()[:3]
            start, end = (int(n, 16) for n in span.split("-"))
            if start <= address < end:
                place = address - start + int(offset, 16)
    artifact = probing({"program": "it_uprobe", "binary": LIBC,
                        "offset": "$at"}, parameters={"at": hex(place)})
    tree.publish(artifact)
    agent.wait_running(artifact)
    counts(agent, artifact, gethostid)


def test_uprobe_replaced_before_the_old_one_goes(agent, tree, probing):
    entry = {"program": "it_uprobe", "binary": LIBC, "symbol": "gethostid"}
    first, second = probing(entry), probing(entry, version="1.0.1")
    tree.publish(first)
    agent.wait_running(first)
    tree.publish(second)
    agent.wait_running(second)
    counts(agent, second, gethostid)


def test_uprobe_refusals(agent, tree, probing):
    artifacts = {
        "it has no function": probing(
            {"program": "it_uprobe", "binary": LIBC, "symbol": "no_such"},
            name="it_no_symbol"),
        "it is no ELF file": probing(
            {"program": "it_uprobe", "binary": "/usr/bin/ldd",
             "symbol": "main"}, name="it_no_elf"),
        "symbols are looked up in files below /usr": probing(
            {"program": "it_uprobe", "binary": os.path.realpath(__file__),
             "symbol": "main"}, name="it_elsewhere"),
        "where in": probing(
            {"program": "it_uprobe", "binary": LIBC}, name="it_nowhere"),
    }
    tree.publish(*artifacts.values())
    for words, artifact in artifacts.items():
        agent.wait_status(artifact.id, "failed")
        assert words in agent.programs()[artifact.id]["error"]


def test_samples_on_every_processor(agent, tree, probing):
    artifact = probing({"program": "it_sample", "event": "cpu-clock",
                        "frequency": 100})
    tree.publish(artifact)
    agent.wait_running(artifact)
    counts(agent, artifact, lambda: sum(range(2000000)))
    points = agent.programs()[artifact.id]["attach_points"]
    assert len(points) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert {p["target"] for p in points} == {"cpu-clock, 100 Hz"}


def test_netfilter_replaced_at_its_own_priority(agent, tree, probing):
    entry = {"program": "it_netfilter", "hook": "ipv4/local_out",
             "priority": -7}
    first, second = probing(entry), probing(entry, version="1.0.1")
    tree.publish(first)
    agent.wait_running(first)
    counts(agent, first, send_packet)
    tree.publish(second)
    agent.wait_running(second)
    counts(agent, second, send_packet)
    third = probing(entry, version="1.0.2")
    tree.publish(third)
    agent.wait_running(third)
    counts(agent, third, send_packet)


def test_two_of_one_priority_and_who_is_first(agent, tree, probing):
    entry = {"program": "it_netfilter", "hook": "ipv4/local_in",
             "priority": 5}
    first = probing(entry)
    tree.publish(first)
    agent.wait_running(first)
    other = probing(entry, name="it_other")
    tree.publish(first, other)
    wait.until(lambda: first.id in agent.programs().get(
        other.id, {}).get("error", ""), "the first is named")


def test_sk_lookup_needs_no_target(agent, tree, probing):
    artifact = probing({"program": "it_lookup"})
    tree.publish(artifact)
    agent.wait_running(artifact)

    def connect():
        with socket.socket() as s:
            s.connect_ex(("127.0.0.1", 9))
    counts(agent, artifact, connect)


@pytest.mark.parametrize("program,lacks", [
    ("it_kprobe", "/sys/bus/event_source/devices/kprobe"),
    ("it_tracepoint", "/sys/kernel/tracing/events"),
])
def test_what_may_be_lacking(agent, tree, probing, program, lacks):
    """Where the kernel has it, it counts; else the error says what lacks."""
    artifact = probing({"program": program})
    tree.publish(artifact)
    if os.path.exists(lacks):
        agent.wait_running(artifact)
        counts(agent, artifact, lambda: os.waitpid(os.spawnlp(
            os.P_NOWAIT, "true", "true"), 0))
        return
    agent.wait_status(artifact.id, "failed")
    error = agent.programs()[artifact.id]["error"]
    assert {"it_kprobe": "kprobe: this kernel is built without kprobes",
            "it_tracepoint": "tracepoint: tracefs is not mounted"}[
                program] in error


# What "ip" calls them.
NATIVE, GENERIC = 1, 2


def xdp_mode(interface):
    [shown] = json.loads(net.run("ip", "-j", "link", "show", "dev",
                                 interface))
    return shown.get("xdp", {}).get("mode")


@pytest.fixture
def passing(key, objects):
    """passing(interface, mode=...): XDP by an entry as it stands."""
    def make(interface, version="1.0.0", name="it_pass", **mode):
        return Artifact(key, name, objects["pass"],
                        [{"program": "it_pass", "interface": interface,
                          **mode}], version=version)
    return make


@pytest.mark.parametrize("mode,shown", [
    ({}, NATIVE), ({"mode": "native"}, NATIVE), ({"mode": "generic"}, GENERIC)],
    ids=["auto", "native", "generic"])
def test_xdp_modes(agent, tree, passing, veth, mode, shown):
    """What the entry says is what the interface has."""
    artifact = passing(veth.name, **mode)
    tree.publish(artifact)
    agent.wait_running(artifact)
    assert xdp_mode(veth.name) == shown
    counts(agent, artifact, lambda: veth.ping(1))
    # Any will do for "auto": in place.
    [link] = agent.programs()[artifact.id]["attach_points"]
    then = passing(veth.name, version="1.0.1", mode="auto")
    tree.publish(then)
    agent.wait_running(then)
    assert xdp_mode(veth.name) == shown
    assert agent.programs()[then.id]["attach_points"][0][
        "link_id"] == link["link_id"]


def test_xdp_mode_changes_when_the_old_one_has_gone(
        agent, tree, passing, veth):
    """The kernel has no two at once: there would be a gap."""
    first = passing(veth.name, mode="generic")
    tree.publish(first)
    agent.wait_running(first)
    second = passing(veth.name, version="1.0.1", mode="native")
    tree.publish(second)
    wait.until(lambda: first.id in agent.programs().get(
        second.id, {}).get("error", ""), "what is in the way is named")
    assert agent.status_of(first.id) == "running"
    assert xdp_mode(veth.name) == GENERIC
    tree.publish()
    wait.until(lambda: xdp_mode(veth.name) is None, "both are withdrawn")
    tree.publish(second)
    agent.wait_running(second)
    assert xdp_mode(veth.name) == NATIVE


def test_xdp_where_the_driver_has_none(agent, tree, passing):
    native = passing("lo", mode="native")
    tree.publish(native)
    agent.wait_status(native.id, "failed")
    assert ('the driver of "lo" has no native XDP: mode "generic" or "auto" '
            'works') in agent.programs()[native.id]["error"]
    auto = passing("lo", mode="auto", name="it_auto")
    tree.publish(auto)
    agent.wait_running(auto)
    assert xdp_mode("lo") == GENERIC
