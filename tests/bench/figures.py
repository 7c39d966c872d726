"""The rows of a record: medians of its rounds, the ratios that are held, the README's table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

Round = dict[str, dict[str, float]]

SUBJECTS = ("pingstate", "original", "gunicorn", "blackbox", "raw")
TITLES = {
    "pingstate": "pingstate",
    "original": "original 0.0.2",
    "gunicorn": "bare gunicorn",
    "blackbox": "blackbox_exporter",
    "raw": "raw",
}

# By the beginning of a row's name: the unit, and how many decimals.
UNITS = {
    "memory of each of": ("kB", 0),
    "check late": ("ms", 1),
    "memory": ("MB", 1),
    "image": ("MB", 1),
    "start": ("ms", 0),
    "CPU of a start": ("ms", 0),
    "CPU of a /healthz": ("µs", 0),
    "stop": ("ms", 0),
    "docker": ("ms", 0),
    "compose": ("ms", 0),
    "check": ("µs of CPU", 0),
    "healthcheck": ("ms of CPU", 0),
    "idle hour": ("s of CPU", 1),
    "down": ("ms", 0),
    "/healthz p99": ("ms", 1),
    "/status p99": ("ms", 1),
    "/": ("a second", 0),
    "latency error": ("ms", 2),
}

# What is held against what.
RATIOS = (
    ("memory tcp", "original"),
    ("memory http", "original"),
    ("memory https", "original"),
    ("start tcp", "original"),
    ("start http", "original"),
    ("CPU of a start tcp", "original"),
    ("CPU of a start http", "original"),
    ("check tcp", "raw"),
    ("check http", "original"),
    ("check https", "original"),
    ("healthcheck", "raw"),
    ("/healthz, 8 clients", "gunicorn"),
    ("CPU of a /healthz, 8 clients", "gunicorn"),
)
# What another process on the machine hardly changes: CI fails on these. A machine that does much
# else makes times on the wall whatever it likes.
STEADY = tuple(
    f"{row} / {other}"
    for row, other in RATIOS
    if row.startswith(("memory", "CPU", "check", "healthcheck"))
)


def unit_of(row: str) -> tuple[str, int]:
    return next(unit for start, unit in UNITS.items() if row.startswith(start))


def add_health_checks(rows: Round) -> None:
    """Count the image's health checks, one every 5 s, among the CPU time of an idle hour."""
    hour = rows["idle hour"]["pingstate"] + 720 * rows["healthcheck"]["pingstate"] / 1000
    rows["idle hour, health checks included"] = {"pingstate": hour}


def medians(rounds: Sequence[Round]) -> Round:
    """Each figure's median over the rounds."""
    names: dict[str, list[str]] = {}
    for one in rounds:
        for row, figures in one.items():
            known = names.setdefault(row, [])
            known += [subject for subject in figures if subject not in known]
    return {
        row: {
            subject: statistics.median(
                one[row][subject] for one in rounds if subject in one.get(row, {})
            )
            for subject in subjects
        }
        for row, subjects in names.items()
    }


def ratios(rounds: Sequence[Round]) -> dict[str, float]:
    """pingstate to what it is held against: the median of the rounds' ratios.

    What a machine does to one half of a round, it mostly does to the other half as well.
    """
    return {
        f"{row} / {other}": round(
            statistics.median(one[row]["pingstate"] / one[row][other] for one in rounds), 3
        )
        for row, other in RATIOS
        if row in rounds[0]
    }


def table(rows: Round) -> str:
    """The rows as Markdown."""
    subjects = [name for name in SUBJECTS if any(name in figures for figures in rows.values())]
    lines = [
        "| | " + " | ".join(TITLES[name] for name in subjects) + " |",
        "|---|" + "---:|" * len(subjects),
    ]
    for row, figures in rows.items():
        unit, decimals = unit_of(row)
        cells = [f"{figures[name]:,.{decimals}f}" if name in figures else "" for name in subjects]
        lines.append(f"| {row}, {unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def report(record: dict[str, Any]) -> str:
    """A record as the README has it: the table, the ratios, and where they come from."""
    held = ", ".join(f"{name} {value:.2f}" for name, value in record["ratios"].items())
    return (
        f"{table(record['rows'])}\n"
        f"Medians of {record['rounds']} interleaved rounds on {record['date']}: "
        f"{record['machine']}, {record['python']}. "
        f"Medians of the rounds' ratios: {held}.\n"
    )
