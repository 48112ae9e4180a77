# SPDX-License-Identifier: ISC
"""Versions of a program take each other's place in the whole agent while
what they are there for happens without pause: not one event is missed.
The same with 50,000 packets: test_bpfd.py's test_update_misses_nothing; tc
filters: test_clsact.py; what must be tried where LSM, fentry and kprobes are
allowed: tests/vm."""

import json
import os
import subprocess
import sys

import pytest

from aegis import kernel, wait
from aegis.artifact import PROGS, Artifact
from test_attach import LIBC

VERSIONS = 6
EVENTS = 256 * 1024  # as in progs/gapless.bpf.c
FIRST_EVENT = 1_000_000

# Until told to stop: connect; the outcomes, counted.
CONNECTS = """
import collections, errno, json, select, socket, sys
done = collections.Counter()
while not select.select([sys.stdin], [], [], 0)[0]:
    with socket.socket() as s:
        done[errno.errorcode.get(s.connect_ex(("127.0.0.1", 9)), "0")] += 1
print(json.dumps(done))
"""

# Until told to stop: system calls that do not exist, each by its own number;
# how many.  Fewer when it takes long, so that the numbers last.
CALLS = f"""
import ctypes, select, sys
call = ctypes.CDLL(None).syscall
call.argtypes = [ctypes.c_long]
sys.stdin.readline()
for number in range({EVENTS}):
    call({FIRST_EVENT} + number)
    pause = 0.0005 if number < {EVENTS // 2} else 0.02
    if number % 2 == 0 and select.select([sys.stdin], [], [], pause)[0]:
        break
print(number + 1)
"""


@pytest.fixture
def version(key, objects, cgroup):
    """version(number, program, ...): that program of gapless.bpf.c; what
    its maps hold goes over to the next version."""
    attach = {"it_connect": {"cgroup": cgroup.path}, "it_event": {},
              "it_btf_event": {}}

    def make(number, program, **parameters):
        entries = [dict(where, program=name) if name == program else
                   {"program": name, "attach": False}
                   for name, where in attach.items()]
        return Artifact(
            key, "it_gapless", objects["gapless"], entries,
            version=f"1.0.{number}",
            parameters=dict(parameters, version=number),
            metadata={"carry_maps": ["stats", "it_marks"]})
    return make


def start(source, group=None):
    return subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
        preexec_fn=group.join if group else None)


def finish(process):
    """Tell it to stop; what it says."""
    output, _ = process.communicate("stop\n", timeout=wait.LONG)
    assert process.returncode == 0
    return output.strip()


def counted(agent, artifact):
    return agent.programs()[artifact.id]["telemetry"]["packets_processed"]


def replace_over_and_over(agent, tree, make, first):
    """VERSIONS of it, one after the other; the last."""
    last = first
    for number in range(2, VERSIONS + 1):
        old, last = agent.held()["prog"], make(number)
        before = counted(agent, tree.listed[0])
        tree.publish(last)
        agent.wait_running(last)
        assert agent.held()["prog"] - old, "it is the same program still"
        wait.until(lambda a=last, b=before: counted(agent, a) > b,
                   "the new one counts")
    return last


def test_every_connect_is_denied(agent, tree, version, cgroup):
    """In place (BPF_LINK_UPDATE): each by exactly one version."""
    first = version(1, "it_connect")
    tree.publish(first)
    agent.wait_running(first)
    [link] = agent.held()["link"]
    client = start(CONNECTS, cgroup)
    try:
        wait.until(lambda: counted(agent, first) > 0, "it connects")
        last = replace_over_and_over(
            agent, tree, lambda n: version(n, "it_connect"), first)
    finally:
        said = finish(client)
    outcomes = json.loads(said)
    print(f"{VERSIONS} versions: {outcomes}")
    assert set(outcomes) == {"EPERM"}
    assert outcomes["EPERM"] > 1000
    assert agent.held()["link"] == {link}
    wait.until(lambda: counted(agent, last) == outcomes["EPERM"],
               lambda: f"{outcomes}: {counted(agent, last)} counted")


def marks(agent):
    """What is written in it_marks, which all versions share."""
    for number in agent.held()["map"]:
        if kernel.map_name(number) == "it_marks":
            return kernel.map_value(number, 0, EVENTS)
    raise LookupError("no it_marks is held")


@pytest.mark.parametrize("program", ["it_event", "it_btf_event"])
def test_every_event_is_seen(agent, tree, version, program):
    """Raw tracepoints know no LINK_UPDATE: made before broken, so that each
    event is seen by one version at least."""
    calls = start(CALLS)
    try:
        def make(number):
            return version(number, program, pid=calls.pid,
                           first_event=FIRST_EVENT)
        first = make(1)
        tree.publish(first)
        agent.wait_running(first)
        before = agent.held()["link"]
        calls.stdin.write("go\n")
        calls.stdin.flush()
        wait.until(lambda: counted(agent, first) > 0, "it calls")
        last = replace_over_and_over(agent, tree, make, first)
        wait.until(lambda: len(agent.held()["link"]) == 1, "one link")
        assert agent.held()["link"] != before
    finally:
        made = int(finish(calls))
    assert 1000 < made < EVENTS
    seen = marks(agent)
    missed = [n for n in range(made) if not seen[n]]
    assert not missed, f"{len(missed)} of {made}: {missed[:20]}"
    assert not any(seen[made:])
    wait.until(lambda: counted(agent, last) >= made, "counted")
    print(f"{VERSIONS} versions: {made} events, {counted(agent, last)} "
          "times seen")


# --- every kind that the kernel cannot swap in place ---

# Lines of common/attach.def; those that no kernel that we know of refuses.
# The others (LSM, fentry, kprobe and their likes): tests/vm.
ANYWHERE = ("TP_BTF", "RAW_TP", "TRACEPOINT", "UPROBE", "URETPROBE",
            "NETFILTER", "PERF_EVENT")


@pytest.fixture
def with_tracefs(make_agent, tree, nats, client):
    """An agent on a machine that has tracefs mounted."""
    assert client
    agent = make_agent(tree.url, nats.url)
    if not os.path.exists("/sys/kernel/tracing/events"):
        agent.launcher = [
            "unshare", "--mount", "sh", "-c",
            "mount -t tracefs tracefs /sys/kernel/tracing && exec \"$0\""]
    return agent.start()


def test_every_kind_sees_every_event(with_tracefs, tree, key, objects, cgroup,
                                     session_dir, build_dir):
    """All of them in one program: each event is seen by one version at
    least.  A sampler has no events that it could miss: between two samples
    lies no more time than a sampler that is not replaced needs for a few of
    its own.  Here, and in a guest, where there are more kinds."""
    agent, numbers = with_tracefs, iter(range(VERSIONS))
    with open(os.path.join(PROGS, "gaps.json"), encoding="utf-8") as file:
        entries = [e for e in json.load(file)
                   if e["program"][len("gap_"):] in ANYWHERE + ("tick",)]

    def version():
        return Artifact(key, "it_gaps", objects["gaps"], entries,
                        version=f"1.0.{next(numbers)}",
                        parameters={"libc": LIBC},
                        metadata={"carry_maps": ["gap_marks"]})
    first = version()
    tree.publish(first)
    agent.wait_running(first)
    [marks] = [number for number in agent.held()["map"]
               if kernel.map_name(number) == "gap_marks"]
    events = subprocess.Popen(
        [os.path.join(build_dir, "tests/integration/gap_events"), str(marks),
         os.path.join(session_dir, "gaps.o"), cgroup.path, *ANYWHERE],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert events.stdout.readline() == "going\n"
        links = len(agent.held()["link"])
        assert links == len(ANYWHERE) - 1 + os.sysconf("SC_NPROCESSORS_ONLN")
        for _ in range(VERSIONS - 1):
            old, last = agent.held()["link"], version()
            tree.publish(last)
            agent.wait_running(last)
            wait.until(lambda: len(agent.held()["link"]) == links,
                       "the old one's links are closed")
            assert not agent.held()["link"] & old
            assert marks in agent.held()["map"]
    finally:
        events.terminate()
        said, _ = events.communicate(timeout=30)
    print(said)
    assert events.returncode == 0, said
    assert said.count("GAP ") == len(ANYWHERE)


# --- every kind that the kernel can swap in place ---

# Lines of common/attach.def with an update; lsm_cgroup: tests/vm.
SWAPPED = {**{name: {"interface": "lo"}
              for name in ("XDP", "TCX_INGRESS", "TCX_EGRESS")},
           "SK_LOOKUP": {}, "SOCK_OPS": None,
           **{"CGROUP_" + name: None for name in (
               "SKB_INGRESS", "SKB_EGRESS", "SOCK_CREATE", "SOCK_RELEASE",
               "BIND4", "BIND6", "CONNECT4", "CONNECT6", "SENDMSG4",
               "SENDMSG6", "RECVMSG4", "RECVMSG6", "GETSOCKOPT", "SETSOCKOPT",
               "DEVICE", "SYSCTL")}}


def test_every_kind_is_swapped_between_two_events(
        agent, tree, key, objects, cgroup, build_dir):
    """All of them in one program, whose versions agentd has take each other's
    links over: each event is handled by exactly one version, by each kind as
    often as while nothing is replaced."""
    entries = [dict({"cgroup": cgroup.path} if where is None else where,
                    program=f"swap_{name}")
               for name, where in SWAPPED.items()]

    def version(number):
        return Artifact(key, "it_swaps", objects["swaps"], entries,
                        version=f"1.0.{number}",
                        metadata={"carry_maps": ["swap_marks"]})
    first = version(0)
    tree.publish(first)
    agent.wait_running(first)
    [marks] = [number for number in agent.held()["map"]
               if kernel.map_name(number) == "swap_marks"]
    links = agent.held()["link"]
    assert len(links) == len(SWAPPED)
    ran = {link: {kernel.link_prog(link)} for link in links}
    events = subprocess.Popen(
        [os.path.join(build_dir, "tests/integration/swap_events"), str(marks),
         cgroup.path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    said = ""
    try:
        assert (said := events.stdout.readline()) == "going\n"
        for number in range(1, VERSIONS):
            last = version(number)
            tree.publish(last)
            agent.wait_running(last)
            assert agent.held()["link"] == links
            for link, progs in ran.items():
                progs.add(kernel.link_prog(link))
    finally:
        events.terminate()
        said += events.communicate(timeout=wait.LONG)[0]
    print(said)
    assert events.returncode == 0, said
    assert said.count("SWAP ") == len(SWAPPED)
    assert all(len(progs) == VERSIONS for progs in ran.values())
