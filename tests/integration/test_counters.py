# SPDX-License-Identifier: ISC
"""What the agent says of a program, against what somebody else measured:
right to within 5 %.  The others are the sender, who knows how many packets
there were, the interface's own counters, and bpftool."""

import datetime
import json
import math

import pytest

from aegis import net, wait
from aegis.artifact import Artifact

TOLERANCE = 0.05

# Datagrams to a socket that nobody reads, COUNT of them, one every PAUSE.
SENDER = """
import socket, sys, time
address, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.bind(("127.0.0.1", 0))
port = sink.getsockname()[1] if address == "127.0.0.1" else 4000
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(count):
    out.sendto(b"x", (address, port))
    time.sleep(pause)
"""


def near(value, expected):
    return abs(value - expected) <= TOLERANCE * expected


def bpftool(*command):
    return json.loads(net.run("bpftool", "-j", *command))


def run_stats(prog):
    """(ns, runs) of a program since stats were switched on: bpftool's."""
    shown = bpftool("prog", "show", "id", str(prog))
    return shown.get("run_time_ns", 0), shown.get("run_cnt", 0)


def telemetry(agent, artifact):
    return agent.programs()[artifact.id]["telemetry"]


def packets(agent, artifact):
    return telemetry(agent, artifact)["packets_processed"]


def rx_packets(interface):
    """The interface's own count: /sys shows another namespace's."""
    [link] = json.loads(net.run("ip", "-j", "-s", "link", "show", interface))
    return link["stats64"]["rx"]["packets"]


def samples(client, artifact):
    """[(seconds, telemetry)] of all samples that were published."""
    return [(datetime.datetime.fromisoformat(
        e["data"]["timestamp"].replace("Z", "+00:00")).timestamp(), e["data"])
        for e in client.events("program_telemetry", artifact.id)]


# --- packets_processed ---

def test_packets_are_those_that_were_sent(agent, tree, counter, cgroup):
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    sent = 20_000
    status, output = cgroup.run("python3", "-c", SENDER, "127.0.0.1",
                                str(sent), "0")
    assert status == 0, output
    wait.until(lambda: near(packets(agent, artifact), sent),
               lambda: f"{sent} packets: {telemetry(agent, artifact)}")


def test_packets_are_those_that_the_interface_saw(agent, tree, passer, veth):
    artifact = passer()
    tree.publish(artifact)
    agent.wait_running(artifact)
    before, sent = rx_packets(veth.name), 20_000
    counted = packets(agent, artifact)
    veth.in_peer("python3", "-c", SENDER, veth.address, str(sent), "0")
    seen = rx_packets(veth.name) - before
    assert seen > sent / 2
    wait.until(
        lambda: near(packets(agent, artifact) - counted, seen),
        lambda: f"{seen} packets: {telemetry(agent, artifact)}")


# --- cpu_percent and latency_ms ---

@pytest.mark.parametrize("interval", [1, 2])
def test_cost_is_what_the_kernel_measured(make_agent, tree, nats, client, key,
                                          objects, cgroup, interval):
    """Nothing runs at either edge of the measurement, so it does not matter
    when exactly whom is asked: the share of a CPU that each sample states,
    times the time that it stands for, adds up to what bpftool sees; and so
    do the invocations that its mean run time implies."""
    cost_ns, sent = 40_000, 4000
    artifact = Artifact(
        key, "it_cost", objects["cost"],
        [{"program": "it_cost", "cgroup": cgroup.path}],
        parameters={"cost_ns": cost_ns})
    agent = make_agent(tree.url, nats.url,
                       rollback_check_interval_sec=interval).start()
    tree.publish(artifact)
    agent.wait_running(artifact)
    [prog] = agent.held()["prog"]
    assert cgroup.ping() == 1

    def quiet(count):
        """COUNT samples were taken while nothing ran, from now on."""
        have = len(samples(client, artifact))
        wait.until(lambda: len(samples(client, artifact)) >= have + count,
                   "samples")

    def off_by():
        """By what part the samples differ from what bpftool saw.  A sample
        bears the time when agentd heard of it, which is late on a machine
        that is busy, and wrong when somebody sets the clock."""
        quiet(2)
        first = len(samples(client, artifact)) - 1
        before_ns, before_runs = run_stats(prog)
        status, output = cgroup.run("python3", "-c", SENDER, "127.0.0.1",
                                    str(sent), "0.001")
        assert status == 0, output
        after_ns, after_runs = run_stats(prog)
        quiet(2)
        taken = samples(client, artifact)[first:]
        used_ns = runs = busy = 0
        for (last, _), (at, sample) in zip(taken, taken[1:]):
            ns = sample["cpu_percent"] / 100 * (at - last) * 1e9
            used_ns += ns
            if sample["latency_ms"] > 0:
                runs += ns / (sample["latency_ms"] * 1e6)
                busy += 1
        print(f"interval {interval} s, {busy} samples: {used_ns / 1e6:.1f} ms "
              f"in {runs:.0f} runs; bpftool: "
              f"{(after_ns - before_ns) / 1e6:.1f} ms in "
              f"{after_runs - before_runs}")
        assert busy >= 2
        assert after_runs - before_runs == sent
        # The clock that it spins by: less is impossible, more is a busy
        # machine.
        for _, sample in taken:
            assert sample["latency_ms"] == 0 or sample["latency_ms"] >= \
                (1 - TOLERANCE) * cost_ns / 1e6, taken
        return max(abs(used_ns / (after_ns - before_ns) - 1),
                   abs(runs / sent - 1))
    wait.measured(off_by, TOLERANCE)


# --- memory_kb ---

def bytes_locked(agent):
    """What bpftool says of all that the agent holds."""
    held = agent.held()
    return sum(bpftool(kind, "show", "id", str(number))["bytes_memlock"]
               for kind in ("prog", "map") for number in held[kind])


@pytest.mark.parametrize("which", ["count", "cidr"])
def test_memory_is_what_the_kernel_charges(agent, tree, counter, key, bpf_dir,
                                           veth, which):
    if which == "count":
        artifact = counter()
    else:
        with open(f"{bpf_dir}/xdp_drop_cidr.bpf.o", "rb") as built:
            artifact = Artifact(
                key, "it_cidr", built.read(),
                [{"program": "xdp_drop", "interface": veth.name}])
    tree.publish(artifact)
    agent.wait_running(artifact)
    locked = math.ceil(bytes_locked(agent) / 1024)
    assert locked >= 4
    wait.until(lambda: telemetry(agent, artifact)["memory_kb"] > 0,
               "a sample")
    assert near(telemetry(agent, artifact)["memory_kb"], locked)
    print(f"{which}: {telemetry(agent, artifact)['memory_kb']} KiB, "
          f"bpftool {locked}")
