# SPDX-License-Identifier: ISC
"""Certificates, keys and tokens are renewed in files whose names stay: a
reload reads them, and tells so."""

import functools
import http.server
import os
import ssl
import subprocess
import threading

import pytest

from aegis import wait


def self_signed(directory, name):
    """(certificate, key) of 127.0.0.1, its own authority."""
    paths = [os.path.join(directory, f"{name}.{e}") for e in ("pem", "key")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
         "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
         "-keyout", paths[1], "-out", paths[0]],
        check=True, capture_output=True)
    return paths


class Https:
    """The registry's tree over TLS; its certificate can be exchanged."""

    def __init__(self, root):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Quiet, directory=root))
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"

    def show(self, certificate, key):
        """For the connections that come."""
        self.context.load_cert_chain(certificate, key)

    def start(self):
        # Each connection is wrapped when it is taken up.
        self.server.socket = self.context.wrap_socket(
            self.server.socket, server_side=True,
            do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def https(tree, work_dir):
    server = Https(tree.root)
    server.show(*self_signed(work_dir, "old"))
    yield server.start()
    server.stop()


def copy(source, to):
    with open(source, "rb") as text, open(to + ".new", "wb") as out:
        out.write(text.read())
    os.chmod(to + ".new", 0o600)
    os.rename(to + ".new", to)


def write(path, text):
    with open(path + ".text", "w", encoding="ascii") as out:
        out.write(text)
    copy(path + ".text", path)


def all_workers(agent):
    """Role -> pid, once they all are there."""
    return wait.until(lambda: (w := agent.workers()) and len(w) == 5 and w,
                      lambda: f"all workers: {agent.workers()}")


def reload(agent, prefix):
    done = subprocess.run(
        [os.path.join(prefix, "sbin", "aegisctl"), "-s",
         agent.environment["AGENT_CONTROL_SOCKET"], "reload"],
        capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_renewed_authority_of_the_registry(make_agent, https, work_dir, tree,
                                           counter, prefix):
    ca = os.path.join(work_dir, "registry-ca.pem")
    copy(os.path.join(work_dir, "old.pem"), ca)
    agent = make_agent(https.url, registry_ca=ca).start()
    first = counter(name="it_first")
    tree.publish(first)
    agent.wait_running(first)
    assert reload(agent, prefix) == "nothing changed\n"
    workers = all_workers(agent)

    # The server has another certificate before we know of it.
    https.show(*self_signed(work_dir, "new"))
    copy(os.path.join(work_dir, "new.pem"), ca)
    assert "AGENT_REGISTRY_CA (what is in its file)" in reload(agent, prefix)
    second = counter(name="it_second")
    tree.publish(first, second)
    agent.wait_running(second)
    # It took the file as it ran.
    assert agent.workers() == workers
    assert reload(agent, prefix) == "nothing changed\n"

    # What is of no use does not take the place of what is.
    write(ca, "no certificate\n")
    assert "AGENT_REGISTRY_CA" in reload(agent, prefix)
    agent.wait_log(msg="new TLS files for the registry cannot be used")
    third = counter(name="it_third")
    tree.publish(first, second, third)
    agent.wait_running(third)


def test_renewed_token_of_the_api(make_agent, tree, work_dir, prefix):
    path = os.path.join(work_dir, "token")
    write(path, "old-token\n")
    agent = make_agent(tree.url, http_token_file=path).start()

    def status(token):
        return agent.get("/status", {"Authorization": f"Bearer {token}"})[0]
    workers = all_workers(agent)
    assert status("old-token") == 200
    write(path, "new-token\n")
    assert "AGENT_HTTP_TOKEN_FILE (what is in its file)" in reload(agent,
                                                                   prefix)

    def renewed():
        try:
            return status("new-token") == 200
        except OSError:
            return False  # it is about to start
    wait.until(renewed, "the new token is taken")
    assert status("old-token") == 401
    others = {k: v for k, v in agent.workers().items() if k != "apid"}
    assert others == {k: v for k, v in workers.items() if k != "apid"}
