"""TLS over a socket that keeps the deadline, a step at a time."""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pingstate.net.deadline import Deadline
from pingstate.net.sockets import DeadlineSocket

# ssl's number for the encoding, which it does not export.
_DER = 2


class TLSStream:
    """TLS over a `DeadlineSocket`, with as much of a socket's face as http.client looks at.

    ssl's own sockets leave the reading to OpenSSL, which goes on for as long as a peer sends what
    it skips, such as an endless row of HelloRequests. Here it gets the bytes that have come, and
    the deadline is asked before each more.
    """

    def __init__(
        self, sock: DeadlineSocket, context: ssl.SSLContext, server_name: str, deadline: Deadline
    ) -> None:
        """Shake hands. Raises OSError (ssl.SSLError, TimeoutError among them)."""
        deadline.start_phase("tls")
        self.eof = False
        self._sock = sock
        self._deadline = deadline
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # As bytes: a str makes ssl import the codec for international names.
        name = server_name.removesuffix(".").encode("ascii")
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        try:
            self._io_loop(self._tls.do_handshake)
        except ssl.SSLError:
            # So that the peer learns why.
            with suppress(OSError):
                self._flush()
            raise

    def _io_loop(self, call: Callable[..., Any], *args: Any) -> Any:
        while True:
            self._deadline.remaining()
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
            count = self._io_loop(self._tls.read, memoryview(buffer).nbytes, buffer)
        self.eof = self.eof or not count
        return count

    def sendall(self, data: Any) -> None:
        """Send all of it."""
        self._io_loop(self._tls.write, data)

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
