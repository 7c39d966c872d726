"""Containers from outside: how long until they answer, are healthy, and have stopped."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.provision.commands import ROOT, SetupError
from tests.provision.images import ensure_image
from tests.support.client import free_port, get
from tests.support.containers import parse_engine_time

from .figures import Round

LIMIT = 60.0  # seconds

# The API's port in the container, then what is run there; each checks its own API's port.
COMMANDS = {
    "pingstate": ["-e", "PINGSTATE_ADDRESS=127.0.0.1", "-e", "PINGSTATE_PORT=8787", "{image}"],
    "original": [
        "--entrypoint", "/opt/peers/pingstate/bin/pingstate", "{bench}",
        "--api-host", "0.0.0.0", "--address", "127.0.0.1", "--port", "8787", "--interval", "0.2",
    ],
    "blackbox": [
        "--entrypoint", "/usr/bin/prometheus-blackbox-exporter", "{bench}",
        "--config.file=/etc/prometheus/blackbox.yml", "--web.listen-address=:8787", "--log.level=error",
    ],
}  # fmt: skip
# The original is down until its second check, as its first one comes before its API.
PATHS = {"pingstate": "/healthz", "original": "/state", "blackbox": "/-/healthy"}


def docker(*arguments: str, **environ: str) -> str:
    ended = subprocess.run(
        ("docker", *arguments),
        env={**os.environ, **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise SetupError(f"docker {' '.join(arguments)}: {ended.stderr}")
    return ended.stdout.strip()


def until(what: str, condition: Callable[[], bool], step: float) -> None:
    limit = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > limit:
            raise SetupError(f"{what}: not within {LIMIT:g} s")
        time.sleep(step)


def answers(url: str) -> bool:
    try:
        return get(url, timeout=5)[0] == 200
    except OSError:
        return False


@contextmanager
def answering(name: str, image: str, bench: str) -> Iterator[str]:
    """A container that has answered 200, removed with the block."""
    port = free_port()
    options = [part.format(image=image, bench=bench) for part in COMMANDS[name]]
    container = docker("run", "-d", "-p", f"127.0.0.1:{port}:8787", *options)
    try:
        url = f"http://127.0.0.1:{port}{PATHS[name]}"
        until(f"{name} answers 200", lambda: answers(url), 0.002)
        yield container
    finally:
        docker("rm", "-f", container)


def start_and_health(container: str) -> tuple[float, float]:
    """When a container was started, and when a health check first found it healthy: Unix times."""
    state: dict[str, Any] = {}

    def healthy() -> bool:
        state.update(json.loads(docker("inspect", "-f", "{{json .State}}", container)))
        return bool(state["Health"]["Status"] == "healthy")

    until("pingstate is healthy", healthy, 0.1)
    first = next(check for check in state["Health"]["Log"] if check["ExitCode"] == 0)
    return parse_engine_time(state["StartedAt"]), parse_engine_time(first["End"])


def composed(image: str) -> float:
    """Seconds to healthy of the sidecar in compose.yaml."""
    environ = {
        "COMPOSE_PROJECT_NAME": f"pingstate-bench-{uuid.uuid4().hex[:8]}",
        "PINGSTATE_IMAGE": image,
        "NGINX_IMAGE": ensure_image("nginx"),
        "API_PORT": "0",
    }
    try:
        docker("compose", "up", "-d", "--no-build", "pingstate", **environ)
        container = docker("compose", "ps", "-q", "pingstate", **environ)
        started, healthy = start_and_health(container)
        return healthy - started
    finally:
        docker("compose", "down", **environ)


def measure(image: str, bench: str, *, times: int = 3) -> Round:
    """`docker run` to the first 200 (the median of so many), to healthy, and `docker stop`.

    Then from the start of compose.yaml's sidecar until it is healthy, and the image's size.
    """
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    rows: Round = {"docker run to 200": {}, "docker run to healthy": {}, "docker stop": {}}
    for first in (True, *[False] * (times - 1)):
        for name in COMMANDS:
            began, began_at = time.perf_counter(), time.time()
            with answering(name, image, bench) as container:
                took[name].append((time.perf_counter() - began) * 1000)
                if not first:
                    continue
                if name == "pingstate":
                    _, healthy = start_and_health(container)
                    rows["docker run to healthy"][name] = (healthy - began_at) * 1000
                began = time.perf_counter()
                docker("stop", container)
                rows["docker stop"][name] = (time.perf_counter() - began) * 1000
    rows["docker run to 200"] = {name: statistics.median(each) for name, each in took.items()}
    rows["compose to healthy"] = {"pingstate": composed(image) * 1000}
    rows["image"] = {"pingstate": int(docker("inspect", "-f", "{{.Size}}", image)) / 1e6}
    return rows
