"""Telling the user's callback of each transition, off the thread that checks."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from pingstate.probes.base import ProbeResult
from pingstate.text import describe

log = logging.getLogger(__name__)

TransitionCallback = Callable[[str, str, ProbeResult], object]

# How many transitions may wait for a callback that blocks; those after them are dropped.
_MAX_PENDING = 100


class Notifier:
    """Calls `callback` with each transition, in order, on a daemon thread of its own.

    The thread starts with the first transition and ends after `close()`, once those that wait are
    told. Thread-safe; no method blocks, and nothing that the callback raises gets out.
    """

    def __init__(self, callback: TransitionCallback) -> None:
        self._callback = callback
        self._pending: queue.Queue[tuple[str, str, ProbeResult] | None] = queue.Queue(_MAX_PENDING)
        self._start_lock = threading.Lock()
        self._started = False
        self._closed = False

    def notify(self, old: str, new: str, result: ProbeResult) -> None:
        """Queue one transition; one that finds a hundred waiting is dropped, with a log line."""
        with self._start_lock:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="pingstate-callback", daemon=True).start()
        try:
            self._pending.put_nowait((old, new, result))
        except queue.Full:
            log.error("on_transition is blocked; dropped %s -> %s", old, new)  # noqa: TRY400  # one line

    def close(self) -> None:
        """Let the thread end."""
        self._closed = True
        with suppress(queue.Full):  # then the thread does not wait to be woken
            self._pending.put_nowait(None)

    def _run(self) -> None:
        while not (self._closed and self._pending.empty()):
            transition = self._pending.get()
            if transition is None:
                continue
            try:
                self._callback(*transition)
            except BaseException as exc:  # noqa: BLE001  # the user's code may raise anything
                log.error("on_transition raised %s", describe(exc))  # noqa: TRY400  # one line
