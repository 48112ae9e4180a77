# SPDX-License-Identifier: ISC
"""The Dockerfile and the DaemonSet: what the sandbox table needs, by name,
and nothing else."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

SOURCE = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def share(prefix):
    return pathlib.Path(prefix, "share/aegisflux")


@pytest.fixture(scope="module")
def pod(share):
    """The DaemonSet's pod and its only container."""
    document = yaml.safe_load((share / "k8s/daemonset.yaml").read_text())
    assert document["kind"] == "DaemonSet"
    template = document["spec"]["template"]
    assert document["spec"]["selector"]["matchLabels"].items() <= \
        template["metadata"]["labels"].items()
    [container] = template["spec"]["containers"]
    return template["spec"], container


@pytest.fixture(scope="module")
def needed(prefix):
    """What the processes of sandbox_rows.c hold; it is what the unit has."""
    text = (SOURCE / "common/sandbox_rows.c").read_text()
    rows = set(re.findall(r"\bCAP\(([A-Z_]+)\)", text))
    assert len(rows) > 5
    unit = pathlib.Path(prefix, "lib/systemd/system/aegisflux-agentd.service")
    assert {"CAP_" + name for name in rows} == {
        name for line in re.findall(r"^CapabilityBoundingSet=(.*)$",
                                    unit.read_text(), re.M)
        for name in line.split()}
    return rows


def test_pod_is_not_privileged(pod, needed):
    spec, container = pod
    context = container["securityContext"]
    assert context["privileged"] is False
    assert context["capabilities"]["drop"] == ["ALL"]
    added = context["capabilities"]["add"]
    assert set(added) == needed and len(added) == len(needed)
    assert context["readOnlyRootFilesystem"] is True
    assert context["seccompProfile"]["type"] == "RuntimeDefault"
    # The host's network is what it is for; no other namespace is shared.
    assert spec["hostNetwork"] is True
    assert not {"hostPID", "hostIPC"} & {k for k, v in spec.items() if v}
    assert spec["automountServiceAccountToken"] is False
    assert "initContainers" not in spec


def test_pod_sees_what_it_needs_of_the_host(pod):
    spec, container = pod
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(volumes) == set(mounts)
    of_host = {volumes[name]["hostPath"]["path"]: mounts[name]
               for name in volumes if "hostPath" in volumes[name]}
    written = {path for path, mount in of_host.items()
               if not mount.get("readOnly")}
    # Its own directories; the kernel's are for looking.
    assert written == {"/var/lib/aegisflux", "/var/cache/aegisflux",
                       "/run/aegisflux"}
    assert set(of_host) - written == {"/sys/fs/cgroup", "/sys/kernel/tracing"}
    for path, mount in of_host.items():
        assert mount["mountPath"] == path
    # What a worker is given lies below what is mounted: see dirs.c.
    cache = variables(container)["AGENT_CACHE_DIR"]
    assert os.path.dirname(cache) == "/var/cache/aegisflux"


def variables(container):
    return {entry["name"]: entry.get("value", "node-1")
            for entry in container["env"]}


def test_pod_is_configured_and_asked_by_names_that_are_known(pod, prefix):
    _, container = pod
    page = (SOURCE / "man/agentd.env.5").read_text()
    for name in variables(container):
        assert f".It Ev {name} " in page, name
    # agentd itself finds no fault but the secret, which is not here.
    done = subprocess.run(
        [os.path.join(prefix, "sbin/agentd"), "-n"], text=True,
        env={"PATH": "/usr/bin:/bin", **variables(container)},
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        check=False)
    problems = (done.stdout + done.stderr).splitlines()
    assert all("AGENT_PUBLIC_KEY" in line for line in problems), problems
    api = (SOURCE / "man/aegis-api.7").read_text()
    for probe in ("livenessProbe", "readinessProbe"):
        assert f".It Pa {container[probe]['httpGet']['path']}" in api or \
            container[probe]["httpGet"]["path"] in api
    # An agent that is unhealthy is not helped by being killed.
    assert container["livenessProbe"]["httpGet"]["path"] != "/healthz"


def test_docker_run_has_the_same(share, needed, pod):
    text = (share / "docker/Dockerfile").read_text()
    command = re.sub(r"\s*\\\n#\s*", " ", text)
    [command] = re.findall(r"^#\s*docker run (.*)$", command, re.M)
    assert set(re.findall(r"--cap-add ([A-Z_]+)", command)) == needed
    for flag in ("--cap-drop ALL", "--read-only", "--network host",
                 "--security-opt no-new-privileges"):
        assert flag in command
    assert not re.search(r"--privileged|--pid|--device|seccomp=", command)
    inside = {mount.split(":")[1] for mount in
              re.findall(r"-v (\S+)", command)}
    inside |= {mount.split(":")[0] for mount in
               re.findall(r"--tmpfs (\S+)", command)}
    _, container = pod
    assert {mount["mountPath"] for mount in container["volumeMounts"]} <= \
        inside | {"/sys/kernel/tracing"}
    assert "AGENT_CACHE_DIR=/var/cache/aegisflux/artifacts" in text


@pytest.mark.skipif(shutil.which("dpkg-query") is None,
                    reason="no dpkg: not Debian")
def test_image_has_the_libraries(share, prefix):
    """Each that a program names is of a package of the last stage."""
    text = (share / "docker/Dockerfile").read_text()
    [stage] = re.findall(r"^FROM \S+\n(.*)", text.rpartition("FROM")[1] +
                         text.rpartition("FROM")[2], re.S)
    packages = set(re.findall(r"\b([a-z0-9.+-]+)\b",
                              stage.partition("rm -rf")[0]))
    names = set()
    for folder in ("sbin", "libexec/aegisflux"):
        for path in pathlib.Path(prefix, folder).iterdir():
            done = subprocess.run(["objdump", "-p", path], text=True,
                                  capture_output=True, check=False)
            names.update(re.findall(r"NEEDED +(\S+)", done.stdout))
    assert len(names) > 10
    cache = subprocess.run(["/sbin/ldconfig", "-p"], check=True, text=True,
                           capture_output=True).stdout
    for name in sorted(names):
        if name.startswith(("ld-linux", "libc.so", "libm.so")):
            continue  # of every image
        path = re.search(rf"\s{re.escape(name)} .*=> (\S+)", cache)[1]
        owners = owners_of(os.path.realpath(path))
        assert owners & packages, f"{name}: {owners} is not installed"


def owners_of(path):
    """Packages; /lib may be /usr/lib without dpkg's knowing."""
    found = set()
    for way in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", way], text=True,
                              capture_output=True, check=False)
        found.update(re.findall(r"^([a-z0-9.+-]+)(?::\w+)?: ", done.stdout,
                                re.M))
    return found
