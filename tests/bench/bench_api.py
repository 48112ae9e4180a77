#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""/status of apid with 50 programs against a bare civetweb handler that
returns a prebuilt string of the same size, by wrk, in turn: the median of the
paired ratios.  Issue 6 wants at least 0.9.

    AEGIS_PREFIX=... AEGIS_BUILD=... tests/bench/bench_api.py [pairs] [seconds]
"""

import os
import re
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "integration"))

# pylint: disable=wrong-import-position
from aegis import net  # noqa: E402
from aegis.apid import Apid  # noqa: E402

GOAL = 0.9


def rate(url, seconds):
    out = net.run("wrk", "-t1", "-c8", f"-d{seconds}", url)
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    build = os.environ["AEGIS_BUILD"]
    net.enter_own_namespace()
    apid = Apid(os.environ["AEGIS_PREFIX"], build).start(programs=50)
    size = len(apid.request("/status")[2])
    port = net.free_port()
    with subprocess.Popen(
            [os.path.join(build, "tests", "bench", "bare_civetweb"),
             str(port), str(size)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare:
        bare.stdout.readline()
        ratios = []
        for number in range(pairs):
            # Each is first in every other pair.
            order = [("bare", f"http://127.0.0.1:{port}/"),
                     ("apid", f"http://127.0.0.1:{apid.port}/status")]
            got = {name: rate(url, seconds)
                   for name, url in (order if number % 2 else order[::-1])}
            ratios.append(got["apid"] / got["bare"])
            print(f"bare {got['bare']:8.0f}/s  apid {got['apid']:8.0f}/s  "
                  f"ratio {ratios[-1]:.2f}", flush=True)
        bare.stdin.close()
    apid.stop()
    ratio = statistics.median(ratios)
    print(f"{size} bytes: median ratio {ratio:.2f}, wanted {GOAL}")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
