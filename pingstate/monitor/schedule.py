"""When checks are due."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from pingstate.values import validate_fraction, validate_interval


class Schedule:
    """When the checks are due: fixed-rate slots that no check's length and no jitter moves.

    `interval` and `fast_interval` are seconds above 0, at most a year; `jitter` is the fraction of
    the interval, from 0 to 1, that each check may come after its slot. The first check is due at
    `start`. With jitter the slots after it begin at a random part of the interval, so that a fleet
    that was started together spreads; without, an interval later.
    """

    def __init__(
        self,
        interval: float,
        fast_interval: float,
        jitter: float,
        start: float,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._intervals = (
            validate_interval(interval),
            validate_interval(fast_interval, "fast_interval"),
        )
        self._jitter = validate_fraction(jitter, "jitter")
        self._uniform = uniform
        self._slot = start
        self._is_first = jitter > 0

    def next(self, at: float, *, fast: bool = False) -> float:
        """When the next check after this moment is due; missed slots are skipped."""
        interval = self._intervals[fast]
        if self._is_first:
            self._is_first = False
            # As if the slot of the first check had been up to an interval ago.
            self._slot -= self._uniform(0, interval)
        missed = math.floor((at - self._slot) / interval)
        self._slot += interval * (max(missed, 0) + 1)
        return (
            self._slot + self._uniform(0, self._jitter * interval) if self._jitter else self._slot
        )
