"""A compose project of the user's own, with the README's lines in it and nothing else of ours."""

from __future__ import annotations

import copy
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from docker.models.containers import Container
from testcontainers.core.network import Network

from tests.support.containers import (
    get_health,
    health_log,
    knows_start_interval,
    parse_engine_time,
    running_server,
    wait_before_first_check,
)
from tests.support.documents import Document
from tests.support.waiting import wait_until

ORDERS = b"""
server {
    listen 80 default_server;
    default_type application/json;
    location / {
        if ($http_authorization != "Bearer s3cr3t") { return 401; }
        return 200 '{"status": "ok"}';
    }
}
"""

Lines = dict[str, Any]


README = Document("README.md")
FIVE_LINES, GATE, CHECKS = map(yaml.safe_load, README.code("yaml", "A compose sidecar"))


class Project:
    """A folder with a compose file, and what `docker compose` does in it."""

    def __init__(self, folder: Path, lines: Lines) -> None:
        self.folder = folder
        self.name = f"pingstate-own-{uuid.uuid4().hex[:8]}"
        self._commands: list[subprocess.Popen[str]] = []
        (folder / "compose.yaml").write_text(yaml.safe_dump(lines))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `docker compose` and don't wait for its end."""
        command = ["docker", "compose", "-p", self.name, *arguments]
        pipe = subprocess.PIPE
        self._commands.append(
            subprocess.Popen(command, cwd=self.folder, stdout=pipe, stderr=pipe, text=True)
        )
        return self._commands[-1]

    def run(self, *arguments: str) -> tuple[int, str]:
        return ended(self.start(*arguments))

    def close(self) -> None:
        """End what still runs, and take the project away."""
        for command in self._commands:
            if command.poll() is None:
                command.kill()
                command.communicate()
        code, said = self.run("down", "--timeout", "5")
        assert code == 0, said

    def container(self, service: str) -> Container | None:
        """The service's container, also one that has not started; None before there is one."""
        labels = [f"com.docker.compose.{key}" for key in ("project", "service")]
        pairs = zip(labels, (self.name, service), strict=True)
        chosen = {"label": ["=".join(pair) for pair in pairs]}
        found = docker.from_env().containers.list(all=True, filters=chosen)
        return found[0] if found else None

    def status(self, service: str) -> str:
        container = self.container(service)
        return "" if container is None else str(container.status)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code of `docker compose`, and what it said."""
    try:
        out, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out + err


@pytest.fixture
def project(
    tmp_path: Path, image: str, server_image: Callable[[str], str], network: Network
) -> Iterator[Callable[..., Project]]:
    """Make a project of one service `app` and of lines of the README's, on the target's network."""
    made: list[Project] = []

    def make(*parts: Lines) -> Project:
        lines: Lines = {
            "services": {"app": {"image": server_image("nginx")}},
            "networks": {"default": {"name": network.name, "external": True}},
        }
        for part in copy.deepcopy(parts):
            for service, more in part.pop("services").items():
                lines["services"].setdefault(service, {}).update(more)
            lines.update(part)
        sidecar = lines["services"]["pingstate"]
        assert sidecar["image"] == "pingstate:0.1.0"
        sidecar["image"] = image
        made.append(Project(tmp_path, lines))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def database(server_image: Callable[[str], str], network: Network) -> Callable[[], Any]:
    """A PostgreSQL outside of the project, by the name that the README gives it."""
    environment = {"POSTGRES_PASSWORD": "secret"}
    return lambda: running_server(
        server_image("postgres"), network, alias="db.internal", environment=environment
    )


def test_the_readmes_lines_are_five_and_a_gate() -> None:
    (block,) = FIVE_LINES["services"].values()
    assert FIVE_LINES["services"].keys() == {"pingstate"}
    # pingstate:, image:, environment: and its variables.
    assert 1 + len(block) + len(block["environment"]) == 5
    assert GATE == {
        "services": {"app": {"depends_on": {"pingstate": {"condition": "service_healthy"}}}}
    }


def test_an_app_starts_once_a_dependency_outside_the_file_is_up(
    project: Callable[..., Project], database: Callable[[], Any]
) -> None:
    own = project(FIVE_LINES, GATE)
    with database():
        code, said = own.run("up", "--wait")
        assert code == 0, said
        assert own.status("app") == "running"
        sidecar = own.container("pingstate")
        assert sidecar is not None
        assert get_health(sidecar) == "healthy"
        healthy = next(one["End"] for one in health_log(sidecar) if one["ExitCode"] == 0)
        app = own.container("app")
        assert app is not None
        started = app.attrs["State"]["StartedAt"]
        assert parse_engine_time(started) >= parse_engine_time(healthy)


def test_the_gate_waits_for_as_long_as_the_readme_says(
    project: Callable[..., Project], database: Callable[[], Any]
) -> None:
    (line,) = re.findall(r"`healthcheck: (\{start_period: \w+\})`", README.text)
    period = {"services": {"pingstate": {"healthcheck": yaml.safe_load(line)}}}
    own = project(FIVE_LINES, GATE, period)
    up = own.start("up", "--wait")

    def failed() -> bool:
        sidecar = own.container("pingstate")
        if sidecar is None or sidecar.status != "running":
            return False
        # Longer than the image's own patience, and it goes on.
        return len(health_log(sidecar)) >= 4

    wait_until(failed, what="four health checks have failed")
    assert own.status("app") == "created"
    assert up.poll() is None
    with database():
        code, said = ended(up)
        assert code == 0, said
        assert own.status("app") == "running"


def test_the_pace_of_the_wait_is_one_that_the_engine_knows(
    project: Callable[..., Project],
) -> None:
    (line,) = re.findall(
        r"`healthcheck: (\{start_period: \w+, start_interval: \w+\})`", README.text
    )
    own = project(FIVE_LINES, {"services": {"pingstate": {"healthcheck": yaml.safe_load(line)}}})
    code, said = own.run("up", "--detach", "pingstate")
    if not knows_start_interval():
        assert code != 0
        assert "start_interval" in said
        return
    assert code == 0, said
    sidecar = own.container("pingstate")
    assert sidecar is not None
    assert 1 <= wait_before_first_check(sidecar) < 4


def test_without_its_dependency_an_app_never_starts(project: Callable[..., Project]) -> None:
    own = project(FIVE_LINES, GATE)
    code, said = own.run("up", "--wait")
    assert code != 0
    assert "unhealthy" in said
    assert own.status("app") == "created"


@pytest.mark.parametrize(
    ("secret", "page", "code"),
    [
        ("Authorization: Bearer s3cr3t\n", ORDERS, 0),
        ("Authorization: Bearer another\n", ORDERS, 1),
        ("Authorization: Bearer s3cr3t\n", ORDERS.replace(b'"ok"', b'"failing"'), 1),
        ("Authorization: Bearer s3cr3t\n", ORDERS.replace(b"200 '", b"203 '"), 1),
    ],
    ids=["all hold", "another secret", "another status in the JSON", "another status"],
)
def test_several_checks_must_all_hold_for_who_sends_the_secret_of_a_file(
    project: Callable[..., Project],
    server_image: Callable[[str], str],
    network: Network,
    tmp_path: Path,
    secret: str,
    page: bytes,
    code: int,
) -> None:
    (tmp_path / "orders.txt").write_text(secret)
    own = project(CHECKS, GATE)
    files = {"/etc/nginx/conf.d/default.conf": page}
    with running_server(server_image("nginx"), network, alias="orders", files=files):
        ended, said = own.run("up", "--wait")
    assert ended == code, said
    assert own.status("app") == ("created" if code else "running")
    sidecar = own.container("pingstate")
    assert sidecar is not None
    assert "s3cr3t" not in sidecar.logs().decode()
