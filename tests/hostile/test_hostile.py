"""Every hostile mode against the probes: right, on time, in little memory, leaving nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import requests

from pingstate import ProbeResult
from tests.hostile.catalogue import Case
from tests.hostile.measure import (
    CASES,
    Measured,
    Timeouts,
    faults,
    good_servers,
    measure,
    measuring,
)

TIMEOUTS = Timeouts(hanging=0.5, answering=2.0)
AT_ONCE = 6  # modes wait more than they work, so that more than there are processors go together

# Any one test may wait for all that were queued before it.
pytestmark = pytest.mark.timeout(300)

Waits = dict[str, Callable[[], Measured]]


@pytest.fixture(scope="module")
def measurements(request: pytest.FixtureRequest) -> Iterator[Waits]:
    """The measurements of the modes that were selected, under way."""
    selected = [
        cast("Case", item.callspec.params["case"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == test_hostile_target_is_judged_right_and_on_time.__name__
    ]
    with measuring(selected, TIMEOUTS, AT_ONCE) as waits:
        yield waits


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_hostile_target_is_judged_right_and_on_time(case: Case, measurements: Waits) -> None:
    assert faults(case, measurements[case.id](), TIMEOUTS) == []


# --- the ruler itself ----------


class Naive:
    """The probe that everybody writes first."""

    def __init__(self, protocol: str, address: str, port: int, *, timeout: float, **_: Any) -> None:
        self.name = f"{protocol}://{address}:{port}/"
        self.timeout = timeout

    def check(self) -> ProbeResult:
        response = requests.get(self.name, timeout=self.timeout)
        return ProbeResult(ok=response.ok, latency_ms=0.0, detail=response.reason)


def measure_naive(name: str) -> list[str]:
    case = next(case for case in CASES if case.id == name)
    with contextlib.ExitStack() as stack:
        measured = measure(case, TIMEOUTS.hanging, good_servers(stack), make=Naive, patience=2.0)
    return faults(case, measured, TIMEOUTS)


def test_naive_probe_never_comes_back_from_a_dripped_head() -> None:
    with pytest.raises(TimeoutError):
        measure_naive("drips-head-http")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("gzip-bomb-http", "grew by"),
        ("close-after-status-line-http", "is up"),
        ("status-700-http", "is up"),
        ("reason-of-escapes-http", "no printable line"),
    ],
)
def test_ruler_finds_fault_with_a_naive_probe(name: str, fault: str) -> None:
    assert fault in " ".join(measure_naive(name))
