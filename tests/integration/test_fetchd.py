# SPDX-License-Identifier: ISC
"""fetchd alone, under its own account and sandbox, against servers that
misbehave in every way that has a name.  fetchd_driver plays agentd."""

import email.utils
import gzip
import hashlib
import json
import os
import pwd
import queue
import ssl
import subprocess
import threading
import time

import pytest

from aegis import kernel, wait
from aegis.rawserver import RawServer, answer

OK, TRANSIENT, REFUSED = 0, 1, 2                      # enum work_result
CHANGED, NOT_MODIFIED, FAILED, CACHED = 0, 1, 2, 3    # enum poll_result
TOKEN, CA, CERT, KEY = 0, 1, 2, 3                     # enum secret_kind

LIST = "/artifacts/for-host/host-1"
BINARY = "/artifacts/{id}/binary"


class Fetchd:
    """fetchd behind its driver: say() a command, wait() for an event."""

    def __init__(self, role):
        build = os.environ["AEGIS_BUILD"]
        program = os.path.join(os.environ["AEGIS_PREFIX"],
                               "libexec/aegisflux/fetchd")
        self.process = subprocess.Popen(
            [f"{build}/tests/integration/fetchd_driver", program, role],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events = []
        self.queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.pid = self.wait("started")["pid"]

    def _read(self):
        for line in self.process.stdout:
            self.queue.put(json.loads(line))
        self.queue.put(None)

    def say(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()

    def wait(self, event, timeout=wait.LONG, **match):
        """The next event of that name with those values, taken out."""
        end = time.monotonic() + timeout
        while True:
            for i, e in enumerate(self.events):
                if e["event"] == event and \
                        all(e.get(k) == v for k, v in match.items()):
                    return self.events.pop(i)
            try:
                e = self.queue.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"no {event} {match} in {timeout} s; there were "
                    f"{self.events}") from None
            if e is None:
                raise AssertionError(f"ended before {event} {match}; there "
                                     f"were {self.events}")
            self.events.append(e)

    def none(self, event, seconds=0.5, **match):
        """That event does not come."""
        with pytest.raises(AssertionError):
            self.wait(event, timeout=seconds, **match)

    def end(self):
        try:
            self.say("quit")
        except BrokenPipeError:
            pass  # it has ended by itself, or is about to
        try:
            end = self.wait("end")
        finally:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass  # what could not be said is tried once more
            self.process.wait(wait.LONG)
        return end

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait_descriptors(self, most):
        """What was sent is closed, too, but behind the message."""
        wait.until(lambda: self.descriptors() <= most,
                   lambda: f"no more than {most} descriptors, not "
                           f"{self.descriptors()}")


@pytest.fixture
def server():
    s = RawServer()
    s.routes[LIST] = answer(b'{"artifacts":[]}')
    yield s
    s.stop()


@pytest.fixture
def fetchd():
    """A maker of fetchds, all of which must end cleanly."""
    made = []

    def make(role="registry"):
        made.append(Fetchd(role))
        return made[-1]
    yield make
    for f in made:
        if f.process.returncode is None:
            end = f.end()
            assert (end["exit"], end["signal"]) == (0, 0), end


@pytest.fixture
def registry(fetchd, server):
    """fetchd, configured for `server` and ready; polls once an hour."""
    def make(url=None, poll_sec=3600, cache=None, secrets=(), is_file=0,
             root=None, cache_bytes=1 << 28, ready=True):
        f = fetchd()
        f.say("config", url or server.url, "host-1", BINARY, poll_sec,
              cache_bytes, is_file)
        if root:
            f.say("root", root)
        if cache:
            f.say("cache", cache)
        for kind, path in secrets:
            f.say("secret", kind, path)
        f.say("end")
        if ready:
            assert f.wait("ready")["landlock"] > 0
        return f
    return make


@pytest.fixture
def cache_dir(work_dir):
    path = os.path.join(work_dir, "cache")
    os.mkdir(path, 0o700)
    user = pwd.getpwnam("_aegis_fetch")
    os.chown(path, user.pw_uid, user.pw_gid)
    return path


def entry(artifact_id="a", **more):
    return {"artifact_id": artifact_id, "name": "n", "version": "1", **more}


def list_of(*entries, **more):
    return json.dumps({"artifacts": list(entries), **more}).encode()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# --- lists ---

def test_list_and_download(server, registry):
    blob = os.urandom(1000000)
    server.routes[LIST] = answer(list_of(
        entry("a:1", ttl_sec=60, parameters={"x": "a/b"}, size=len(blob))))
    server.routes["/artifacts/a%3A1/binary"] = answer(blob)
    f = registry()
    got = f.wait("list")["entries"]
    assert [e["artifact_id"] for e in got] == ["a:1"]
    assert got[0]["ttl_sec"] == 60
    assert got[0]["parameters"] == '{"x":"a/b"}'
    polled = f.wait("polled")
    assert (polled["result"], polled["http_status"]) == (CHANGED, 200)
    assert 3240000 <= polled["next_ms"] <= 3960000
    f.say("fetch", 7, "a:1", "-", len(blob))
    done = f.wait("done", handle=7)
    assert done["result"] == OK
    assert done["sha256"] == sha256(blob)
    # One connection did it all, and said who asks.
    assert server.connections == 1
    assert server.requests[0].headers["user-agent"].startswith(
        "aegisflux-agent/")
    assert "authorization" not in server.requests[0].headers


def test_etag(server, registry):
    def serve(request, _sock):
        if request.headers.get("if-none-match") == tag:
            return answer(status="304 Not Modified",
                          headers=[("ETag", tag)])
        return answer(body, headers=[("ETag", tag)])
    tag, body = 'W/"one"', list_of(entry("a"))
    server.routes[LIST] = serve
    f = registry()
    assert f.wait("polled")["result"] == CHANGED
    f.wait("list")
    f.say("poll")
    polled = f.wait("polled")
    assert (polled["result"], polled["http_status"]) == (NOT_MODIFIED, 304)
    f.none("list", 0.2)
    tag, body = '"two"', list_of(entry("a"), entry("b"))
    f.say("poll")
    assert f.wait("polled")["result"] == CHANGED
    assert len(f.wait("list")["entries"]) == 2
    assert server.connections == 1


def test_same_list_is_sent_once(server, registry):
    server.routes[LIST] = answer(list_of(entry("a")))
    f = registry()
    assert f.wait("polled")["result"] == CHANGED
    f.wait("list")
    f.say("poll")
    assert f.wait("polled")["result"] == NOT_MODIFIED
    # Other bytes, but they say the same.
    server.routes[LIST] = answer(list_of(entry("a", tags=["x"]), total=1))
    f.say("poll")
    assert f.wait("polled")["result"] == NOT_MODIFIED
    f.none("list", 0.2)


def test_polls_at_interval(server, registry):
    f = registry(poll_sec=1)
    last = [f.wait("polled")["at_ns"]]

    def off_by():
        """The worst of some gaps."""
        times = last + [f.wait("polled")["at_ns"] for _ in range(3)]
        last[:] = times[-1:]
        gaps = [(b - a) / 1e9 for a, b in zip(times, times[1:])]
        print(gaps)
        return max(max(1 - gap, (gap - 1) / 2) for gap in gaps)
    wait.measured(off_by, 0.15)


def test_next_poll_and_expires(server, registry):
    start = time.time()
    at = int(start) + 600
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    server.routes[LIST] = answer(list_of(next_poll=stamp, expires=stamp))
    polled = registry().wait("polled")
    passed_ms = (time.time() - start) * 1000
    assert 599000 - passed_ms <= polled["next_ms"] <= 661000
    assert polled["expires_ns"] == at * 10**9


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(server, registry, form):
    start = time.time()
    value = 120 if form == "seconds" else email.utils.formatdate(
        start + 120, usegmt=True)
    server.routes[LIST] = answer(status="503 Service Unavailable",
                                 headers=[("Retry-After", value)])
    polled = registry().wait("polled")
    passed_ms = (time.time() - start) * 1000
    assert polled["result"] == FAILED
    assert polled["http_status"] == 503
    assert "HTTP 503" in polled["error"]
    # A date has whole seconds.
    assert 119000 - passed_ms <= polled["next_ms"] <= 133000


def test_backoff(server, registry):
    server.routes[LIST] = answer(status="500 Oops")
    f = registry()
    delays = []
    for n in range(1, 8):
        polled = f.wait("polled")
        assert polled["failures"] == n
        delays.append(polled["next_ms"])
        if n < 7:
            f.say("poll")
    for n, delay in enumerate(delays):
        assert 0.89 * 1000 * 2**n <= delay <= 1.11 * 1000 * 2**n
    server.routes[LIST] = answer(b"[]")
    f.say("poll")
    assert f.wait("polled", failures=0)


def test_failed_poll_text_is_the_same_each_time(server, registry):
    server.stop()
    f = registry(poll_sec=1)
    first = f.wait("polled")
    assert "cannot connect: Connection refused" in first["error"]
    assert f.wait("polled")["error"] == first["error"]


def test_malformed_list(server, registry):
    server.routes[LIST] = answer(list_of(entry("a")))
    f = registry()
    f.wait("list")
    f.wait("polled")
    for body in (b"", b"<html>", b'{"artifacts":[{]}', b'{"artifacts":7}',
                 b'{"artifacts":[],"artifacts":[]}', b"[" * 100000):
        server.routes[LIST] = answer(body)
        f.say("poll")
        polled = f.wait("polled")
        assert polled["result"] == FAILED
        assert polled["error"].startswith("malformed list: "), polled
    f.none("list", 0.2)


def test_malformed_entries_are_named_once(server, registry):
    bad = [entry("bad-1", ttl_sec=0), 5, entry("bad-2", size="x")]
    server.routes[LIST] = answer(list_of(entry("a"), *bad))
    f = registry()
    assert f.wait("list")["skipped"] == 3
    f.wait("polled")
    assert f.wait("log", artifact_id="bad-1", level=3)["error"].startswith(
        "ttl_sec: 0:")
    assert "entry 2 " in f.wait("log", level=3)["text"]
    f.wait("log", artifact_id="bad-2")
    # The list changes, they are still there: nothing new to say.
    server.routes[LIST] = answer(list_of(entry("a"), *bad, entry("b")))
    f.say("poll")
    assert len(f.wait("list")["entries"]) == 2
    f.none("log", 0.3, level=3)


@pytest.mark.parametrize("how", ["announced", "chunked"])
def test_list_too_long(server, registry, how):
    def endless(_request, sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        while True:
            sock.sendall(chunk)
    server.routes[LIST] = endless if how == "chunked" else \
        answer(b"x", length=9 << 20)
    polled = registry().wait("polled")
    assert polled["result"] == FAILED
    assert "8388608" in polled["error"]


def test_token(server, registry, work_dir):
    path = os.path.join(work_dir, "token")
    with open(path, "w", encoding="ascii") as f:
        f.write("s3cret-one\n")
    f = registry(secrets=[(TOKEN, path)])
    f.wait("polled")
    assert server.requests[-1].headers["authorization"] == \
        "Bearer s3cret-one"
    with open(path, "w", encoding="ascii") as out:
        out.write("s3cret-two")
    f.say("secret", TOKEN, path)
    f.say("poll")
    f.wait("polled")
    assert server.requests[-1].headers["authorization"] == \
        "Bearer s3cret-two"
    # What would be a second header is no token.
    with open(path, "w", encoding="ascii") as out:
        out.write("x\r\nHost: evil")
    f.say("secret", TOKEN, path)
    assert "token cannot be used" in f.wait("log", level=3)["text"]
    assert all("s3cret" not in json.dumps(e) for e in f.events)


# --- artifacts ---

def chunked_for_ever(_request, sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b"\0" * 0x100000 + b"\r\n"
    while True:
        sock.sendall(chunk)


def unannounced_end(_request, sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"5\r\nhello\r\n")


def headers_for_ever(_request, sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    n = 0
    while True:
        sock.sendall(b"X-%d: %s\r\n" % (n, b"y" * 1000))
        n += 1


def interim_for_ever(_request, sock):
    while True:
        sock.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)


def raw(text):
    """These bytes, then the end of the connection."""
    def serve(_request, sock):
        sock.sendall(text)
    return serve


HOSTILE = {
    # name: (what the server does, result, what the error says)
    "not found": (answer(status="404 Not Found"), TRANSIENT, "HTTP 404"),
    "broken": (answer(status="500 Oops"), TRANSIENT, "HTTP 500"),
    "forbidden": (answer(status="403 No"), TRANSIENT, "credentials"),
    "unasked 304": (answer(status="304 Not Modified"), TRANSIENT,
                    "HTTP 304"),
    "partial": (answer(b"hello", status="206 Partial"), TRANSIENT,
                "HTTP 206"),
    "truncated": (raw(answer(b"hello", length=500)), TRANSIENT,
                  "truncated: 5 of 500 bytes"),
    "truncated chunks": (unannounced_end, TRANSIENT,
                         "amid the chunks, after 5 bytes"),
    "broken chunks": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
                          b"\r\n\r\nzz\r\nhello\r\n"), TRANSIENT,
                      "missing hexadecimal sequence"),
    "endless": (chunked_for_ever, REFUSED, "67108864"),
    "announced too long": (answer(length=(64 << 20) + 1), REFUSED,
                           "67108865 bytes announced"),
    "wrong length": (answer(b"hello", length="5x"), TRANSIENT, "5x"),
    "negative length": (answer(b"hello", length=-5), TRANSIENT,
                        "Content-Length"),
    "two lengths": (answer(b"hello", headers=[("Content-Length", 7)]),
                    TRANSIENT, "two Content-Lengths"),
    "gzip": (answer(gzip.compress(b"hello"),
                    headers=[("Content-Encoding", "gzip")]), TRANSIENT,
             'Content-Encoding "gzip"'),
    "zstd": (answer(b"x", headers=[("content-encoding", "zstd")]), TRANSIENT,
             'Content-Encoding "zstd"'),
    "transfer gzip": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, "
                          b"chunked\r\n\r\n0\r\n\r\n"), TRANSIENT,
                      "Transfer-Encoding"),
    "transfer gzip behind blanks": (
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding:" + b" " * 300 +
            b"gzip, chunked\r\n\r\n0\r\n\r\n"), TRANSIENT,
        "Transfer-Encoding in a line of"),
    "endless headers": (headers_for_ever, TRANSIENT,
                        "headers of more than 65536 bytes"),
    "one huge header": (answer(headers=[("X", "y" * 200000)]), TRANSIENT,
                        "a header line that is too long"),
    "endless interim": (interim_for_ever, TRANSIENT,
                        "headers of more than 65536 bytes"),
    "no answer": (raw(b""), TRANSIENT, "hung up without an answer"),
    "no http": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), TRANSIENT, "HTTP/0.9"),
    "http 0.9": (raw(b"hello"), TRANSIENT, "HTTP/0.9"),
    "endless error page": (
        answer(b"x" * 100000, status="404 Not Found"), TRANSIENT,
        "HTTP 404 with an endless page"),
    "redirect to another port": (
        answer(status="302 F", headers=[("Location",
                                         "http://127.0.0.1:1/x")]),
        TRANSIENT, "another origin refused: http://127.0.0.1:1/x"),
    "redirect to another host": (
        answer(status="301 M", headers=[("Location", "http://evil/x")]),
        TRANSIENT, "another origin"),
    "redirect to a file": (
        answer(status="307 T", headers=[("Location",
                                         "file:///etc/passwd")]),
        TRANSIENT, "another origin"),
    "redirect with a password": (
        answer(status="302 F", headers=[("Location",
                                         "http://u:p@127.0.0.1/x")]),
        TRANSIENT, "another origin"),
    "redirect to nowhere": (answer(status="302 F"), TRANSIENT, "Location"),
    "redirect for ever": (
        answer(status="302 F", headers=[("Location", "for%20ever")]),
        TRANSIENT, "more than 3 redirects"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answer(server, registry, name):
    what, result, words = HOSTILE[name]
    path = "/artifacts/bad/binary"
    server.routes[path] = what
    server.routes["/artifacts/bad/for%20ever"] = what
    server.routes["/artifacts/good/binary"] = answer(b"good")
    f = registry()
    f.wait("polled")
    before = f.descriptors()
    f.say("fetch", 1, "bad", "-", 0)
    f.say("fetch", 2, "good", "-", 4)
    done = f.wait("done", handle=1)
    assert done["result"] == result, done
    assert words in done["error"], done
    assert done["error"] != ""
    # It names what was asked, and harmed nothing else.
    assert "/artifacts/bad/" in done["error"] or len(done["error"]) > 200
    assert f.wait("done", handle=2)["sha256"] == sha256(b"good")
    f.wait_descriptors(before + 2)  # connections kept


def test_redirects_within_the_origin(server, registry):
    def hop(to):
        return answer(b"elsewhere", status="302 Found",
                      headers=[("Location", to)])
    server.routes["/artifacts/a/binary"] = hop("/one")
    server.routes["/one"] = hop(f"{server.url}/two")
    server.routes["/two"] = hop("three?x=y")
    server.routes["/three?x=y"] = answer(b"here")
    f = registry()
    f.say("fetch", 1, "a", "-", 4)
    assert f.wait("done")["sha256"] == sha256(b"here")


@pytest.mark.parametrize("announced", [True, False])
def test_size_differs_from_list(server, registry, announced):
    body = answer(b"hello") if announced else (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n0\r\n\r\n")
    server.routes["/artifacts/a/binary"] = body
    f = registry()
    f.say("fetch", 1, "a", "-", 4)
    f.say("fetch", 2, "a", "-", 6)
    f.say("fetch", 3, "a", "-", (64 << 20) + 1)
    for handle, words in ((1, "4"), (2, "6")):
        done = f.wait("done", handle=handle)
        assert done["result"] == TRANSIENT
        assert words in done["error"]
    done = f.wait("done", handle=3)
    assert done["result"] == REFUSED
    assert "at most 67108864" in done["error"]


def test_slow_servers_hold_up_nobody_else(server, registry):
    def silent(_request, sock):
        sock.recv(1)

    def drip(_request, sock):
        sock.sendall(answer(b"", length=100000))
        while True:
            sock.sendall(b"x")
            time.sleep(0.2)
    server.routes["/artifacts/silent/binary"] = silent
    server.routes["/artifacts/drip/binary"] = drip
    server.routes["/artifacts/good/binary"] = answer(b"good")
    f = registry(poll_sec=1)
    start = time.monotonic()
    f.say("fetch", 1, "silent", "-", 0)
    f.say("fetch", 2, "drip", "-", 0)
    f.say("fetch", 3, "silent", "-", 0)
    for handle in range(10, 20):
        f.say("fetch", handle, "good", "-", 4)
    for handle in range(10, 20):
        f.wait("done", handle=handle, result=OK)
    f.wait("polled")
    f.wait("polled")
    # Those are not given up yet: what came is here in the order of its coming.
    assert not [e for e in f.events if e["event"] == "done"]
    f.say("cancel", 3)
    done = f.wait("done", handle=1)
    assert done["result"] == TRANSIENT
    assert "says nothing for 15 s" in done["error"]
    done = f.wait("done", handle=2)
    assert "less than 4096 bytes/s" in done["error"]
    assert 14 < time.monotonic() - start < 45
    f.none("done", 0.5, handle=3)


def test_cancel(server, registry):
    server.routes["/artifacts/a/binary"] = \
        lambda _request, sock: sock.recv(1)
    server.routes["/artifacts/b/binary"] = answer(b"b")
    f = registry()
    for handle in range(1, 9):
        f.say("fetch", handle, "a", "-", 0)
    f.say("fetch", 9, "b", "-", 0)
    for handle in range(1, 9):
        f.say("cancel", handle)
    f.say("cancel", 77)
    assert f.wait("done")["handle"] == 9
    # The handle may be used again for another try.
    f.say("fetch", 1, "b", "-", 0)
    assert f.wait("done")["handle"] == 1


def test_many_downloads(server, registry):
    for n in range(300):
        server.routes[f"/artifacts/a{n}/binary"] = answer(b"%d" % n)
    f = registry()
    f.wait("polled")
    before = f.descriptors()
    for n in range(300):
        f.say("fetch", n + 1, f"a{n}", "-", 0)
    for n in range(300):
        assert f.wait("done", handle=n + 1)["sha256"] == sha256(b"%d" % n)
    assert server.connections <= 6
    f.wait_descriptors(before + 5)


@pytest.mark.parametrize("line", [
    "fetch 1 ../etc - 0", "fetch 1 a/b - 0", "fetch 1 .hidden - 0"])
def test_schema_breach(server, registry, line):
    f = registry()
    f.wait("polled")
    f.say(line)
    f.wait("closed")
    end = f.end()
    assert end["exit"] == 1


def test_messages_before_configuration(fetchd):
    f = fetchd()
    f.say("poll")
    f.wait("closed")
    assert f.end()["exit"] == 1
    f = fetchd()
    f.say("end")
    assert "configuration" in f.wait("log")["text"]
    f.wait("closed")
    assert f.end()["exit"] == 1


# --- a registry that is a directory ---

@pytest.fixture
def tree(work_dir):
    path = os.path.join(work_dir, "tree")
    os.makedirs(os.path.join(path, "artifacts/for-host"))
    os.makedirs(os.path.join(path, "artifacts/a"))
    return path


def put(tree, path, data):
    path = os.path.join(tree, path.lstrip("/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.rename(path + ".new", path)


def test_file_registry(tree, registry):
    put(tree, LIST, list_of(entry("a"), entry("a:b")))
    put(tree, "artifacts/a/binary", b"hello")
    put(tree, "artifacts/a:b/binary", b"colon")
    f = registry(url=f"file://{tree}", is_file=1, root=tree, poll_sec=1)
    assert len(f.wait("list")["entries"]) == 2
    assert f.wait("polled")["result"] == CHANGED
    f.say("fetch", 1, "a", "-", 5)
    f.say("fetch", 2, "a:b", "-", 0)
    f.say("fetch", 3, "none", "-", 0)
    f.say("fetch", 4, "a", "-", 6)
    assert f.wait("done", handle=1)["sha256"] == sha256(b"hello")
    assert f.wait("done", handle=2)["sha256"] == sha256(b"colon")
    done = f.wait("done", handle=3)
    assert done["result"] == TRANSIENT
    assert "No such file" in done["error"]
    assert "5 bytes where the list says 6" in \
        f.wait("done", handle=4)["error"]
    assert f.wait("polled")["result"] == NOT_MODIFIED
    put(tree, LIST, list_of(entry("b")))
    assert f.wait("polled", result=CHANGED)
    assert f.wait("list")["entries"][0]["artifact_id"] == "b"
    # Written in place, same size, at once: noticed all the same.
    with open(tree + LIST, "r+b") as out:
        out.write(list_of(entry("c")))
    f.say("poll")
    assert f.wait("list")["entries"][0]["artifact_id"] == "c"
    os.unlink(tree + LIST)
    assert "No such file" in f.wait("polled", result=FAILED)["error"]


def test_file_registry_stays_inside(tree, registry, work_dir):
    put(work_dir, "secret", b"secret")
    os.symlink("../../../secret", tree + "/artifacts/a/binary")
    os.makedirs(tree + "/artifacts/b")
    os.symlink("/etc/passwd", tree + "/artifacts/b/binary")
    os.makedirs(tree + "/artifacts/c")
    os.mkfifo(tree + "/artifacts/c/binary")
    os.makedirs(tree + "/artifacts/d/binary")
    os.makedirs(tree + "/artifacts/e")
    with open(tree + "/artifacts/e/binary", "wb") as f:
        f.truncate((64 << 20) + 1)
    put(tree, "inside", b"inside")
    os.makedirs(tree + "/artifacts/f")
    os.symlink("../../inside", tree + "/artifacts/f/binary")
    put(tree, LIST, b"[]")
    f = registry(url=f"file://{tree}", is_file=1, root=tree)
    for n, name in enumerate("abcdef"):
        f.say("fetch", n, name, "-", 0)
    for n in range(4):
        done = f.wait("done", handle=n)
        assert done["result"] == TRANSIENT, done
    done = f.wait("done", handle=4)
    assert done["result"] == REFUSED
    assert "67108864" in done["error"]
    assert f.wait("done", handle=5)["sha256"] == sha256(b"inside")


def test_file_list_too_long(tree, registry):
    put(tree, LIST, b" " * ((8 << 20) + 1))
    f = registry(url=f"file://{tree}", is_file=1, root=tree)
    assert "8 MiB" in f.wait("polled", result=FAILED)["error"]


# --- the cache ---

def test_cache_when_registry_is_away(server, registry, cache_dir):
    blob = os.urandom(5000)
    url = server.url
    server.routes[LIST] = answer(list_of(
        entry("a", checksum=sha256(blob)), expires="2030-01-01T00:00:00Z"))
    server.routes["/artifacts/a/binary"] = answer(blob)
    f = registry(cache=cache_dir)
    listed = f.wait("list")["entries"]
    expires = f.wait("polled")["expires_ns"]
    f.say("fetch", 1, "a", sha256(blob), len(blob))
    assert f.wait("done")["from_cache"] == 0
    f.say("fetch", 2, "a", sha256(blob), len(blob))
    assert f.wait("done")["from_cache"] == 1
    assert len(server.seen("/artifacts/a/binary")) == 1
    f.end()
    server.stop()

    f = registry(url=url, cache=cache_dir)
    assert f.wait("list")["entries"] == listed
    polled = f.wait("polled")
    assert polled["result"] == CACHED
    assert polled["expires_ns"] == expires
    assert "Connection refused" in polled["error"]
    f.say("fetch", 1, "a", sha256(blob), len(blob))
    done = f.wait("done")
    assert (done["result"], done["from_cache"]) == (OK, 1)
    assert done["sha256"] == sha256(blob)
    # Only once: after that a failure is a failure.
    f.say("poll")
    assert f.wait("polled")["result"] == FAILED
    f.none("list", 0.2)
    f.end()

    # Another registry's list does not count.
    f = registry(url=url + "/other", cache=cache_dir)
    assert f.wait("polled")["result"] == FAILED
    f.none("list", 0.2)


def test_damaged_cache_is_fetched_again(server, registry, cache_dir):
    blob = os.urandom(5000)
    server.routes["/artifacts/a/binary"] = answer(blob)
    with open(f"{cache_dir}/{sha256(blob)}.tar.zst", "wb") as f:
        f.write(os.urandom(5000))
    os.chown(f.name, *pwd.getpwnam("_aegis_fetch")[2:4])
    f = registry(cache=cache_dir)
    f.say("fetch", 1, "a", sha256(blob), 0)
    done = f.wait("done")
    assert (done["result"], done["from_cache"]) == (OK, 0)
    assert done["sha256"] == sha256(blob)
    assert "is damaged" in f.wait("log", level=2)["text"]
    f.say("fetch", 2, "a", sha256(blob), 0)
    assert f.wait("done")["from_cache"] == 1


def test_cache_on_a_full_disk(server, registry, cache_dir):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700,uid="
                    f"{pwd.getpwnam('_aegis_fetch').pw_uid}", "tmpfs",
                    cache_dir], check=True)
    try:
        blobs = [os.urandom(100000) for _ in range(3)]
        for n, blob in enumerate(blobs):
            server.routes[f"/artifacts/a{n}/binary"] = answer(blob)
        f = registry(cache=cache_dir)
        f.wait("polled")
        for n, blob in enumerate(blobs):
            f.say("fetch", n, f"a{n}", sha256(blob), 0)
            assert f.wait("done")["sha256"] == sha256(blob)
        log = f.wait("log", level=2)
        assert "going on without the cache" in log["text"]
        assert "No space left" in log["error"]
        f.none("log", 0.3, level=2)
        assert not [n for n in os.listdir(cache_dir) if n.endswith("tmp")]
        f.end()
    finally:
        subprocess.run(["umount", cache_dir], check=True)


# --- TLS ---

class Authority:
    """A CA with openssl, and certificates from it."""

    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        self.ca = self._path("ca.pem")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-nodes", "-subj",
                      "/CN=test CA", "-days", "2", "-keyout",
                      self._path("ca.key"), "-out", self.ca)

    def _path(self, name):
        return os.path.join(self.dir, name)

    @staticmethod
    def _openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def issue(self, name, san):
        csr, key, crt = (self._path(f"{name}.{e}")
                         for e in ("csr", "key", "pem"))
        self._openssl("req", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-nodes", "-subj",
                      f"/CN={name}", "-addext", f"subjectAltName={san}",
                      "-keyout", key, "-out", csr)
        self._openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey",
                      self._path("ca.key"), "-CAcreateserial", "-days", "2",
                      "-copy_extensions", "copy", "-out", crt)
        return crt, key


@pytest.fixture(scope="module")
def authority(session_dir):
    return Authority(os.path.join(session_dir, "ca"))


def tls_server(authority, san="IP:127.0.0.1", client_ca=None, name="server"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name, san))
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    s = RawServer(tls=context)
    s.routes[LIST] = answer(b"[]")
    return s


def test_tls(authority, registry):
    s = tls_server(authority)
    f = registry(url=s.url, secrets=[(CA, authority.ca)])
    assert f.wait("polled")["result"] == CHANGED
    s.routes["/artifacts/a/binary"] = answer(b"x" * 3000000)
    f.say("fetch", 1, "a", "-", 3000000)
    assert f.wait("done")["result"] == OK
    assert s.connections == 1
    s.stop()


def test_tls_is_verified(authority, registry, session_dir):
    other = Authority(os.path.join(session_dir, "other-ca"))
    s = tls_server(authority)
    polled = registry(url=s.url, secrets=[(CA, other.ca)]).wait("polled")
    assert polled["result"] == FAILED
    assert "certificate is not trusted" in polled["error"]
    # Nor with the system's authorities, which is what it uses without any.
    polled = registry(url=s.url).wait("polled")
    assert "certificate is not trusted" in polled["error"]
    s.stop()
    s = tls_server(authority, "DNS:elsewhere", name="elsewhere")
    polled = registry(url=s.url, secrets=[(CA, authority.ca)]).wait("polled")
    assert polled["result"] == FAILED
    assert "certificate is not trusted" in polled["error"]
    assert not s.requests
    s.stop()


def test_mutual_tls(authority, registry):
    crt, key = authority.issue("client", "DNS:host-1")
    s = tls_server(authority, client_ca=authority.ca)
    f = registry(url=s.url, secrets=[(CA, authority.ca), (CERT, crt),
                                     (KEY, key)])
    assert f.wait("polled")["result"] == CHANGED
    stranger = registry(url=s.url, secrets=[(CA, authority.ca)])
    assert stranger.wait("polled")["result"] == FAILED
    stranger.end()  # it would try again, and its connections count
    # Renewed while it runs: the next connection shows the new one.
    crt, key = authority.issue("client2", "DNS:host-1")
    f.say("secret", CERT, crt)
    f.say("secret", KEY, key)
    connections = s.connections
    f.say("poll")
    assert f.wait("polled")["result"] == NOT_MODIFIED
    assert s.connections == connections + 1
    f.say("poll")
    assert f.wait("polled")["result"] == NOT_MODIFIED
    assert s.connections == connections + 1
    f.none("log", 0.2, level=3)
    s.stop()


def test_unusable_tls_files(authority, fetchd, work_dir):
    crt, _ = authority.issue("client3", "DNS:x")
    _, other = authority.issue("client4", "DNS:x")
    junk = os.path.join(work_dir, "junk")
    with open(junk, "w", encoding="ascii") as f:
        f.write("no PEM at all\n")
    for secrets, words in (
            ([(CA, junk)], "no PEM certificate"),
            ([(CERT, crt)], "both or neither"),
            ([(CERT, crt), (KEY, other)], "does not belong"),
            ([(CERT, junk), (KEY, other)], "client certificate"),
            ([(CERT, crt), (KEY, junk)], "client key")):
        f = fetchd()
        f.say("config", "https://127.0.0.1:1", "host-1", BINARY, 60, 0, 0)
        for kind, path in secrets:
            f.say("secret", kind, path)
        f.say("end")
        assert words in f.wait("log", level=3)["error"]
        f.wait("closed")
        assert f.end()["exit"] == 1


def test_http_server_where_https_was_said(server, registry):
    f = registry(url=server.url.replace("http:", "https:"))
    assert f.wait("polled")["result"] == FAILED


# --- Vault ---

KEY_PATH = "transit/keys/bpf-registry"


def transit(keys, minimum=1):
    return json.dumps({"data": {
        "keys": {str(v): {"public_key": k} for v, k in keys.items()},
        "min_decryption_version": minimum, "type": "ed25519"}}).encode()


@pytest.fixture
def vault(fetchd, server):
    def make(namespace="-", refresh_sec=3600, secrets=(), url=None,
             path=KEY_PATH):
        f = fetchd("vault")
        f.say("vault", url or server.url, path, namespace, refresh_sec)
        for kind, name in secrets:
            f.say("secret", kind, name)
        f.say("end")
        f.wait("ready")
        return f
    return make


@pytest.fixture
def token_file(work_dir):
    path = os.path.join(work_dir, "vault-token")
    with open(path, "w", encoding="ascii") as f:
        f.write("hvs.one")
    return path


def test_vault_transit(server, vault, token_file):
    server.routes["/v1/" + KEY_PATH] = answer(transit({1: "a2V5MQ=="}))
    f = vault("team-a", secrets=[(TOKEN, token_file)])
    keys = f.wait("keys")
    assert keys["keys"] == [{"version": 1, "text": "a2V5MQ=="}]
    assert keys["min_version"] == 1
    assert f.wait("state")["ok"] == 1
    headers = server.requests[-1].headers
    assert headers["x-vault-token"] == "hvs.one"
    assert headers["x-vault-namespace"] == "team-a"


def test_vault_refresh_and_renewed_token(server, vault, token_file):
    path = "/v1/" + KEY_PATH
    server.routes[path] = answer(transit({1: "a2V5MQ=="}))
    f = vault(secrets=[(TOKEN, token_file)])
    f.wait("keys")
    f.wait("state")
    # A new token is tried at once; the same keys are not sent again.
    with open(token_file, "w", encoding="ascii") as out:
        out.write("hvs.two")
    f.say("secret", TOKEN, token_file)
    assert f.wait("state")["ok"] == 1
    assert server.requests[-1].headers["x-vault-token"] == "hvs.two"
    f.none("keys", 0.2)
    # Asked for a version that is not known: soon, but not at once, and
    # once however often it is asked.
    server.routes[path] = answer(transit({1: "a2V5MQ==", 2: "a2V5Mg=="}, 2))
    before = len(server.requests)
    for _ in range(50):
        f.say("refresh", 2)
    keys = f.wait("keys")
    assert [k["version"] for k in keys["keys"]] == [1, 2]
    assert keys["min_version"] == 2
    time.sleep(0.5)
    assert len(server.requests) == before + 1


@pytest.mark.parametrize("status,words", [
    ("403 Forbidden", "token has expired or no policy"),
    ("404 Not Found", "no such key"),
    ("503 Service Unavailable", "sealed"),
    ("500 Oops", "HTTP 500")])
def test_vault_errors(server, vault, status, words):
    server.routes["/v1/" + KEY_PATH] = answer(
        b'{"errors":["permission denied"]}', status=status)
    state = vault().wait("state")
    assert state["ok"] == 0
    assert state["http_status"] == int(status[:3])
    assert words in state["error"]


def test_vault_recovers(server, vault):
    f = vault()
    assert f.wait("state")["ok"] == 0
    server.routes["/v1/" + KEY_PATH] = answer(transit({1: "a2V5MQ=="}))
    f.wait("keys")
    f.wait("state", ok=1)  # it may have tried once more before


@pytest.mark.parametrize("body,words", [
    (b"", "malformed"), (b'{"data":{}}', "neither a Transit key"),
    (b'{"data":{"keys":{"1":5},"type":"aes256-gcm96"}}', "aes256-gcm96"),
    (b'{"data":{"keys":{},"keys":{}}}', "twice"),
    (b"x" * 2000000, "1048576")], ids=range(5))
def test_vault_malformed(server, vault, body, words):
    server.routes["/v1/" + KEY_PATH] = answer(body)
    f = vault()
    state = f.wait("state")
    assert state["ok"] == 0
    assert words in state["error"]
    f.none("keys", 0.1)


def test_vault_kv_over_tls(authority, vault, token_file):
    pem = "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"
    s = tls_server(authority)
    s.routes["/v1/secret/data/bpf"] = answer(json.dumps(
        {"data": {"data": {"public_key": pem}}}).encode())
    f = vault(url=s.url, path="secret/data/bpf",
              secrets=[(TOKEN, token_file), (CA, authority.ca)])
    assert f.wait("keys")["keys"] == [{"version": 1, "text": pem}]
    s.stop()


def test_vault_silent(server, vault):
    server.routes["/v1/" + KEY_PATH] = lambda _request, sock: sock.recv(1)
    f = vault()
    f.say("ping")
    f.wait("pong")
    # It did not wait for Vault.
    assert not [e for e in f.events if e["event"] == "state"]
    state = f.wait("state")
    assert "says nothing for 10 s" in state["error"]


# --- in the long run, and inside its walls ---

def test_privileges(server, registry):
    f = registry()
    f.wait("polled")
    with open(f"/proc/{f.pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    assert fields["Seccomp"].strip() == "2"
    assert fields["NoNewPrivs"].strip() == "1"
    assert fields["CapEff"].strip() == "0" * 16
    assert int(fields["Uid"].split()[0]) == \
        pwd.getpwnam("_aegis_fetch").pw_uid


def test_nothing_leaks_over_many_polls(server, registry, cache_dir):
    kinds = [answer(list_of(entry("a"))), answer(b"["), raw(b""),
             answer(status="500 Oops"), raw(answer(b"x", length=5)),
             answer(list_of(entry("b")))]
    f = registry(cache=cache_dir)
    f.wait("polled")
    for n in range(400):
        server.routes[LIST] = kinds[n % len(kinds)]
        f.say("poll")
        f.wait("polled")
        f.events.clear()
        if n == 100:
            before = f.descriptors(), kernel.anonymous_kb(f.pid)
    f.wait_descriptors(before[0] + 1)
    assert kernel.anonymous_kb(f.pid) <= before[1] + 1024
