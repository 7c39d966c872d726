"""Real servers, each stopped, killed, paused and cut off, and brought back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import docker
import pytest
import trustme
from docker.models.containers import Container
from testcontainers.core.network import Network

from tests.support.containers import API_PORT, SidecarContainer, running_server, running_sidecar
from tests.support.waiting import wait_until

TLS_SITE = b"""
server {
    listen 443 ssl;
    ssl_certificate /etc/nginx/target.pem;
    ssl_certificate_key /etc/nginx/target.pem;
    location / { return 200 "private\\n"; }
}
"""


@dataclass(frozen=True)
class Target:
    """A server to watch, what the sidecar is told of it, and whether a pause shows."""

    role: str
    settings: dict[str, str]
    pause_shows: bool
    environment: dict[str, str] = field(default_factory=dict)


TARGETS = {
    "nginx": Target("nginx", {"PROTOCOL": "http", "PORT": "80"}, pause_shows=True),
    "nginx_tls": Target(
        "nginx",
        {
            "PROTOCOL": "https",
            "PORT": "443",
            "CA_FILE": "/authority.pem",
            "CHECK": "body_contains:private",
        },
        pause_shows=True,
    ),
    # The kernel goes on accepting connections for a process that is paused.
    "redis": Target("redis", {"PROTOCOL": "tcp", "PORT": "6379"}, pause_shows=False),
    "redis_ping": Target(
        "redis",
        {"PROTOCOL": "tcp", "PORT": "6379", "SEND": r"PING\r\n", "CHECK": "banner_contains:+PONG"},
        pause_shows=True,
    ),
    "openssh": Target(
        "openssh",
        {"PROTOCOL": "tcp", "PORT": "22", "CHECK": "banner_contains:SSH-2.0"},
        pause_shows=True,
    ),
    "postgres": Target(
        "postgres",
        {"PROTOCOL": "tcp", "PORT": "5432"},
        pause_shows=False,
        environment={"POSTGRES_PASSWORD": "secret"},
    ),
}


@dataclass
class Watched:
    target: Target
    server: Container
    sidecar: SidecarContainer
    network: Network

    def cut(self, container: Container) -> None:
        docker.from_env().networks.get(self.network.name).disconnect(container)

    def rejoin(self, container: Container, *aliases: str) -> None:
        self.network.connect(container.id or "", list(aliases))


@pytest.fixture(scope="module", params=list(TARGETS))
def watched(
    request: pytest.FixtureRequest, image: str, server_image: Callable[[str], str]
) -> Iterator[Watched]:
    """One server and its sidecar for all the faults; each test leaves the target up again."""
    target = TARGETS[request.param]
    authority = trustme.CA()
    certificate = authority.issue_cert("target").private_key_and_cert_chain_pem.bytes()
    tls = target.settings["PROTOCOL"] == "https"
    site = {"/etc/nginx/conf.d/tls.conf": TLS_SITE, "/etc/nginx/target.pem": certificate}
    trust = {"/authority.pem": authority.cert_pem.bytes()}
    settings = {f"PINGSTATE_{name}": value for name, value in target.settings.items()}
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        server = stack.enter_context(
            running_server(
                server_image(target.role),
                network,
                environment=target.environment,
                files=site if tls else {},
            )
        )
        sidecar = stack.enter_context(
            running_sidecar(
                image,
                network,
                {"PINGSTATE_ADDRESS": "target", **settings},
                trust if tls else {},
            )
        )
        # Without regard to how long the server took to come up.
        wait_until(lambda: sidecar.snapshot()["state"] == "up", what="the target is up")
        del sidecar.states[:-1]
        yield Watched(target, server, sidecar, network)


def test_a_stopped_target_goes_degraded_then_down_and_comes_back(watched: Watched) -> None:
    watched.server.stop(timeout=10)
    snapshot = watched.sidecar.follow("up", "degraded", "down")
    assert snapshot["last_phase"] in {"dns", "connect"}
    assert watched.sidecar.get("/healthz")[0] == 503
    assert watched.sidecar.get("/livez")[0] == 200
    watched.server.start()
    watched.sidecar.follow("down", "up")
    assert watched.sidecar.get("/healthz")[0] == 200


def test_a_killed_target_goes_degraded_then_down_and_comes_back(watched: Watched) -> None:
    watched.server.kill()
    watched.sidecar.follow("up", "degraded", "down")
    watched.server.start()
    watched.sidecar.follow("down", "up")


def test_a_paused_target_shows_unless_a_bare_connect_is_the_check(watched: Watched) -> None:
    watched.server.pause()
    try:
        if watched.target.pause_shows:
            watched.sidecar.follow("up", "degraded", "down")
        else:
            watched.sidecar.stays("up")
    finally:
        watched.server.unpause()
    if watched.target.pause_shows:
        watched.sidecar.follow("down", "up")
    watched.sidecar.stays("up")


def test_a_target_cut_from_the_network_goes_down_and_comes_back(watched: Watched) -> None:
    watched.cut(watched.server)
    watched.sidecar.follow("up", "degraded", "down")
    watched.rejoin(watched.server, "target")
    watched.sidecar.follow("down", "up")


@pytest.mark.parametrize("watched", ["nginx"], indirect=True)
def test_a_sidecar_cut_from_the_network_says_down_inside_and_comes_back(watched: Watched) -> None:
    sidecar = watched.sidecar
    ask = (
        "import urllib.request as request;"
        f"print(request.urlopen('http://127.0.0.1:{API_PORT}/status').read().decode())"
    )
    watched.cut(sidecar.docker)
    # Its published port is gone with the network; inside, the API still answers.
    snapshot = wait_until(
        lambda: (s := json.loads(sidecar.python(ask)))["state"] == "down" and s,
        what="the state inside becomes down",
    )
    assert not snapshot["stale"]
    watched.rejoin(sidecar.docker)
    wait_until(
        lambda: json.loads(sidecar.python(ask))["state"] == "up", what="the state becomes up"
    )
    sidecar.snapshot()
    del sidecar.states[:-1]
    sidecar.stays("up")
