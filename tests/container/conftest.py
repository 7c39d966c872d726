from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testcontainers.core.image import DockerImage
from testcontainers.core.network import Network

from tests.provision.images import build_arguments, ensure_image
from tests.support import ROOT

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.container)
            # The first of them builds the image.
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def image() -> str:
    """The image, built here from the Dockerfile by the engine's classic builder."""
    tag = os.environ.get("PINGSTATE_IMAGE", "pingstate:0.1.0")
    build = DockerImage(path=ROOT, tag=tag, clean_up=False, buildargs=build_arguments(), rm=True)
    return str(build.build())


@pytest.fixture(scope="session")
def server_image() -> Callable[[str], str]:
    """Tell the image of a real server: one of TARGETS."""

    def name(role: str) -> str:
        given = os.environ.get(f"PINGSTATE_TEST_{role.upper()}_IMAGE")
        return given or ensure_image(role)

    return name


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network
