#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Ring buffer to NATS, end to end: what telemd costs above a bare loop
(bare_ring.c) that does the same, both against one real nats-server, in turn.

    AEGIS_PREFIX=... AEGIS_BUILD=... bench_ring.py [rounds]

Prints CPU an event flat out and paced, their ratios, and the highest rate
without a loss; exit status 1 if a goal (1.3x CPU, 0.8x rate, 2.5 us an event
at 10,000 a second) is missed.  Run as root."""

import json
import os
import pwd
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../integration"))
# pylint: disable=wrong-import-position
from aegis import wait  # noqa: E402
from aegis.telemd import Server, Telemd  # noqa: E402

RING = 4 << 20
PACED, FAST = 10000, 100000
LADDER = (100000, 150000, 200000, 250000, 300000, 400000)


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


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        spool = os.path.join(directory, "spool")
        os.mkdir(spool, 0o700)
        account = pwd.getpwnam("_aegis_telem")
        os.chown(spool, account.pw_uid, account.pw_gid)
        server = Server(os.path.join(directory, "nats")).start()
        try:
            _, ratio = compare("flat out, 100,000/s", rounds, server.url,
                               spool, 3 * FAST, FAST)
            paced, _ = compare("paced, 10,000/s", rounds, server.url, spool,
                               3 * PACED, PACED)
            best = highest(server.url, spool)
        finally:
            server.stop()
    print(f"lossless: bare to {best['bare']}/s, telemd to {best['telemd']}/s")
    good = ratio <= 1.3 and paced <= 2.5 and \
        best["telemd"] >= 0.8 * best["bare"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
