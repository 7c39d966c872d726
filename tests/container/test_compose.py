"""compose.yaml as a user runs it: green at once, the gate, the target's death and return."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator

import docker
import pytest
from docker.models.containers import Container
from testcontainers.compose import DockerCompose

from tests.support import ROOT
from tests.support.client import get
from tests.support.containers import (
    API_PORT,
    get_health,
    health_log,
    parse_engine_time,
    wait_before_first_check,
)
from tests.support.waiting import wait_until


@pytest.fixture
def compose(
    image: str, server_image: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[DockerCompose]:
    """The project under a name and a port of its own, beside one that may be running."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"pingstate-test-{uuid.uuid4().hex[:8]}")
    monkeypatch.setenv("PINGSTATE_IMAGE", image)
    monkeypatch.setenv("NGINX_IMAGE", server_image("nginx"))
    monkeypatch.setenv("API_PORT", "0")
    compose = DockerCompose(ROOT)
    try:
        yield compose
    finally:
        compose.stop()


def container_of(compose: DockerCompose, service: str) -> Container:
    identity = compose.get_container(service, include_all=True).ID
    return docker.from_env().containers.get(str(identity))


def compose_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["docker", "compose", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


def test_up_wait_ends_green_and_the_state_follows_the_target(compose: DockerCompose) -> None:
    compose.start()
    url = f"http://127.0.0.1:{compose.get_service_port('pingstate', API_PORT)}"
    assert get(f"{url}/state")[1].strip() == "up"
    sidecar = container_of(compose, "pingstate")
    assert get_health(sidecar) == "healthy"

    seen = ["up"]

    def reached(goal: str) -> Callable[[], bool]:
        def look() -> bool:
            state = get(f"{url}/state")[1].strip()
            if state != seen[-1]:
                seen.append(state)
            return seen[-1] == goal

        return look

    assert compose_run("stop", "target").returncode == 0
    wait_until(reached("down"), what="the state becomes down")
    assert seen == ["up", "degraded", "down"]
    assert get(f"{url}/healthz")[0] == 503
    wait_until(lambda: get_health(sidecar) == "unhealthy", what="the sidecar is unhealthy")

    assert compose_run("start", "target").returncode == 0
    wait_until(reached("up"), what="the state becomes up")
    assert get(f"{url}/healthz")[0] == 200
    wait_until(lambda: get_health(sidecar) == "healthy", what="the sidecar is healthy")


def test_the_app_starts_after_the_sidecar_is_healthy(compose: DockerCompose) -> None:
    compose.start()
    log = health_log(container_of(compose, "pingstate"))
    healthy = next(entry["End"] for entry in log if entry["ExitCode"] == 0)
    started = container_of(compose, "app").attrs["State"]["StartedAt"]
    assert parse_engine_time(started) >= parse_engine_time(healthy)


def test_the_first_health_check_comes_after_a_second_and_may_fail(compose: DockerCompose) -> None:
    # Not by `up --wait`: the log keeps five checks, and the first must still be among them.
    assert compose_run("up", "--detach", "--no-deps", "pingstate").returncode == 0
    sidecar = container_of(compose, "pingstate")
    # Newer engines wait for 5 s in a start period, whatever the interval.
    assert 1 <= wait_before_first_check(sidecar) < 4
    assert health_log(sidecar)[0]["ExitCode"] == 1
    assert get_health(sidecar) == "starting"
    assert sidecar.attrs["Config"]["Healthcheck"]["Test"] == ["CMD", "pingstate", "healthcheck"]


def test_the_app_never_starts_while_the_target_is_missing(compose: DockerCompose) -> None:
    up = compose_run("up", "--wait", "--scale", "target=0")
    assert up.returncode != 0
    assert "unhealthy" in up.stderr
    assert container_of(compose, "app").attrs["State"]["Status"] == "created"


def test_down_leaves_nothing_behind(compose: DockerCompose) -> None:
    compose.start()
    assert len(compose.get_containers(include_all=True)) == 3
    compose.stop()
    assert compose.get_containers(include_all=True) == []


def test_every_image_and_the_port_can_be_overridden(compose: DockerCompose, image: str) -> None:
    config = compose.get_config()
    images = {name: service["image"] for name, service in config["services"].items()}
    assert images["pingstate"] == image
    assert images["target"] == images["app"]
    assert str(config["services"]["pingstate"]["ports"][0]["published"]) == "0"
