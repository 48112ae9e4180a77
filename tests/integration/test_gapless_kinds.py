# SPDX-License-Identifier: ISC
"""Every kind of attachment whose program the kernel can swap in its link, and
uprobes, replaced over and over while what it is there for happens without
pause.  Where the kernel swaps each event is handled exactly once; elsewhere the
new program is attached before the old one goes, and each is handled once at
least.  What is counted for one event is found out first, when nothing is
replaced.  All other lines of attach.def, with agentd in charge of the order:
test_gapless.py, and in guests (LSM, fentry, kprobe) tests/vm."""

import os
import subprocess
import sys

import pytest

from aegis import wait
from test_attach import LIBC
# pylint: disable=unused-import
from test_bpfd import bpfd_path, build, built, driver  # noqa: F401

VERSIONS, SAMPLE = 8, 50

# CGROUP WHAT [COUNT]: events by the cgroup's only process, so many or until
# told to stop; how many.  A socket is of the cgroup that it was made in.
EVENTS = """
import ctypes, os, select, socket, sys
group, what, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
inet = socket.AF_INET6 if what.endswith("6") else socket.AF_INET
here = "::1" if inet == socket.AF_INET6 else "127.0.0.1"
def move(path):
    with open(os.path.join(path, "cgroup.procs"), "w") as procs:
        procs.write("0")
move(group)
sink = socket.socket(inet, socket.SOCK_DGRAM)
sink.bind((here, 0))
out = socket.socket(inet, socket.SOCK_DGRAM)
libc = ctypes.CDLL("libc.so.6")
def create():
    with socket.socket(inet, socket.SOCK_DGRAM):
        pass
def bind():
    with socket.socket(inet, socket.SOCK_DGRAM) as s:
        s.bind((here, 0))
def connect():
    out.connect(sink.getsockname())
def send():
    out.sendto(b"x", sink.getsockname())
def receive():
    send()
    sink.recvfrom(1)
def getsockopt():
    out.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
def setsockopt():
    out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
def device():
    os.close(os.open("/dev/null", os.O_RDONLY))
def sysctl():
    os.lseek(hostname, 0, 0)
    os.read(hostname, 64)
def tcp():
    with socket.socket(inet) as s:
        s.connect_ex((here, 9))
def hostid():
    libc.gethostid()
hostname = os.open("/proc/sys/kernel/hostname", os.O_RDONLY)
act = globals()[what.rstrip("46")]
done = 0
if act is create:  # at the end nothing is left to be released
    sink.close(), out.close()
print("going", flush=True)
sys.stdin.readline()
while done != limit and (done % 8 or not select.select(
        [sys.stdin], [], [], 0.0002)[0]):
    act()
    done += 1
move(os.path.dirname(group))
print(done, flush=True)
os._exit(0)
"""

LO = "lo"
# kind: (what happens, target; None: the cgroup, can the kernel swap it)
KINDS = {
    "XDP": ("xdp", "send", LO, True),
    "TCX_INGRESS": ("tcx/ingress", "send", LO, True),
    "TCX_EGRESS": ("tcx/egress", "send", LO, True),
    "CGROUP_SKB_INGRESS": ("cgroup_skb/ingress", "receive4", None, True),
    "CGROUP_SKB_EGRESS": ("cgroup_skb/egress", "send", None, True),
    "CGROUP_SOCK_CREATE": ("cgroup/sock_create", "create", None, True),
    "CGROUP_SOCK_RELEASE": ("cgroup/sock_release", "create", None, True),
    "CGROUP_BIND4": ("cgroup/bind4", "bind4", None, True),
    "CGROUP_BIND6": ("cgroup/bind6", "bind6", None, True),
    "CGROUP_CONNECT4": ("cgroup/connect4", "connect4", None, True),
    "CGROUP_CONNECT6": ("cgroup/connect6", "connect6", None, True),
    "CGROUP_SENDMSG4": ("cgroup/sendmsg4", "send4", None, True),
    "CGROUP_SENDMSG6": ("cgroup/sendmsg6", "send6", None, True),
    "CGROUP_RECVMSG4": ("cgroup/recvmsg4", "receive4", None, True),
    "CGROUP_RECVMSG6": ("cgroup/recvmsg6", "receive6", None, True),
    "CGROUP_GETSOCKOPT": ("cgroup/getsockopt", "getsockopt", None, True),
    "CGROUP_SETSOCKOPT": ("cgroup/setsockopt", "setsockopt", None, True),
    "CGROUP_DEVICE": ("cgroup/dev", "device", None, True),
    "CGROUP_SYSCTL": ("cgroup/sysctl", "sysctl", None, True),
    "SOCK_OPS": ("sock_ops", "tcp", None, True),
    "SK_LOOKUP": ("sk_lookup", "tcp", "netns", True),
    "UPROBE": ("uprobe", "hostid", f"{LIBC}:gethostid", False),
    "URETPROBE": ("uretprobe", "hostid", f"{LIBC}:gethostid", False),
}


class Events:
    """The process that makes them."""

    def __init__(self, group, what, limit=-1):
        self.process = subprocess.Popen(
            [sys.executable, "-c", EVENTS, group.path, what, str(limit)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "going\n"

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def finish(self):
        done = int(self.process.stdout.readline())
        assert self.process.wait(10) == 0
        self.process.stdin.close()
        self.process.stdout.close()
        return done


@pytest.mark.parametrize("name", KINDS)
def test_not_one_event_is_missed(driver, built, cgroup, name):
    kind, what, target, swapped = KINDS[name]
    load = (built["kinds"],
            f"attach=k_{name},{kind},{target or cgroup.name}")

    def counted(number):
        return driver.sample()[number].packets
    driver.loaded(1, *load)
    events = Events(cgroup, what, SAMPLE)
    before = counted(1)
    events.say("go")
    assert events.finish() == SAMPLE

    def times():
        """How often each was counted: not before the last packet is."""
        each, rest = divmod(counted(1) - before, SAMPLE)
        return each if rest == 0 else None
    each = wait.until(times, lambda: f"{SAMPLE} events are counted alike: "
                                     f"{counted(1) - before}")
    wait.never(lambda: times() != each, "more are counted", 0.1)
    events = Events(cgroup, what)
    before, last = counted(1), 1
    events.say("go")
    wait.until(lambda: counted(1) > before, "it happens")
    for last in range(2, VERSIONS + 1):
        seen = counted(last - 1)
        if swapped:
            done = driver.loaded(last, *load, f"old=0,{last - 1},0",
                                 f"carry=stats,{last - 1}")
            assert done.updated == [0] and not done.links
            driver("handover", last - 1, last, 0)
        else:
            assert driver.loaded(last, *load, f"carry=stats,{last - 1}").links
        driver("unload", last - 1)
        wait.until(lambda n=last, s=seen: counted(n) > s, "the new one counts")
    events.say("stop")
    made = events.finish()
    wait.until(lambda: counted(last) - before >= each * made,
               lambda: f"{made} events, each {each} times: "
                       f"{counted(last) - before}")
    total = counted(last) - before
    print(f"{kind}: {made} events, each counted {each} times, in "
          f"{VERSIONS} versions: {total}")
    assert made > VERSIONS
    assert total == each * made if swapped else total >= each * made
    driver("unload", last)
