"""Containers from outside: how long until they answer, are healthy, and have stopped."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable

from tests.provision.commands import SetupError
from tests.support.client import free_port, get

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


def docker(*arguments: str) -> str:
    ended = subprocess.run(("docker", *arguments), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SetupError(f"docker {' '.join(arguments)}: {ended.stderr}")
    return ended.stdout.strip()


def until(what: str, condition: Callable[[], bool], step: float) -> None:
    limit = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > limit:
            raise SetupError(f"{what}: not within {LIMIT:g} s")
        time.sleep(step)


def measure(image: str, bench: str, *, healthy: bool = True) -> Round:
    """One round of `docker run` to the first 200 and to healthy, `docker stop`, and the size."""
    rows: Round = {}
    for name, command in COMMANDS.items():
        port = free_port()
        options = [part.format(image=image, bench=bench) for part in command]
        began = time.perf_counter()
        container = docker("run", "-d", "--rm", "-p", f"127.0.0.1:{port}:8787", *options)
        try:
            url = f"http://127.0.0.1:{port}{PATHS[name]}"

            def answers(url: str = url) -> bool:
                try:
                    return get(url, timeout=5)[0] == 200
                except OSError:
                    return False

            until(f"{name} answers 200", answers, 0.002)
            rows.setdefault("docker run to 200", {})[name] = (time.perf_counter() - began) * 1000
            if name == "pingstate" and healthy:

                def is_healthy(container: str = container) -> bool:
                    state = json.loads(docker("inspect", "-f", "{{json .State}}", container))
                    return bool(state["Health"]["Status"] == "healthy")

                until("pingstate is healthy", is_healthy, 0.02)
                took = (time.perf_counter() - began) * 1000
                rows.setdefault("docker run to healthy", {})[name] = took
        finally:
            began = time.perf_counter()
            docker("stop", container)
            rows.setdefault("docker stop", {})[name] = (time.perf_counter() - began) * 1000
    rows["image"] = {"pingstate": int(docker("inspect", "-f", "{{.Size}}", image)) / 1e6}
    return rows
