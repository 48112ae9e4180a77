# SPDX-License-Identifier: ISC
"""Registries: a directory tree, as file:// or behind a real nginx."""

import json
import os
import re
import subprocess
import time

from . import net, wait


class Tree:
    """The directory tree that both kinds serve.  Changes are atomic, as a
    careful publisher makes them: contents first, the list by rename."""

    def __init__(self, root, host_id):
        self.root = root
        self.host_id = host_id
        self.listed = []
        self._mtime = int(time.time()) - 100000
        os.makedirs(os.path.join(root, "artifacts", "for-host"))
        self._write("healthz", b'{"status":"healthy"}\n')
        self.publish()
        for directory, _, _ in os.walk(root):
            os.chmod(directory, 0o755)

    def _write(self, path, data):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), mode=0o755, exist_ok=True)
        with open(full + ".new", "wb") as new:
            new.write(data)
        os.chmod(full + ".new", 0o644)
        # nginx makes its ETag of whole seconds and the size.
        self._mtime += 1
        os.utime(full + ".new", (self._mtime, self._mtime))
        os.rename(full + ".new", full)

    def store(self, artifact):
        """Put an artifact's bytes there without listing it."""
        self._write(f"artifacts/{artifact.id}/binary", artifact.data)

    def publish_raw(self, data):
        """The list, byte by byte."""
        self._write(f"artifacts/for-host/{self.host_id}", data)

    def publish(self, *artifacts, entries=None, **extra):
        """List exactly these.  ENTRIES: raw entries in addition."""
        for artifact in artifacts:
            self.store(artifact)
        listed = [a.entry for a in artifacts] + list(entries or [])
        self.listed = list(artifacts)
        self.publish_raw(json.dumps(
            dict({"artifacts": listed, "total": len(listed)}, **extra),
            indent=1).encode())

    @property
    def url(self):
        return "file://" + self.root


class Nginx:
    """nginx from Debian, serving a Tree on a loopback port."""

    def __init__(self, tree, directory, token=None):
        self.tree = tree
        self.directory = directory
        self.port = net.free_port()
        self.token = token
        self.process = None
        self.access_log = os.path.join(directory, "access.log")
        os.makedirs(directory, exist_ok=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        guard = ""
        if self.token:
            guard = (f'if ($http_authorization != "Bearer {self.token}")'
                     " { return 401; }")
        config = f"""
            daemon off; worker_processes 1; user root;
            error_log {self.directory}/error.log;
            pid {self.directory}/nginx.pid;
            events {{ worker_connections 64; }}
            http {{
                log_format timed '$msec $status $request_uri';
                access_log {self.access_log} timed;
                client_body_temp_path {self.directory}/body;
                proxy_temp_path {self.directory}/proxy;
                fastcgi_temp_path {self.directory}/fastcgi;
                uwsgi_temp_path {self.directory}/uwsgi;
                scgi_temp_path {self.directory}/scgi;
                default_type application/json;
                server {{
                    listen 127.0.0.1:{self.port};
                    {guard}
                    root {self.tree.root};
                }}
            }}"""
        path = os.path.join(self.directory, "nginx.conf")
        with open(path, "w", encoding="utf-8") as out:
            out.write(config)
        self.process = subprocess.Popen(
            ["nginx", "-p", self.directory, "-c", path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait.until(lambda: net.connects(self.port), "nginx listens")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(wait.LONG)
            self.process = None

    def requests(self, path):
        """(time, status) of each request for a path so far."""
        if not os.path.exists(self.access_log):
            return []
        with open(self.access_log, encoding="utf-8") as log:
            found = re.findall(r"^([\d.]+) (\d+) (\S+)$", log.read(), re.M)
        return [(float(t), int(s)) for t, s, p in found if p == path]
