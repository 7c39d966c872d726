"""What a user of `docker run` is told, as the README prints it; and users that a platform chooses."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
import yaml
from docker.errors import APIError
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer
from testcontainers.core.image import DockerImage
from testcontainers.core.network import Network

from tests.provision.images import build_arguments
from tests.support import ROOT
from tests.support.containers import (
    HARDENED,
    SidecarContainer,
    get_health,
    knows_start_interval,
    running_server,
    wait_before_first_check,
)
from tests.support.documents import Document
from tests.support.waiting import wait_until

README = Document("README.md")
IMAGE = "pingstate:0.1.0"

# A sidecar that checks its own API needs no other target.
ITSELF = {"PINGSTATE_ADDRESS": "127.0.0.1", "PINGSTATE_PORT": "8787"}

# No lookup leaves the engine: this server says of every name that there is none.
NAME_SERVER = """
import socket

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
while True:
    query, client = server.recvfrom(512)
    head = query[:2] + b"\\x81\\x83" + query[4:6] + bytes(6)
    server.sendto(head + query[12:], client)
"""


def printed() -> list[tuple[str, str]]:
    """The commands of the README's section, each with the output that is printed below it."""
    (block,) = (text for text in README.code("console", "docker run") if "--rm" in text)
    return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)+)", block, re.MULTILINE)


WRONG, TAKEN, UNKNOWN = printed()


def docker_run(line: str, image: str, *options: str) -> tuple[int, str]:
    """Run the line with the image under test and further options: its exit code and its output."""
    run, rest = line.split("docker run ")
    assert run == ""
    assert rest.count(IMAGE) == 1
    command = ["docker", "run", *options, *shlex.split(rest.replace(IMAGE, image))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


def without_latency(text: str) -> str:
    return re.sub(r"\([0-9.]+ ms\)", "(… ms)", text)


@pytest.fixture
def name_server(image: str, network: Network) -> Iterator[str]:
    """The address of a name server that knows no name."""
    container = DockerContainer(image, entrypoint="python", command=["-c", NAME_SERVER])
    with container.with_network(network):
        server = container.get_wrapped_container()

        def address() -> str:
            server.reload()
            networks = server.attrs["NetworkSettings"]["Networks"]
            return str(networks[network.name]["IPAddress"]) if server.status == "running" else ""

        yield wait_until(address, what="the name server has an address")


def test_a_wrong_setting_is_told_as_the_readme_prints_it(image: str) -> None:
    line, output = WRONG
    assert docker_run(line, image, "--network", "none") == (2, output)


def test_a_taken_port_is_told_as_the_readme_prints_it(image: str) -> None:
    line, output = TAKEN
    settings = {"PINGSTATE_ADDRESS": "127.0.0.1"}
    client = docker.from_env()
    first = client.containers.run(
        image, detach=True, network_mode="none", environment=settings, **HARDENED
    )
    try:
        wait_until(lambda: b"API on" in first.logs(), what="the first one listens")
        # In the first one's network its port is taken as the host's would be.
        line = line.replace("--network host", f"--network container:{first.id}")
        assert docker_run(line, image) == (1, output)
    finally:
        first.remove(force=True)


def test_docker_says_which_published_port_is_taken_and_another_one_helps(image: str) -> None:
    (advice,) = re.findall(r"`(-p [0-9]+:8787)`", Document("README.md").text)
    line = f"docker run --rm {advice} -e PINGSTATE_ADDRESS=127.0.0.1 {IMAGE} --print-config"
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        code, said = docker_run(line.replace("8788:", f"{taken}:"), image)
        assert code == 125
        assert taken in said
    code, said = docker_run(line.replace("8788:", "127.0.0.1::"), image)
    assert code == 0, said


def test_a_target_on_the_host_is_reached_as_the_readme_says(image: str) -> None:
    (option,) = re.findall(r"`(--add-host \S+)`", Document("README.md").text)
    name = option.split()[1].partition(":")[0]
    # Any address: which one the host has for its containers is the engine's business.
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        settings = f"-e PINGSTATE_ADDRESS={name} -e PINGSTATE_PORT={port}"
        line = f"docker run --rm {option} {settings} {IMAGE} --once"
        code, said = docker_run(line, image)
        assert code == 0, said
        code, said = docker_run(line.replace(f"ADDRESS={name}", "ADDRESS=localhost"), image)
        assert (code, "connection refused" in said) == (1, True), said


def test_an_address_that_does_not_resolve_is_told_as_the_readme_prints_it(
    image: str, network: Network, name_server: str
) -> None:
    line, output = UNKNOWN
    options = ("--network", network.name, "--dns", name_server, "--dns-search", ".")
    code, said = docker_run(line, image, *options)
    assert (code, without_latency(said)) == (1, without_latency(output))


def test_the_log_of_a_sidecar_tells_the_same_of_an_address_that_does_not_resolve(
    image: str, network: Network, name_server: str
) -> None:
    _, output = UNKNOWN
    reason = without_latency(output).partition(" is down: ")[2].removesuffix(" (… ms)\n")
    sidecar = docker.from_env().containers.run(
        image,
        detach=True,
        network=network.name,
        dns=[name_server],
        environment={"PINGSTATE_ADDRESS": "db.internl"},
        **HARDENED,
    )
    try:
        line = f"tcp://db.internl:443: unknown -> down: {reason}"
        wait_until(lambda: line in sidecar.logs().decode(), what=line)
    finally:
        sidecar.remove(force=True)


def test_health_is_asked_for_at_once_where_the_engine_knows_a_start_interval(image: str) -> None:
    (told,) = re.findall(r"`(docker run --health-start-interval \w+)`", README.text)
    environment = [f"--env={name}={value}" for name, value in ITSELF.items()]
    command = [*shlex.split(told), "--detach", *environment, image]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if not knows_start_interval():
        assert done.returncode != 0
        assert "--health-start-interval" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    container = docker.from_env().containers.get(done.stdout.strip())
    try:
        # The image's own interval is 5 s.
        assert wait_before_first_check(container) < 4
        wait_until(lambda: get_health(container) == "healthy", what="it is healthy")
    finally:
        container.remove(force=True)


def test_a_released_image_is_asked_for_its_health_at_once(image: str, tmp_path: Path) -> None:
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    (command,) = (
        step["run"] for step in release["jobs"]["image"]["steps"] if "HEALTHCHECK" in str(step)
    )
    dockerfile = tmp_path / "Dockerfile"
    ours = (ROOT / "Dockerfile").read_text()
    dockerfile.write_text(ours)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    told = dockerfile.read_text()
    assert told == ours.replace("HEALTHCHECK ", "HEALTHCHECK --start-interval=250ms ")
    assert told != ours
    build = DockerImage(
        path=ROOT,
        tag=f"{image}-released",
        dockerfile_path=str(dockerfile),
        buildargs=build_arguments(),
        rm=True,
    )
    if not knows_start_interval():
        with pytest.raises(APIError, match="start-interval"):
            build.build()
        return
    with build, DockerContainer(str(build)).with_envs(**ITSELF) as released:
        container = released.get_wrapped_container()
        assert wait_before_first_check(container) < 4
        wait_until(lambda: get_health(container) == "healthy", what="it is healthy")


# OpenShift's restricted-v2: a user of the namespace's range, in the group 0. Others choose both.
@pytest.mark.parametrize("user", ["1000680000:0", "1:1", "1000680000:1000680000"])
def test_any_user_may_run_it(
    image: str, server_image: Callable[[str], str], network: Network, user: str
) -> None:
    with running_server(server_image("nginx"), network) as nginx:
        container = DockerContainer(image).with_network(network).with_exposed_ports(8787)
        container.with_envs(
            PINGSTATE_PROTOCOL="http", PINGSTATE_ADDRESS="target", PINGSTATE_INTERVAL="1"
        )
        with container.with_kwargs(user=user, **HARDENED):
            sidecar = SidecarContainer(container)
            docker_container: Container = sidecar.docker
            wait_until(lambda: get_health(docker_container) == "healthy", what="it is healthy")
            ids = sidecar.python("import os; print(os.getuid(), os.getgid(), sep=':')")
            assert ids == user
            assert sidecar.get("/healthz") == (200, "up")
            nginx.stop()
            wait_until(lambda: sidecar.get("/healthz")[0] == 503, what="it is down")
            docker_container.stop(timeout=20)
            assert docker_container.wait()["StatusCode"] == 0
