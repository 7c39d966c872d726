"""Sockets whose every blocking call ends with the deadline."""

from __future__ import annotations

import socket
from contextlib import suppress
from fcntl import ioctl
from termios import FIONREAD
from typing import Any

from pingstate.net.deadline import MAX_REST_BYTES, MAX_REST_SECONDS, Deadline

_PIECE = 16384  # bytes
_NO_BYTES = bytes(4)  # an int that says so


class DeadlineSocket(socket.socket):
    """A TCP or Unix socket whose every blocking call ends when its deadline does.

    A timeout that its user sets holds as well, for each call, whichever ends first. `eof` says
    whether the peer's end of the stream was read; `ip_protocol` is 4 or 6, None for a Unix socket.
    """

    deadline: Deadline | None = None
    ip_protocol: int | None = None
    eof = False
    _user_timeout: float | None = None
    _applied_timeout: float | None = None

    def keep(self, deadline: Deadline) -> None:
        """End every call from the next one on when `deadline` does. Raises TimeoutError."""
        self.deadline, self._user_timeout = deadline, None
        self._applied_timeout = remaining = deadline.remaining()
        super().settimeout(remaining)

    def settimeout(self, value: float | None, /) -> None:
        if self.deadline is None or value == 0:
            super().settimeout(value)
        if value != self._user_timeout:
            self._user_timeout, self._applied_timeout = value, None
        # Now too, for code that takes the socket over, as a context's wrap_socket does.
        self._apply_timeout()

    def setblocking(self, flag: bool, /) -> None:
        self.settimeout(None if flag else 0.0)

    def _apply_timeout(self) -> None:
        """Set the timeout of the next call to what is left, give or take 10 ms."""
        if self.deadline is None or self._user_timeout == 0:
            return
        remaining = self.deadline.remaining()
        # It is a system call each time, and there are several calls in a check of one millisecond.
        if self._applied_timeout is None or self._applied_timeout - remaining > 0.01:  # seconds
            super().settimeout(
                remaining if self._user_timeout is None else min(remaining, self._user_timeout)
            )
            self._applied_timeout = remaining

    def _count_received(self, count: int, wanted: int) -> None:
        if count == 0 and wanted != 0:
            self.eof = True
        if self.deadline is not None:
            self.deadline.consume(count)

    def recv(self, bufsize: int = 8192, flags: int = 0, /) -> bytes:
        self._apply_timeout()
        data = super().recv(bufsize, flags)
        self._count_received(len(data), bufsize)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self._apply_timeout()
        count = super().recv_into(buffer, nbytes, flags)
        self._count_received(count, nbytes or memoryview(buffer).nbytes)
        return count

    def recvfrom(self, *args: Any) -> Any:
        self._apply_timeout()
        return super().recvfrom(*args)

    def recvfrom_into(self, *args: Any) -> Any:
        self._apply_timeout()
        return super().recvfrom_into(*args)

    def recvmsg(self, *args: Any) -> Any:
        self._apply_timeout()
        return super().recvmsg(*args)

    def recvmsg_into(self, *args: Any) -> Any:
        self._apply_timeout()
        return super().recvmsg_into(*args)

    def send(self, *args: Any, **options: Any) -> int:
        self._apply_timeout()
        # Under gevent, sendall() comes here with a timeout of its own.
        return super().send(*args, **options)

    def sendall(self, *args: Any) -> None:
        self._apply_timeout()
        super().sendall(*args)

    def sendto(self, *args: Any) -> int:
        self._apply_timeout()
        return super().sendto(*args)

    def sendmsg(self, *args: Any) -> int:
        self._apply_timeout()
        return super().sendmsg(*args)

    def end_orderly(self, *, wait: bool) -> None:
        """Read a small rest: the kernel resets a connection that is closed with bytes unread.

        With `wait` end this side first, and read until the peer's end, for at most 0.1 s; else read
        only what has come. At most 64 KiB, and within the deadline. Never raises.
        """
        deadline = self.deadline
        if deadline is None or self.eof:
            return
        if not wait:
            try:
                if ioctl(self.fileno(), FIONREAD, _NO_BYTES) == _NO_BYTES:
                    return
                super().settimeout(0)
                for _ in range(MAX_REST_BYTES // _PIECE):
                    if len(super().recv(_PIECE)) < _PIECE:
                        return
            except (OSError, ValueError):  # a callable may have closed it
                pass
            return
        with suppress(OSError), deadline.shorten(MAX_REST_SECONDS):
            deadline.limit_bytes(MAX_REST_BYTES)
            self.shutdown(socket.SHUT_WR)
            self.settimeout(None)
            while self.recv(_PIECE):
                pass
