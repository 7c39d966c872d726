"""When a worker was last alive, for its arbiter, without a directory that can be written."""

from __future__ import annotations

import io
import math
import os
import struct
import time
from typing import Any

_SECONDS = struct.Struct("d")


class Heartbeat:
    """When the worker was last alive, for its arbiter: a file in memory that needs no directory.

    It replaces gunicorn's `WorkerTmp`, a file in a directory that must be writable.
    """

    def __init__(self, _cfg: Any) -> None:
        self._file = _create_anonymous_file()
        # A worker that is still booting is not late.
        os.pwrite(self._file.fileno(), _SECONDS.pack(math.inf), 0)

    def notify(self) -> None:
        """Say that the worker is alive now."""
        os.pwrite(self._file.fileno(), _SECONDS.pack(time.monotonic()), 0)

    def last_update(self) -> float:
        """When it was last alive, in seconds of the monotonic clock; infinity while it boots."""
        data = os.pread(self._file.fileno(), _SECONDS.size, 0)
        seconds: float = _SECONDS.unpack(data)[0]
        return seconds

    def fileno(self) -> int:
        """The file's descriptor, for gunicorn's arbiter."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file; closing again is nothing."""
        self._file.close()


def _create_anonymous_file() -> io.FileIO:
    try:
        return io.FileIO(os.memfd_create("pingstate-worker"), "r+")
    except OSError as refused:  # by a sandbox that knows few system calls
        import tempfile

        try:
            with tempfile.TemporaryFile() as file:
                return io.FileIO(os.dup(file.fileno()), "r+")
        except OSError as exc:
            raise SystemExit(
                "pingstate: a worker needs a file in memory or a directory for temporary files "
                f"({refused.strerror}; {exc.strerror})"
            ) from None
