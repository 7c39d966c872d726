"""One budget of time for one check: a clock, a resolver and sockets that can't outlive it."""

from __future__ import annotations

import errno
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# ssl's number for the encoding, which it does not export.
_DER = 2


class Deadline:
    """Seconds that one check may take in all, and a record of the phases that took them.

    `timeout` is in seconds; `allow()` bounds what may be read off the wire, which is unbounded
    before. `owner` is whose check it is: of its lookups at most one may be left hanging. One
    thread at a time.
    """

    def __init__(self, timeout: float, owner: object = None) -> None:
        self.owner = owner
        self.timeout = timeout
        self.phase = "dns"
        self.seconds: dict[str, float] = {}
        self.started = time.monotonic()
        self._at = self.started + timeout
        self._entered = self.started
        self._bytes_left: int | None = None

    def enter(self, phase: str) -> None:
        """Begin a phase; the time since the last one began is booked on the last one."""
        at = time.monotonic()
        self.seconds[self.phase] = self.seconds.get(self.phase, 0.0) + at - self._entered
        self.phase, self._entered = phase, at

    def elapsed(self) -> float:
        """Seconds since the check began."""
        return time.monotonic() - self.started

    def left(self) -> float:
        """Seconds that are left, above 0. Raises TimeoutError when none are."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._at

    def allow(self, count: int) -> None:
        """Set how many more bytes may come off the wire."""
        self._bytes_left = count

    def took(self, count: int) -> None:
        """Book bytes that came off the wire. Raises OSError when it is more than may come."""
        if self._bytes_left is not None:
            self._bytes_left -= count
            if self._bytes_left < 0:
                raise OSError(errno.EMSGSIZE, "more bytes came than one check reads")


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


class TLSStream:
    """TLS over a `PlainSocket`, with as much of a socket's face as http.client looks at.

    ssl's own sockets leave the reading to OpenSSL, which goes on for as long as a peer sends what
    it skips, such as an endless row of HelloRequests. Here it gets the bytes that have come, and
    the deadline is asked before each more.
    """

    def __init__(
        self, sock: PlainSocket, context: ssl.SSLContext, server_name: str, deadline: Deadline
    ) -> None:
        """Shake hands. Raises OSError (ssl.SSLError, TimeoutError among them)."""
        deadline.enter("tls")
        self.eof = False
        self._sock = sock
        self._deadline = deadline
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # As bytes: a str makes ssl import the codec for international names.
        name = server_name.removesuffix(".").encode("ascii")
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        try:
            self._do(self._tls.do_handshake)
        except ssl.SSLError:
            # So that the peer learns why.
            with suppress(OSError):
                self._flush()
            raise

    def _do(self, call: Callable[..., Any], *args: Any) -> Any:
        while True:
            self._deadline.left()
            try:
                result = call(*args)
            except ssl.SSLWantReadError:
                self._flush()
                data = self._sock.recv(16384)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._sock.sendall(self._outgoing.read())

    def recv_into(self, buffer: Any) -> int:
        """Read what has come into a buffer; 0 at the end, also one without a goodbye."""
        count = 0
        with suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):
            count = self._do(self._tls.read, memoryview(buffer).nbytes, buffer)
        self.eof = self.eof or not count
        return count

    def sendall(self, data: Any) -> None:
        """Send all of it."""
        self._do(self._tls.write, data)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """A file to read the stream from."""
        return io.BufferedReader(_Reader(self))

    def settimeout(self, _: float | None) -> None:
        """Nothing: the deadline is the timeout."""

    def close(self) -> None:
        """Nothing: an answer is read after http.client is done; whoever made the socket ends it."""

    @property
    def version(self) -> str:
        """The version of TLS, such as `TLS 1.3`."""
        return (self._tls.version() or "").replace("TLSv", "TLS ")

    @property
    def chain(self) -> list[bytes]:
        """The certificates that the peer presented, its own first, as DER."""
        if hasattr(self._tls, "get_unverified_chain"):
            return list(self._tls.get_unverified_chain())
        # Before Python 3.13 it is there, but not spoken of.
        inner: Any = getattr(self._tls, "_sslobj", None)
        if hasattr(inner, "get_unverified_chain"):
            return [one.public_bytes(_DER) for one in inner.get_unverified_chain() or ()]
        return [self._tls.getpeercert(True) or b""]


class _Reader(io.RawIOBase):
    def __init__(self, stream: TLSStream) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.recv_into(buffer)


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


def resolve(host: str, port: int, deadline: Deadline) -> list[Any]:
    """The addresses of a name for a stream socket, or TimeoutError when the time is up.

    An IP address is answered without a lookup. The C library's lookup can't be interrupted, so
    it runs in a daemon thread, and a thread that hangs is not joined by a second for its name.
    """
    deadline.enter("dns")
    # As bytes: a str makes socket import the codec for international names.
    name = host.encode("ascii")
    kind = socket.SOCK_STREAM
    found: list[Any] | None = None
    with suppress(socket.gaierror):
        found = socket.getaddrinfo(name, None, type=kind, flags=socket.AI_NUMERICHOST)
    if found is None:
        found = _lookup(name, lambda: socket.getaddrinfo(name, None, type=kind), deadline)
    return [(*row[:4], (row[4][0], port, *row[4][2:])) for row in found]


class _Lookup:
    """A lookup under way: who asked first, how many checks wait for it, its answer."""

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self.done = threading.Event()
        self.waiting = 0
        self.answer: Any = None
        self.error: OSError | None = None


_lookups: dict[bytes, _Lookup] = {}
_lookups_lock = threading.Lock()


def _lookup(key: bytes, ask: Callable[[], list[Any]], deadline: Deadline) -> list[Any]:
    def run() -> None:
        try:
            lookup.answer = ask()
        except OSError as exc:
            lookup.error = exc
        except (UnicodeError, ValueError) as exc:
            lookup.error = OSError(errno.EINVAL, str(exc))
        finally:
            with _lookups_lock:
                del _lookups[key]
            lookup.done.set()

    timeout = deadline.left()
    with _lookups_lock:
        lookup = _lookups.get(key) or _Lookup(deadline.owner)
        if key not in _lookups:
            # A target can redirect to many names, and each that hangs would keep a thread.
            if any(
                other.owner is deadline.owner and not other.waiting for other in _lookups.values()
            ):
                raise OSError(errno.EBUSY, "the resolver still hangs on another name")
            # A late answer is never used: who comes after the last waiter left asks anew.
            try:
                threading.Thread(target=run, name="pingstate-resolver", daemon=True).start()
            except RuntimeError as exc:
                raise OSError(errno.EAGAIN, "no thread for the lookup") from exc
            _lookups[key] = lookup
        elif not lookup.waiting:
            raise OSError(errno.EBUSY, "the resolver still hangs on the last lookup of this name")
        lookup.waiting += 1
    try:
        if not lookup.done.wait(timeout):
            raise TimeoutError("timed out")
    finally:
        with _lookups_lock:
            lookup.waiting -= 1
    if lookup.error is not None:
        raise lookup.error
    result: list[Any] = lookup.answer
    return result
