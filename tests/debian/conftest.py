# SPDX-License-Identifier: ISC
"""Fixtures of the package's tests; scripts/test debian runs them."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

import pytest

import machine as machines

HERE = os.path.dirname(os.path.abspath(__file__))


def pytest_configure(config):
    if os.geteuid() != 0:
        pytest.exit("the package's tests need root: namespaces, mounts, BPF",
                    2)


@pytest.fixture(scope="session")
def debs():
    """Where tests/debian/build put what it built."""
    path = os.environ.get("AEGIS_DEBS")
    assert path, ("AEGIS_DEBS is not set: the directory that was given to "
                  "tests/debian/build; scripts/test debian sets it")
    return path


def _deb(directory):
    found = [path for path in glob.glob(f"{directory}/*.deb")
             if "-dbgsym" not in path]
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="session")
def deb(debs):
    return _deb(f"{debs}/1")


@pytest.fixture(scope="session")
def newer_deb(debs):
    return _deb(f"{debs}/2")


@pytest.fixture(scope="session")
def cache():
    """The directory with a Debian to install in: fails where there is no mirror of Debian's."""
    done = subprocess.run([os.path.join(HERE, "fetch-root")], text=True,
                          stdout=subprocess.PIPE, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def unpack(cache):
    """unpack(): the directory of a new copy of that Debian."""
    paths = []

    def make():
        paths.append(tempfile.mkdtemp(prefix="aegisflux-debian-"))
        subprocess.run(["tar", "-x", "--numeric-owner", "-C", paths[-1],
                        "-f", f"{cache}/root.tar.zst"], check=True)
        return paths[-1]

    yield make
    for path in paths:
        shutil.rmtree(path)


@pytest.fixture(scope="session")
def stock(unpack, cache, deb):
    """stock(package, ...): a Debian with these and all that the package
    depends on, and not itself: so that it need not be unpacked each time."""
    def make(*packages):
        tree = unpack()
        depends = subprocess.run(["dpkg-deb", "-f", deb, "Depends"],
                                 text=True, stdout=subprocess.PIPE,
                                 check=True).stdout
        subprocess.run(
            ["unshare", "--mount", "sh", "-euc",
             "cd $1; mount -t proc proc proc; "
             "mount --bind $2 var/cache/apt/archives; shift 2; "
             "exec env -i PATH=$PATH DEBIAN_FRONTEND=noninteractive "
             "chroot . apt-get -q -y -o Acquire::Retries=3 "
             "--no-install-recommends install $*",
             "sh", tree, f"{cache}/archives", *packages,
             *re.findall(r"(?:^|, )([a-z0-9.+-]+)", depends)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        return tree
    return make


@pytest.fixture(scope="session")
def stocked(stock):
    return stock()


@pytest.fixture
def boot(cache):
    """boot(tree): a machine with that below it, its init at work."""
    made = []

    def start(tree):
        made.append(machines.Machine(tree, f"{cache}/archives"))
        return made[-1]

    yield start
    for one in made:
        one.destroy()


@pytest.fixture
def machine(boot, stocked):
    """A machine in runlevel 2, without the package."""
    made = boot(stocked)
    made.await_runlevel("2")
    return made


@pytest.fixture
def installed(machine, deb):
    """The same with the package on it, and the agent running."""
    machine.install(deb)
    return machine


@pytest.fixture
def listed(installed, tmp_path):
    """Programs in a registry there, and the configuration for it; the agent
    does not know yet.  Their artifact_ids."""
    return installed.publish(str(tmp_path))
