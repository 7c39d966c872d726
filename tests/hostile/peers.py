"""A hostile server: it accepts on loopback and hands each connection to one mode."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import cycle
from pathlib import Path

import trustme

DRIP_S = 0.04  # far below any probe's timeout, so that no single read ever times out
OURS = "ours"
SECRET = "hunter2"
# The secret, and what it looks like in the base64 of `somebody:hunter2`.
LEAKS = (SECRET, "aHVudGVy")
SILENT = ("tcp", "tls")  # those whose probe says nothing of itself
INSIDE = ("tls", "https")  # those that are spoken inside TLS
LONG_S = 30.0  # longer than any check; nothing here waits that long unless something is broken


class Peer:
    """The server's end of one connection, and the ways to be slow, endless or broken on it."""

    def __init__(
        self, sock: socket.socket, protocol: str, timeout: float, nth: int, stop: threading.Event
    ) -> None:
        self.sock = sock
        self.protocol = protocol
        self.timeout = timeout  # the prober's, in seconds
        self.nth = nth  # how many connections came before this one
        self.stop = stop

    @property
    def url(self) -> str:
        host, port = self.sock.getsockname()[:2]
        return f"{self.protocol}://{host}:{port}"

    def request(self) -> bytes:
        """The request's head; nothing from a probe that expects the server to speak first."""
        head = b""
        while self.protocol not in SILENT and b"\r\n\r\n" not in head:
            if not (data := self.sock.recv(65536)):
                raise ConnectionAbortedError
            head += data
        return head

    def path(self) -> str:
        """The path that was asked for."""
        return (self.request().split(b" ")[1:2] or [b"/"])[0].decode()

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def drip(self, data: Iterable[int], every: float = DRIP_S) -> None:
        """Send a byte at a time."""
        for byte in data:
            if self.stop.wait(every):
                return
            self.send(bytes([byte]))

    def pieces(self, *parts: bytes) -> None:
        """Send each part in a segment of its own."""
        for part in parts:
            self.send(part)
            self.stop.wait(DRIP_S)

    def drip_for_ever(self, data: bytes) -> None:
        self.drip(cycle(data))

    def flood(self, data: bytes) -> None:
        """Send as fast as the prober reads, for as long as it does."""
        block = data * max(1, 65536 // len(data))
        while not self.stop.is_set():
            self.send(block)

    def hold(self) -> None:
        """Say nothing more, and keep the connection until the prober leaves."""
        while not self.stop.is_set() and self.sock.recv(65536):
            pass

    def close(self) -> None:
        """End the answer properly, in TLS with its close_notify."""
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.settimeout(self.timeout)
            with contextlib.suppress(
                OSError
            ):  # it answers with a reset when the prober has left already
                self.sock.unwrap()
        self.sock.close()

    def cut(self) -> None:
        """End the connection by a bare FIN, in TLS without its close_notify."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """End the connection by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.sock = context.wrap_socket(self.sock, server_side=True)


Mode = Callable[[Peer], None]


@contextlib.contextmanager
def serving(
    mode: Mode,
    *,
    protocol: str = "http",
    timeout: float = 5.0,
    tls: bool = False,
    host: str = "127.0.0.1",
) -> Iterator[int]:
    """Serve one mode in threads and yield the port; with `tls`, inside a proper TLS connection.

    Raises at its end what the mode raised, but for the errors of a connection that its other end
    has left.
    """
    server = _Server(mode, protocol, timeout, tls=tls, host=host)
    try:
        yield server.port
    finally:
        server.stop()
    if server.errors:
        raise server.errors[0]


class _Server:
    def __init__(self, mode: Mode, protocol: str, timeout: float, *, tls: bool, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.errors: list[BaseException] = []
        self._mode, self._protocol, self._timeout, self._tls = mode, protocol, timeout, tls
        self._stop = threading.Event()
        self._peers: list[Peer] = []
        self._threads = [threading.Thread(target=self._accept, name="hostile accept")]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            peer = Peer(sock, self._protocol, self._timeout, len(self._peers), self._stop)
            self._peers.append(peer)
            name = f"hostile {self._mode.__name__}"
            self._threads.append(threading.Thread(target=self._converse, args=(peer,), name=name))
            self._threads[-1].start()

    def _converse(self, peer: Peer) -> None:
        try:
            peer.sock.settimeout(LONG_S)
            # What is sent in pieces leaves in pieces.
            peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                peer.start_tls(server_context())
            self._mode(peer)
        except OSError:  # the prober has left: that is what it should do
            pass
        except BaseException as error:  # the server's owner raises it
            self.errors.append(error)
        finally:
            peer.sock.close()

    def stop(self) -> None:
        """End every conversation, and the listening."""
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave accept() waiting
        self._threads[0].join(LONG_S)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(peer.sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONG_S)


def well_behaved(peer: Peer) -> None:
    """Answers as a good server does."""
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong")
    peer.close()


@cache
def folder() -> Path:
    """A folder of this run's certificates; removed at exit."""
    return Path(_folder().name)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hostile-")


@cache
def authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=f"Hostile tests, {name}")


@cache
def ca_file() -> str:
    """The certificate of the authority that our good servers' certificates are by."""
    path = folder() / "ca.pem"
    authority(OURS).cert_pem.write_to_path(path)
    return str(path)


@cache
def server_context() -> ssl.SSLContext:
    """A good certificate for 127.0.0.1, ::1 and localhost, by our own authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority(OURS).issue_cert("127.0.0.1", "::1", "localhost").configure_cert(context)
    return context


def noise(length: int, seed: int = 1) -> bytes:
    """Random bytes, the same in each run."""
    return random.Random(seed).randbytes(length)
