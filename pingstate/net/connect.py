"""Connect to a target: to each address of a name until one answers."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pingstate.net.deadline import Deadline
from pingstate.net.resolver import Address, resolve
from pingstate.net.sockets import DeadlineSocket

_IP_PROTOCOLS = {int(socket.AF_INET): 4, int(socket.AF_INET6): 6}
_STAGGER = 0.25  # seconds between the addresses of a name, while none has failed
_UNIX_RETRY = 0.01  # seconds
_MAX_RACING = 32  # sockets: a name may have a thousand addresses


def connect(
    address: str,
    port: int,
    deadline: Deadline,
    ip_version: int | None = None,
    *,
    writes: bool = True,
) -> DeadlineSocket:
    """Connect to a name, an IP address or `unix:/path`; every address of a name is tried.

    `ip_version` is 4 or 6, None for both. What is left of the deadline is shared over the
    addresses, and while one is silent the next is tried as well. `writes` says whether anything
    will be written. Raises OSError (socket.gaierror, TimeoutError among them): of several
    addresses' errors the one that says most about the target.
    """
    targets = resolve(address, port, deadline, ip_version)
    deadline.start_phase("connect")
    one = len(targets) == 1
    sock = _connect_one(targets[0], deadline) if one else _connect_any(targets, deadline)
    if writes and sock.ip_protocol is not None:
        # Or a second small write, as a request after a handshake, waits up to 40 ms for the
        # target to acknowledge the first, and counts as the target's latency.
        with suppress(OSError):  # macOS refuses it once the target has gone
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _connect_any(targets: Sequence[Address], deadline: Deadline) -> DeadlineSocket:
    """The first connection that comes about (as in RFC 8305)."""
    race = _Race(deadline)
    try:
        for index, address in enumerate(targets):
            try:
                share = deadline.remaining() / (len(targets) - index)
                race.start(address)
            except OSError as exc:
                race.errors.append(exc)
                continue
            if (sock := race.wait(min(share, _STAGGER))) is not None:
                return sock
        # A lost SYN is sent again after a second: who is silent has all the time that is left.
        with suppress(TimeoutError):
            while race.under_way:
                if (sock := race.wait(deadline.remaining())) is not None:
                    return sock
    finally:
        race.close()
    nowhere = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    raise min(race.errors, key=_rank_error, default=nowhere)


class _Race:
    """Connections that are under way.

    Who wins keeps `deadline`; `errors` has why the others are not under way any more.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self.errors: list[OSError] = []
        self._poll = select.poll()
        self._racing: dict[int, DeadlineSocket] = {}

    def start(self, address: Address) -> None:
        """Begin one more. Raises OSError for one that fails at once."""
        sock = _start_to_connect(address)
        if len(self._racing) == _MAX_RACING:
            self._remove(next(iter(self._racing))).close()
            self.errors.append(TimeoutError("timed out"))
        self._racing[sock.fileno()] = sock
        self._poll.register(sock, select.POLLOUT)

    @property
    def under_way(self) -> bool:
        """Whether any may still come about."""
        return bool(self._racing)

    def wait(self, seconds: float) -> DeadlineSocket | None:
        """Whoever connects first; None as soon as one has failed, or the time is over."""
        for descriptor, _ in self._poll.poll(seconds * 1000) if self._racing else ():
            sock = self._remove(descriptor)
            try:
                _finish_to_connect(sock)
                sock.keep(self._deadline)
            except OSError as exc:
                sock.close()
                self.errors.append(exc)
            else:
                return sock
        return None

    def close(self) -> None:
        """Give up those that are still under way."""
        for sock in self._racing.values():
            self.errors.append(TimeoutError("timed out"))
            sock.close()

    def _remove(self, descriptor: int) -> DeadlineSocket:
        self._poll.unregister(descriptor)
        return self._racing.pop(descriptor)


def _rank_error(error: OSError) -> int:
    """An answer says most about the target, silence less, a missing route least."""
    if isinstance(error, ConnectionError):
        return 0
    return 1 if isinstance(error, TimeoutError) else 2


def _connect_one(address: Address, deadline: Deadline) -> DeadlineSocket:
    sock = _create_socket(address)
    try:
        sock.keep(deadline)
        while True:
            try:
                sock.connect(address[1])
                break
            except BlockingIOError:
                # A Unix socket's backlog is full, and no poll tells when there is room.
                if sock.ip_protocol is not None:
                    raise
                time.sleep(min(_UNIX_RETRY, deadline.remaining()))
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
    return sock


def _refuse_itself(sock: DeadlineSocket, target: Any) -> None:
    """Linux lets a socket whose own port is the target's connect to itself."""
    if sock.ip_protocol is not None:
        own = sock.getsockname()
        if own[1] == target[1] and own == sock.getpeername():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
