"""A pingstate container as its users see it: set by environment, watched through its API."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# Before testcontainers reads it: `with` removes every container here, so no reaper is pulled.
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

import docker
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.support.client import get
from tests.support.waiting import wait_until

API_PORT = 8787

# A quick rhythm with a patient timeout: states follow soon, and no check fails for mere load.
RHYTHM = {"PINGSTATE_INTERVAL": "0.25", "PINGSTATE_TIMEOUT": "2"}

HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def get_health(container: Container) -> str:
    """Tell what the engine holds of a container's health now."""
    container.reload()
    status: str = container.attrs["State"]["Health"]["Status"]
    return status


def health_log(container: Container) -> list[dict[str, Any]]:
    """The last five health checks of a container, as the engine holds them."""
    container.reload()
    log: list[dict[str, Any]] = container.attrs["State"]["Health"]["Log"]
    return log


def parse_engine_time(text: str) -> float:
    """A moment as the engine writes it, to the nanosecond and in UTC or its own zone: Unix time."""
    match = re.fullmatch(r"(.{19})(\.\d+)?(.+)", text)
    assert match is not None, text
    seconds, fraction, zone = match.groups()
    moment = datetime.strptime(f"{seconds}{zone}", "%Y-%m-%dT%H:%M:%S%z")
    return moment.timestamp() + float(fraction or 0)


def knows_start_interval() -> bool:
    """Whether the engine is Docker 25 or newer, whose health checks have a start interval."""
    major, minor = docker.from_env().version()["ApiVersion"].split(".")
    return (int(major), int(minor)) >= (1, 44)


def wait_before_first_check(container: Container) -> float:
    """Seconds from a container's start to its first health check; asked for before the sixth."""
    first: dict[str, Any] = wait_until(lambda: health_log(container), what="a health check")[0]
    started = container.attrs["State"]["StartedAt"]
    return parse_engine_time(first["Start"]) - parse_engine_time(started)


@dataclass
class SidecarContainer:
    """A sidecar in a container, and the states that its API has told of since the last `follow`."""

    container: DockerContainer
    port: int = API_PORT  # of the API, inside
    states: list[str] = field(default_factory=list)
    checks: int = 0
    _last_seen: float = 0.0

    @property
    def docker(self) -> Container:
        return self.container.get_wrapped_container()

    def get(self, path: str) -> tuple[int, str]:
        port = self.container.get_exposed_port(self.port)
        return get(f"http://{self.container.get_container_host_ip()}:{port}{path}")

    def snapshot(self) -> dict[str, Any]:
        """Read /status, and note the checks in it that are new."""
        snapshot: dict[str, Any] = json.loads(self.get("/status")[1])
        for check in snapshot["recent"]:
            if check["ts"] > self._last_seen:
                self._last_seen = check["ts"]
                self.checks += 1
                if self.states[-1:] != [check["state"]]:
                    self.states.append(check["state"])
        return snapshot

    def follow(self, *expected: str) -> dict[str, Any]:
        """Wait for the last of these states, and hold that exactly these led there."""

        def arrived() -> dict[str, Any] | None:
            snapshot = self.snapshot()
            return snapshot if self.states[-1:] == [expected[-1]] else None

        snapshot: dict[str, Any] = wait_until(arrived, what=f"the state becomes {expected[-1]}")
        assert self.states == list(expected)
        del self.states[:-1]
        return snapshot

    def stays(self, state: str, *, checks: int = 5) -> None:
        """Wait for some more checks, and hold that each of them left the state as it was."""
        goal = self.checks + checks
        wait_until(lambda: self.snapshot() and self.checks >= goal, what=f"{checks} more checks")
        assert self.states == [state]

    def python(self, code: str) -> str:
        """Run code by the image's interpreter, inside the container; return what it printed."""
        result = self.container.exec(["python", "-c", code])
        assert result.exit_code == 0, result.output.decode()
        return result.output.decode().strip()

    def health(self) -> str:
        return get_health(self.docker)


@contextmanager
def running_sidecar(
    image: str,
    network: Network,
    environment: Mapping[str, str],
    files: Mapping[str, bytes],
    *,
    port: int = API_PORT,
) -> Iterator[SidecarContainer]:
    """Run a sidecar until its API, on this port, has answered; `files` go in by their paths."""
    container = DockerContainer(image).with_envs(**{**RHYTHM, **environment})
    container.with_exposed_ports(port).with_network(network)
    # The engine copies no file into a read-only container.
    container.with_kwargs(**{**HARDENED, "read_only": not files})
    for path, content in files.items():
        container.with_copy_into_container(content, path)
    with container:
        sidecar = SidecarContainer(container, port)

        def answers() -> bool:
            try:
                return sidecar.get("/livez")[0] == 200
            except OSError:
                return False

        try:
            wait_until(answers, what="the API answers")
            yield sidecar
        finally:
            # For the report of a test that failed.
            print(sidecar.docker.logs().decode())


@contextmanager
def running_server(
    image: str,
    network: Network,
    *,
    alias: str = "target",
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    volumes: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
) -> Iterator[Container]:
    """Run a real server under a name on the network."""
    container = DockerContainer(image).with_network(network).with_network_aliases(alias)
    if command:
        container.with_command(list(command))
    container.with_envs(**(environment or {}))
    for path, content in (files or {}).items():
        container.with_copy_into_container(content, path)
    for volume, path in (volumes or {}).items():
        container.with_volume_mapping(volume, path, "rw")
    with container:
        yield container.get_wrapped_container()


def run_to_end(
    image: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    network: Network | None = None,
    volumes: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run a container to its end, cut off unless a network is given: exit code, stdout, stderr."""
    container = DockerContainer(image).with_envs(**(environment or {}))
    if arguments:
        container.with_command(list(arguments))
    if network:
        container.with_network(network)
    for path, content in (files or {}).items():
        container.with_copy_into_container(content, path)
    for volume, path in (volumes or {}).items():
        container.with_volume_mapping(volume, path)
    container.with_kwargs(
        **{**HARDENED, "read_only": not files}, **({} if network else {"network_mode": "none"})
    )
    with container:
        code = container.wait()
        out, err = container.get_logs()
    return code, out.decode(), err.decode()
