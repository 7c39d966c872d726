"""Waiting for a fact, with a bound that only a failure reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# Seconds; far beyond what a busy machine needs, so a test that waits this long has failed.
TIMEOUT = 60.0


def wait_until(
    condition: Callable[[], Any],
    *,
    what: str | None = None,
    timeout: float = TIMEOUT,
    every: float = 0.02,
    ignore: type[Exception] | tuple[type[Exception], ...] = (),
) -> Any:
    """The condition's first true value, asked `every` so many seconds.

    An exception of `ignore` is an answer that is not true. Raises AssertionError that says `what`
    after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object = None
        try:
            last = condition()
        except ignore as error:
            last = error
        else:
            if last:
                return last
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition} (last: {last!r})")
        time.sleep(every)
