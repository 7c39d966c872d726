"""The README's PostgreSQL probe: its three-line Dockerfile, its driver, a real PostgreSQL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import docker
from testcontainers.core.image import DockerImage
from testcontainers.core.network import Network

from tests.support import ROOT
from tests.support.containers import running_server, running_sidecar
from tests.support.waiting import wait_until


def readme_block(language: str, holding: str) -> str:
    """The README's one block of a language that holds a text."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if holding in block)
    return str(block)


def test_the_readmes_postgres_probe_follows_a_real_postgresql(
    image: str, server_image: Callable[[str], str], network: Network, tmp_path: Path
) -> None:
    # Its `pip` is the one beside the interpreter that runs this.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        readme_block("bash", "pip install --target probes"),
        shell=True,
        env={**os.environ, "PATH": path},
        cwd=tmp_path,
        check=True,
        timeout=300,
    )
    code = readme_block("python", "import pg8000")
    (tmp_path / "probes/postgres.py").write_text(code, encoding="utf-8")
    dockerfile = readme_block("dockerfile", "COPY probes/ /probes/")
    assert len(dockerfile.splitlines()) == 3
    ours, rest = dockerfile.split("\n", 1)
    assert ours == "FROM pingstate:0.1.0"
    dockerfile = f"FROM {image}\n{rest}"
    (tmp_path / "Dockerfile").write_text(dockerfile, encoding="utf-8")

    secret = {"POSTGRES_PASSWORD": "open sesame"}
    access = {"POSTGRES_HOST": "target", "POSTGRES_USER": "postgres", **secret}
    with (
        DockerImage(path=tmp_path, tag="pingstate-test:postgres", rm=True) as built,
        running_server(server_image("postgres"), network, environment=secret) as server,
        running_sidecar(str(built), network, access, {}) as sidecar,
    ):
        wait_until(lambda: sidecar.snapshot()["state"] == "up", what="the database is up")
        del sidecar.states[:-1]
        assert "select 1" in sidecar.snapshot()["last_detail"].lower()
        # Its kernel still accepts connections; only a query tells.
        server.pause()
        sidecar.follow("up", "degraded", "down")
        server.unpause()
        sidecar.follow("down", "up")
        server.kill()
        snapshot = sidecar.follow("up", "degraded", "down")
        assert "sesame" not in str(snapshot)
        server.start()
        sidecar.follow("down", "up")
        server.stop(timeout=10)
        sidecar.follow("up", "degraded", "down")
        server.start()
        sidecar.follow("down", "up")
        docker.from_env().networks.get(network.name).disconnect(server)
        sidecar.follow("up", "degraded", "down")
        network.connect(server.id or "", ["target"])
        sidecar.follow("down", "up")
