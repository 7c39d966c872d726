"""Call the user's callback for each transition, off the thread that checks."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from pingstate.probes.base import ProbeResult
from pingstate.text import describe_exception
from pingstate.values import InvalidValueError

log = logging.getLogger(__name__)

TransitionCallback = Callable[[str, str, ProbeResult], object]

# How many transitions may wait for a callback that blocks; those after them are dropped.
_MAX_PENDING = 100


class Notifier:
    """Calls `callback` with each transition, in order, on a daemon thread of its own.

    The thread lives while there is something to tell. Thread-safe; `notify()` does not block, and
    nothing that the callback raises gets out. Raises ValueError for what can't be called.
    """

    def __init__(self, callback: TransitionCallback) -> None:
        if not callable(callback):
            raise InvalidValueError("on_transition", callback, "a callable")
        self._callback = callback
        self._lock = threading.Lock()
        self._pending: deque[tuple[str, str, ProbeResult]] = deque()
        self._running = False
        self._thread: threading.Thread | None = None

    def notify(self, old: str, new: str, result: ProbeResult) -> None:
        """Queue one transition; one that finds a hundred waiting is dropped, with a log line."""
        with self._lock:
            dropped = len(self._pending) >= _MAX_PENDING
            if not dropped:
                self._pending.append((old, new, result))
            if not self._running:
                thread = threading.Thread(target=self._run, name="pingstate-callback", daemon=True)
                try:
                    thread.start()
                    self._running, self._thread = True, thread
                except RuntimeError as exc:  # what waits is told with the next transition
                    log.error("on_transition has to wait: %s", exc)  # noqa: TRY400  # one line
        if dropped:
            log.error("on_transition is blocked; dropped %s -> %s", old, new)

    def join(self, timeout: float | None) -> None:
        """Wait up to `timeout` seconds until all is told; a callback itself does not wait."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._pending:
                    self._running = False
                    return
                transition = self._pending.popleft()
            try:
                self._callback(*transition)
            except BaseException as exc:  # noqa: BLE001  # the user's code may raise anything
                log.error("on_transition raised %s", describe_exception(exc))  # noqa: TRY400  # one line
