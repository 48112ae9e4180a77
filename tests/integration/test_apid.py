# SPDX-License-Identifier: ISC
"""apid alone, with a driver for agentd: the documents of CONTRACT 5, who may
read them, and what a hostile or slow client can do."""

import gzip
import http.client
import json
import math
import os
import re
import socket
import ssl
import statistics
import subprocess
import time

import pytest

from aegis import kernel, net, wait
from aegis.apid import Apid, make_certificate, read_all, trusting

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DURATION = re.compile(r"(\d+h)?(\d+m)?\d+s")
TELEMETRY = {"artifact_id": str, "host_id": str, "timestamp": TIME,
             "status": str, "cpu_percent": (int, float), "memory_kb": int,
             "packets_processed": int, "violations": int, "errors": int,
             "latency_ms": (int, float)}
ARTIFACT = {"artifact_id": str, "name": str, "version": str, "status": str,
            "loaded_at": TIME, "ttl_remaining": DURATION, "ttl_seconds": int,
            "telemetry": TELEMETRY}
HEAD = {"host_id": str, "timestamp": TIME}
DOCUMENTS = {
    "/healthz": HEAD | {"status": str, "uptime": DURATION, "version": str,
                        "loaded_programs": int},
    "/status": HEAD | {"uptime": DURATION, "version": str,
                       "applied_artifacts": [ARTIFACT],
                       "total_programs": int},
    "/metrics": HEAD | {
        "counters": dict.fromkeys(
            ("total_programs", "running_programs", "failed_programs",
             "rolled_back_programs"), int),
        "gauges": {"uptime_seconds": (int, float),
                   "average_cpu_percent": (int, float),
                   "total_memory_kb": int, "total_violations": int,
                   "total_errors": int}},
    "/programs": HEAD | {
        "programs": [ARTIFACT | {"ttl": DURATION, "parameters": dict}],
        "total": int},
    "/rollbacks": HEAD | {
        "rollbacks": [{"artifact_id": str, "host_id": str, "reason": str,
                       "threshold": str, "value": (int, float),
                       "timestamp": TIME, "status": str, "metadata": dict}],
        "total": int},
    "/telemetry": HEAD | {"telemetry": dict, "total": int},
    "/version": HEAD | {"version": str, "uptime": DURATION},
}
STATUSES = {"loading", "loaded", "running", "failed", "unloading",
            "unloaded", "rolled_back"}


def conforms(value, shape, where="$"):
    """VALUE has all of SHAPE's fields, each of its kind."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        for key, inner in shape.items():
            assert key in value, f"{where}.{key} is missing"
            conforms(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list) and value, f"{where} is no full list"
        for i, inner in enumerate(value):
            conforms(inner, shape[0], f"{where}[{i}]")
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str) and shape.fullmatch(value), \
            f"{where}: {value!r}"
    else:
        assert isinstance(value, shape), f"{where}: {value!r}"


@pytest.fixture
def make(prefix, build_dir):
    """make(address="", token=..., cert=..., key=...): an apid, not yet
    waited for; it must end well with the test."""
    made = []

    def build(*args, **kwargs):
        made.append(Apid(prefix, build_dir, *args, **kwargs))
        return made[-1]

    yield build
    for apid in made:
        assert apid.stop() == "exited 0", apid.said


@pytest.fixture
def apid(make):
    return make().start()


def get(apid, path, **kwargs):
    status, headers, body = apid.request(path, **kwargs)
    return status, headers, json.loads(body)


# --- documents ---

@pytest.mark.parametrize("path", DOCUMENTS)
def test_document_has_the_contract_shape(apid, path):
    status, headers, document = get(apid, path)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    conforms(document, DOCUMENTS[path])
    assert document["host_id"] == "host-001"


def test_numbers_of_a_running_program(apid):
    start = time.monotonic()
    apid.publish(programs=1, rollbacks=0, ttl=3600, beat=5)
    program = get(apid, "/programs")[2]["programs"][0]
    passed = time.monotonic() - start
    assert program["ttl"] == "1h0m0s"
    left = program["ttl_seconds"]
    assert 1799 - passed <= left <= 1800
    assert program["ttl_remaining"] == f"{left // 60}m{left % 60}s"
    assert program["parameters"]["dst_port"] == 443
    assert program["telemetry"]["packets_processed"] == 5000
    assert program["attach_points"][0]["target"] == "eth0"
    assert program["kernel_programs"][0]["id"] == 200
    assert "error" not in program
    assert get(apid, "/status")[2]["total_programs"] == 1
    assert get(apid, "/telemetry")[2]["telemetry"]["artifact-000"][
        "packets_processed"] == 5000
    assert get(apid, "/rollbacks")[2] | {"timestamp": 0} == {
        "host_id": "host-001", "timestamp": 0, "rollbacks": [], "total": 0}


def test_every_stage_is_one_of_the_contract_words(apid):
    apid.publish(programs=11, mixed=1)
    programs = get(apid, "/programs")[2]["programs"]
    assert {p["status"] for p in programs} == STATUSES
    by_stage = {p["stage"]: p for p in programs}
    assert by_stage["discovered"]["loaded_at"] is None
    assert by_stage["discovered"]["telemetry"]["timestamp"] is None
    assert by_stage["loaded"]["ttl"] is None  # it has no end
    assert by_stage["loaded"]["ttl_remaining"] is None
    assert by_stage["expired"]["ttl_seconds"] == 0
    # What is no UTF-8 is replaced, what is stays, all of it escaped.
    assert by_stage["failed"]["error"] == (
        "load refused: map \"rules\" <b>\x01?é</b> \\ \"quoted\"\n"
        "second line")
    assert "unknown#999" in by_stage["failed"]["telemetry"]["verifier_msg"]
    counters = get(apid, "/metrics")[2]["counters"]
    assert (counters["total_programs"], counters["running_programs"],
            counters["failed_programs"],
            counters["rolled_back_programs"]) == (11, 2, 1, 1)


def test_ages_go_on_between_snapshots(apid):
    first = get(apid, "/status")[2]
    seconds = first["applied_artifacts"][0]["ttl_seconds"]
    later = wait.until(
        lambda: (lambda d: d if d["uptime"] != first["uptime"] else None)(
            get(apid, "/status")[2]), "a later uptime")
    assert later["applied_artifacts"][0]["ttl_seconds"] < seconds


def test_rendered_once_a_second_at_most(apid):
    start = time.monotonic()
    stamps = {get(apid, "/status")[2]["timestamp"] for _ in range(100)}
    assert len(stamps) <= time.monotonic() - start + 2


def test_new_snapshot_shows_at_once(apid):
    for programs in range(1, 30):
        apid.publish(programs=programs)
        assert get(apid, "/status")[2]["total_programs"] == programs


def test_health(apid):
    def health(code):
        """/healthz of a snapshot with that health."""
        apid.publish(health=code)
        answer = get(apid, "/healthz")
        assert answer[2]["status"] == ("healthy", "degraded",
                                       "unhealthy")[code]
        return answer

    status, _, document = health(1)
    assert status == 200
    assert any("registry" in r for r in document["reasons"])
    status, _, document = health(2)
    assert status == 503
    assert any("bpfd" in r for r in document["reasons"])
    status, _, document = health(0)
    assert status == 200
    assert "reasons" not in document


def test_before_the_first_snapshot(make):
    apid = make().start(publish=False)
    status, _, document = get(apid, "/healthz")
    assert (status, document["status"]) == (503, "unhealthy")
    conforms(document, HEAD | {"reasons": [str]})
    for path in set(DOCUMENTS) - {"/healthz"}:
        status, _, document = get(apid, path)
        assert status == 503 and "error" in document
    apid.publish()
    assert get(apid, "/status")[0] == 200


# --- HTTP ---

def test_unknown_paths_are_404_in_json(apid):
    for path in ("/nope", "/healthz/", "/status/x", "/etc/passwd",
                 "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.html"):
        status, headers, document = get(apid, path)
        assert (status, list(document)) == (404, ["error"]), path
        assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH",
                                    "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_405(apid, method):
    status, headers, body = apid.request("/status", method=method)
    assert status == 405
    assert set(re.split(", *", headers["Allow"])) == {"GET", "HEAD"}
    assert "error" in json.loads(body)


def test_head_is_get_without_the_body(apid):
    for path in list(DOCUMENTS) + ["/", "/nope"]:
        def ask(method):
            status, headers, body = apid.request(path, method=method)
            return status, {k: v for k, v in headers.items()
                            if k not in ("Date", "Content-Length")}, body
        got, head = ask("GET"), ask("HEAD")
        assert head[:2] == got[:2] and head[2] == b"" and got[2]


def test_query_is_ignored(apid):
    assert get(apid, "/version?pretty=1&x=%00")[0] == 200


def test_etag_follows_the_content(apid):
    apid.publish(content=7)
    etag = apid.request("/status")[1]["ETag"]
    status, headers, body = apid.request(
        "/status", headers={"If-None-Match": f'"x", {etag}'})
    assert (status, body, headers["ETag"]) == (304, b"", etag)
    apid.publish(content=7)  # a new snapshot of the same content
    assert apid.request("/status", headers={"If-None-Match": etag})[0] == 304
    assert apid.request("/programs", headers={"If-None-Match": etag})[0] == 200
    apid.publish(content=8)
    status, headers, _ = apid.request("/status",
                                      headers={"If-None-Match": etag})
    assert status == 200 and headers["ETag"] != etag


def test_gzip_when_asked(apid):
    apid.publish(programs=50)
    plain = apid.request("/programs")
    assert "Content-Encoding" not in plain[1]
    for accept in ("gzip", "deflate, gzip;q=0.5", "*"):
        _, headers, body = apid.request(
            "/programs", headers={"Accept-Encoding": accept})
        assert headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in headers["Vary"]
        assert json.loads(gzip.decompress(body))["total"] == 50
        assert len(body) < len(plain[2]) / 4
    for accept in ("identity", "gzip;q=0", "br"):
        assert "Content-Encoding" not in apid.request(
            "/programs", headers={"Accept-Encoding": accept})[1]


def test_connection_is_kept(apid):
    def kept():
        """One that is idle for seconds is closed: then it is tried again."""
        connection = http.client.HTTPConnection("127.0.0.1", apid.port,
                                                timeout=20)
        connection.connect()
        own = connection.sock.getsockname()
        for path in ("/healthz", "/nope", "/status", "/metrics"):
            connection.request("GET", path)
            connection.getresponse().read()
            if connection.sock is None:  # as the answer said
                pytest.fail(f"closed after {path}")
            assert connection.sock.getsockname() == own
        connection.close()
        return True
    wait.until(kept, "four answers on one connection")


def test_pipelined_requests(apid):
    got = apid.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3 +
                   b"GET /nope HTTP/1.1\r\nHost: x\r\n"
                   b"Connection: close\r\n\r\n")
    assert got.count(b"HTTP/1.1 200") == 3 and got.count(b"HTTP/1.1 404") == 1


# --- who may ask ---

@pytest.fixture
def guarded(make, work_dir):
    path = os.path.join(work_dir, "token")
    with open(path, "w", encoding="ascii") as out:
        out.write("s3cret-token\n")
    return make(token=path).start()


def test_bearer_token(guarded):
    for path in set(DOCUMENTS) - {"/healthz"}:
        status, headers, document = get(guarded, path)
        assert (status, list(document)) == (401, ["error"])
        assert headers["WWW-Authenticate"].startswith("Bearer")
        status, _, document = get(
            guarded, path, headers={"Authorization": "Bearer s3cret-token"})
        assert status == 200
    assert get(guarded, "/healthz")[0] == 200
    for wrong in ("Bearer s3cret-toke", "Bearer s3cret-tokenx", "Bearer ",
                  "Bearer", "Basic s3cret-token", "s3cret-token",
                  "Bearer S3CRET-TOKEN", "Bearer " + "s3cret-token" * 2):
        assert get(guarded, "/status",
                   headers={"Authorization": wrong})[0] == 401, wrong
    # Unknown paths do not tell more with a token than without.
    assert get(guarded, "/nope")[0] == 404


def test_token_is_nowhere_to_be_read(guarded):
    for name in ("cmdline", "environ"):
        with open(f"/proc/{guarded.pid()}/{name}", "rb") as file:
            assert b"s3cret" not in file.read()


@pytest.fixture(scope="module")
def certificate(session_dir):
    return make_certificate(session_dir)


def test_tls(make, certificate):
    apid = make(cert=certificate[0], key=certificate[1]).start()
    context = trusting(certificate[0])
    status, _, body = apid.request("/status", context=context)
    assert status == 200 and json.loads(body)["host_id"] == "host-001"
    # Nothing in the clear.
    assert b"host-001" not in apid.raw(
        b"GET /status HTTP/1.0\r\n\r\n", timeout=5)
    old = trusting(certificate[0])
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        apid.request("/status", context=old)


@pytest.mark.parametrize("what,cert,key,text", [
    ("no key", "cert", None, "AGENT_HTTP_KEY is not set"),
    ("no certificate", None, "key", "AGENT_HTTP_CERT is not set"),
    ("garbage for a certificate", "garbage", "key", "AGENT_HTTP_CERT is no"),
    ("garbage for a key", "cert", "garbage", "AGENT_HTTP_KEY is no"),
    ("another's key", "cert", "other", "AGENT_HTTP_KEY"),
])
def test_broken_tls_serves_nothing(make, work_dir, certificate, what, cert,
                                   key, text):
    garbage = os.path.join(work_dir, "garbage")
    with open(garbage, "w", encoding="ascii") as out:
        out.write("-----BEGIN NONSENSE-----\n")
    files = {"cert": certificate[0], "key": certificate[1],
             "garbage": garbage,
             "other": make_certificate(work_dir, "other")[1], None: None}
    given = {name: files[which] for name, which in
             (("cert", cert), ("key", key)) if which}
    apid = make(**given)
    line = apid.wait_said("deaf")
    assert text in line, what
    assert not net.connects(apid.port)


# --- where it listens ---

def test_all_addresses_of_both_families(make):
    apid = make().start()
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        assert apid.request("/healthz", host=host)[0] == 200


@pytest.mark.parametrize("address,elsewhere", [
    ("127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.1")])
def test_one_address_alone(make, address, elsewhere):
    apid = make(address).start()
    assert apid.request("/healthz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        apid.connect(host=elsewhere)


def test_port_in_use_is_said_and_tried_again(make):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        apid = make(port=port)
        line = apid.wait_said("deaf")
        assert f"port {port}" in line and "another program" in line
    apid.wait_said("listening")
    apid.publish()
    assert apid.request("/healthz")[0] == 200
    # Logged once, however often it was tried.
    assert sum("another program" in x for x in apid.said
               if x.startswith("log")) == 1


def test_privileged_port_is_said(make):
    apid = make(port=80)
    assert "not permitted" in apid.wait_said("deaf")


def test_address_of_nobody_is_said(make):
    apid = make("192.0.2.7")
    assert "no interface has this address" in apid.wait_said("deaf")


# --- clients that mean no good ---

# A request may take 3 s.  Who is not given up at all is heard of later.
GIVEN_UP = 15  # seconds

MALFORMED = {
    "garbage": (b"GARBAGE\r\n\r\n", 400),
    "TLS to a plain port": (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no version": (b"GET /status\r\n\r\n", 400),
    "HTTP/9.9": (b"GET /status HTTP/9.9\r\n\r\n", 505),
    "long path": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", None),
    "long header": (
        b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", None),
    "negative length": (
        b"GET /status HTTP/1.1\r\nContent-Length: -1\r\n\r\n", None),
    "huge length": (b"GET /status HTTP/1.1\r\nContent-Length: "
                    b"99999999999999999999\r\n\r\n", None),
    "chunked body": (b"GET /status HTTP/1.1\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello", 413),
    "request in a body": (
        b"GET /status HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
        b"GET /status HTTP/1.1\r\n\r\n", 413),
    "body that never comes": (
        b"POST /status HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nx", 405),
    "CONNECT": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
                None),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_request_ends_the_connection(apid, what):
    data, status = MALFORMED[what]
    start = time.monotonic()
    got = apid.raw(data, timeout=GIVEN_UP)
    assert time.monotonic() - start < GIVEN_UP
    if got:
        head, _, body = got.partition(b"\r\n\r\n")
        code = int(head.split()[1])
        assert code >= 400 and (status is None or code == status), head
        assert "error" in json.loads(body)
        assert got.count(b"HTTP/1.1 ") == 1  # what follows is not looked at
    else:
        assert status is None
    assert apid.request("/healthz")[0] == 200


def test_more_headers_than_are_kept(apid):
    """What stands first counts; the rest is not looked at."""
    # A request that takes 3 s to arrive is given up without an answer.
    got = wait.until(
        lambda: apid.raw(b"GET /healthz HTTP/1.0\r\n" + b"X: y\r\n" * 500 +
                         b"\r\n"), "an answer")
    assert got.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
    assert apid.request("/healthz")[0] == 200


def latency_ms(apid, tries=9):
    times = []
    for _ in range(tries):
        start = time.monotonic()
        assert apid.request("/healthz")[0] == 200
        times.append((time.monotonic() - start) * 1000)
    return statistics.median(times)


def test_slow_clients_do_not_hold_the_api(apid):
    def among(first):
        """How long it takes, when so many are there that sent only this."""
        slow = crowd(apid, 200, first)
        took = latency_ms(apid)
        start = time.monotonic()
        for connection in slow:
            # All are given up, whatever the others do.
            connection.settimeout(GIVEN_UP)
            read_all(connection)
            assert time.monotonic() - start < GIVEN_UP
            connection.close()
        return took
    for first in (b"", b"GET /stat"):
        wait.measured(lambda f=first: among(f), 100)


def crowd(apid, count, first):
    """COUNT connections that have sent FIRST and say no more."""
    made = []
    for _ in range(count):
        made.append(apid.connect())
        made[-1].sendall(first)
    return made


def end(crowded):
    while crowded:
        crowded.pop().close()


@pytest.mark.parametrize("first", [b"G", b"GET /status HTTP/1.1\r\nHost: "])
def test_more_slow_clients_than_threads(apid, first):
    """Those that wait for a request's end make room when they are many."""
    slow = []

    def among():
        """When they have just come, and then."""
        end(slow)
        slow.extend(crowd(apid, 500, first))
        return max(latency_ms(apid, tries=1) / 2, latency_ms(apid))
    # Without that: 3 s, which a request may take.
    wait.measured(among, 500)
    # One that is quick is not taken for slow, whatever the others do.
    for _ in range(20):
        slow += crowd(apid, 10, first)
        assert apid.request("/healthz")[0] == 200
    end(slow)


def test_handshakes_that_do_not_go_on(make, certificate):
    cert, key = certificate
    apid = make(cert=cert, key=key).start()
    context = trusting(cert)
    slow = []

    def among():
        end(slow)
        slow.extend(crowd(apid, 500, b"\x16\x03\x01\x02\x00\x01"))
        start = time.monotonic()
        try:
            status = apid.request("/healthz", context=context,
                                  host="localhost")[0]
        except (ConnectionError, ssl.SSLError):
            return math.inf  # taken for one of them
        assert status == 200
        return time.monotonic() - start
    wait.measured(among, 1.5)
    end(slow)


def test_a_crowd_that_is_served_is_let_be(apid):
    """Kept connections end first; each that asks gets its answer."""
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    many = [apid.ask(request) for _ in range(300)]
    for connection in many:
        connection.settimeout(20)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.close()


def test_trickling_request_is_given_up(apid):
    with apid.connect() as connection:
        start = time.monotonic()
        try:
            for byte in b"GET /status HTTP/1.1\r\nHost: " + b"x" * 300:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)
                assert time.monotonic() - start < GIVEN_UP
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert time.monotonic() - start < GIVEN_UP


def test_reader_that_stops_reading_is_given_up(make):
    apid = make().start(programs=2000)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", apid.port))
    connection.sendall(b"GET /programs HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
    time.sleep(0.3)
    wait.measured(lambda: latency_ms(apid), 100)

    def threads_busy():
        return len(os.listdir(f"/proc/{apid.pid()}/fd"))
    wait.until(lambda: threads_busy() < 20, "the connection closed",
               timeout=GIVEN_UP)
    connection.close()


def test_nothing_grows(apid):
    def fds():
        return len(os.listdir(f"/proc/{apid.pid()}/fd"))

    def rss_kb():
        with open(f"/proc/{apid.pid()}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])

    def work(rounds):
        for i in range(rounds):
            apid.publish(programs=40 + i % 3, content=i)
            for path in DOCUMENTS:
                apid.request(path, headers={"Accept-Encoding": "gzip"})
    # Every thread has a buffer of its own once it had a connection.
    work(60)
    before = fds(), rss_kb()
    work(120)
    wait.until(lambda: fds() <= before[0], "as many descriptors as before")
    assert rss_kb() < before[1] + 3072


def test_garbage_of_agentd_is_the_end(prefix, build_dir):
    """It is restarted then: nothing is shown from what cannot be read."""
    apid = Apid(prefix, build_dir).start()
    apid.tell("garbage")
    apid.wait_said("closed")
    assert apid.stop() == "exited 1"
    assert any("snapshot" in x for x in apid.said if x.startswith("log"))


def test_too_few_threads_are_the_end(prefix, build_dir):
    """It is restarted then: it would listen, and perhaps accept nobody."""
    threads = kernel.threads_of("_aegis_api")
    apid = Apid(prefix, build_dir, limits=[f"--nproc={threads + 100}"])
    apid.wait_said("deaf civetweb")
    assert apid.stop() == "exited 1"
    assert any(re.match(r"log civetweb has \d+ of 257 threads: ", x)
               for x in apid.said), apid.said


# --- metrics ---

PROMETHEUS = ("application/openmetrics-text;version=1.0.0,"
              "application/openmetrics-text;version=0.0.1;q=0.75,"
              "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


@pytest.mark.parametrize("accept,kind", [
    (None, "application/json"), ("*/*", "application/json"),
    ("application/json", "application/json"),
    ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
    ("application/json, text/plain, */*", "application/json"),
    ("text/plain", "text/plain; version=0.0.4"),
    ("text/plain;version=0.0.4", "text/plain; version=0.0.4"),
    ("application/openmetrics-text", "application/openmetrics-text"),
    (PROMETHEUS, "application/openmetrics-text; version=1.0.0"),
])
def test_metrics_by_accept(apid, accept, kind):
    _, headers, _ = apid.request(
        "/metrics", headers={"Accept": accept} if accept else {})
    assert headers["Content-Type"].startswith(kind)
    assert "Accept" in headers["Vary"]


def test_promtool_finds_no_fault(apid):
    for numbers in ({"programs": 11, "mixed": 1, "health": 2},
                    {"programs": 0, "mixed": 0, "health": 0}):
        apid.publish(**numbers)
        body = apid.request("/metrics", headers={"Accept": "text/plain"})[2]
        done = subprocess.run(["promtool", "check", "metrics"], input=body,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr


def test_what_has_gone_uses_nothing_now(apid):
    """Or a sum of these would not fall when a program is rolled back."""
    apid.publish(programs=11, mixed=1)
    body = apid.request("/metrics", headers={"Accept": "text/plain"})[2]
    values = {}
    for name, artifact, value in re.findall(
            r'^aegisflux_program_(\w+)\{artifact_id="([^"]+)".*\} (\S+)$',
            body.decode(), re.M):
        values.setdefault(artifact, {})[name] = float(value)
    gone = [v for v in values.values() if v["up"] == 0]
    there = [v for v in values.values() if v["up"] == 1]
    gauges = ("cpu_ratio", "latency_seconds", "memory_bytes")
    assert gone and not any(v[gauge] for v in gone for gauge in gauges)
    assert all(any(v[gauge] for v in there) for gauge in gauges)
    # Counters stay what they are.
    assert any(v["packets_processed_total"] for v in gone)


def test_prometheus_scrapes(apid, work_dir):
    """A stock Prometheus, which asks for OpenMetrics."""
    apid.publish(programs=3, beat=5)
    port = net.free_port()
    config = os.path.join(work_dir, "prometheus.yml")
    with open(config, "w", encoding="ascii") as out:
        out.write("scrape_configs:\n"
                  "- job_name: aegisflux\n"
                  "  scrape_interval: 1s\n"
                  "  static_configs:\n"
                  f"  - targets: ['127.0.0.1:{apid.port}']\n")
    with subprocess.Popen(
            ["prometheus", f"--config.file={config}",
             f"--storage.tsdb.path={work_dir}/tsdb",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            def query(what):
                connection = http.client.HTTPConnection("127.0.0.1", port,
                                                        timeout=20)
                connection.request("GET", f"/api/v1/query?query={what}")
                document = json.load(connection.getresponse())
                connection.close()
                return document["data"]["result"]
            wait.until(lambda: query("up")[0]["value"][1] == "1",
                       "a scrape that went well")

            def shown():
                """Not where the last scrape took too long."""
                found = query("aegisflux_program_packets_processed_total")
                return {r["metric"]["artifact_id"] for r in found} == {
                    "artifact-000", "artifact-001", "artifact-002"}
            wait.until(shown, "three programs' packets")
            wait.until(lambda: query("aegisflux_load_duration_seconds_count"),
                       "a histogram")
            wait.until(lambda: query("aegisflux_build_info")[0]["metric"][
                "version"] == "1.0.0", "the version")
        finally:
            server.terminate()
