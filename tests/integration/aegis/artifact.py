# SPDX-License-Identifier: ISC
"""Keys, programs, and signed artifacts, good and bad, as CONTRACT 2 and 3
and aegis-artifact(5) describe them; made with openssl and zstd, not with the
agent's own code."""

import base64
import copy
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROGS = os.path.join(HERE, "..", "progs")


class Key:
    """An Ed25519 key pair in files of a directory."""

    def __init__(self, directory, name="key"):
        self.private = os.path.join(directory, name + ".pem")
        self.public = os.path.join(directory, name + ".pub.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519",
                        "-out", self.private], check=True)
        subprocess.run(["openssl", "pkey", "-in", self.private, "-pubout",
                        "-out", self.public], check=True)

    def sign(self, data):
        """Signature over the bytes, base64."""
        # openssl 3.0 wants a real file for -rawin: it must know the size.
        path = self.private + ".in"
        with open(path, "wb") as message:
            message.write(data)
        done = subprocess.run(
            ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.private,
             "-in", path], stdout=subprocess.PIPE, check=True)
        os.unlink(path)
        return base64.b64encode(done.stdout).decode()


def compile_bpf(directory):
    """Build progs/*.bpf.c; name -> bytes of the object."""
    triplet = subprocess.run(["gcc", "-dumpmachine"], text=True, check=True,
                             stdout=subprocess.PIPE).stdout.strip()
    objects = {}
    for source in sorted(os.listdir(PROGS)):
        if not source.endswith(".bpf.c"):
            continue
        name = source[:-len(".bpf.c")]
        path = os.path.join(directory, name + ".o")
        subprocess.run(
            ["clang", "-target", "bpf", "-g", "-O2", "-Wall", "-Werror",
             f"-I/usr/include/{triplet}", "-c",
             os.path.join(PROGS, source), "-o", path], check=True)
        with open(path, "rb") as built:
            objects[name] = built.read()
    return objects


def make_tar(members):
    """MEMBERS: (name, bytes or TarInfo) pairs, in order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def compress(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


class Artifact:
    """An artifact: its bytes and the registry's entry for it.

    METADATA and ENTRY fields are merged over good defaults; a value of None
    takes a field away.  MEMBERS, if given, replaces the tar's members."""

    _serial = 0

    def __init__(self, key, name, program, attach, *, artifact_id=None,
                 version="1.0.0", ttl=900, parameters=None, metadata=None,
                 entry=None, members=None):
        Artifact._serial += 1
        self.id = artifact_id or f"{name}-{Artifact._serial:04d}"
        self.name = name
        self.version = version
        self.metadata = _merge({
            "name": name, "version": version,
            "architecture": platform.machine(), "kernel_version": "5.15",
            "checksums": {"program.o": hashlib.sha256(program).hexdigest()},
            "attach": attach,
        }, metadata)
        if members is None:
            members = [("metadata.json", json.dumps(self.metadata).encode()),
                       ("program.o", program)]
        self.data = compress(make_tar(members))
        self.entry = _merge({
            "artifact_id": self.id, "name": name, "version": version,
            "description": "made by the integration tests",
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "size": len(self.data),
            "checksum": hashlib.sha256(self.data).hexdigest(),
            "signature": key.sign(self.data),
            "parameters": parameters or {}, "ttl_sec": ttl,
            "architecture": platform.machine(), "kernel_version": "5.15",
            "type": "bpf", "tags": ["test"],
        }, entry)

    def with_id(self, artifact_id):
        """The same bytes under another id."""
        other = copy.copy(self)
        other.id = artifact_id
        other.entry = dict(self.entry, artifact_id=artifact_id)
        return other

    def tampered(self, at=-5):
        """One bit of the bytes turned, as a hostile mirror would."""
        other = copy.copy(self)
        data = bytearray(self.data)
        data[at] ^= 1
        other.data = bytes(data)
        # The mirror knows how to compute a checksum.
        other.entry = dict(self.entry,
                           checksum=hashlib.sha256(other.data).hexdigest())
        return other


def _merge(base, changes):
    merged = dict(base, **(changes or {}))
    return {k: v for k, v in merged.items() if v is not None}
