#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Ring buffer to NATS, end to end: what telemd costs above a bare loop
(bare_ring.c) that does the same, both against one real nats-server, in turn;
and what a small ring, a stalled broker and the spool come to.

    AEGIS_PREFIX=... AEGIS_BUILD=... bench_ring.py [rounds]

About three minutes.  Exit status 1 if a goal is missed: 1.3x the CPU, 0.8x
the rate without a loss, 2.5 us an event at 10,000 a second, no loss that is not
told at 20,000 a second for a minute with a ring of 1 MiB, nothing but
delivery delayed by a broker that stalls for 5 s, 50,000 events a second into
the spool.  Run as root, on a machine that does nothing else."""

import json
import os
import pwd
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../integration"))
# pylint: disable=wrong-import-position
from aegis import wait  # noqa: E402
from aegis.telemd import Server, Subscriber, Telemd, seqs  # noqa: E402

RING = 4 << 20
PACED, FAST = 10000, 100000
LADDER = (100000, 150000, 200000, 250000, 300000, 350000, 400000)
SMALL_RING, SMALL_RATE, SMALL_SEC = 1 << 20, 20000, 60
STALL_SEC, STALL_RATE = 5, 2000


def cpu_seconds(pid):
    """Of all threads, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat",
                  encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def bare(url, events, rate):
    out = subprocess.run(
        [os.path.join(os.environ["AEGIS_BUILD"], "tests/bench/bare_ring"),
         url, str(events), str(rate), str(RING)],
        check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def telemd(url, spool, events, rate):
    t = Telemd(url, rate=0, spool=spool)
    try:
        t.connected()
        t.say("ring_add", 0, "ring-1", RING)
        cpu = cpu_seconds(t.pid)
        t.say("ring_write", 0, events, rate)

        def done():
            t.say("ring_state", 0)
            ring = t.wait("ring")
            return ring if ring["written"] == events and \
                ring["pending"] == 0 else None
        time.sleep(events / rate)
        ring = wait.until(done, "all is read", 60, every=0.05)
        return {"lost": ring["lost"],
                "cpu_us": (cpu_seconds(t.pid) - cpu) / events * 1e6}
    finally:
        t.close()


def compare(what, rounds, url, spool, events, rate):
    """Median CPU an event of both, interleaved."""
    runs = [(bare(url, events, rate), telemd(url, spool, events, rate))
            for _ in range(rounds)]
    floor = statistics.median(b["cpu_us"] for b, _ in runs)
    ours = statistics.median(t["cpu_us"] for _, t in runs)
    ratio = statistics.median(t["cpu_us"] / b["cpu_us"] for b, t in runs)
    lost = sum(t["lost"] for _, t in runs)
    print(f"{what}: bare {floor:.2f} us, telemd {ours:.2f} us an event, "
          f"ratio {ratio:.2f}; telemd's ring lost {lost}", flush=True)
    return ours, ratio


def highest(url, spool):
    """The highest rate that each takes for two seconds without a loss."""
    best = {"bare": 0, "telemd": 0}
    for rate in LADDER:
        runs = {"bare": bare(url, 2 * rate, rate),
                "telemd": telemd(url, spool, 2 * rate, rate)}
        for name, run in runs.items():
            if run["lost"] == 0:
                best[name] = rate
        print(f"  {rate}/s: lost {runs['bare']['lost']} bare, "
              f"{runs['telemd']['lost']} telemd", flush=True)
    return best


def small_ring(url, spool):
    """A minute of 20,000 a second through 1 MiB: 0.2 s of room."""
    t = Telemd(url, rate=0, spool=spool)
    events = SMALL_RATE * SMALL_SEC
    try:
        t.connected()
        t.say("ring_add", 0, "ring-1", SMALL_RING)
        t.say("ring_write", 0, events, SMALL_RATE)
        time.sleep(SMALL_SEC)

        def done():
            t.say("ring_state", 0)
            ring = t.wait("ring")
            return ring if ring["written"] == events and \
                ring["pending"] == 0 else None
        lost = wait.until(done, "all is read", 60, every=0.2)["lost"]
        state = t.state()
    finally:
        t.close()
    sent = state["sent"]["violation_report"]
    told = state["dropped"]["violation_report"]
    unexplained = events - sent - lost
    print(f"ring of 1 MiB, {SMALL_RATE}/s for {SMALL_SEC} s: sent {sent} of "
          f"{events}, lost {lost}, told {told}, unexplained {unexplained}",
          flush=True)
    return lost == told and unexplained == 0


def latency(t, say, told):
    start = time.monotonic()
    say()
    wait.until(told, "an answer", 30, every=0.0005)
    return (time.monotonic() - start) * 1e3


def round_of_latencies(t, rounds):
    """Milliseconds until a ping is answered and until an event is accepted,
    as agentd sees them."""
    pings, accepts = [], []
    for _ in range(rounds):
        seen = len(t.all("pong"))
        pings.append(latency(t, lambda: t.say("ping"),
                             lambda n=seen: len(t.all("pong")) > n))
        number = t.number + 1
        accepts.append(latency(t, lambda: t.event("program_loaded"),
                               lambda n=number: t.accepted() >= n))
        time.sleep(0.05)
    return pings, accepts


def stalled_broker(server, spool):
    """The server is stopped for 5 s while reports come in."""
    sub = Subscriber(server.url)
    t = Telemd(server.url, rate=0, spool=spool)
    try:
        t.connected()
        t.say("ring_add", 0, "ring-1", RING)
        t.say("ring_write", 0, STALL_RATE * (STALL_SEC + 5), STALL_RATE)
        before = round_of_latencies(t, 20)
        server.process.send_signal(signal.SIGSTOP)
        try:
            end = time.monotonic() + STALL_SEC
            during = ([], [])
            while time.monotonic() < end:
                for all_of, some in zip(during, round_of_latencies(t, 2)):
                    all_of += some
        finally:
            server.process.send_signal(signal.SIGCONT)
        want = STALL_RATE * (STALL_SEC + 5) + t.number
        sub.await_count(want, timeout=60)
        t.say("ring_state", 0)
        lost = t.wait("ring")["lost"]
    finally:
        t.close()
        sub.close()
    numbers = seqs(sub.events())
    whole = numbers == list(range(numbers[0], numbers[0] + want))
    worst = max(max(kind) for kind in during)
    for name, was, now in zip(("ping", "acceptance"), before, during):
        print(f"stalled broker: {name} {statistics.median(was):.1f} ms before, "
              f"{statistics.median(now):.1f} during, at most {max(now):.1f}",
              flush=True)
    print(f"  {lost} lost, {len(numbers)} of {want} delivered, "
          f"{'once and in order' if whole else 'NOT once and in order'}",
          flush=True)
    return lost == 0 and whole and worst < 1000


def spool_rate(directory):
    out = subprocess.run(
        [os.path.join(os.environ["AEGIS_BUILD"], "tests/bench/bench_spool"),
         directory], check=False, capture_output=True, text=True)
    print(out.stdout.strip(), flush=True)
    return out.returncode == 0


def fresh_spool(directory, name):
    spool = os.path.join(directory, name)
    os.mkdir(spool, 0o700)
    account = pwd.getpwnam("_aegis_telem")
    os.chown(spool, account.pw_uid, account.pw_gid)
    return spool


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        spool = fresh_spool(directory, "spool")
        server = Server(os.path.join(directory, "nats")).start()
        try:
            _, ratio = compare("flat out, 100,000/s", rounds, server.url,
                               spool, 3 * FAST, FAST)
            paced, _ = compare("paced, 10,000/s", rounds, server.url, spool,
                               3 * PACED, PACED)
            best = highest(server.url, spool)
            print(f"lossless: bare to {best['bare']}/s, telemd to "
                  f"{best['telemd']}/s", flush=True)
            goals = {
                "CPU flat out": ratio <= 1.3,
                "CPU paced": paced <= 2.5,
                "lossless rate": best["telemd"] >= 0.8 * best["bare"],
                # losses are counted since the spool was made
                "small ring": small_ring(
                    server.url, fresh_spool(directory, "small")),
                "stalled broker": stalled_broker(
                    server, fresh_spool(directory, "stalled")),
            }
        finally:
            server.stop()
        goals["spool"] = spool_rate(fresh_spool(directory, "bench"))
    missed = [name for name, met in goals.items() if not met]
    print("missed: " + ", ".join(missed) if missed else "all goals are met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
