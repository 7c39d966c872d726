"""The time and the bytes that one check may take, and the phases that took them."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What is read after the verdict, so that the target sees an orderly end and no reset.
MAX_REST_BYTES = 65_536
MAX_REST_SECONDS = 0.1


class Deadline:
    """Seconds that one check may take in all, and a record of the phases that took them.

    `timeout` is in seconds; `limit_bytes()` bounds what may be read off the wire, which is
    unbounded before. `owner` is whose check it is: at most one hung lookup per owner. One thread at
    a time.
    """

    def __init__(self, timeout: float, owner: object = None) -> None:
        self.owner = owner
        self.timeout = timeout
        self.phase = "dns"
        self.seconds: dict[str, float] = {}
        self.started = time.monotonic()
        self._ends = self.started + timeout
        self._phase_started = self.started
        self._stopped: float | None = None
        self._expired = False
        self._bytes_left: int | None = None

    def start_phase(self, phase: str) -> None:
        """Begin a phase; the time since the last one began is added to that one."""
        at = time.monotonic()
        seconds, last, spent = self.seconds, self.phase, at - self._phase_started
        seconds[last] = seconds[last] + spent if last in seconds else spent
        self.phase, self._phase_started = phase, at

    def discount(self, seconds: float) -> None:
        """Leave out of the check's time what was waited for and did not come; it ends no later."""
        self.started += seconds
        self._phase_started += seconds

    def stop(self, grace: float = 0.0) -> None:
        """Stop the clock: what is to be known is known, and what follows does not count.

        It may take `grace` seconds, and never longer than the deadline. Stopping again is nothing.
        """
        if self._stopped is None:
            self.start_phase(self.phase)
            self._stopped = self._phase_started
            self._expired = self._stopped >= self._ends
            self._ends = min(self._ends, self._stopped + grace)

    @contextmanager
    def shorten(self, seconds: float) -> Iterator[None]:
        """End within `seconds` for a while, or when it would have ended anyway."""
        ends = self._ends
        self._ends = min(ends, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._ends = ends

    def elapsed(self) -> float:
        """Seconds since the check began, until the clock was stopped."""
        return (self._stopped or time.monotonic()) - self.started

    def remaining(self) -> float:
        """Seconds that are left, above 0. Raises TimeoutError when none are."""
        remaining = self._ends - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        return remaining

    @property
    def expired(self) -> bool:
        """Whether the time is up, or was when the clock was stopped."""
        return self._expired if self._stopped else time.monotonic() >= self._ends

    def limit_bytes(self, count: int) -> None:
        """Set how many more bytes may come off the wire."""
        self._bytes_left = count

    def consume(self, count: int) -> None:
        """Count bytes that came off the wire. Raises OSError when there are more than allowed."""
        if self._bytes_left is not None:
            self._bytes_left -= count
            if self._bytes_left < 0:
                raise OSError(errno.EMSGSIZE, "more bytes came than one check reads")
