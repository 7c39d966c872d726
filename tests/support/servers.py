"""Small real servers on loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import trustme

from tests.support.waiting import TIMEOUT


@contextlib.contextmanager
def talker(
    talk: Callable[[socket.socket], object],
    family: int = socket.AF_INET,
    address: Any = ("127.0.0.1", 0),
) -> Iterator[Any]:
    """A server that gives each connection to `talk`."""
    server = socket.socket(family)
    server.bind(address)
    server.listen()
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                sock, _ = server.accept()
            except OSError:
                return
            if stop.is_set():
                sock.close()
                return
            with sock, contextlib.suppress(OSError):
                talk(sock)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server.getsockname()
    finally:
        stop.set()
        with socket.socket(family) as last, contextlib.suppress(OSError):
            last.connect(server.getsockname())
        thread.join(TIMEOUT)
        server.close()


def read_request(sock: socket.socket) -> bytes:
    """The head of a request, and of its body what its Content-Length says."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def answering(
    *answers: bytes | Callable[[bytes], bytes],
) -> Iterator[tuple[int, list[bytes]]]:
    """A server of HTTP that gives one of `answers` to each request, the last one for ever.

    An answer is bytes or a function of the request's bytes. Yields the port and what was asked.
    """
    asked: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        request = read_request(sock)
        asked.append(request)
        answer = answers[min(len(asked), len(answers)) - 1]
        sock.sendall(answer(request) if callable(answer) else answer)

    with talker(talk) as (_, port):
        yield port, asked


def tls_context(
    certificate: trustme.LeafCert, client_ca: trustme.CA | None = None
) -> ssl.SSLContext:
    """A server's side of TLS; with `client_ca`, a client must have a certificate of its."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def tls_talker(
    talk: Callable[[ssl.SSLSocket], object], context: ssl.SSLContext, **options: Any
) -> contextlib.AbstractContextManager[Any]:
    """A `talker` whose `talk` gets each connection once hands are shaken."""

    def shake_hands(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as inside:
            talk(inside)

    return talker(shake_hands, **options)


def answer_ok(sock: socket.socket) -> None:
    """Read an HTTP request and answer it."""
    read_request(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")


@contextlib.contextmanager
def https_server(
    certificate: trustme.LeafCert, client_ca: trustme.CA | None = None
) -> Iterator[int]:
    """A server of HTTPS on 127.0.0.1 that answers OK; yields its port. See `tls_context`."""
    with tls_talker(answer_ok, tls_context(certificate, client_ca)) as (_, port):
        yield port
