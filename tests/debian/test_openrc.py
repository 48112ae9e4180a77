# SPDX-License-Identifier: ISC
"""The OpenRC script, run by OpenRC itself."""

import pytest

from aegis import wait
from machine import CONFIG, SERVICE, all_gone

SCRIPT = f"/etc/init.d/{SERVICE}"


@pytest.fixture
def gentoo(installed):
    """A machine on which OpenRC starts services, by the agent's own script
    for it, as README.Debian tells; the agent is stopped."""
    installed.service("stop")
    installed.fetch("openrc")
    installed.apt("install", "openrc")
    # As after booting with it.
    installed.run("mkdir", "-p", "/run/openrc")
    installed.write("/run/openrc/softlevel", "default\n")
    installed.run("cp", "/usr/share/aegisflux/openrc/"
                  f"{SERVICE}.openrc", SCRIPT)
    return installed


def rc(machine, action, status=0):
    return machine.run("rc-service", SERVICE, action, status=status)


def test_openrc_script(gentoo, listed):
    rc(gentoo, "status", 3)
    rc(gentoo, "start")
    wait.until(lambda: gentoo.run_all(listed), "the programs run")
    loaded, pid = gentoo.programs(), gentoo.agent_pid()
    assert loaded
    rc(gentoo, "status")
    rc(gentoo, "start") # is running already
    rc(gentoo, "checkconfig")
    assert gentoo.agent_pid() == pid
    rc(gentoo, "restart")
    gentoo.await_another(pid)
    wait.until(lambda: all_gone(loaded), "they are gone")
    wait.until(lambda: gentoo.run_all(listed), "they run again")
    loaded = gentoo.programs()
    rc(gentoo, "stop")
    gentoo.await_no_process()
    wait.until(lambda: all_gone(loaded), "they are gone")
    rc(gentoo, "status", 3)


def test_openrc_reload(gentoo):
    rc(gentoo, "start")
    gentoo.await_answer()
    pid, config = gentoo.agent_pid(), gentoo.read(CONFIG)
    gentoo.configure("AGENT_POLL_INTERVAL_SEC=7\n")
    rc(gentoo, "reload")
    assert gentoo.agent_pid() == pid
    assert config != gentoo.read(CONFIG)


def test_openrc_does_not_give_up_a_running_agent(gentoo):
    """For a configuration that cannot work."""
    rc(gentoo, "start")
    gentoo.await_answer()
    pid = gentoo.agent_pid()
    gentoo.configure("AGENT_HTTP_PORT=none\n")
    for action in ("checkconfig", "reload", "restart"):
        assert "AGENT_HTTP_PORT" in rc(gentoo, action, 1)
        assert gentoo.agent_pid() == pid
    assert gentoo.get("/healthz")
    rc(gentoo, "stop")
    assert "AGENT_HTTP_PORT" in rc(gentoo, "start", 1)
    gentoo.await_no_process()
