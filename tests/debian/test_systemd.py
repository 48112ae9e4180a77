# SPDX-License-Identifier: ISC
"""The unit under a real systemd: its sandbox, its descriptor store."""

import os
import signal

import pytest

from aegis import wait
from machine import PACKAGE, SERVICE, all_gone


@pytest.fixture(scope="module")
def tree(stock):
    return stock("systemd-sysv", "dbus")


@pytest.fixture
def machine(boot, tree):
    """A machine whose process 1 is systemd, without the package."""
    made = boot(tree)
    wait.until(lambda: made.ok("systemctl", "is-active", "basic.target"),
               "systemd is up", 180)
    return made


def is_active(machine):
    return machine.run("systemctl", "is-active", SERVICE,
                       status=None)[1].strip() == "active"


def test_install_upgrade_and_restart_interrupt_no_program(
        installed, listed, newer_deb):
    """Type=notify, the sandbox, and the descriptor store: all are in it."""
    assert is_active(installed)
    installed.run("systemctl", "is-enabled", SERVICE)
    assert installed.await_answer()["status"] == "unhealthy"
    installed.run("systemctl", "restart", SERVICE)
    wait.until(lambda: installed.run_all(listed), "the programs run")
    loaded, pid = installed.programs(), installed.agent_pid()
    assert loaded
    installed.run("systemctl", "reload", SERVICE)
    assert installed.agent_pid() == pid

    installed.run("systemctl", "restart", SERVICE)
    wait.until(lambda: installed.run_all(listed), "they go on")
    installed.await_another(pid)
    assert installed.programs() == loaded

    pid = installed.agent_pid()
    installed.install(newer_deb, "--force-confold")
    wait.until(lambda: installed.run_all(listed), "they go on")
    installed.await_another(pid)
    assert installed.programs() == loaded

    installed.run("systemctl", "stop", SERVICE)
    installed.await_no_process()
    wait.until(lambda: all_gone(loaded), "they are gone")


def test_killed_agent_comes_again(installed, listed):
    installed.run("systemctl", "restart", SERVICE)
    wait.until(lambda: installed.run_all(listed), "the programs run")
    loaded, pid = installed.programs(), installed.agent_pid()
    os.kill(pid, signal.SIGKILL)
    installed.await_another(pid)
    wait.until(lambda: installed.run_all(listed), "they run again")
    assert installed.programs()
    wait.until(lambda: all_gone(loaded), "the old ones are gone")


def test_purge(installed):
    installed.await_answer()
    installed.run("dpkg", "--purge", PACKAGE)
    installed.await_no_process()
    assert installed.run("systemctl", "is-enabled", SERVICE,
                         status=None)[0] != 0
    assert not installed.run(
        "find", "/etc", "/lib/systemd", "/usr/lib", "/var/lib", "/var/cache",
        "/run", "-name", "*aegis*").replace(
            "/run/systemd/units/log-extra-fields:", "")
