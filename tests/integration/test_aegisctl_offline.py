# SPDX-License-Identifier: ISC
"""aegisctl without an agent: verify, inspect, pack, dry-run, completion."""

import base64
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess

import pytest

from aegis import kernel, schemas, wait
from aegis.artifact import Artifact, Key

DONE, REFUSED, USAGE, PERMISSION = 0, 1, 64, 77
TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}
METADATA = """{ "name": "it_packed", "version": "1.2.3",
  "architecture": "@ARCH@", "kernel_version": "5.15",
  "checksums": { "program.o": "@SHA256@" },
  "attach": [ { "program": "it_count", "cgroup": "$cgroup" } ],
  "parameters_schema": { "cgroup": { "pattern": "^/" } } }
"""


@pytest.fixture
def ctl(prefix):
    def run(*arguments, **popen):
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith("AGENT_")}
        done = subprocess.run(
            [os.path.join(prefix, "sbin", "aegisctl"), *arguments],
            capture_output=True, text=True, timeout=90, check=False,
            env=environment, **popen)
        schemas.check_ctl(["-j", *arguments] if "pack" in arguments
                          else arguments, done.stdout)
        return done.returncode, done.stdout, done.stderr
    return run


@pytest.fixture
def file_of(work_dir):
    """file_of(artifact): its file, with its signature beside it."""
    def write(artifact, signed=True):
        path = os.path.join(work_dir, "a.tar.zst")
        with open(path, "wb") as f:
            f.write(artifact.data)
        os.chmod(path, 0o644)
        if signed:
            with open(path + ".sig", "w", encoding="ascii") as f:
                f.write(artifact.entry["signature"] + "\n")
        return path
    return write


@pytest.fixture
def directory(work_dir, objects):
    """What pack takes."""
    path = os.path.join(work_dir, "src")
    os.mkdir(path)
    with open(os.path.join(path, "metadata.json"), "w",
              encoding="utf-8") as f:
        f.write(METADATA)
    with open(os.path.join(path, "program.o"), "wb") as f:
        f.write(objects["count"])
    return path


def private(work_dir, *algorithm):
    path = os.path.join(work_dir, "signer.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", *algorithm,
                    "-out", path], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-out",
                    path + ".pub"], check=True)
    return path


# --- verify ---

@pytest.mark.parametrize("who", [{}, NOBODY])
def test_verify(ctl, file_of, counter, key, who):
    path = file_of(counter())
    status, out, err = ctl("verify", path, "-k", key.public, **who)
    assert (status, err) == (DONE, "")
    assert "signature: holds: ed25519:" in out and "name: it_count" in out
    document = json.loads(ctl("-j", "verify", path, "-k", key.public,
                              **who)[1])
    assert document["name"] == "it_count"
    assert document["this_host"] == "fits"


def test_verify_forms(ctl, file_of, counter, key, work_dir):
    artifact = counter()
    path = file_of(artifact, signed=False)
    with open(key.public, encoding="ascii") as f:
        pem = f.read()
    status, _, err = ctl("verify", path, "-k", key.public)
    assert status == REFUSED and "give -s" in err
    signature = artifact.entry["signature"]
    assert ctl("verify", path, "-k", pem, "-s", signature)[0] == DONE
    raw = os.path.join(work_dir, "raw.sig")
    with open(raw, "wb") as f:
        f.write(base64.b64decode(signature))
    assert ctl("verify", path, "-k", "file:" + key.public,
               "-s", raw)[0] == DONE
    # Without -k the agent's own trust anchor, which there is none of here.
    if not os.path.exists("/etc/aegisflux/agentd.env"):
        status, _, err = ctl("verify", path, "-s", raw)
        assert status == REFUSED and "AGENT_PUBLIC_KEY" in err


def test_verify_refuses(ctl, file_of, counter, key, work_dir):
    good = counter()
    stranger = Key(work_dir, "stranger")
    path = file_of(good)
    status, out, err = ctl("verify", path, "-k", stranger.public)
    assert (status, out) == (REFUSED, "") and "signature" in err
    path = file_of(good.tampered())
    status, out, err = ctl("verify", path, "-k", key.public)
    assert (status, out) == (REFUSED, "") and "signature" in err
    document = json.loads(ctl("-j", "verify", path, "-k", key.public)[1])
    assert document["ok"] is False
    status, _, err = ctl("verify", path + ".none", "-k", key.public)
    assert status == REFUSED and "No such file" in err


# --- inspect ---

def test_inspect_unsigned(ctl, file_of, counter):
    path = file_of(counter(), signed=False)
    status, out, err = ctl("inspect", path, **NOBODY)
    assert status == DONE
    assert "signature is not checked" in err
    assert "signature: not checked" in out
    assert "section cgroup_skb/egress" in out and "attaches as" in out


def test_inspect_says_what_is_in_it(ctl, work_dir, key, bpf_dir, file_of):
    with open(os.path.join(bpf_dir, "xdp_drop_cidr.bpf.o"), "rb") as f:
        program = f.read()
    with open(os.path.join(bpf_dir, "xdp_drop_cidr.json"),
              encoding="utf-8") as f:
        text = f.read().replace("@ARCH@", platform.machine()).replace(
            "@SHA256@", hashlib.sha256(program).hexdigest())
    metadata = json.loads(text)
    schema = metadata["parameters_schema"] = {
        "interface": {"pattern": "^(eth|lo)"}, "cidrs": {}}
    artifact = Artifact(key, metadata["name"], program, metadata["attach"],
                        version=metadata["version"], metadata=metadata)
    document = json.loads(ctl("-j", "inspect", file_of(artifact))[1])
    assert document["signature"] == "not checked"
    (prog,) = document["programs"]
    assert prog["section"] == "xdp" and prog["type"] == "xdp"
    assert prog["attach_kind"] == "xdp" and prog["instructions"] > 10
    maps = {m["name"]: m for m in document["maps"]}
    assert any(m["type"] == "lpm_trie" for m in maps.values())
    for entry in maps.values():
        if entry["type"] == "lpm_trie":
            assert entry["key"].startswith("struct ")
    parameters = {p["name"]: p for p in document["parameters"]}
    assert parameters["interface"]["required"] is True
    for name in schema:
        assert parameters[name]["registry_may_set"] is True
        assert parameters[name]["schema"] == \
            schema[name]
    for entry in document["globals"]:
        assert entry["type"] != "?" and entry["size"] > 0


def test_inspect_of_no_artifact(ctl, work_dir):
    path = os.path.join(work_dir, "junk")
    with open(path, "wb") as f:
        f.write(os.urandom(5000))
    status, out, err = ctl("inspect", path)
    assert (status, out) == (REFUSED, "") and path in err


# --- pack ---

KINDS = {"Ed25519": ["ed25519"],
         "P-256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
         "P-384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
         "RSA": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]}


@pytest.mark.parametrize("kind", KINDS)
def test_pack(ctl, directory, work_dir, kind):
    pem = private(work_dir, *KINDS[kind])
    out = os.path.join(work_dir, "p.tar.zst")
    status, entry, err = ctl("pack", directory, "-k", pem, "-o", out)
    assert (status, err) == (DONE, "")
    entry = json.loads(entry)
    with open(out, "rb") as f:
        data = f.read()
    assert entry["checksum"] == hashlib.sha256(data).hexdigest()
    assert entry["size"] == len(data)
    assert (entry["name"], entry["version"]) == ("it_packed", "1.2.3")
    with open(out + ".sig", encoding="ascii") as f:
        assert f.read().strip() == entry["signature"]
    assert ctl("verify", out, "-k", pem + ".pub")[0] == DONE
    # Others read it, too.
    names = subprocess.run(["tar", "--zstd", "-tf", out], check=True,
                           capture_output=True, text=True).stdout
    assert names.split() == ["metadata.json", "program.o"]


def test_pack_makes_the_same_bytes(ctl, directory, work_dir):
    pem = private(work_dir, "ed25519")
    made = []
    for name in ("1", "2"):
        out = os.path.join(work_dir, name)
        assert ctl("pack", directory, "-k", pem, "-o", out)[0] == DONE
        with open(out, "rb") as f:
            made.append(f.read())
        os.utime(os.path.join(directory, "program.o"), (1, 1))
    assert made[0] == made[1]


def test_packed_runs(ctl, directory, work_dir, key, make_agent, tree,
                     cgroup):
    """The entry that pack prints is what a registry lists."""
    parameters = os.path.join(work_dir, "params.json")
    with open(parameters, "w", encoding="utf-8") as f:
        json.dump({"cgroup": cgroup.path}, f)
    out = os.path.join(work_dir, "p.tar.zst")
    status, text, err = ctl("pack", directory, "-k", key.private, "-o", out,
                            "-p", parameters)
    assert (status, err) == (DONE, "")
    packed = type("Packed", (), {})()
    packed.entry = json.loads(text)
    packed.id = packed.entry["artifact_id"]
    with open(out, "rb") as f:
        packed.data = f.read()
    tree.publish(packed)
    agent = make_agent(tree.url).start()
    agent.wait_running(packed)
    assert cgroup.ping(2) == 2


@pytest.mark.parametrize("change,word", [
    (lambda m: m.replace('"it_count"', '"nobody"'), "nobody"),
    (lambda m: m.replace("1.2.3", "a b"), "version"),
    (lambda m: m.replace("@SHA256@", "0" * 64), "SHA-256"),
    (lambda m: m[:-20], "metadata.json"),
])
def test_pack_refuses_what_the_agent_would(ctl, directory, work_dir, change,
                                           word):
    with open(os.path.join(directory, "metadata.json"), "w",
              encoding="utf-8") as f:
        f.write(change(METADATA))
    out = os.path.join(work_dir, "p")
    status, _, err = ctl("pack", directory, "-k",
                         private(work_dir, "ed25519"), "-o", out)
    assert status == REFUSED and word in err
    assert not os.path.exists(out)


def test_pack_names_mistakes(ctl, directory, work_dir):
    pem = private(work_dir, "ed25519")
    out = os.path.join(work_dir, "p")
    assert ctl("pack", directory)[0] == USAGE
    status, _, err = ctl("pack", directory, "-k", pem + ".pub", "-o", out)
    assert status == REFUSED and "no private key" in err
    weak = private(work_dir, "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
    status, _, err = ctl("pack", directory, "-k", weak, "-o", out)
    assert status == REFUSED and not os.path.exists(out)
    os.remove(os.path.join(directory, "program.o"))
    status, _, err = ctl("pack", directory, "-k", pem, "-o", out)
    assert status == REFUSED and "program.o" in err


# --- dry-run ---

def write_params(work_dir, **values):
    path = os.path.join(work_dir, "params.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(values, f)
    return path


def test_dry_run(ctl, file_of, counter, key, cgroup, work_dir):
    path = file_of(counter())
    params = write_params(work_dir, cgroup=cgroup.path)
    before = kernel.progs_named("it_count")
    status, out, err = ctl("dry-run", path, "-k", key.public, "-p", params)
    assert (status, err) == (DONE, "")
    assert "nothing was attached" in out
    assert f"would attach it_count to {cgroup.path}" in out
    report = json.loads(ctl("-j", "dry-run", path, "-k", key.public,
                            "-p", params)[1])
    assert report["ok"] is True
    assert report["programs"][0]["verified_instructions"] > 0
    assert report["would_attach"][0]["target"] == cgroup.path
    # Nothing is left of it, once the kernel has freed it.
    wait.until(lambda: kernel.progs_named("it_count") <= before, "it is gone")


def test_dry_run_shows_the_verifiers_log(ctl, file_of, key, objects, cgroup,
                                         work_dir):
    path = file_of(Artifact(
        key, "it_reject", objects["reject"],
        [{"program": "it_reject", "cgroup": "$cgroup"}]))
    params = write_params(work_dir, cgroup=cgroup.path)
    status, out, err = ctl("dry-run", path, "-k", key.public, "-p", params)
    assert status == REFUSED and "invalid bpf_context access" in err
    assert "verifier's log:" in out and "R1" in out
    report = json.loads(ctl("-j", "dry-run", path, "-k", key.public,
                            "-p", params)[1])
    assert report["ok"] is False and report["verifier_log"]


def test_dry_run_refuses(ctl, file_of, counter, key, work_dir, cgroup):
    path = file_of(counter(parameters={}))
    params = write_params(work_dir, cgroup=cgroup.path)
    assert ctl("dry-run", path, "-k", key.public, "-p", params,
               **NOBODY)[0] == PERMISSION
    wrong = write_params(work_dir, cgroup=cgroup.path, nonsense=1)
    status, _, err = ctl("dry-run", path, "-k", key.public, "-p", wrong)
    assert status == REFUSED and "nonsense" in err
    # Nothing unsigned is loaded, not even to try.
    stranger = Key(work_dir, "stranger")
    status, _, err = ctl("dry-run", path, "-k", stranger.public,
                         "-p", params)
    assert status == REFUSED and "signature" in err


def test_foreign_bytes_stay_out_of_aegisctl(ctl, prefix, file_of, counter,
                                            key):
    """Root's aegisctl leaves them to verifyd, under verifyd's account."""
    if shutil.which("strace") is None:
        pytest.fail("strace is not installed: scripts/packages.txt")
    trace = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=setresuid,execve,seccomp,prctl",
         os.path.join(prefix, "sbin", "aegisctl"), "inspect",
         file_of(counter())], capture_output=True, text=True, check=False)
    assert trace.returncode == DONE, trace.stderr
    at = [trace.stderr.index(word) for word in
          ("setresuid(", "libexec/aegisflux/verifyd", "PR_SET_DUMPABLE")]
    assert at == sorted(at)


# --- completion ---

def complete(prefix, *words, socket=None):
    """What the function offers for the last of these words."""
    script = os.path.join(prefix, "share", "bash-completion", "completions",
                          "aegisctl")
    line = ["aegisctl"] + (["-s", socket] if socket else []) + list(words)
    code = (f"PATH={prefix}/sbin:$PATH; source {script}\n"
            f"COMP_WORDS=({' '.join(repr(w) for w in line)})\n"
            f"COMP_CWORD={len(line) - 1}\n"
            "_aegisctl\nprintf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "--norc", "-c", code], check=True,
                          capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_knows_every_command(ctl, prefix):
    usage = re.findall(r"^  ([a-z-]+) ", ctl()[2], re.M)
    assert sorted(complete(prefix, "")) == sorted(usage)
    assert complete(prefix, "al") == ["allow-downgrade"]
    assert set(complete(prefix, "log", "")) == {"debug", "info", "warn",
                                                "error"}


def test_completion_of_options_and_files(ctl, prefix, work_dir):
    assert "-r" in complete(prefix, "rollback", "x", "-")
    assert {"-f", "-n"} <= set(complete(prefix, "events", "-"))
    assert {"-k", "-o"} <= set(complete(prefix, "pack", "-"))
    path = os.path.join(work_dir, "some.tar.zst")
    open(path, "wb").close()
    assert complete(prefix, "verify", path[:-3]) == [path]
    assert complete(prefix, "verify", "x", "-k", path[:-3]) == [path]


def test_completion_of_ids(agent, tree, counter, prefix):
    artifact = counter()
    tree.publish(artifact)
    agent.wait_running(artifact)
    socket = agent.environment["AGENT_CONTROL_SOCKET"]
    for command in ("show", "rollback", "unload", "pardon"):
        assert complete(prefix, command, "", socket=socket) == [artifact.id]
    assert complete(prefix, "show", "zz", socket=socket) == []
