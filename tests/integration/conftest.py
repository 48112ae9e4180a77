# SPDX-License-Identifier: ISC
"""Fixtures of the integration tests.  README.md in tests/ says how to run
them; scripts/test integration does it all."""

import json
import os
import shutil
import sys
import tempfile

import jsonschema
import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
pytest.register_assert_rewrite("aegis")

# pylint: disable=wrong-import-position
from aegis import net, schemas  # noqa: E402
from aegis.agent import Agent  # noqa: E402
from aegis.artifact import Artifact, Key, compile_bpf  # noqa: E402
from aegis.broker import Nats  # noqa: E402
from aegis.registry import Nginx, Tree  # noqa: E402


def pytest_configure(config):
    if os.geteuid() != 0:
        pytest.exit("the integration tests need root: namespaces, BPF and "
                    "the workers' accounts", 2)
    net.enter_own_namespace()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails shows what its agents logged last."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for agent in getattr(item, "agents", []):
            report.sections.append((
                f"agent in {agent.directory}",
                "\n".join(agent.raw_lines()[-40:])))


@pytest.fixture(scope="session")
def prefix():
    """Where the agent is installed."""
    path = os.environ.get("AEGIS_PREFIX")
    assert path, ("AEGIS_PREFIX is not set: the prefix that the agent was "
                  "installed under; scripts/test integration sets it")
    return path


@pytest.fixture(scope="session")
def build_dir():
    """The build directory, for test programs that are not installed."""
    path = os.environ.get("AEGIS_BUILD")
    assert path, "AEGIS_BUILD is not set: the build directory"
    return path


@pytest.fixture(scope="session")
def session_dir():
    """A directory whose path every account may walk, for the session."""
    path = tempfile.mkdtemp(prefix="aegisflux-it-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def work_dir():
    """The same, for one test."""
    path = tempfile.mkdtemp(prefix="aegisflux-it-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def key(session_dir):
    """The key whose public half the agent trusts."""
    return Key(session_dir)


@pytest.fixture(scope="session")
def objects(session_dir):
    """Name -> object bytes of progs/*.bpf.c."""
    return compile_bpf(session_dir)


@pytest.fixture(scope="session")
def bpf_dir(prefix):
    """Where the programs that come with the agent are installed."""
    return os.path.join(prefix, "share", "aegisflux", "bpf")


@pytest.fixture
def cgroup():
    group = net.Cgroup().create()
    yield group
    group.destroy()


@pytest.fixture
def other_cgroup():
    group = net.Cgroup().create()
    yield group
    group.destroy()


@pytest.fixture
def veth():
    pair = net.Veth().create()
    yield pair
    pair.destroy()


@pytest.fixture
def tree(work_dir):
    """An empty registry tree for the host that the agents are."""
    return Tree(os.path.join(work_dir, "registry"), "host-test")


@pytest.fixture
def nginx(tree, work_dir):
    server = Nginx(tree, os.path.join(work_dir, "nginx")).start()
    yield server
    server.stop()


@pytest.fixture
def nats(work_dir):
    server = Nats(os.path.join(work_dir, "nats")).start()
    yield server
    server.stop()


@pytest.fixture
def client(nats):
    """A subscriber to everything, from before the agent is there."""
    connection = nats.client()
    yield connection
    connection.close()
    for subject in ("agent.telemetry", "agent.rollback.status"):
        for event in connection.on(subject):
            schemas.check_event(event)


@pytest.fixture
def make_agent(request, prefix, work_dir, key):
    """make_agent(registry_url, nats_url, poll_interval_sec=5, ...): an agent
    that is not started yet; ended with the test."""
    agents = request.node.agents = []

    def make(registry_url, nats_url=None, **settings):
        directory = os.path.join(work_dir, f"agent{len(agents)}")
        os.mkdir(directory, 0o755)
        agent = Agent(prefix, directory, registry_url, key.public, nats_url,
                      **settings)
        agents.append(agent)
        return agent

    yield make
    for agent in agents:
        agent.destroy()
    for agent in agents:
        assert not agent.reports, "\n".join(agent.reports)


@pytest.fixture
def agent(make_agent, tree, nats, client):
    """A started agent, on the tree by file:// and on a real broker."""
    return make_agent(tree.url, nats.url).start()


@pytest.fixture
def counter(key, objects, cgroup):
    """counter(...): an artifact that counts what leaves the cgroup."""
    def make(name="it_count", **kwargs):
        parameters = dict({"cgroup": cgroup.path},
                          **kwargs.pop("parameters", {}))
        return Artifact(key, name, objects["count"],
                        [{"program": "it_count", "cgroup": "$cgroup"}],
                        parameters=parameters, **kwargs)
    return make


@pytest.fixture
def denier(key, objects, cgroup):
    """denier(...): an artifact that lets nothing out of the cgroup."""
    def make(name="it_deny", **kwargs):
        parameters = dict({"cgroup": cgroup.path},
                          **kwargs.pop("parameters", {}))
        return Artifact(key, name, objects["deny"],
                        [{"program": "it_deny", "cgroup": "$cgroup"}],
                        parameters=parameters, **kwargs)
    return make


@pytest.fixture
def passer(key, objects, veth):
    """passer(...): an XDP artifact that counts on the veth pair."""
    def make(name="it_pass", **kwargs):
        parameters = dict({"interface": veth.name},
                          **kwargs.pop("parameters", {}))
        return Artifact(key, name, objects["pass"],
                        [{"program": "it_pass", "interface": "$interface"}],
                        parameters=parameters, **kwargs)
    return make


@pytest.fixture(scope="session")
def validate():
    """validate(event): an event as schemas/event.schema.json has it."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "../../schemas/event.schema.json")
    with open(path, encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    by_type = {
        name: jsonschema.Draft202012Validator(
            {"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
        for name in (r["$ref"].rsplit("/", 1)[1] for r in schema["oneOf"])}

    def check(event):
        by_type[event["type"]].validate(event)
    return check
