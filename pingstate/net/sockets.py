"""Sockets whose every blocking call ends with the deadline, and the connect to a target."""

from __future__ import annotations

import errno
import socket
from typing import Any

from pingstate.net.deadline import Deadline
from pingstate.net.resolver import resolve


class PlainSocket(socket.socket):
    """A TCP or Unix socket whose every blocking call ends when its deadline does.

    A timeout that its user sets holds as well, for each call, whichever ends first. `eof` says
    whether the peer's end of the stream was read.
    """

    deadline: Deadline | None = None
    eof = False
    _own: float | None = None
    _armed: float | None = None

    def settimeout(self, value: float | None, /) -> None:
        if self.deadline is None or value == 0:
            super().settimeout(value)
        if value != self._own:
            self._own, self._armed = value, None
        # Now too, for who takes the socket over, as a context's wrap_socket does.
        self._arm()

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001  # socket.socket's signature
        self.settimeout(None if flag else 0.0)

    def _arm(self) -> None:
        """Set the timeout of the next call to what is left, give or take 10 ms."""
        if self.deadline is None or self._own == 0:
            return
        left = self.deadline.left()
        # It is a system call each time, and there are several calls in a check of one millisecond.
        if self._armed is None or self._armed - left > 0.01:  # seconds
            super().settimeout(left if self._own is None else min(left, self._own))
            self._armed = left

    def _book(self, count: int, asked: int) -> None:
        if count == 0 and asked != 0:
            self.eof = True
        if self.deadline is not None:
            self.deadline.took(count)

    def recv(self, bufsize: int = 8192, flags: int = 0, /) -> bytes:
        self._arm()
        data = super().recv(bufsize, flags)
        self._book(len(data), bufsize)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self._arm()
        count = super().recv_into(buffer, nbytes, flags)
        self._book(count, nbytes or memoryview(buffer).nbytes)
        return count

    def recvfrom(self, *args: Any) -> Any:
        self._arm()
        return super().recvfrom(*args)

    def recvfrom_into(self, *args: Any) -> Any:
        self._arm()
        return super().recvfrom_into(*args)

    def recvmsg(self, *args: Any) -> Any:
        self._arm()
        return super().recvmsg(*args)

    def recvmsg_into(self, *args: Any) -> Any:
        self._arm()
        return super().recvmsg_into(*args)

    def send(self, *args: Any) -> int:
        self._arm()
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        self._arm()
        super().sendall(*args)

    def sendto(self, *args: Any) -> int:
        self._arm()
        return super().sendto(*args)

    def sendmsg(self, *args: Any) -> int:
        self._arm()
        return super().sendmsg(*args)


def connect(address: str, port: int, deadline: Deadline) -> PlainSocket:
    """Connect to a name, an IP address or `unix:/path`; every address of a name is tried.

    What is left of the deadline is shared over the addresses, so that one that swallows packets
    leaves time for the next. Raises OSError (socket.gaierror, TimeoutError among them).
    """
    if address.startswith("unix:"):
        targets: list[Any] = [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", address[5:])]
    else:
        targets = resolve(address, port, deadline)
    deadline.enter("connect")
    error: OSError | None = None
    for index, row in enumerate(targets):
        share = deadline.left() / (len(targets) - index)
        try:
            return _connect_one(row, share, deadline)
        except OSError as exc:
            error = exc
    raise error or OSError(errno.EADDRNOTAVAIL, "the name has no address")


def _connect_one(row: Any, timeout: float, deadline: Deadline) -> PlainSocket:
    family, kind, proto, _, target = row
    sock = PlainSocket(family, kind, proto)
    try:
        sock.settimeout(timeout)
        sock.connect(target)
        # Linux lets a socket whose own port is the target's connect to itself.
        myself = family != socket.AF_UNIX and sock.getsockname() == sock.getpeername()
    except BaseException:
        sock.close()
        raise
    if myself:
        sock.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    sock.deadline = deadline
    sock.settimeout(None)
    return sock


def ip_protocol(sock: socket.socket) -> int | None:
    """4 or 6; None for a Unix socket."""
    return {socket.AF_INET: 4, socket.AF_INET6: 6}.get(sock.family)
