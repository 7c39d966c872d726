"""What pingstate costs stays what the record says, and the README says what the record does."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from . import __main__ as command
from . import figures

RECORD: dict[str, Any] = json.loads(command.RECORD.read_text())
# A ratio that is so many times the recorded one is no accident of the machine.
TOLERANCE = 1.5


@pytest.fixture(scope="module")
def bench() -> str:
    image = os.environ.get("PINGSTATE_IMAGE", "pingstate:0.1.0")
    command.build_image(image)
    return command.build_bench(image)


def test_no_cost_is_half_as_much_again_as_the_recorded_one(bench: str) -> None:
    measured = figures.ratios(list(command.measure(bench, "short", 3)))
    held = {name: RECORD["ratios"][name] for name in figures.STEADY if name in measured}
    assert len(held) >= 8
    worse = {
        name: (measured[name], ratio)
        for name, ratio in held.items()
        if measured[name] > TOLERANCE * ratio
    }
    assert worse == {}


def test_the_readme_has_the_record() -> None:
    text = command.README.read_text(encoding="utf-8")
    assert command.update(text, RECORD) == text


def test_a_record_is_of_five_rounds_and_of_every_row() -> None:
    assert RECORD["rounds"] >= 5
    assert set(RECORD["ratios"]) == {f"{row} / {other}" for row, other in figures.RATIOS}
    assert {figures.unit_of(row)[0] for row in RECORD["rows"]} >= {"MB", "ms", "kB", "a second"}


ROUNDS: list[figures.Round] = [
    {"memory tcp": {"pingstate": 30.0, "original": 20.0}, "check tcp": {"pingstate": 50.0, "raw": 40.0}},
    {"memory tcp": {"pingstate": 10.0, "original": 20.0}, "check tcp": {"pingstate": 90.0, "raw": 50.0}},
    {"memory tcp": {"pingstate": 20.0, "original": 20.0}, "check tcp": {"pingstate": 60.0, "raw": 45.0}},
]  # fmt: skip


def test_figures_are_medians_and_ratios_the_medians_of_the_rounds_own() -> None:
    assert figures.medians(ROUNDS) == {
        "memory tcp": {"pingstate": 20.0, "original": 20.0},
        "check tcp": {"pingstate": 60.0, "raw": 45.0},
    }
    assert figures.ratios(ROUNDS) == {"memory tcp / original": 1.0, "check tcp / raw": 1.333}


def test_an_idle_hour_has_720_health_checks() -> None:
    rows: figures.Round = {"idle hour": {"pingstate": 2.0}, "healthcheck": {"pingstate": 20.0}}
    figures.add_health_checks(rows)
    assert rows["idle hour, health checks included"] == {"pingstate": 16.4}


def test_a_row_has_its_unit_and_a_gap_where_a_peer_has_no_figure() -> None:
    lines = figures.table({"memory tcp": {"pingstate": 20.04, "blackbox": 1234.5}}).splitlines()
    assert lines[0] == "| | pingstate | blackbox_exporter |"
    assert lines[2] == "| memory tcp, MB | 20.0 | 1,234.5 |"
