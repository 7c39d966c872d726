"""What the image is, and how its process behaves as the first one of a container."""

from __future__ import annotations

import io
import json
import shlex
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import docker
import pytest
import trustme
from docker.models.containers import Container
from docker.models.images import Image
from testcontainers.core.container import DockerContainer
from testcontainers.core.image import DockerImage
from testcontainers.core.network import Network

from tests.provision.images import build_arguments
from tests.support import ROOT
from tests.support.containers import (
    HARDENED,
    SidecarContainer,
    get_health,
    run_to_end,
    running_server,
    running_sidecar,
)
from tests.support.waiting import wait_until

MEGABYTE = 1_000_000

SHELLS = {"sh", "bash", "dash", "ash", "busybox", "zsh"}

# Each value as a new user might try it, and what the line about it must name.
BAD_SETTINGS = {
    "PINGSTATE_INTERVAL": ("abc", "0", "-1", "nan"),
    "PINGSTATE_PORT": ("70000",),
    "PINGSTATE_PROTOCOL": ("udp",),
    "PINGSTATE_CHECK": ("status:", "status:abc"),
    "PINGSTATE_ADDRESS": ("",),
}


@pytest.fixture(scope="module")
def inspected(image: str) -> dict[str, Any]:
    attributes: dict[str, Any] = docker.from_env().images.get(image).attrs
    return attributes


@pytest.fixture(scope="module")
def files(image: str) -> dict[str, bytes]:
    """Every regular file of the image, by path."""
    client = docker.from_env()
    container = client.containers.create(image)
    try:
        archive = io.BytesIO(b"".join(container.export()))
    finally:
        container.remove()
    with tarfile.open(fileobj=archive) as tar:
        return {
            member.name: content.read()
            for member in tar
            if member.isfile() and (content := tar.extractfile(member))
        }


def test_the_image_is_at_most_50_megabytes(inspected: dict[str, Any]) -> None:
    assert inspected["Size"] <= 50 * MEGABYTE


def test_the_user_is_a_number_and_not_root(inspected: dict[str, Any]) -> None:
    assert inspected["Config"]["User"] == "65532:65532"


def test_the_api_port_is_exposed(inspected: dict[str, Any]) -> None:
    assert list(inspected["Config"]["ExposedPorts"]) == ["8787/tcp"]


def test_the_commands_are_in_exec_form(inspected: dict[str, Any]) -> None:
    assert inspected["Config"]["Entrypoint"] == ["pingstate"]
    assert inspected["Config"]["Healthcheck"]["Test"] == ["CMD", "pingstate", "healthcheck"]


def test_there_is_no_shell_and_no_package_manager(files: dict[str, bytes]) -> None:
    names = {PurePosixPath(path).name for path in files}
    assert "python3.15" in names
    assert not names & (SHELLS | {"apt", "apt-get", "dpkg", "pip", "pip3"})
    assert not any("/pip/" in path for path in files)


def test_every_module_is_compiled_and_only_ours_have_a_source(files: dict[str, bytes]) -> None:
    home = "opt/pingstate/lib/python3.15/site-packages/pingstate/"
    compiled = {
        path.replace("__pycache__/", "").rsplit(".cpython", 1)[0] + ".py"
        for path in files
        if path.startswith(f"{home}") and path.endswith(".pyc")
    }
    sources = {path for path in files if path.endswith(".py")}
    assert f"{home}cli.py" in sources
    assert sources == compiled


def test_libraries_have_no_docstrings_but_their_asserts(image: str) -> None:
    """As `python -OO` would leave it, except for the asserts, which a user's probe may rely on."""
    code = """
import argparse, threading, requests, pingstate.web.app
libraries = argparse, argparse.ArgumentParser, threading.Thread.join, requests, requests.get
print([each.__doc__ for each in libraries], bool(pingstate.web.app.create_app.__doc__))
try:
    threading.Thread(group=1)
except AssertionError as exc:
    print(exc)
"""
    told = docker.from_env().containers.run(
        image, ["-c", code], entrypoint="python", remove=True, network_mode="none"
    )
    documented, message = told.decode().splitlines()
    assert documented == f"{[None] * 5} True"
    assert message == "group argument must be None for now"


@contextmanager
def built_with(authority: str, *, tag: str, target: str | None = None) -> Iterator[Image]:
    arguments = {**build_arguments(), "EXTRA_CA": authority}
    # The image may be the same as another: what goes at the end is the tag, not the image.
    build = DockerImage(
        path=ROOT, tag=tag, clean_up=False, buildargs=arguments, rm=True, target=target
    )
    try:
        yield build.build().get_wrapped_image()
    finally:
        docker.from_env().images.remove(tag)


def test_an_authority_given_for_the_build_stays_in_the_build() -> None:
    authority = trustme.CA().cert_pem.bytes().decode()
    read = "print(open('/etc/ssl/certs/ca-certificates.crt').read())"

    def trusted(image: Image) -> str:
        told: bytes = docker.from_env().containers.run(
            image.id,
            ["-c", read],
            entrypoint="/opt/pingstate/bin/python",
            remove=True,
            network_mode="none",
        )
        return told.decode()

    with (
        built_with(authority, tag="pingstate-test:build", target="build") as stage,
        built_with(authority, tag="pingstate-test:final") as final,
    ):
        assert authority.strip() in trusted(stage)
        assert authority.strip() not in trusted(final)
        assert trusted(final).count("BEGIN CERTIFICATE") > 100
        assert authority.splitlines()[1] not in json.dumps(final.history())


def test_help_is_shown(image: str) -> None:
    code, out, err = run_to_end(image, "--help")
    assert (code, err) == (0, "")
    assert "PINGSTATE_ADDRESS" in out


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_SETTINGS.items() for value in values]
)
def test_a_bad_setting_is_one_line_and_exit_code_2(image: str, name: str, value: str) -> None:
    settings = {"PINGSTATE_ADDRESS": "target", "PINGSTATE_PROTOCOL": "http", name: value}
    code, out, err = run_to_end(image, environment=settings)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert name in line
    assert value in line


def test_a_banner_check_of_http_is_refused(image: str) -> None:
    settings = {"PINGSTATE_PROTOCOL": "http", "PINGSTATE_CHECK": "banner_contains:x"}
    code, _, err = run_to_end(image, environment=settings)
    assert code == 2
    (line,) = err.splitlines()
    assert "PINGSTATE_CHECK" in line


def test_all_bad_settings_are_told_at_once(image: str) -> None:
    bad = {"PINGSTATE_INTERVAL": "abc", "PINGSTATE_PORT": "70000", "PINGSTATE_TIMEOUT": "-1"}
    code, _, err = run_to_end(image, environment=bad)
    assert code == 2
    assert len(err.splitlines()) == 3
    assert all(name in err for name in bad)


def test_the_bare_default_says_so_and_works_without_a_network(image: str) -> None:
    container = docker.from_env().containers.run(
        image, detach=True, network_mode="none", **HARDENED
    )
    try:
        line = wait_until(lambda: container.logs().decode(), what="the start line")
        assert "1.1.1.1" in line
        assert "default" in line
        # Without a route the first check fails at once, and nothing has left the container.
        read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8787/state').read())"

        def state() -> str:
            told: bytes = container.exec_run(["python", "-c", read]).output
            return told.decode()

        wait_until(lambda: "down" in state(), what="the state is down")
    finally:
        container.remove(force=True)


@pytest.fixture
def nginx(server_image: Callable[[str], str], network: Network) -> Any:
    with running_server(server_image("nginx"), network) as server:
        yield server


@pytest.fixture
def sidecar(image: str, network: Network, nginx: Container) -> Any:
    settings = {
        "PINGSTATE_PROTOCOL": "http",
        "PINGSTATE_ADDRESS": "target",
        "PINGSTATE_PORT": "80",
    }
    with running_sidecar(image, network, settings, {}) as sidecar:
        wait_until(lambda: sidecar.snapshot()["state"] == "up", what="the target is up")
        yield sidecar


def test_health_is_what_healthz_says(sidecar: SidecarContainer, nginx: Container) -> None:
    wait_until(lambda: sidecar.health() == "healthy", what="the container is healthy")
    assert sidecar.get("/healthz")[0] == 200
    nginx.stop()
    wait_until(lambda: sidecar.health() == "unhealthy", what="the container is unhealthy")
    assert sidecar.get("/healthz")[0] == 503
    nginx.start()
    wait_until(lambda: sidecar.health() == "healthy", what="the container is healthy")
    assert sidecar.get("/healthz")[0] == 200


def test_it_runs_as_process_1_of_its_user_on_a_read_only_root(sidecar: SidecarContainer) -> None:
    told = sidecar.python(
        "import os; status = open('/proc/1/status').read(); print(os.getuid(), os.getgid());"
        "print('Uid:\\t65532' in status, 'CapEff:\\t0000000000000000' in status);"
        "print(os.access('/', os.W_OK), open('/proc/1/cmdline').read().split(chr(0))[1])"
    )
    assert told.splitlines()[:2] == ["65532 65532", "True True"]
    assert told.splitlines()[2].startswith("False /opt/pingstate/bin/pingstate")
    with pytest.raises(AssertionError, match="Read-only file system"):
        sidecar.python("open('/tmp/file', 'w')")


def test_sigterm_ends_it_within_2_seconds_with_a_check_in_flight(
    sidecar: SidecarContainer, nginx: Container
) -> None:
    nginx.pause()
    try:
        wait_until(lambda: sidecar.snapshot()["last_check_age_s"] > 0.6, what="a check hangs")
        began = time.monotonic()
        sidecar.docker.kill("SIGTERM")
        code = sidecar.docker.wait(timeout=60)["StatusCode"]
        elapsed = time.monotonic() - began
    finally:
        nginx.unpause()
    assert code == 0
    assert elapsed < 2


@pytest.mark.parametrize(
    ("form", "code"), [("{}", 128 + signal.SIGTERM), ("def create():\n    {}", 0)],
    ids=["imported", "created"],
)  # fmt: skip
def test_sigterm_ends_it_while_a_probe_is_made(image: str, form: str, code: int) -> None:
    # Process 1 ignores a signal that it has no handler for.
    hang = "print('making', flush=True); import threading; threading.Event().wait()"
    container = DockerContainer(image).with_env("PINGSTATE_PROBE", "slow:create")
    container.with_copy_into_container(form.format(hang).encode(), "/probes/slow.py")
    with container.with_kwargs(network_mode="none"):
        starting = container.get_wrapped_container()
        wait_until(lambda: b"making" in starting.logs(), what="the probe is being made")
        starting.stop(timeout=60)
        assert starting.wait()["StatusCode"] == code
        assert starting.logs() == b"making\n"


def test_orphans_and_a_killed_worker_leave_no_zombie(sidecar: SidecarContainer) -> None:
    first = sidecar.snapshot()["pid"]
    # A child that outlives its parent becomes a child of process 1.
    orphan = sidecar.python("import os, time; pid = os.fork() or time.sleep(0.5); print(pid)")
    sidecar.python(f"import os, signal; os.kill({first}, signal.SIGKILL)")

    def restarted() -> bool:
        try:
            return bool(sidecar.snapshot()["pid"] != first)
        except OSError:
            return False

    wait_until(restarted, what="another worker answers")
    alive = (
        "import pathlib; print([p.name + p.joinpath('stat').read_text().rsplit(') ', 1)[1][0]"
        " for p in pathlib.Path('/proc').glob('[0-9]*')])"
    )
    processes = wait_until(
        lambda: f"'{orphan}" not in (p := sidecar.python(alive)) and f"'{first}" not in p and p,
        what="both are reaped",
    )
    assert "Z'" not in processes


def test_what_compiled_drivers_need_is_there(sidecar: SidecarContainer) -> None:
    modules = (
        "asyncio, bz2, ctypes, decimal, hashlib, lzma, multiprocessing, sqlite3, ssl, uuid, zlib"
    )
    libraries = "libstdc++.so.6 libgcc_s.so.1 libz.so.1 libresolv.so.2 librt.so.1"
    sidecar.python(
        f"import {modules}; [ctypes.CDLL(name) for name in {libraries.split()!r}];"
        "hashlib.sha256(b''); uuid.uuid1(); 'x'.encode('shift_jis')"
    )


def test_docker_run_with_an_address_is_all_that_it_takes(
    image: str, nginx: Container, network: Network
) -> None:
    """The README's own line, with a free port."""
    line = f"docker run -d --rm --network {network.name} -p 127.0.0.1::8787"
    line += f" -e PINGSTATE_ADDRESS=target -e PINGSTATE_PORT=80 {image}"
    run = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True, timeout=60)
    container = docker.from_env().containers.get(run.stdout.strip())
    try:
        wait_until(lambda: get_health(container) == "healthy", what="the container is healthy")
    finally:
        container.remove(force=True)
