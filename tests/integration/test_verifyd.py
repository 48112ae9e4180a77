# SPDX-License-Identifier: ISC
"""The verifier by itself: a real verifyd under its own account and filter,
and verifyd_driver in the place of agentd.  Signatures are made by the tools
that people use, archives by tar and zstd."""

import base64
import hashlib
import io
import json
import os
import platform
import signal
import re
import subprocess
import tarfile

import pytest

from aegis import kernel
from aegis.artifact import Key, compress, make_tar

RELEASE = "6.1.0-18-cloud-amd64"


class Driver:
    """verifyd_driver: a command a line in, JSON lines out."""

    def __init__(self, build, prefix, directory, wrap=()):
        self.directory = directory
        self.handle = 0
        self.files = 0
        self.logs = []
        self.process = subprocess.Popen(
            list(wrap) + [
                os.path.join(build, "tests/integration/verifyd_driver"), "-u",
                os.path.join(prefix, "libexec/aegisflux/verifyd")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.wait("started")["pid"]

    def wait(self, *words):
        """The next line of one of these kinds."""
        while True:
            line = self.process.stdout.readline()
            assert line, "the driver ended"
            event = json.loads(line)
            if event["event"] == "log":
                self.logs.append(event)
            if event["event"] in words:
                return event
            assert event["event"] not in ("closed", "end"), event

    def send(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()

    def file(self, content):
        self.files += 1
        path = os.path.join(self.directory, f"in{self.files}")
        with open(path, "wb") as out:
            out.write(content if isinstance(content, bytes)
                      else content.encode())
        return path

    def start(self, keys=None, policy="schema", arch=None, cpu=()):
        self.send("config", arch or platform.machine(), RELEASE, policy, *cpu)
        if keys is not None:
            self.send("keys", self.file(keys))
        self.send("end")
        self.wait("ready")
        return self

    def verify(self, data, signature, name="n", version="1", sha256="-",
               parameters=None, arch="-", kernel="-"):
        """What verifyd answers: a dictionary, with plan and effective when
        it found nothing wrong."""
        self.handle += 1
        self.send("verify", self.handle, name, version, self.file(data),
                  self.file(signature), sha256,
                  "-" if parameters is None
                  else self.file(json.dumps(parameters)), arch, kernel)
        seen = {}
        while True:
            event = self.wait("object", "plan", "effective", "done", "closed")
            assert event["event"] != "closed", event
            assert event["handle"] == self.handle
            seen[event["event"]] = event
            if event["event"] == "done":
                break
        answer = seen.pop("done")
        # All three with "ok", and not one of them with anything else.
        assert len(seen) == (3 if answer["result"] == "ok" else 0)
        answer.update(seen)
        return answer

    def end(self):
        """How it ended, by itself perhaps; None: that was asked already."""
        self.process.stdin.close()
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "end":
                self.process.wait()
                return event
        return None


@pytest.fixture
def drive(build_dir, prefix, work_dir):
    """drive(keys, ...): a started verifyd."""
    drivers = []

    def start(keys=None, wrap=(), **kwargs):
        drivers.append(Driver(build_dir, prefix, work_dir, wrap))
        return drivers[-1].start(keys, **kwargs)

    yield start
    for driver in drivers:
        driver.end()


@pytest.fixture
def bundle(key):
    with open(key.public, "rb") as public:
        return public.read()


def metadata(**changes):
    return json.dumps(dict({"name": "n", "version": "1"}, **changes)).encode()


ATTACH = [{"program": "it_pass", "interface": "$interface"}]


def pack(program, meta=None, **changes):
    """A good artifact around PROGRAM."""
    changes.setdefault("attach", ATTACH)
    changes.setdefault("parameters", {"interface": "lo"})
    return compress(make_tar([("metadata.json", meta or metadata(**changes)),
                              ("program.o", program)]))


def run(*args, **kwargs):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE,
                          **kwargs).stdout


def generate(directory, name, *args):
    """A private key of any kind; its path and its public half, PEM."""
    path = os.path.join(directory, name)
    run("openssl", "genpkey", *args, "-out", path, stderr=subprocess.DEVNULL)
    return path, run("openssl", "pkey", "-in", path, "-pubout")


EC256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
EC384 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
RSA = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
PSS = ("-sigopt", "rsa_padding_mode:pss", "-sigopt")

SIGNERS = {
    "ed25519": (("-algorithm", "ed25519"), None),
    "ecdsa-p256": (EC256, ("-sha256",)),
    "ecdsa-p384": (EC384, ("-sha384",)),
    "ecdsa-p384-sha256": (EC384, ("-sha256",)),
    "rsa-pkcs1": (RSA, ("-sha256",)),
    "rsa-pss-digest": (RSA, ("-sha256", *PSS, "rsa_pss_saltlen:digest")),
    "rsa-pss-max": (RSA, ("-sha256", *PSS, "rsa_pss_saltlen:max")),
    "rsa-pss-0": (RSA, ("-sha256", *PSS, "rsa_pss_saltlen:0")),
}

REFUSED_SIGNERS = {
    # kind: (key, how it signs, as what it is refused)
    "rsa-sha1": (RSA, ("-sha1",), "SHA1"),
    "rsa-pss-sha1": (RSA, ("-sha1", *PSS, "rsa_pss_saltlen:digest"), "SHA1"),
    "rsa-sha512": (RSA, ("-sha512",), "SHA512"),
    "ecdsa-p256-sha1": (EC256, ("-sha1",), "SHA1"),
    "ecdsa-p384-sha1": (EC384, ("-sha1",), "SHA1"),
}


def signature_of(path, how, data, directory):
    message = os.path.join(directory, "message")
    with open(message, "wb") as out:
        out.write(data)
    if how is None:
        return run("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", path,
                   "-in", message)
    return run("openssl", "dgst", *how, "-sign", path, message)


@pytest.mark.parametrize("kind", SIGNERS)
def test_signatures_of_openssl(kind, drive, objects, work_dir):
    """And, as base64 says it, of cosign sign-blob (a line end after it) and
    of Vault's transit engine (its prefix)."""
    args, how = SIGNERS[kind]
    path, public = generate(work_dir, "k", *args)
    data = pack(objects["pass"])
    sig = base64.b64encode(signature_of(path, how, data, work_dir)).decode()
    v = drive(public)
    for text in (sig, sig + "\n", "vault:v3:" + sig,
                 "\n".join(re.findall(".{1,64}", sig)) + "\n"):
        answer = v.verify(data, text)
        assert answer["result"] == "ok", answer
        assert answer["key_id"].startswith(kind.split("-")[0])
    wrong = v.verify(data + b"x", sig)
    assert wrong["result"] == "refused"
    assert "signature mismatch" in wrong["error"]


@pytest.mark.parametrize("kind", REFUSED_SIGNERS)
def test_digests_that_are_refused(kind, drive, objects, work_dir):
    args, how, name = REFUSED_SIGNERS[kind]
    path, public = generate(work_dir, "k", *args)
    data = pack(objects["pass"])
    sig = base64.b64encode(signature_of(path, how, data, work_dir)).decode()
    answer = drive(public).verify(data, sig)
    assert answer["result"] == "refused"
    assert f"a signature over {name} is refused" in answer["error"]


def test_keys_that_are_refused_are_named(drive, objects, work_dir):
    _, short = generate(work_dir, "a", "-algorithm", "RSA", "-pkeyopt",
                        "rsa_keygen_bits:1024")
    _, curve = generate(work_dir, "b", "-algorithm", "EC", "-pkeyopt",
                        "ec_paramgen_curve:P-521")
    v = drive(short + curve)
    answer = v.verify(pack(objects["pass"]), "AAAA")
    # Keys may come yet: it is not the artifact's fault.
    assert answer["result"] == "transient"
    assert "no verification key is known yet" in answer["error"]
    errors = " ".join(line["error"] for line in v.logs)
    assert "1024-bit RSA" in errors and "secp521r1" in errors


def test_a_bundle(drive, objects, key, work_dir):
    other = Key(work_dir, "other")
    data = pack(objects["pass"])
    with open(key.public, "rb") as one, open(other.public, "rb") as two:
        v = drive(one.read() + two.read())
    for signer in (key, other):
        assert v.verify(data, signer.sign(data))["result"] == "ok"
    assert v.verify(data, Key(work_dir, "third").sign(data))[
        "result"] == "refused"


def test_vault_versions(drive, objects, key, work_dir):
    old = Key(work_dir, "old")
    data = pack(objects["pass"])
    v = drive()
    assert v.verify(data, key.sign(data))["result"] == "transient"
    v.send("keyset", 2, f"1={old.public}", f"2={key.public}")
    sig = key.sign(data)
    assert v.verify(data, "vault:v2:" + sig)["result"] == "ok"
    assert v.verify(data, sig)["result"] == "ok"
    unknown = v.verify(data, "vault:v3:" + sig)
    assert (unknown["result"], unknown["key_version"]) == ("transient", 3)
    revoked = v.verify(data, "vault:v1:" + old.sign(data))
    assert revoked["result"] == "refused"
    assert "min_decryption_version is 2" in revoked["error"]
    assert v.verify(data, old.sign(data))["result"] == "refused"


def test_nothing_unsigned_is_looked_into(drive, bundle, work_dir):
    """Neither damage nor malice inside is noticed before the signature."""
    stranger = Key(work_dir, "stranger")
    v = drive(bundle)
    for data in (b"", b"no archive at all", compress(b"\0" * 10000000),
                 compress(make_tar([("../../x", b"y")]))):
        for sig, words in (("", "not signed"), ("!", "not base64"),
                           (stranger.sign(data or b"x"),
                            "signature mismatch")):
            answer = v.verify(data, sig)
            assert answer["result"] == "refused"
            assert words in answer["error"]


def test_checksum_of_the_entry(drive, bundle, key, objects):
    data = pack(objects["pass"])
    right = hashlib.sha256(data).hexdigest()
    v = drive(bundle)
    assert v.verify(data, key.sign(data), sha256=right)["result"] == "ok"
    answer = v.verify(data, key.sign(data), sha256="00" * 32)
    assert answer["result"] == "mismatch"
    assert right in answer["error"] and "00" * 32 in answer["error"]


def test_the_entry_cannot_rename(drive, bundle, key, objects):
    """A signed artifact under another name, version or architecture."""
    data = pack(objects["pass"])
    v = drive(bundle)
    for changes, words in (({"name": "m"}, "signed name is \"n\""),
                           ({"version": "2"}, "signed version is \"1\""),
                           ({"arch": "mips"}, "entry's architecture"),
                           ({"kernel": "99.1"}, "entry's kernel_version")):
        answer = v.verify(data, key.sign(data), **changes)
        assert answer["result"] == "refused"
        assert words in answer["error"]


@pytest.mark.parametrize("changes, words", [
    ({"architecture": "mips"}, "architecture is \"mips\""),
    ({"kernel_version": "99.0"}, "asks for at least 99.0"),
    ({"checksums": {"program.o": "00" * 32}}, "program.o has SHA-256"),
    ({"name": None}, "name is missing"),
    ({"attach": []}, "add {\"program\": \"it_pass\""),
    ({"parameters": {"interface": "lo", "x": 1}}, "parameter x: 1: the"),
])
def test_metadata_that_does_not_fit(drive, bundle, key, objects, changes,
                                    words):
    data = pack(objects["pass"], **changes)
    answer = drive(bundle).verify(data, key.sign(data))
    assert answer["result"] == "refused"
    assert words in answer["error"]


def link(name, kind, target):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return (name, info)


@pytest.mark.parametrize("extra, words", [
    ([("../evil", b"x")], "\"..\" in its path"),
    ([("/etc/passwd", b"x")], "absolute path"),
    ([("program.o", b"x")], "occurs twice"),
    ([("metadata.json", b"{}")], "occurs twice"),
    ([link("x", tarfile.SYMTYPE, "/etc/shadow")], "symbolic link"),
    ([link("x", tarfile.LNKTYPE, "program.o")], "hard link"),
    ([link("x", tarfile.CHRTYPE, "")], "character device"),
    ([(f"m{i}", b"") for i in range(63)], "more than 64 tar members"),
    ([("zeros", bytes(40 << 20))], "decompression bomb"),
])
def test_hostile_archives(drive, bundle, key, objects, extra, words):
    data = compress(make_tar([("metadata.json", metadata()),
                              ("program.o", objects["pass"])] + extra))
    v = drive(bundle)
    answer = v.verify(data, key.sign(data))
    assert answer["result"] == "refused"
    assert words in answer["error"]
    # It is none the worse for it.
    good = pack(objects["pass"])
    assert v.verify(good, key.sign(good))["result"] == "ok"


def test_other_formats(drive, bundle, key, objects):
    """No gzip, no bare tar, no zstd in zstd, no damaged object."""
    tar = make_tar([("metadata.json", metadata()),
                    ("program.o", objects["pass"])])
    v = drive(bundle)
    for data, words in (
            (run("gzip", "-c", input=tar), "not compressed with zstd"),
            (tar, "not compressed with zstd"),
            (compress(compress(tar)), "artifact is no tar inside one zstd"),
            (compress(tar)[:-40], "damaged or no tar"),
            (pack(b"\x7fELF nonsense"), "program.o is no BPF object"),
            (pack(b""), "program.o is empty")):
        answer = v.verify(data, key.sign(data))
        assert answer["result"] == "refused", words
        assert words in answer["error"]


def test_tar_and_zstd_of_people(drive, bundle, key, objects, work_dir):
    """What `tar` writes by itself, in each of its formats."""
    os.mkdir(os.path.join(work_dir, "d"))
    for name, content in (("metadata.json", metadata(attach=ATTACH,
                           parameters={"interface": "lo"})),
                          ("program.o", objects["pass"])):
        with open(os.path.join(work_dir, "d", name), "wb") as out:
            out.write(content)
    v = drive(bundle)
    for args in (("metadata.json", "program.o"), (".",),
                 ("--format=posix", "."), ("--format=gnu", "."),
                 ("--format=v7", "program.o", "metadata.json")):
        data = compress(run("tar", "-C", os.path.join(work_dir, "d"), "-c",
                            *args))
        answer = v.verify(data, key.sign(data))
        assert answer["result"] == "ok", (args, answer)


def test_parameters(drive, bundle, key, objects):
    data = pack(objects["pass"], parameters={"interface": "lo"},
                parameters_schema={"interface": {"pattern": "^(lo|eth)"}})
    sig = key.sign(data)
    v = drive(bundle)
    answer = v.verify(data, sig, parameters={"interface": "eth7"})
    assert answer["result"] == "ok"
    assert answer["plan"]["attaches"] == [{
        "prog": "it_pass", "kind": "xdp", "flags": 0, "priority": 0,
        "target": "eth7"}]
    assert json.loads(answer["effective"]["text"]) == {"interface": "eth7"}
    # Without the registry's, the signed ones; no memory of the last time.
    answer = v.verify(data, sig)
    assert json.loads(answer["effective"]["text"]) == {"interface": "lo"}
    answer = v.verify(data, sig, parameters={"interface": "wlan0",
                                             "other": 1})
    assert answer["result"] == "refused"
    assert "matches ^(lo|eth)" in answer["error"]
    assert "parameter other: 1: parameters_schema does not" in answer["error"]


def test_parameters_policies(drive, bundle, key, objects):
    data = pack(objects["pass"],
                parameters_schema={"interface": {"fixed": True}})
    sig = key.sign(data)
    override = {"interface": "eth7"}
    answer = drive(bundle).verify(data, sig, parameters=override)
    assert "fixes it to \"lo\"" in answer["error"]
    answer = drive(bundle, policy="signed").verify(data, sig,
                                                   parameters=override)
    assert "AGENT_PARAMETERS=signed" in answer["error"]
    answer = drive(bundle, policy="any").verify(data, sig,
                                                parameters=override)
    assert answer["result"] == "ok"


@pytest.mark.parametrize("text", ["x", "[]", "{\"a\":1,\"a\":2}", "{" * 100,
                                  "{\"a\":\"\\u0000\"}", "{\"a\":1e400}"])
def test_parameters_that_are_no_json(drive, bundle, key, objects, text,
                                     work_dir):
    data = pack(objects["pass"])
    v = drive(bundle)
    v.send("verify", 1, "n", "1", v.file(data), v.file(key.sign(data)), "-",
           v.file(text), "-", "-")
    answer = v.wait("done")
    assert answer["result"] == "refused"
    assert "the registry's parameters" in answer["error"]


def test_programs_that_come_along(drive, bundle, key, bpf_dir):
    v = drive(bundle)
    cases = {
        "xdp_drop_cidr": {"interface": "lo", "cidrs": {"10.0.0.0/8": 1},
                          "cidrs6": {"2001:db8::/32": 2}},
        "drop_egress_by_cgroup": {"cgroup": "/sys/fs/cgroup/x"},
        "deny_exec_for_cgroup": {},
    }
    # Their metadata has a checksum, so there is one to compare.
    for name, parameters in cases.items():
        with open(os.path.join(bpf_dir, name + ".bpf.o"), "rb") as f:
            program = f.read()
        with open(os.path.join(bpf_dir, name + ".json")) as f:
            text = f.read()
        text = text.replace("@ARCH@", platform.machine()).replace(
            "@SHA256@", hashlib.sha256(program).hexdigest())
        data = pack(program, meta=text.encode())
        answer = v.verify(data, key.sign(data), name=name, version="1.0.0",
                          parameters=parameters)
        assert answer["result"] == "ok", answer
        plan = answer["plan"]
        assert {c["kind"] for c in plan["counters"]} == {
            "packets_processed", "violations", "errors"}
        assert any(m["flags"] & 2 for m in plan["maps"])
        assert answer["object"]["sha256"] == hashlib.sha256(
            program).hexdigest()


def test_opening_an_object_makes_no_bpf_call(drive, bundle, key, objects,
                                             work_dir):
    log = os.path.join(work_dir, "strace")
    v = drive(bundle, wrap=("strace", "-f", "-qq", "-o", log, "-e",
                            "trace=bpf,socket,connect,execve,openat"))
    data = pack(objects["pass"])
    assert v.verify(data, key.sign(data))["result"] == "ok"
    v.end()
    with open(log) as trace:
        calls = trace.read()
    assert "bpf(" not in calls
    assert "socket(" not in calls.split("aegisflux/verifyd")[-1]


def test_unsealed_bytes_end_the_channel(drive, bundle):
    v = drive(bundle)
    v.send("unsealed", 1)
    closed = v.wait("closed")
    assert closed["event"] == "closed"
    assert v.end()["exit"] != 0


def test_unsigned_bytes_are_described_for_aegisctl_alone(drive, bundle,
                                                        objects):
    """The agent's own verifyd takes it for an agentd that was taken over;
    and what it is cannot be changed afterwards."""
    good = pack(objects["pass"])
    v = drive(bundle, cpu=(20, "aegisctl"))
    v.send("inspect", 1, v.file(good))
    assert v.wait("description")["handle"] == 1
    assert v.wait("done")["result"] == "ok"

    v = drive(bundle)
    v.send("inspect", 1, v.file(good))
    assert v.wait("description", "done", "closed")["event"] == "closed"
    assert v.end()["exit"] != 0

    v = drive(bundle)
    v.send("config", platform.machine(), RELEASE, "schema", 20, "aegisctl")
    assert v.wait("closed")["event"] == "closed"
    assert v.end()["exit"] != 0
    assert "artifact" not in str(v.logs)


def test_nothing_is_done_before_it_is_configured(build_dir, prefix, work_dir,
                                                 bundle, objects):
    for order in ("inspect 1 {}", "verify 1 n 1 {} {} - - - -"):
        v = Driver(build_dir, prefix, work_dir)
        path = v.file(pack(objects["pass"]))
        v.send("keys", v.file(bundle))
        v.send(order.format(path, v.file("AAAA")))
        assert v.wait("description", "done", "closed")["event"] == "closed"
        assert v.end()["exit"] != 0


def test_memory_does_not_grow(drive, bundle, key, objects):
    good, bad = pack(objects["pass"]), pack(b"\x7fELF nonsense")
    v = drive(bundle)

    def round_():
        assert v.verify(good, key.sign(good))["result"] == "ok"
        assert v.verify(bad, key.sign(bad))["result"] == "refused"

    for _ in range(20):
        round_()
    before = kernel.anonymous_kb(v.pid)
    for _ in range(80):
        round_()
    assert kernel.anonymous_kb(v.pid) - before < 512
    assert len(os.listdir(f"/proc/{v.pid}/fd")) < 10
    assert v.end()["exit"] == 0


# What libc's regcomp() takes a long time over, within what a pattern may be.
SLOW = "((a{1,255}){1,255}){1,255}"


def test_cpu_time_of_an_artifact_is_limited(drive, bundle, key, objects):
    """Signed, and still not trusted with the processor; agentd refuses what
    verifyd died over (u/test_fleet.c, i/test_isolation.py)."""
    data = pack(objects["pass"], parameters_schema={
        "interface": {"pattern": SLOW}})
    driver = drive(bundle, cpu=(1,))
    driver.send("verify", 1, "n", "1", driver.file(data),
                driver.file(key.sign(data)), "-", "-", "-", "-")
    assert driver.wait("closed", "done")["event"] == "closed"
    end = driver.wait("end")
    assert end["signal"] == signal.SIGPROF, end
