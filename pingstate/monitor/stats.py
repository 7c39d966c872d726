"""A Monitor in numbers: what metrics are made of."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from pingstate.probes.base import ProbeResult


class Stats(NamedTuple):
    """A Monitor's counters and last check at one moment.

    `results` counts checks by event and phase ("" on success), `transitions` the changes of state
    by old and new. `checked_at` is in seconds since 1970, `timeout` in seconds. `last` is None
    before the first check.
    """

    state: str
    stale: bool
    timeout: float
    last: ProbeResult | None
    checked_at: float | None
    results: Counter[tuple[str, str]]
    transitions: Counter[tuple[str, str]]
