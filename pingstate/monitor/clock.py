"""The clock of ages and schedules."""

from __future__ import annotations

import time

# CLOCK_MONOTONIC stands still while a machine is suspended, and a verdict does not stay young.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds on a clock that no one can set and that counts a suspended machine's sleep."""
    return time.clock_gettime(_CLOCK)
