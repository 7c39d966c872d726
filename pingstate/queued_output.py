"""Output that no reader can stall: a thread of its own writes, and lines may be lost."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import cache

from pingstate.output import Output, write_all

# Bytes that may wait for a reader.
_MAX_PENDING = 65536
# Seconds to write what waits, when the process ends or is about to fork.
_LAST_CHANCE = 0.3


class QueuedOutput(Output):
    """A descriptor whose writer never waits for the reader.

    A thread writes what is queued, and lives while there is something to write. (O_NONBLOCK would
    need no thread, but it is set for every process that has the pipe.) Text that finds 64 KiB
    waiting, or that can't be written, is lost; what `format_loss` makes of the number of lost lines
    goes before the next text that gets through. Thread-safe, and usable on both sides of a fork.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.format_loss: Callable[[int], str] = _format_loss
        self._reset()
        os.register_at_fork(before=self._drain, after_in_child=self._reset)
        atexit.register(self._drain)

    def _reset(self) -> None:
        # The parent's thread writes what it has queued, and is not there after a fork.
        self._changed = threading.Condition()
        self._pending: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._running = False

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # any buffer, as its base
        chunk = bytes(data)
        with self._changed:
            if self._pending and self._size + len(chunk) > _MAX_PENDING:
                self._lost += chunk.count(b"\n")
                return len(chunk)
            if self._lost:
                self._append(self.format_loss(self._lost).encode())
                self._lost = 0
            self._append(chunk)
            if not self._running:
                self._running = True
                try:
                    threading.Thread(target=self._run, name="pingstate-log", daemon=True).start()
                except RuntimeError:  # no thread starts any more: the interpreter is ending
                    self._write_without_thread()
        return len(chunk)

    def _append(self, chunk: bytes) -> None:
        self._pending.append(chunk)
        self._size += len(chunk)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._pending:
                    self._running = False
                    self._changed.notify_all()
                    return
                # It stays in the queue, and counts for its size, until it is written.
                chunk = self._pending[0]
            written = write_all(self._descriptor, chunk)
            with self._changed:
                self._pending.popleft()
                self._size -= len(chunk)
                if not written:
                    self._lost += chunk.count(b"\n")

    def _write_without_thread(self) -> None:
        self._running = False
        while self._pending:
            write_all(self._descriptor, self._pending.popleft(), 0.0)
        self._size = 0

    def _drain(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._running, _LAST_CHANCE)


@cache
def create_queued_output(descriptor: int) -> QueuedOutput:
    """The one queue of this process for a descriptor."""
    return QueuedOutput(descriptor)


def describe_loss(lines: int) -> str:
    """The sentence that tells how many lines nobody will see."""
    return f"{lines} line{'s' * (lines != 1)} could not be written in time and were lost"


def _format_loss(lines: int) -> str:
    return f"pingstate: {describe_loss(lines)}\n"
