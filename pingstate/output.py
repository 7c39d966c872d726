"""Standard output and error whose failures change nothing: the exit code is the answer."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable

# Seconds that a command waits for a reader: what it prints has room in any pipe that is read.
_PATIENCE = 2.0


def write_all(descriptor: int, data: bytes | memoryview, seconds: float | None = None) -> bool:
    """Write all of `data`; False if it can't be written.

    Blocks while there is no room, each time at most `seconds` (None: for ever).
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    rest = memoryview(data)
    while rest:
        if seconds is not None and not poll.poll(seconds * 1000):
            return False
        # A pipe that says it has room takes so much at once (pipe(7)).
        piece = rest if seconds is None else rest[: select.PIPE_BUF]
        try:
            rest = rest[os.write(descriptor, piece) :]
        except BlockingIOError:  # another process that shares the pipe made it non-blocking
            poll.poll()
        except OSError:
            return False
    return True


class Output(io.RawIOBase):
    """A descriptor for a text stream: what can't be written in time is lost, without an error."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.name = self._descriptor = descriptor
        self._patience = _PATIENCE

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def close(self) -> None:
        """Nothing: the descriptor is the process's, and several streams may be over this."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # any buffer, as its base
        if not write_all(self._descriptor, data, self._patience):
            self._patience = 0.0  # the lines after it do not wait again
        return len(data)


def protect_standard_streams(create: Callable[[int], Output] = Output) -> None:
    """Put an `Output` under `sys.stdout` and `sys.stderr`, unless others have replaced them.

    A full disk, a pipe that is closed or that nobody reads, a closed descriptor or a character
    that the encoding lacks then raises nothing, neither now nor when the interpreter ends.
    """
    _occupy_standard_descriptors()
    for name, original, descriptor in (
        ("stdout", sys.__stdout__, 1),
        ("stderr", sys.__stderr__, 2),
    ):
        stream = getattr(sys, name)
        wrapped = isinstance(getattr(stream, "buffer", None), Output)
        if stream is original or wrapped:
            if stream is not None:
                stream.flush()
            setattr(sys, name, create_stream(create(descriptor), stream))


def create_stream(output: Output, like: io.TextIOBase | None = None) -> io.TextIOWrapper:
    """A text stream over `output` that writes line by line, in the encoding of `like`."""
    encoding = getattr(like, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        output,  # as with `python -u`, nothing is between
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
    )


def _occupy_standard_descriptors() -> None:
    """Open what is closed of 0, 1 and 2: the next socket would get the number, and our lines."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            try:
                # The lowest number that is free: the one that was found closed.
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            except OSError:
                return
