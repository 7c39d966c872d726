"""TLS over a socket that keeps the deadline, a step at a time."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pingstate.net.certificate import Certificate, read_certificate
from pingstate.net.deadline import Deadline
from pingstate.net.errors import CheckFailedError
from pingstate.net.sockets import DeadlineSocket
from pingstate.text import excerpt

# ssl's number for the encoding, which it does not export.
_DER = 2
_RECORD_TYPES = range(20, 25)  # RFC 8446, 5.1


class TLSStream:
    """TLS over a `DeadlineSocket`, with the methods of a socket that its users call.

    ssl's own sockets leave the reading to OpenSSL, which goes on for as long as a peer sends what
    it skips, such as endless HelloRequests. Here the bytes are read first and then given to
    OpenSSL, and the deadline is asked before each read. `eof` says whether the peer's end was read.
    One thread at a time.
    """

    def __init__(
        self, sock: DeadlineSocket, context: ssl.SSLContext, server_name: str, deadline: Deadline
    ) -> None:
        """Shake hands.

        Raises OSError (ssl.SSLError, TimeoutError among them), and CheckFailedError where the
        target speaks something else.
        """
        deadline.start_phase("tls")
        self.eof = False
        self._sock = sock
        self._deadline = deadline
        self._first = b""  # what came first, as it came
        self._ahead = b""  # decrypted, and not read yet
        self._timeout: float | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=_create_server_hostname(server_name)
        )
        try:
            self._io_loop(self._tls.do_handshake)
        except ssl.SSLError as exc:
            # So that the peer learns why.
            with suppress(OSError):
                self._flush()
            if self._first and not _is_record(self._first):
                said = excerpt(self._first)
                raise CheckFailedError(f"the target speaks no TLS, it said {said}") from exc
            raise

    def _io_loop(self, call: Callable[..., Any], *args: Any) -> Any:
        started = time.monotonic()
        while True:
            self._deadline.remaining()
            with suppress(ssl.SSLWantReadError):
                result = call(*args)
                self._flush()
                return result
            self._flush()
            if self._timeout:
                self._sock.settimeout(self._timeout_left(started))
            self._receive()

    def _timeout_left(self, started: float) -> float:
        """Seconds that the user's timeout leaves: a record may take several reads."""
        left = (self._timeout or 0.0) - (time.monotonic() - started)
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _receive(self) -> bool:
        """Give OpenSSL what has come; False at the end."""
        data = self._sock.recv(16384)
        self._first = self._first or data[:256]
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    def _flush(self) -> None:
        if not self._outgoing.pending:
            return
        try:
            self._sock.sendall(self._outgoing.read())
        except (BrokenPipeError, ConnectionResetError):
            if alert := self._read_alert():
                raise alert from None
            raise

    def _read_alert(self) -> ssl.SSLError | None:
        """Why the target has left, if it said so before; an answer is kept for the next read."""
        with suppress(OSError):
            while self._receive():
                pass
        try:
            while data := self._tls.read(16384):
                self._ahead += data
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLWantReadError):
            return None
        except ssl.SSLError as exc:
            return exc
        return None

    def wait_for_objection(self, seconds: float) -> None:
        """Wait so many seconds for the target to refuse the client's certificate. Raises OSError.

        In TLS 1.3 the client has finished the handshake before its certificate, or that it has
        none, is judged (RFC 8446, 4.4.2.4). Whatever else comes shows that it was accepted, and
        is kept for the next read.
        """
        if self._tls.version() != "TLSv1.3":
            return
        if not self._incoming.pending:
            self._sock.settimeout(min(seconds, self._deadline.remaining() / 2))
            started = time.monotonic()
            try:
                self._receive()
            except TimeoutError:
                self._deadline.discount(time.monotonic() - started)
                return
            finally:
                self._sock.settimeout(self._timeout)
        with suppress(ssl.SSLWantReadError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self._ahead += self._tls.read(16384)
        self._flush()

    def recv(self, bufsize: int = 8192, flags: int = 0, /) -> bytes:
        """Read at most `bufsize` bytes; b"" at the end, with or without a goodbye."""
        buffer = bytearray(bufsize)
        return bytes(buffer[: self.recv_into(buffer, 0, flags)])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read into a buffer; returns the number of bytes, 0 at the end, as `recv` has it."""
        _refuse_flags(flags)
        size = nbytes or memoryview(buffer).nbytes
        count = len(self._ahead[:size])
        if count:
            memoryview(buffer).cast("B")[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
            return count
        with suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):
            count = self._io_loop(self._tls.read, size, buffer)
        self.eof = self.eof or (count == 0 and size > 0)
        return count

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send all of it; returns the number of bytes."""
        _refuse_flags(flags)
        count: int = self._io_loop(self._tls.write, data) if data else 0
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of it."""
        self.send(data, flags)

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """A file over the stream, as `socket.socket.makefile()` makes it."""
        raw = _RawStream(self)
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        if size == 0 and "b" in mode:
            return raw
        buffered: Any
        if "w" not in mode:
            buffered = io.BufferedReader(raw, size)
        elif "r" in mode:
            buffered = io.BufferedRWPair(raw, raw, size)
        else:
            buffered = io.BufferedWriter(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def settimeout(self, value: float | None, /) -> None:
        """Set how many seconds each call may wait at most, beside the deadline."""
        self._timeout = value
        self._sock.settimeout(value)

    def setblocking(self, flag: bool, /) -> None:
        """Set no timeout, or that no call waits at all."""
        self.settimeout(None if flag else 0.0)

    def gettimeout(self) -> float | None:
        """The seconds that were set, None where the deadline alone holds."""
        return self._timeout

    def fileno(self) -> int:
        """The descriptor of the socket below."""
        return self._sock.fileno()

    def getpeername(self) -> Any:
        """Where the target is."""
        return self._sock.getpeername()

    def getsockname(self) -> Any:
        """Where this end is."""
        return self._sock.getsockname()

    def shutdown(self, how: int, /) -> None:
        """Shut down a direction of the socket below."""
        self._sock.shutdown(how)

    def say_goodbye(self, *, wait: bool = False) -> None:
        """Tell the target that this is the end (RFC 8446, 6.1).

        Without `wait` it has no time to answer. Never raises. Nothing can be read or sent
        afterwards.
        """
        with suppress(OSError):
            # A few bytes, for which there is room, also when the time is over.
            self._sock.settimeout(0)
            with suppress(ssl.SSLError):  # it waits for the answer, or finds data before it
                self._tls.unwrap()
            self._flush()
        self._sock.end_orderly(wait=wait)

    def close(self) -> None:
        """Nothing: an answer is read after http.client is done; whoever made the socket ends it."""

    def getpeercert(self, binary_form: bool = False, /) -> Any:
        """The target's certificate, as `ssl.SSLSocket.getpeercert()` gives it."""
        return self._tls.getpeercert(binary_form)

    def cipher(self) -> tuple[str, str, int] | None:
        """The cipher's name, its protocol and its bits."""
        return self._tls.cipher()

    def version(self) -> str | None:
        """The version of TLS as ssl spells it, such as `TLSv1.3`."""
        return self._tls.version()

    @property
    def certificate(self) -> Certificate | None:
        """The target's certificate, verified or not, as the snapshot has it."""
        return read_certificate(self.chain[0])

    @property
    def chain(self) -> list[bytes]:
        """The certificates that the peer presented, its own first, as DER."""
        return self._get_chain("get_unverified_chain") or [self._tls.getpeercert(True) or b""]

    @property
    def verified_chain(self) -> list[bytes]:
        """The certificates from the peer's to the one that is trusted, as DER; [] unverified."""
        if self._tls.context.verify_mode == ssl.CERT_NONE:
            return []
        return self._get_chain("get_verified_chain")

    def _get_chain(self, method: str) -> list[bytes]:
        if hasattr(self._tls, method):
            return list(getattr(self._tls, method)())
        # Before Python 3.13 it is there, but not spoken of.
        inner: Any = getattr(self._tls, "_sslobj", None)
        if hasattr(inner, method):
            return [one.public_bytes(_DER) for one in getattr(inner, method)() or ()]
        return []


def _create_server_hostname(name: str) -> bytes:
    """The name for SNI and verification; ssl sends no SNI for an IP address (RFC 6066, 3).

    A zone means nothing to other machines (RFC 4007, 11.2), and connect() takes 127.1 too.
    """
    bare = name.partition("%")[0].removesuffix(".")
    with suppress(OSError):
        bare = socket.inet_ntoa(socket.inet_aton(bare))
    # As bytes: a str makes ssl import the codec for international names.
    return bare.encode("ascii")


def _is_record(data: bytes) -> bool:
    """Whether bytes from the start of a stream can be TLS: a record's type, and major version 3."""
    return data[0] in _RECORD_TYPES and data[1:2] in (b"", b"\x03")


def _refuse_flags(flags: int) -> None:
    if flags:
        raise ValueError("TLS takes no flags for a call")


class _RawStream(io.RawIOBase):
    def __init__(self, stream: TLSStream) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.recv_into(buffer)

    def write(self, data: Any) -> int:
        return self._stream.send(data)
