# SPDX-License-Identifier: ISC
"""A Debian with an init and namespaces of its own (boot), and what an
administrator does there."""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))

# pylint: disable=wrong-import-position
from aegis import kernel, net, wait  # noqa: E402

PACKAGE = "aegisflux-agent"
SERVICE = "aegisflux-agentd"
HOST = "host-debian"
CONFIG = "/etc/aegisflux/agentd.env"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# Unpacking and configuring on a machine that has other things to do.
APT_LIMIT = 300


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return None # gone


def _executable(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return "" # a zombie, or gone


def is_outdated(pid):
    """Whether the file that a process executes was replaced since."""
    return _executable(pid).endswith(" (deleted)")


def program(pid):
    """The path of what a process executes, as this side sees it."""
    return _executable(pid).removesuffix(" (deleted)")


class Machine:
    """Everything written there is in memory, and gone with it."""

    def __init__(self, tree, archives, init="/sbin/init"):
        # The root of its cgroups.
        self.cgroup = net.Cgroup().create()
        self.process = subprocess.Popen(
            # It does not outlive this process either.
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--net", "--ipc",
             "--uts", "--cgroup", "--kill-child",
             os.path.join(HERE, "boot"), tree, archives, init],
            stdin=subprocess.DEVNULL, preexec_fn=self.cgroup.join)
        self.pid = wait.until(self._first_process, "the machine's process 1")

    def _first_process(self):
        assert self.process.poll() is None, "boot failed; see above"
        top = self.process.pid
        with open(f"/proc/{top}/task/{top}/children", encoding="ascii") as f:
            pids = f.read().split()
        return int(pids[0]) if pids else None

    def await_runlevel(self, level):
        wait.until(lambda: self.ok("runlevel") and
                   self.run("runlevel").split()[1] == level and
                   not self.ok("pidof", "-x", "rc"),
                   f"runlevel {level}")

    def destroy(self):
        self.process.kill()
        self.process.wait(wait.LONG)
        wait.until(self._remove_cgroups, "all its processes are gone")

    def _remove_cgroups(self):
        for directory, _, _ in os.walk(self.cgroup.path, topdown=False):
            os.rmdir(directory)
        return True

    def path(self, name):
        """A path of the machine's, for this side."""
        return f"/proc/{self.pid}/root{name}"

    def run(self, *command, network=False, status=0, limit=300):
        """Run it there, as root, with nothing to type on.  NETWORK: with
        this side's network.  STATUS: what it must end with, None for
        whatever.  Returns its output, or (status, output)."""
        done = subprocess.run(
            ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--ipc",
             "--uts", "--cgroup", "--root", "--wd",
             *([] if network else ["--net"]),
             "env", "-i", f"PATH={PATH}", "LANG=C.UTF-8", "TERM=dumb",
             "HOME=/root", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=limit, check=False)
        if status is None:
            return done.returncode, done.stdout
        assert done.returncode == status, \
            f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def ok(self, *command):
        return self.run(*command, status=None)[0] == 0

    # --- files ---

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def exists(self, name):
        return os.path.lexists(self.path(name))

    def files(self):
        """All paths of its tree, without what is mounted there."""
        return set(self.run("find", "/", "-xdev", "-print").splitlines())

    # --- packages ---

    def fetch(self, *what):
        """Packages into apt's cache, with what they depend on: all that
        needs a network."""
        self.run("apt-get", "-q", "-y", "--no-install-recommends",
                 "-o", "Acquire::Retries=3", "--download-only", "install",
                 *what, network=True, limit=APT_LIMIT)

    def apt(self, *arguments, status=0):
        """apt-get without a network: what is started has none either.
        Nobody is there to answer a question, neither dpkg's: it ends with
        an error then."""
        return self.run(
            "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y",
            "--no-install-recommends", *arguments, status=status,
            limit=APT_LIMIT)

    def put(self, deb):
        """A package file to where apt may read it; returns its name."""
        name = "/srv/" + os.path.basename(deb)
        with open(deb, "rb") as source, open(self.path(name), "wb") as copy:
            copy.write(source.read())
        return name

    def install(self, deb, *options, status=0):
        """By dpkg alone: what it depends on is there.  Returns the output."""
        return self.run("dpkg", *options, "--install", self.put(deb),
                        status=status, limit=APT_LIMIT)

    def package_state(self):
        """As dpkg has it: installed, config-files, half-configured, ..."""
        status, out = self.run("dpkg-query", "-W", "-f",
                               "${db:Status-Status}", PACKAGE, status=None)
        return out if status == 0 else "not-installed"

    # --- the agent ---

    def service(self, action, status=0):
        return self.run("service", SERVICE, action, status=status)

    def configure(self, lines):
        """Replace what agentd.env says by these lines; its own comments
        stay, as an administrator would leave them."""
        kept = [line for line in self.read(CONFIG).splitlines(True)
                if line.startswith("#") or not line.strip()]
        self.write(CONFIG, "".join(kept) + lines, 0o600)

    def publish(self, directory):
        """Two signed programs of the package's own, in a registry there, and
        the configuration for them, which no agent has read yet.  DIRECTORY:
        where the key may lie on this side.  Returns their artifact_ids."""
        key = os.path.join(directory, "key.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519",
                        "-out", key], check=True)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out",
                        self.path("/etc/aegisflux/registry.pub")],
                       check=True)
        self.run("ip", "link", "add", "up0", "type", "veth", "peer", "up1")
        self.run("ip", "link", "set", "up0", "up")
        self.run("mkdir", "/sys/fs/cgroup/egress")
        for name, parameters in (
                ("xdp_drop_cidr", {"interface": "up0"}),
                ("drop_egress_by_cgroup", {"cgroup": "/sys/fs/cgroup/egress"})):
            bpf = self.path("/usr/share/aegisflux/bpf")
            subprocess.run(
                [f"{bpf}/pack", "-k", key, "-i", f"id-{name}", "-t", "3600",
                 "-r", self.path("/srv/registry"), "-H", HOST, "-p",
                 json.dumps(parameters), f"{bpf}/{name}.bpf.o"], check=True,
                stdout=subprocess.DEVNULL)
        self.configure(
            f"AGENT_HOST_ID={HOST}\n"
            "AGENT_REGISTRY_URL=file:///srv/registry\n"
            "AGENT_POLL_INTERVAL_SEC=1\n"
            "AGENT_PUBLIC_KEY=file:/etc/aegisflux/registry.pub\n")
        return {"id-xdp_drop_cidr", "id-drop_egress_by_cgroup"}

    def agent_pid(self):
        """agentd's pid on this side: it is init's child; None if there is
        none."""
        for pid in self.pids():
            if program(pid).endswith("/usr/sbin/agentd") \
                    and _parent(pid) == self.pid:
                return pid
        return None

    def programs(self):
        """Kernel ids of the programs that its agent has loaded."""
        return kernel.held(self.agent_pid())["prog"]

    def pids(self):
        """All of the machine's processes, by their pids on this side."""
        space = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and \
                        os.readlink(f"/proc/{name}/ns/pid") == space:
                    found.append(int(name))
            except OSError:
                continue
        return found

    def processes(self):
        """The agent's processes: program's name and account, sorted."""
        accounts = {int(uid): name for name, _, uid, *_ in (
            line.split(":")
            for line in self.read("/etc/passwd").splitlines())}
        found = []
        for pid in self.pids():
            path = program(pid)
            if path.endswith("/usr/sbin/agentd") \
                    or "/usr/libexec/aegisflux/" in path:
                try:
                    uid = os.stat(f"/proc/{pid}").st_uid
                except OSError:
                    continue
                found.append((os.path.basename(path), accounts[uid]))
        return sorted(found)

    def await_no_process(self):
        """It is stopped.  Who was killed for not ending takes a moment."""
        wait.until(lambda: not self.processes(),
                   lambda: f"the end of {self.processes()}")

    def await_another(self, pid):
        """It was started anew: what starts it returns before it is executed."""
        wait.until(lambda: self.agent_pid() not in (None, pid),
                   f"another agentd than {pid}")

    def get(self, path):
        """What the agent's API there answers; None if it does not."""
        done = subprocess.run(
            ["nsenter", f"--target={self.pid}", "--net", "curl", "-sS",
             "--max-time", "20", f"http://127.0.0.1:8080{path}"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def await_answer(self):
        return wait.until(lambda: self.get("/healthz"), "the agent answers")

    def run_all(self, artifact_ids):
        status = self.get("/status")
        return status is not None and artifact_ids <= {
            applied["artifact_id"]
            for applied in status["applied_artifacts"]
            if applied["status"] in ("loaded", "running")}


def all_gone(programs):
    return not any(kernel.exists("prog", number) for number in programs)
