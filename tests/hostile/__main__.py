"""Measure every mode and print a Markdown table; exit 1 if any is not as promised."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from itertools import groupby

from pingstate.values import PROTOCOLS
from tests.hostile.catalogue import Case
from tests.hostile.measure import CASES, Measured, Timeouts, faults, measuring
from tests.hostile.peers import SILENT

Row = tuple[Case, Measured]


def cell(text: str) -> str:
    return text.replace("|", r"\|")


def verdict(rows: Iterable[Row]) -> str:
    """What the probes made of a mode: `up`, or `down` and the phases."""
    said = {
        "up"
        if m.ok
        else f"down ({m.timeout_phase or m.phase}{', timeout' if m.timeout_phase else ''})"
        for _, m in rows
    }
    return " or ".join(sorted(said))


def seconds(rows: list[Row], protocol: str = "") -> str:
    """The longest time of the rows, or of those of one protocol."""
    times = [measured.seconds for case, measured in rows if protocol in ("", case.protocol)]
    return f"{max(times):.2f}" if times else ""


def memory(rows: list[Row]) -> str:
    """The most memory of the rows, where one check had it all."""
    grown = [measured.grown_kib for case, measured in rows if case.repeat == 1]
    return str(max(grown)) if grown else ""


def by_mode(rows: list[Row]) -> Iterable[str]:
    yield "| The target ... | Verdict | tcp, s | tls, s | http, s | https, s | KiB |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for _, group in groupby(rows, key=lambda row: row[0].name):
        mine = list(group)
        # A TCP probe has but the banner to go by.
        asked = [row for row in mine if row[0].protocol not in SILENT] or mine
        times = " | ".join(seconds(mine, protocol) for protocol in PROTOCOLS)
        yield f"| {cell(mine[0][0].what)} | {verdict(asked)} | {times} | {memory(mine)} |"


def by_family(rows: list[Row]) -> Iterable[str]:
    yield "| Family | Modes | Checks | Slowest, s | Most memory, KiB |"
    yield "|---|---:|---:|---:|---:|"
    for family in dict.fromkeys(case.family for case, _ in rows):
        mine = [row for row in rows if row[0].family == family]
        modes = {case.name for case, _ in mine}
        checks = sum(case.repeat for case, _ in mine)
        yield f"| {family} | {len(modes)} | {checks} | {seconds(mine)} | {memory(mine)} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument(
        "--timeout", type=float, default=1.0, help="of the probes, seconds (default 1)"
    )
    parser.add_argument(
        "--workers", type=int, default=4, help="modes that are measured at once (default 4)"
    )
    parser.add_argument("--by-family", action="store_true", help="one row for each family of modes")
    parser.add_argument(
        "--only", default="", help="only the modes whose name or family contains this"
    )
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in f"{case.id} {case.family}"]
    timeouts = Timeouts(options.timeout, options.timeout)
    rows: list[Row] = []
    wrong = 0
    with measuring(cases, timeouts, options.workers) as waits:
        for case in cases:
            measured = waits[case.id]()
            rows.append((case, measured))
            for fault in faults(case, measured, timeouts):
                wrong += 1
                print(f"{case.id}: {fault}", file=sys.stderr)
            if sys.stderr.isatty():
                print(f"\r{len(rows)}/{len(cases)} {case.id[:60]:60}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r" + " " * 75, end="\r", file=sys.stderr)
    print("\n".join(by_family(rows) if options.by_family else by_mode(rows)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
