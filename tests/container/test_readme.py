"""The README's docker and compose commands, line by line, with names and ports of the test's own."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Callable

import docker
import pytest
from testcontainers.core.network import Network

from tests.provision.images import build_arguments
from tests.support import ROOT
from tests.support.client import get
from tests.support.containers import running_server
from tests.support.documents import Document
from tests.support.waiting import wait_until

README = Document("README.md")


def shell(line: str, **environ: str) -> str:
    done = subprocess.run(
        line,
        shell=True,
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def test_docker_run_of_the_readme(server_image: Callable[[str], str], network: Network) -> None:
    build, run = README.commands("docker run")
    name = f"pingstate-readme-{uuid.uuid4().hex[:8]}"
    arguments = " ".join(f"--build-arg {key}='{text}'" for key, text in build_arguments().items())
    shell(build.replace("docker build", f"docker build {arguments}"))
    run = run.replace("--name pingstate ", f"--name {name} --network {network.name} ")
    run = run.replace("-p 8787:8787", "-p 127.0.0.1::8787").replace("5432", "80")
    (printed,) = (text for text in README.code("console", "docker run") if "docker logs" in text)
    before, after = printed.split("$ docker stop db")
    with running_server(server_image("nginx"), network, alias="db.internal") as server:
        try:
            shell(run)
            port = shell(f"docker port {name} 8787").splitlines()[0].rpartition(":")[2]
            container = docker.from_env().containers.get(name)
            wait_until(lambda: _health(container) == "healthy", what="it is healthy")
            hold_console(before, name, port)
            server.stop()
            url = f"http://127.0.0.1:{port}/state"
            wait_until(lambda: _state(url) == "down", what="the state is down")
            wait_until(lambda: _health(container) == "unhealthy", what="it is unhealthy")
            hold_console(after.partition("\n")[2], name, port)
        finally:
            shell(f"docker rm -f {name}")


def hold_console(session: str, name: str, port: str) -> None:
    """Run the lines after a `$`, and hold their output to what is printed; numbers may differ."""
    for step in session.split("$ ")[1:]:
        line, _, expected = step.partition("\n")
        line = line.replace("localhost:8787", f"127.0.0.1:{port}")
        # A log goes to stderr, as curl's progress does.
        both = " 2>&1" if line.startswith("docker logs") else ""
        said = shell(re.sub(r"\bpingstate$", name, line) + both).strip()
        as_printed = said.replace("db.internal:80", "db.internal:5432")
        assert without_numbers(as_printed) == without_numbers(expected.strip()), line


def without_numbers(text: str) -> str:
    """Times and measured figures as N."""
    text = re.sub(r"(?m)^[\dT:.-]+Z", "TIME", text)
    return re.sub(r"[\d.]+ ms", "N ms", text)


def test_compose_of_the_readme(
    image: str, server_image: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    up, ask, stop, start, down = README.commands("A compose sidecar")
    assert ask == "curl localhost:8787/state"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"pingstate-readme-{uuid.uuid4().hex[:8]}")
    monkeypatch.setenv("PINGSTATE_IMAGE", image)
    monkeypatch.setenv("NGINX_IMAGE", server_image("nginx"))
    monkeypatch.setenv("API_PORT", "0")
    try:
        shell(up)
        port = shell("docker compose port pingstate 8787").rpartition(":")[2].strip()
        url = f"http://127.0.0.1:{port}/state"
        assert get(url) == (200, "up")
        shell(stop)
        wait_until(lambda: _state(url) == "down", what="the state is down")
        assert get(url.replace("state", "healthz"))[0] == 503
        shell(start)
        wait_until(lambda: _state(url) == "up", what="the state is up")
    finally:
        shell(down)


def _state(url: str) -> str:
    try:
        return get(url)[1]
    except OSError:
        return ""


def _health(container: docker.models.containers.Container) -> str:
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])
