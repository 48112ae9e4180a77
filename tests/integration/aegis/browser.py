# SPDX-License-Identifier: ISC
"""Headless Chromium, driven through its debugging pipe: a page that is
clicked at, not only looked at."""

import json
import os
import select
import subprocess
import time

from . import wait

# Puts the two ends where --remote-debugging-pipe wants them.
_STARTER = ('exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"')


def open_page(url, work_dir):
    """A Page.  Where the machine is busy it happens that the browser hangs
    while it starts, and says nothing: then another is tried."""
    for number in range(3):
        page = Page(f"{work_dir}/chromium{number}")
        try:
            page.visit(url)
            return page
        except AssertionError:
            page.close()
            if number == 2:
                raise


class Page:
    """One tab of a browser that keeps its things in DIRECTORY."""

    def __init__(self, directory):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "-c", _STARTER, "bash", str(to_browser),
             str(from_browser), "chromium", "--headless=new", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             f"--user-data-dir={directory}",
             "--remote-debugging-pipe"],
            pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": os.path.dirname(directory)})
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._bytes, self._session = 0, b"", {}

    def visit(self, url):
        target = self._call("Target.createTarget", url=url)["targetId"]
        self._session = {"sessionId": self._call(
            "Target.attachToTarget", targetId=target,
            flatten=True)["sessionId"]}

    def _message(self, deadline):
        while b"\0" not in self._bytes:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._in], [], [], left)[0], \
                "the browser does not answer"
            got = os.read(self._in, 1 << 16)
            assert got, "the browser ended"
            self._bytes += got
        text, _, self._bytes = self._bytes.partition(b"\0")
        return json.loads(text)

    def _call(self, method, **params):
        self._number += 1
        os.write(self._out, json.dumps(
            {"id": self._number, "method": method, "params": params,
             **self._session}).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            message = self._message(deadline)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def run(self, script):
        """The value of a JavaScript expression in the page."""
        result = self._call("Runtime.evaluate", expression=script,
                            returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, script):
        return wait.until(lambda: self.run(script),
                          lambda: f"{script}: {self.run('document.body.innerText')}",
                          every=0.1)

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
