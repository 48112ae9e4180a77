# SPDX-License-Identifier: ISC
"""bpf-progs/pack: the packing recipe that comes with the agent."""

import base64
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile

import pytest

PACK = os.path.join(os.path.dirname(__file__), "..", "..", "bpf-progs", "pack")


def pack(*args, good=True):
    done = subprocess.run([PACK, *args], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode == 0) == good, done.stderr
    return done


def told(done):
    return dict(l.split(" ", 1) for l in done.stdout.splitlines())


@pytest.fixture(scope="module")
def xdp():
    return os.path.join(os.environ["AEGIS_BUILD"], "bpf-progs",
                        "xdp_drop_cidr.bpf.o")


@pytest.fixture
def pem(work_dir):
    def make(*algorithm):
        path = os.path.join(work_dir, "key.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", *algorithm,
                        "-out", path], check=True, stderr=subprocess.DEVNULL)
        return path
    return make


KINDS = {
    "Ed25519": ["ed25519"],
    "P-256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "RSA": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_signature_is_over_the_bytes(xdp, pem, work_dir, kind):
    key, out = pem(*KINDS[kind]), os.path.join(work_dir, "a.tar.zst")
    signature = os.path.join(work_dir, "sig")
    with open(signature, "wb") as f:
        f.write(base64.b64decode(told(pack("-k", key, "-o", out, xdp))
                                 ["signature"], validate=True))
    public = os.path.join(work_dir, "key.pub")
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public],
                   check=True)
    if kind == "Ed25519":
        verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public,
                  "-in", out, "-sigfile", signature]
    else:
        digest = "-sha384" if kind == "P-384" else "-sha256"
        verify = ["dgst", digest, "-verify", public, "-signature", signature,
                  out]
    subprocess.run(["openssl", *verify], check=True,
                   stdout=subprocess.DEVNULL)


def test_artifact_and_entry(xdp, pem, work_dir):
    out = os.path.join(work_dir, "a.tar.zst")
    entry_path = os.path.join(work_dir, "entry.json")
    lines = told(pack("-k", pem("ed25519"), "-o", out, "-e", entry_path,
                      "-V", "2.0.1", "-N", "it_name", "-t", "60",
                      "-p", '{"interface": "lo"}', xdp))
    with open(out, "rb") as f:
        data = f.read()
    with open(entry_path, encoding="utf-8") as f:
        entry = json.load(f)
    assert entry["checksum"] == lines["checksum"]
    assert entry["checksum"] == hashlib.sha256(data).hexdigest()
    assert entry["size"] == len(data)
    assert entry["ttl_sec"] == 60
    assert entry["parameters"] == {"interface": "lo"}
    assert (entry["name"], entry["version"]) == ("it_name", "2.0.1")
    plain = subprocess.run(["zstd", "-dc", out], check=True,
                           stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert tar.getnames() == ["metadata.json", "program.o"]
        metadata = json.load(tar.extractfile("metadata.json"))
        program = tar.extractfile("program.o").read()
    assert (metadata["name"], metadata["version"]) == ("it_name", "2.0.1")
    assert metadata["architecture"] == platform.machine()
    assert metadata["checksums"]["program.o"] == hashlib.sha256(
        program).hexdigest()
    with open(xdp, "rb") as f:
        assert program == f.read()


def test_same_input_same_bytes(xdp, pem, work_dir):
    key = pem("ed25519")
    first = told(pack("-k", key, "-o", os.path.join(work_dir, "1"), xdp))
    second = told(pack("-k", key, "-o", os.path.join(work_dir, "2"), xdp))
    assert first["checksum"] == second["checksum"]
    assert first["signature"] == second["signature"]


def test_directory_registry(xdp, pem, work_dir):
    key, root = pem("ed25519"), os.path.join(work_dir, "registry")

    def listed(host):
        with open(os.path.join(root, "artifacts/for-host", host),
                  encoding="utf-8") as f:
            content = json.load(f)
        assert content["total"] == len(content["artifacts"])
        return [a["artifact_id"] for a in content["artifacts"]]
    pack("-k", key, "-r", root, "-H", "h1", "-H", "h2", "-i", "one", xdp)
    pack("-k", key, "-r", root, "-H", "h1", "-i", "two", "-V", "1.0.1", xdp)
    assert listed("h1") == ["one", "two"] and listed("h2") == ["one"]
    with open(os.path.join(root, "artifacts/one/binary"), "rb") as f:
        assert f.read(4) == b"\x28\xb5\x2f\xfd"
    pack("-r", root, "-H", "h1", "-R", "one")
    assert listed("h1") == ["two"] and listed("h2") == ["one"]


@pytest.mark.parametrize("args, word", [
    (["-k", "/none"], "/none"),
    (["-k", "/dev/null"], "/dev/null"),
    (["-V", "../x"], "version"),
    (["-i", "a/b"], "id"),
    (["-H", "../etc"], "host"),
    (["-t", "soon"], "ttl"),
    (["-m", "/none.json"], "/none.json"),
])
def test_mistakes_are_named(xdp, pem, work_dir, args, word):
    key = [] if "-k" in args else ["-k", pem("ed25519")]
    out = os.path.join(work_dir, "a")
    done = pack(*key, *args, "-o", out, xdp, good=False)
    assert word in done.stderr
    assert not os.path.exists(out)
