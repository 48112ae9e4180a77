# SPDX-License-Identifier: ISC
"""NATS' decentralised authentication, from its documentation: nkeys (Ed25519
keys in base32 with a prefix and a CRC) and JWTs signed with them."""

import base64
import hashlib
import json
import os
import subprocess
import time

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3


def _crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xffff
    return crc.to_bytes(2, "little")


def _base32(data):
    return base64.b32encode(data).decode().rstrip("=")


def _base64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class NKey:
    """An Ed25519 key of a kind, made and used by openssl."""

    def __init__(self, directory, name, kind):
        self.path = os.path.join(directory, f"{name}.nkey.pem")

        def der(*args):
            return subprocess.run(
                ["openssl", "pkey", "-in", self.path, "-outform", "DER",
                 *args], check=True, capture_output=True).stdout[-32:]
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519",
                        "-out", self.path], check=True, capture_output=True)
        public = bytes([kind]) + der("-pubout")
        seed = bytes([SEED | kind >> 5, (kind & 31) << 3]) + der()
        self.public = _base32(public + _crc16(public))
        self.seed = _base32(seed + _crc16(seed))

    def sign(self, data):
        message = self.path + ".msg"
        with open(message, "wb") as f:
            f.write(data)
        return subprocess.run(
            ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.path,
             "-in", message], check=True, capture_output=True).stdout

    def jwt(self, subject, name, claims):
        """What this key says about another (or itself)."""
        body = {"iat": int(time.time()), "iss": self.public, "name": name,
                "sub": subject.public}
        body["jti"] = _base32(hashlib.sha256(
            json.dumps(body).encode()).digest())
        body["nats"] = {**claims, "version": 2}
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = ".".join(_base64(json.dumps(part).encode())
                        for part in (head, body))
        return text + "." + _base64(self.sign(text.encode()))


ANY = {"subs": -1, "data": -1, "payload": -1}


class Authority:
    """An operator with an account; users are made of it."""

    def __init__(self, directory):
        self.directory = directory
        self.operator = NKey(directory, "operator", OPERATOR)
        self.account = NKey(directory, "account", ACCOUNT)
        self.operator_jwt = self.operator.jwt(
            self.operator, "op", {"type": "operator"})
        self.account_jwt = self.operator.jwt(self.account, "acc", {
            "type": "account", "limits": {
                **ANY, "imports": -1, "exports": -1, "wildcards": True,
                "conn": -1, "leaf": -1}})

    def config(self):
        return (f"operator: {self.operator_jwt}\nresolver: MEMORY\n"
                f"resolver_preload: {{ {self.account.public}: "
                f"{self.account_jwt} }}")

    def creds(self, name):
        """The path of a .creds file for a new user."""
        user = NKey(self.directory, name, USER)
        jwt = self.account.jwt(user, name, {"type": "user", **ANY})
        path = os.path.join(self.directory, f"{name}.creds")
        with open(path, "w", encoding="utf-8") as f:
            f.write("-----BEGIN NATS USER JWT-----\n" + jwt +
                    "\n------END NATS USER JWT------\n\n"
                    "-----BEGIN USER NKEY SEED-----\n" + user.seed +
                    "\n------END USER NKEY SEED------\n")
        return path
