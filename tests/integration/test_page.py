# SPDX-License-Identifier: ISC
"""The page for people, in a real browser without a screen."""

import os
import re
import signal
import struct
import subprocess
import threading
import zlib

import pytest

from aegis.apid import Apid
from aegis.browser import open_page


def chromium(work_dir, *arguments):
    """(exit status, output, messages).  Where the machine is busy it happens
    that it hangs while it starts, and says nothing: then another is tried."""
    for number in range(3):
        with subprocess.Popen(
                ["chromium", "--headless=new", "--no-sandbox",
                 "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--hide-scrollbars", "--enable-logging=stderr",
                 f"--user-data-dir={work_dir}/chromium{number}", *arguments],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=os.environ | {"HOME": work_dir},
                start_new_session=True) as process:
            try:
                said = process.communicate(timeout=120)
                return process.returncode, *said
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError("chromium hung three times")


def browse(url, work_dir, *flags):
    """Run headless Chromium on URL; its output."""
    status, output, messages = chromium(
        work_dir, "--virtual-time-budget=8000", *flags, url)
    assert status == 0, messages[-2000:]
    refused = [line for line in messages.splitlines()
               if "CONSOLE" in line and "Failed to load resource" not in line]
    assert not refused, refused
    return output


@pytest.fixture
def make(prefix, build_dir):
    made = []

    def build(**kwargs):
        made.append(Apid(prefix, build_dir, **kwargs))
        return made[-1].start(publish=False)

    yield build
    for apid in made:
        assert apid.stop() == "exited 0", apid.said


def visible(dom, ident):
    tag = re.search(rf'<[^>]* id="{ident}"[^>]*>', dom)[0]
    return " hidden" not in tag


def test_page_shows_what_the_api_says(make, work_dir):
    apid = make().publish(programs=11, mixed=1, rollbacks=4, health=1, beat=9)
    dom = browse(f"http://127.0.0.1:{apid.port}/", work_dir, "--dump-dom")
    assert visible(dom, "main") and not visible(dom, "ask")
    assert "host-001: degraded" in dom
    assert "registry: poll failed 3 times" in dom
    assert dom.count("<article") == 11
    assert re.search(r"(2\d|30) min \d\d s left", dom)
    assert dom.count("<polyline") == 7 * 3
    assert "1.0.0 is back" in dom and "bpfd" in dom
    # Text of others stays text.
    assert "&lt;b&gt;" in dom


def test_page_asks_for_the_token(make, work_dir):
    path = os.path.join(work_dir, "token")
    with open(path, "w", encoding="ascii") as out:
        out.write("s3cret\n")
    apid = make(token=path).publish()
    dom = browse(f"http://127.0.0.1:{apid.port}/", work_dir, "--dump-dom")
    assert visible(dom, "ask") and not visible(dom, "main")
    assert "artifact-000" not in dom and not visible(dom, "wrong")


SHOWN = """getComputedStyle(document.getElementById('{}')).display != 'none' &&
document.getElementById('{}').offsetParent !== null"""


def shown(ident):
    return SHOWN.format(ident, ident)


def enter(page, token):
    page.run(f"document.getElementById('token').value = '{token}';"
             "document.querySelector('#ask button').click()")


def test_token_is_asked_for_once(make, work_dir):
    """A wrong one is said to be wrong; the right one is kept for the tab, and
    stands nowhere in the page or its address."""
    path = os.path.join(work_dir, "token")
    with open(path, "w", encoding="ascii") as out:
        out.write("s3cret\n")
    apid = make(token=path).publish(programs=2)
    page = open_page(f"http://127.0.0.1:{apid.port}/", work_dir)
    try:
        page.until(shown("ask"))
        assert not page.run(shown("main")) and not page.run(shown("wrong"))
        enter(page, "guess")
        page.until(shown("wrong"))
        assert not page.run(shown("main"))
        enter(page, "s3cret")
        page.until(shown("main"))
        assert page.run("document.querySelectorAll('article').length") == 2
        assert not page.run(shown("ask"))
        # The new document does not have it.
        page.run("window.before = true; location.reload()")
        page.until("!window.before && document.querySelectorAll('article').length == 2 && " +
                   shown("main"))
        assert not page.run(shown("ask"))
        text = page.run("document.documentElement.outerHTML + location.href "
                        "+ document.cookie + JSON.stringify({...localStorage})"
                        "+ document.getElementById('token').value")
        assert "s3cret" not in text and "artifact-000" in text
        # It only looks: nothing on it could change something.
        assert page.run("document.querySelectorAll('main button, main form, "
                        "main a, main input').length") == 0
    finally:
        page.close()


def test_policy_is_strict(make):
    apid = make().publish()
    _, headers, body = apid.request("/")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy and "http" not in policy
    assert "frame-ancestors 'none'" in policy
    html = body.decode()
    assert not re.search(r"<script[^>]*>[^<]|\son\w+=|\sstyle=|<style", html)
    for path, kind in (("/page.js", "text/javascript"),
                       ("/page.css", "text/css")):
        status, headers, body = apid.request(path)
        assert status == 200 and headers["Content-Type"].startswith(kind)
        assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", body)
        assert b"innerHTML" not in body


def png_facts(path):
    """Width, height, how many different bytes the pixels have, and the
    first pixel."""
    with open(path, "rb") as file:
        data = file.read()
    at, packed, width, height = 8, b"", 0, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        chunk = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height = struct.unpack(">II", chunk[:8])
        elif kind == b"IDAT":
            packed += chunk
        at += 12 + size
    # A filter's number, then a pixel that has no neighbours to differ from.
    pixels = zlib.decompress(packed)
    return width, height, len(set(pixels)), pixels[1:4]


class Beats:
    """Snapshots that go on changing, for plots that show something."""

    def __init__(self, apid, **numbers):
        self._apid, self._numbers = apid, numbers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)

    def _publish(self):
        beat = 1
        while not self._over.wait(0.03):
            beat += 1 + beat * beat % 7
            self._apid.publish(beat=beat, content=beat, **self._numbers)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(30)


@pytest.mark.parametrize("size", ["1280,1000", "500,1200"])
@pytest.mark.parametrize("scheme,ground", [("1", b"\xf5\xf6\xf8"),
                                           ("0", b"\x12\x17\x1d")],
                         ids=["light", "dark"])
def test_screenshot_has_something_on_it(make, work_dir, size, scheme, ground):
    numbers = {"programs": 4, "rollbacks": 2, "health": 0}
    apid = make().publish(**numbers)
    path = os.path.join(work_dir, "page.png")
    with Beats(apid, **numbers):
        browse(f"http://127.0.0.1:{apid.port}/", work_dir,
               f"--window-size={size}", f"--screenshot={path}",
               f"--blink-settings=preferredColorScheme={scheme}")
    width, height, shades, corner = png_facts(path)
    assert width == int(size.split(",")[0]) and height > 800
    assert shades > 50 and corner == ground


def test_plots_go_on(make, work_dir):
    """A point for each sample, and no two of one time."""
    numbers = {"programs": 2, "health": 0}
    apid = make().publish(**numbers)
    for _ in range(5):
        with Beats(apid, **numbers):
            dom = browse(f"http://127.0.0.1:{apid.port}/", work_dir,
                         "--dump-dom")
        plots = [re.findall(r"([0-9.]+),[0-9.]+", points) for points in
                 re.findall(r'<polyline points="([^"]*)"', dom)]
        assert len(plots) == 2 * 3
        # Its time may have run through between two samples of ours.
        if min(map(len, plots)) >= 2:
            break
    for plot in plots:
        assert len(plot) >= 2 and len(set(plot)) == len(plot)
        assert float(plot[-1]) == 59
    assert dom.count("<polygon") == len(plots)
