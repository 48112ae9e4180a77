# SPDX-License-Identifier: ISC
"""A stub that answers as Vault's Transit documentation says: there is no
Vault package."""

import base64
import http.server
import json
import subprocess
import threading


class Vault:
    """GET /v1/transit/keys/bpf-registry for who has the token."""

    def __init__(self, key, token="dev-token"):
        self.token = token
        self.asked = 0
        self.sealed = False
        raw = subprocess.run(
            ["openssl", "pkey", "-pubin", "-in", key.public, "-outform",
             "DER"], check=True, stdout=subprocess.PIPE).stdout[-32:]
        self.raw = base64.b64encode(raw).decode()
        self.versions = (1,)
        self.minimum = 1
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                stub.asked += 1
                status, answer = 200, stub.body()
                if self.headers.get("X-Vault-Token") != stub.token:
                    status = 403
                    answer = b'{"errors":["permission denied"]}'
                elif stub.sealed:
                    status, answer = 503, b'{"errors":["sealed"]}'
                elif self.path != "/v1/transit/keys/bpf-registry":
                    status, answer = 404, b'{"errors":[]}'
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def body(self):
        """The same key under each version: what it is called is enough."""
        keys = {str(version): {"name": "ed25519", "public_key": self.raw,
                               "creation_time": "2026-01-01T00:00:00Z"}
                for version in self.versions}
        return json.dumps({"data": {
            "type": "ed25519", "name": "bpf-registry", "keys": keys,
            "latest_version": max(self.versions),
            "min_decryption_version": self.minimum}}).encode()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
