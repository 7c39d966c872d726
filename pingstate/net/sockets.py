"""Sockets whose every blocking call ends with the deadline, and the connect to a target."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from fcntl import ioctl
from termios import FIONREAD
from typing import Any

from pingstate.net.deadline import MAX_REST_BYTES, MAX_REST_SECONDS, Deadline
from pingstate.net.resolver import Address, resolve
from pingstate.values import unix_path

_PIECE = 16384  # bytes
_STAGGER = 0.25  # seconds between the addresses of a name, while none has failed
_MAX_RACING = 32  # sockets: a name may have a thousand addresses
_NO_BYTES = bytes(4)  # an int that says so
_IP_PROTOCOLS = {int(socket.AF_INET): 4, int(socket.AF_INET6): 6}


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
        """End every call from the next one on when `deadline` does."""
        self.deadline = deadline
        self._user_timeout = self._applied_timeout = None

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
            with suppress(OSError, ValueError):  # a callable may have closed it
                if ioctl(self.fileno(), FIONREAD, _NO_BYTES) == _NO_BYTES:
                    return
                super().settimeout(0)
                for _ in range(MAX_REST_BYTES // _PIECE):
                    if len(super().recv(_PIECE)) < _PIECE:
                        return
            return
        with suppress(OSError), deadline.shorten(MAX_REST_SECONDS):
            deadline.limit_bytes(MAX_REST_BYTES)
            self.shutdown(socket.SHUT_WR)
            self.settimeout(None)
            while self.recv(_PIECE):
                pass


def connect(
    address: str, port: int, deadline: Deadline, ip_version: int | None = None
) -> DeadlineSocket:
    """Connect to a name, an IP address or `unix:/path`; every address of a name is tried.

    `ip_version` is 4 or 6, None for both. What is left of the deadline is shared over the
    addresses, and while one is silent the next is tried as well. Raises OSError (socket.gaierror,
    TimeoutError among them): of several addresses' errors the one that says most about the target.
    """
    path = unix_path(address)
    targets: Sequence[Address] = (
        resolve(address, port, deadline, ip_version) if path is None else [(socket.AF_UNIX, path)]
    )
    deadline.start_phase("connect")
    if len(targets) == 1:
        sock = _connect_one(targets[0], deadline)
    else:
        sock = _connect_any(targets, deadline)
    sock.keep(deadline)
    return sock


def _connect_any(targets: Sequence[Address], deadline: Deadline) -> DeadlineSocket:
    """The first connection that comes about (as in RFC 8305)."""
    race = _Race()
    try:
        for index, address in enumerate(targets):
            try:
                share = deadline.remaining() / (len(targets) - index)
                race.start(address, share)
            except OSError as exc:
                race.errors.append(exc)
                continue
            if (sock := race.wait(min(share, _STAGGER))) is not None:
                return sock
        while (left := race.left()) > 0:
            if (sock := race.wait(left)) is not None:
                return sock
    finally:
        race.close()
    nowhere = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    error = min(race.errors, key=_rank_error, default=nowhere)
    if isinstance(error, TimeoutError) and not deadline.expired:
        # There is time left, since another address failed at once: say whose time was over.
        raise TimeoutError(errno.ETIMEDOUT, "no answer within its share of the time")
    raise error


class _Race:
    """Connections that are under way, each with the time until when it is waited for.

    `errors` has why the others are not any more.
    """

    def __init__(self) -> None:
        self.errors: list[OSError] = []
        self._poll = select.poll()
        self._racing: dict[int, tuple[DeadlineSocket, float]] = {}

    def start(self, address: Address, seconds: float) -> None:
        """Begin one more, to be waited for so long. Raises OSError for one that fails at once."""
        sock = _start_to_connect(address)
        if len(self._racing) == _MAX_RACING:
            self._remove(next(iter(self._racing))).close()
            self.errors.append(TimeoutError("timed out"))
        self._racing[sock.fileno()] = sock, time.monotonic() + seconds
        self._poll.register(sock, select.POLLOUT)

    def left(self) -> float:
        """Seconds until none is to be waited for any more."""
        return max((ends for _, ends in self._racing.values()), default=0.0) - time.monotonic()

    def wait(self, seconds: float) -> DeadlineSocket | None:
        """Whoever connects first; None as soon as one has failed, or the time is over."""
        for descriptor, _ in self._poll.poll(seconds * 1000) if self._racing else ():
            sock = self._remove(descriptor)
            try:
                _finish_to_connect(sock)
            except OSError as exc:
                sock.close()
                self.errors.append(exc)
            else:
                return sock
        return None

    def close(self) -> None:
        """Give up those that are still under way."""
        for sock, _ in self._racing.values():
            self.errors.append(TimeoutError("timed out"))
            sock.close()

    def _remove(self, descriptor: int) -> DeadlineSocket:
        self._poll.unregister(descriptor)
        return self._racing.pop(descriptor)[0]


def _rank_error(error: OSError) -> int:
    """An answer says most about the target, silence less, a missing route least."""
    if isinstance(error, ConnectionError):
        return 0
    return 1 if isinstance(error, TimeoutError) else 2


def _connect_one(address: Address, deadline: Deadline) -> DeadlineSocket:
    sock = _create_socket(address)
    try:
        socket.socket.settimeout(sock, deadline.remaining())
        sock.connect(address[1])
        _refuse_itself(sock, address[1])
    except BaseException:
        sock.close()
        raise
    return sock


def _start_to_connect(address: Address) -> DeadlineSocket:
    sock = _create_socket(address)
    sock.settimeout(0)
    code = sock.connect_ex(address[1])
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def _finish_to_connect(sock: DeadlineSocket) -> None:
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    _refuse_itself(sock, sock.getpeername())


def _create_socket(address: Address) -> DeadlineSocket:
    family, _ = address
    sock = DeadlineSocket(family, socket.SOCK_STREAM)
    sock.ip_protocol = _IP_PROTOCOLS.get(family)
    if sock.ip_protocol is not None:
        # Or a second small write, as a request after a handshake, waits up to 40 ms for the
        # target to acknowledge the first, and counts as the target's latency.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _refuse_itself(sock: DeadlineSocket, target: Any) -> None:
    """Linux lets a socket whose own port is the target's connect to itself."""
    if sock.ip_protocol is not None:
        own = sock.getsockname()
        if own[1] == target[1] and own == sock.getpeername():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
