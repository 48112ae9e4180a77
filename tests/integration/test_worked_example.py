# SPDX-License-Identifier: ISC
"""aegis-artifact(5)'s worked example, and the recipes in it and in
aegis-bpf(7), run as the pages have them."""

import json
import os
import platform
import re
import subprocess
from types import SimpleNamespace

import pytest

from aegis import net, wait

MAN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../man")


def section(start, end, name="aegis-artifact.5"):
    with open(os.path.join(MAN, name), encoding="utf-8") as page:
        return page.read().partition(f"\n{start}\n")[2].partition(
            f"\n{end}")[0]


def blocks(text):
    """(name of the file it is, or "", text) of each literal block."""
    return [(name, body.replace("\\e", "\\").replace("\\&", ""))
            for name, body in re.findall(
                r"(?:^\.Pa (\S+) :\n)?^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$",
                text, re.M)]


@pytest.fixture
def shell(prefix, work_dir):
    """Run a block as somebody who types it would; its output."""
    def run(script):
        path = (f"{prefix}/sbin:{prefix}/share/aegisflux/bpf:"
                + os.environ["PATH"])
        done = subprocess.run(
            ["sh", "-e", "-c", script.replace("PREFIX", prefix)],
            cwd=work_dir, text=True, capture_output=True, check=False,
            timeout=600, env={"PATH": path, "HOME": work_dir})
        assert done.returncode == 0, f"{script}\n{done.stderr}"
        return done.stdout
    return run


@pytest.fixture
def eth0():
    """The interface that the example is for, in the tests' own namespace."""
    pair = net.Veth()
    pair.name = "eth0"
    pair.create()
    net.run("ip", "link", "set", "eth0", "mtu", "2000")
    pair.in_peer("ip", "link", "set", "eth0p", "mtu", "2000")
    yield pair
    pair.destroy()


def answers(pair, size):
    """Does a ping of that many bytes from the other end come back?"""
    done = subprocess.run(
        ["ip", "netns", "exec", pair.netns, "ping", "-n", "-c", "1", "-W", "1",
         "-M", "do", "-s", str(size), pair.address],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def test_worked_example(shell, work_dir, eth0, make_agent, tree, nats):
    """From the page's C source to a running, signed program."""
    found = blocks(section(".Ss Worked example", ".Sh SIGNATURES"))
    files = {name: text for name, text in found if name}
    build, look, by_hand = [text for name, text in found if not name]
    assert set(files) == {"limit.bpf.c", "metadata.json"}
    for name, text in files.items():
        with open(os.path.join(work_dir, name), "w", encoding="utf-8") as out:
            out.write(text.replace("x86_64", platform.machine()))
    shell(build)
    assert "nothing was attached" in shell(look)
    with open(os.path.join(work_dir, "entry.json"), encoding="utf-8") as text:
        entry = json.load(text)
    with open(os.path.join(work_dir, "artifact.tar.zst"), "rb") as packed:
        artifact = SimpleNamespace(id=entry["artifact_id"], entry=entry,
                                   data=packed.read())

    # Without a program everything comes back, so it is the program that not.
    wait.until(lambda: answers(eth0, 1600), "a long ping comes back")
    agent = make_agent(tree.url, nats.url)
    agent.set(public_key="file:" + os.path.join(work_dir, "key.pub"))
    agent.start()
    tree.publish(artifact)
    agent.wait_running(artifact)
    wait.until(lambda: answers(eth0, 100), "a short ping comes back")
    assert not answers(eth0, 1600)

    # "The same without aegisctl": what the last line prints is the signature.
    signature = shell(by_hand).strip()
    assert "limit" in shell("aegisctl verify artifact.tar.zst -k key.pub -s "
                            + signature)


KEYS = {
    "ECDSA P-256, RSA (PKCS#1 v1.5)": (
        "EC -pkeyopt ec_paramgen_curve:P-256",
        "RSA -pkeyopt rsa_keygen_bits:2048"),
    "RSA-PSS": ("RSA -pkeyopt rsa_keygen_bits:2048",),
}


def test_signing_recipes(shell, work_dir, objects):
    """Those that need nothing but openssl."""
    text, = [body for _, body in blocks(
        section(".Sh SIGNATURES", ".Sh METADATA"))]
    recipes = dict(re.findall(r"^# (.*)\n((?:[^#].*\n)+)", text, re.M))
    assert set(KEYS) <= set(recipes)
    metadata = {
        "name": "it_count", "version": "1.0.0",
        "architecture": platform.machine(), "kernel_version": "5.15",
        "attach": [{"program": "it_count", "cgroup": "$cgroup"}]}
    with open(os.path.join(work_dir, "metadata.json"), "w",
              encoding="utf-8") as out:
        json.dump(metadata, out)
    with open(os.path.join(work_dir, "program.o"), "wb") as out:
        out.write(objects["count"])
    shell("tar -c metadata.json program.o | zstd > artifact.tar.zst")
    for title, kinds in KEYS.items():
        for kind in kinds:
            shell(f"openssl genpkey -algorithm {kind} -out key.pem; "
                  "openssl pkey -in key.pem -pubout -out key.pub")
            signature = shell(recipes[title]).strip()
            assert "it_count" in shell(
                f"aegisctl verify artifact.tar.zst -k key.pub -s {signature}")


def test_recipes_for_authors(shell, work_dir):
    """How aegis-bpf(7) says that a program is compiled, and published."""
    (_, build), = blocks(section(".Sh SYNOPSIS", ".Sh DESC", "aegis-bpf.7"))
    with open(os.path.join(work_dir, "prog.bpf.c"), "w",
              encoding="utf-8") as out:
        out.write(dict(blocks(section(".Ss Worked example", ".Sh SIGN")))
                  ["limit.bpf.c"])
    # The page speaks of headers below /usr/include.
    shell(build.replace("clang ", "clang -I PREFIX/include ", 1))
    (_, publish), = blocks(section(".Sh PACKING", ".Sh SEE", "aegis-bpf.7"))
    registry = os.path.join(work_dir, "registry")
    os.mkdir(registry)
    shell(publish.replace("/srv/registry", registry).replace(
        " xdp_drop_cidr", " PREFIX/share/aegisflux/bpf/xdp_drop_cidr"))
    with open(os.path.join(registry, "artifacts/for-host/host-1"),
              encoding="utf-8") as text:
        entry, = json.load(text)["artifacts"]
    assert entry["parameters"] == {"interface": "eth0",
                                   "cidrs": {"192.0.2.0/24": 1}}
    assert os.path.exists(os.path.join(
        registry, "artifacts", entry["artifact_id"], "binary"))
