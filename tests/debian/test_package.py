# SPDX-License-Identifier: ISC
"""The Debian package: built clean, and its life on a machine."""

import glob
import os
import re
import subprocess

import pytest

from aegis import wait
from machine import CONFIG, PACKAGE, SERVICE, all_gone, is_outdated

SCRIPTS = f"/var/lib/dpkg/info/{PACKAGE}."
WORKERS = [("apid", "_aegis_api"), ("bpfd", "_aegis_bpf"),
           ("fetchd", "_aegis_fetch"), ("fetchd", "_aegis_vault"),
           ("telemd", "_aegis_telem"), ("verifyd", "_aegis_verify")]
ACCOUNTS = {account for _, account in WORKERS}
# What dpkg, apt and the account tools remember of every package.
REMEMBERED = re.compile(
    r"/var/(lib/(dpkg|apt|systemd/deb-systemd-helper)|log|cache)/|"
    r"/var/lib/(dpkg|apt)$|/srv/|/root/|/tmp/|"
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|"
    r"/etc/\.pwd\.lock$")


# --- what was built ---

@pytest.fixture(scope="module")
def lintian(debs):
    """(kind, package, tag and details) of each thing that lintian found in
    the source package, in the binary packages, and in all as an upload."""
    [changes] = glob.glob(f"{debs}/1/*.changes")
    done = subprocess.run(
        ["lintian", "--allow-root", "--no-cfg", "--show-overrides", changes],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        check=False)
    assert done.returncode in (0, 2), done.stderr
    return re.findall(r"^([A-Z]): (\S+)(?: source| changes)?: (.*)$",
                      done.stdout, re.M)


def test_lintian_has_no_error_and_no_warning(lintian):
    assert lintian
    assert not [found for found in lintian if found[0] in "EW"]


def test_overrides_are_needed_and_explained(lintian, debs):
    with open(f"{debs}/1/tree/debian/{PACKAGE}.lintian-overrides",
              encoding="utf-8") as file:
        blocks = re.findall(r"((?:^#.*\n)*)((?:^[^#].*\n)+)", file.read(),
                            re.M)
    tags = set()
    for why, lines in blocks:
        assert why, f"no reason for {lines}"
        tags.update(line.split()[1] for line in lines.splitlines())
    assert {what.split()[0] for kind, _, what in lintian
            if kind == "O"} == tags


# --- installing ---

def test_install_starts_the_agent(boot, unpack, deb):
    """With its dependencies, on a minimal machine, and with nothing
    configured: it runs, and says what it has not got."""
    installed = boot(unpack())
    installed.await_runlevel("2")
    name = installed.put(deb)
    installed.fetch(name)
    installed.apt("install", name)
    assert installed.package_state() == "installed"
    # Its first answer may be older than its first poll.
    health = wait.until(
        lambda: (found := installed.get("/healthz")) and any(
            "registry" in reason for reason in found["reasons"]) and found,
        lambda: f"no registry: {installed.get('/healthz')}")
    assert health["status"] == "unhealthy"
    wait.until(lambda: installed.processes() == sorted(
        [("agentd", "root")] * 2 + WORKERS), installed.processes)
    assert os.stat(installed.path(CONFIG)).st_mode & 0o7777 == 0o600


def test_install_enables_it_for_both_inits(installed):
    installed.run("sh", "-c", f"ls /etc/rc2.d/S??{SERVICE} "
                  f"/etc/rc0.d/K??{SERVICE}")
    wanted = installed.path("/etc/systemd/system/multi-user.target.wants/"
                            f"{SERVICE}.service")
    assert os.readlink(wanted) == f"/lib/systemd/system/{SERVICE}.service"
    assert installed.exists(os.readlink(wanted))


def test_policy_is_obeyed(machine, deb):
    """policy-rc.d says 101: installed and configured, but not started."""
    machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    machine.install(deb)
    assert machine.package_state() == "installed"
    assert not machine.processes()
    machine.run("rm", "/usr/sbin/policy-rc.d")
    machine.service("start")
    machine.await_answer()


def test_service_script(installed, listed):
    installed.await_answer()
    installed.service("restart")
    wait.until(lambda: installed.run_all(listed), "the programs run")
    loaded, pid = installed.programs(), installed.agent_pid()
    assert loaded
    installed.service("status")
    installed.service("reload")
    installed.service("start") # is running already
    assert installed.agent_pid() == pid
    installed.service("stop")
    installed.await_no_process()
    wait.until(lambda: all_gone(loaded), "they are gone")
    installed.service("status", status=3)


def test_boot_starts_it(machine, deb):
    """Runlevel 2, from one in which nothing is started."""
    machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    machine.install(deb)
    machine.run("telinit", "7")
    machine.await_runlevel("7")
    assert not machine.processes()
    machine.run("telinit", "2")
    machine.await_runlevel("2")
    machine.await_answer()


# --- upgrading ---

def test_upgrade_keeps_what_the_operator_changed(installed, listed, newer_deb):
    installed.service("restart")
    wait.until(lambda: installed.run_all(listed), "the programs run")
    pid, config = installed.agent_pid(), installed.read(CONFIG)
    loaded = installed.programs()
    installed.apt("-o", "Dpkg::Options::=--force-confold", "install",
                  installed.put(newer_deb))
    assert installed.package_state() == "installed"
    assert installed.read(CONFIG) == config
    assert os.stat(installed.path(CONFIG)).st_mode & 0o7777 == 0o600
    assert "came with the second version" in \
        installed.read(CONFIG + ".dpkg-dist")
    installed.await_another(pid)
    # The new file, not the one that was unlinked.
    assert not is_outdated(installed.agent_pid())
    wait.until(lambda: installed.run_all(listed), "they run again")
    wait.until(lambda: all_gone(loaded), "the old ones are gone")
    assert installed.programs()


def test_upgrade_replaces_what_nobody_changed(installed, newer_deb):
    pid = installed.agent_pid()
    installed.install(newer_deb)
    assert "came with the second version" in installed.read(CONFIG)
    assert not installed.exists(CONFIG + ".dpkg-dist")
    installed.await_another(pid)
    installed.await_answer()


def test_upgrade_with_a_wrong_configuration_fails_and_costs_nothing(
        installed, newer_deb):
    """The old agent goes on, dpkg says that it is not done; when the file is
    right, it can be."""
    installed.await_answer()
    pid, config = installed.agent_pid(), installed.read(CONFIG)
    installed.configure("AGENT_HTTP_PORT=none\n")
    out = installed.install(newer_deb, "--force-confold", status=1)
    assert "AGENT_HTTP_PORT" in out
    assert installed.package_state() == "half-configured"
    assert installed.agent_pid() == pid and installed.get("/healthz")
    installed.write(CONFIG, config, 0o600)
    installed.run("dpkg", "--configure", "-a")
    assert installed.package_state() == "installed"
    installed.await_another(pid)


# --- leaving ---

def test_remove_keeps_configuration_and_state(installed):
    installed.await_answer()
    installed.apt("remove", PACKAGE)
    assert installed.package_state() == "config-files"
    installed.await_no_process()
    for name in (CONFIG, f"/etc/init.d/{SERVICE}", "/var/lib/aegisflux"):
        assert installed.exists(name), name
    for name in ("/usr/sbin/agentd", "/usr/libexec/aegisflux",
                 "/usr/share/aegisflux"):
        assert not installed.exists(name), name
    # What is left of the script is no error at boot.
    installed.run("sh", f"/etc/init.d/{SERVICE}", "start")


def test_purge_leaves_nothing_and_it_can_come_again(machine, deb):
    """But the accounts: files elsewhere may be theirs (README.Debian)."""
    before = machine.files()
    for _ in range(2):
        machine.install(deb)
        machine.await_answer()
        assert machine.files() - before
        machine.apt("purge", PACKAGE)
        assert machine.package_state() == "not-installed"
        machine.await_no_process()
        left = {name for name in machine.files() - before
                if not REMEMBERED.match(name)}
        assert not left
        assert before <= machine.files()
        assert not machine.run("find", "/var/log", "/var/cache", "/run",
                               "-name", "*aegis*")


def test_purge_leaves_what_the_operator_put_there(installed):
    installed.write("/etc/aegisflux/registry.pub", "a key\n")
    installed.apt("purge", PACKAGE)
    assert installed.read("/etc/aegisflux/registry.pub") == "a key\n"
    assert not installed.exists(CONFIG)


def test_maintainer_scripts_may_run_twice(installed):
    installed.await_answer()
    accounts = installed.read("/etc/passwd"), installed.read("/etc/group")
    for arguments in (["configure", ""], ["configure", "1.0.0"],
                      ["abort-upgrade", "1.0.0"], ["abort-remove"]):
        installed.run(SCRIPTS + "postinst", *arguments)
        installed.await_answer()
    assert accounts == (installed.read("/etc/passwd"),
                        installed.read("/etc/group"))
    for _ in range(2):
        installed.run(SCRIPTS + "prerm", "remove")
        installed.await_no_process()
    for action in ("remove", "purge", "purge"):
        installed.run(SCRIPTS + "postrm", action)


# --- accounts ---

def made_accounts(machine):
    """(name, home, shell) of the package's, and that there is the group."""
    assert re.search(r"^aegisflux:", machine.read("/etc/group"), re.M)
    lines = [line.split(":") for line in
             machine.read("/etc/passwd").splitlines()]
    return {(line[0], *line[5:]) for line in lines
            if line[0].startswith("_aegis_")}


WANTED = {(name, "/nonexistent", "/usr/sbin/nologin") for name in ACCOUNTS}


def test_accounts_without_systemd(installed):
    assert not installed.ok("sh", "-c", "command -v systemd-sysusers")
    assert made_accounts(installed) == WANTED


def test_accounts_by_systemd_sysusers(machine, deb):
    machine.fetch("systemd-standalone-sysusers")
    machine.apt("install", "systemd-standalone-sysusers")
    machine.install(deb)
    assert made_accounts(machine) == WANTED
    wait.until(lambda: machine.processes() == sorted(
        [("agentd", "root")] * 2 + WORKERS), machine.processes)
