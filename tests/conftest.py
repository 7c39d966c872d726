"""The servers and processes of a test, and the options that choose how much is run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests.support.process import Sidecar
from tests.support.target import Target

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# Never the default address, whatever a test forgets to say.
os.environ["PINGSTATE_ADDRESS"] = "127.0.0.1"

# A shell has a job in the background ignore it, and with it all that the job starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--soak-seconds", type=float, default=20.0, help="how long the load test runs")
    parser.addoption(
        "--record-screenshot", action="store_true", help="renew the README's picture of the page"
    )


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    yield server
    server.close()


@pytest.fixture
def sidecar() -> Iterator[Callable[..., Sidecar]]:
    started: list[Sidecar] = []

    def start(*arguments: str, **options) -> Sidecar:
        started.append(Sidecar(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()
