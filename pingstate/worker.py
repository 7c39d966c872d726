"""A gunicorn worker that slow clients can't hold: it never waits for any one of them.

gunicorn's threaded worker gives a thread to a request whose head is still on its way, so a few
clients that never finish theirs take all the threads. The views here only read a snapshot, so
this worker needs no threads: one loop reads what has come, hands whole heads to gunicorn's parser
and WSGI code, and sends the answers. Checks run on the Monitor's thread meanwhile.
"""

from __future__ import annotations

import os
import resource
import selectors
import socket
import time
from collections import deque
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from gunicorn.http import errors, get_parser, wsgi
from gunicorn.workers import base

# Seconds: for a whole head to come, counted from the connection or the last answer; for an answer
# to be taken; for a client to close after the server did (RFC 9112, 9.6).
_HEAD_TIMEOUT = 5.0
_SEND_TIMEOUT = 5.0
_LINGER = 1.0
# How long a stopping worker still answers those that have asked already.
_DRAIN = 0.5
_MAX_HEAD = 32768
_RECV = 16384
_END_OF_HEAD = b"\r\n\r\n"

_STATUSES: dict[type[Exception], tuple[int, str]] = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
}


class _Answer:
    """What gunicorn's response writer takes for the client's socket."""

    def __init__(self) -> None:
        self.data = bytearray()

    def sendall(self, data: bytes) -> None:
        self.data += data

    def send(self, data: bytes) -> int:
        self.data += data
        return len(data)


class _Client:
    """A connection: what came and is not answered yet, what is not sent yet, and until when."""

    __slots__ = (
        "address",
        "blocked",
        "closing",
        "expires",
        "lingering",
        "received",
        "server",
        "sock",
        "unsent",
    )

    def __init__(self, sock: socket.socket, address: Any, server: Any) -> None:
        self.sock = sock
        self.address = address
        self.server = server
        self.received = bytearray()
        self.unsent = b""
        self.blocked = False
        self.closing = False
        self.lingering = False
        self.expires = time.monotonic() + _HEAD_TIMEOUT


class Worker(base.Worker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's `worker_class`. Plain HTTP/1 only, and for views that don't block."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse what this worker does not do; gunicorn calls it at the start."""
        if cfg.is_ssl:
            log.error("pingstate's worker speaks plain HTTP: put a proxy in front for TLS")
            raise SystemExit(2)

    def init_process(self) -> None:
        self._poller = selectors.DefaultSelector()
        self._clients: dict[int, _Client] = {}
        # Clients with a whole head still in their buffer, each served once a turn.
        self._ready: deque[_Client] = deque()
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._max_clients = max(8, min(self.cfg.worker_connections, descriptors - 64))
        super().init_process()

    def run(self) -> None:
        """Serve until told to stop; gunicorn calls it once, in the worker's process."""
        self._poller.register(self.PIPE[0], selectors.EVENT_READ, None)
        for listener in self.sockets:
            listener.setblocking(False)
            self._poller.register(listener, selectors.EVENT_READ, listener)
        swept = time.monotonic()
        while self.alive and self.ppid == os.getppid():
            self.notify()
            self._turn(1.0)
            if time.monotonic() - swept >= 1.0:
                swept = time.monotonic()
                self._sweep(swept)
        self._drain()

    def _turn(self, timeout: float) -> bool:
        """Do what can be done without waiting for anyone; whether there was something."""
        events = self._poller.select(0 if self._ready else timeout)
        for key, _ in events:
            if isinstance(key.data, _Client):
                if key.data.blocked:
                    self._send(key.data)
                else:
                    self._receive(key.data)
            elif key.data is not None:
                self._accept(key.data)
            else:
                with suppress(BlockingIOError):
                    os.read(key.fd, 4096)
        for _ in range(len(self._ready)):
            self._serve(self._ready.popleft())
        return bool(events)

    def _drain(self) -> None:
        """Answer who has asked already, and close; new connections go to the next worker."""
        for listener in self.sockets:
            self._accept(listener, most=self._max_clients)
            self._poller.unregister(listener)
            listener.close()
        until = time.monotonic() + _DRAIN
        quiet = False
        # A turn in which nothing came tells that the buffers are empty.
        while time.monotonic() < until and not quiet:
            self.notify()
            quiet = not self._turn(0.05) and not self._ready
        for client in tuple(self._clients.values()):
            self._close(client)

    def _accept(self, listener: Any, most: int = 64) -> None:
        for _ in range(most):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError:
                # Aborted by the client, or no descriptor is left: room is made below.
                if self._clients:
                    self._close(min(self._clients.values(), key=lambda client: client.expires))
                return
            if len(self._clients) >= self._max_clients:
                self._close(min(self._clients.values(), key=lambda client: client.expires))
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = _Client(sock, address, listener.getsockname())
            self._clients[sock.fileno()] = client
            self._poller.register(sock, selectors.EVENT_READ, client)
            self._receive(client)

    def _receive(self, client: _Client) -> None:
        if len(client.received) > _MAX_HEAD:
            return  # who asks faster than answers go out waits
        try:
            data = client.sock.recv(_RECV)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # No more requests will come; those that have come are answered.
            while client.received and not client.blocked and self._serve(client):
                pass
            self._close(client)
        elif not client.lingering:
            client.received += data
            self._serve(client)

    def _serve(self, client: _Client) -> bool:
        """Answer the first request whose head is whole; whether there was one."""
        if client.sock.fileno() < 0 or client.unsent or client.closing:
            return False
        received = client.received
        while received.startswith(b"\r\n"):  # RFC 9112, 2.2
            del received[:2]
        end = received.find(_END_OF_HEAD)
        if end < 0 and len(received) <= _MAX_HEAD:
            return False
        answer = _Answer()
        if end < 0 or end > _MAX_HEAD:
            client.closing = True
            _refuse(answer, 431, "Request Header Fields Too Large")
        else:
            head = bytes(received[: end + len(_END_OF_HEAD)])
            del received[: end + len(_END_OF_HEAD)]
            client.closing = not self._answer(head, client, answer)
        client.unsent = bytes(answer.data)
        client.expires = time.monotonic() + _SEND_TIMEOUT
        self._send(client)
        return True

    def _answer(self, head: bytes, client: _Client, answer: _Answer) -> bool:
        """Let the application answer one request; whether the connection may be used again."""
        try:
            request = next(get_parser(self.cfg, iter([head]), client.address))
            response, environ = wsgi.create(
                request, answer, client.address, client.server, self.cfg
            )
        except (errors.ParseException, StopIteration, UnicodeError, ValueError) as exc:
            answer.data.clear()
            _refuse(answer, *_STATUSES.get(type(exc), (400, "Bad Request")))
            return False
        # Bodies are not read, so that no client can make this wait for one.
        if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
            response.force_close()
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not self.alive:
            response.force_close()
        began = datetime.now(timezone.utc)
        body = self.wsgi(environ, response.start_response)
        try:
            for chunk in body:
                response.write(chunk)
            response.close()
        finally:
            if hasattr(body, "close"):
                body.close()
        if self.log.access_log_enabled:
            self.log.access(response, request, environ, datetime.now(timezone.utc) - began)
        return not response.should_close()

    def _send(self, client: _Client) -> None:
        try:
            sent = client.sock.send(client.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(client)
            return
        client.unsent = client.unsent[sent:]
        if bool(client.unsent) != client.blocked:
            client.blocked = not client.blocked
            events = selectors.EVENT_WRITE if client.blocked else selectors.EVENT_READ
            self._poller.modify(client.sock, events, client)
        if client.blocked:
            return
        if client.closing:
            # The client is told, and what it still sends is read: a reset would take the
            # answer away from it.
            client.lingering = True
            client.expires = time.monotonic() + _LINGER
            with suppress(OSError):
                client.sock.shutdown(socket.SHUT_WR)
        else:
            client.expires = time.monotonic() + _HEAD_TIMEOUT
            if client.received:
                self._ready.append(client)

    def _sweep(self, at: float) -> None:
        for client in [client for client in self._clients.values() if client.expires <= at]:
            self._close(client)

    def _close(self, client: _Client) -> None:
        descriptor = client.sock.fileno()
        if self._clients.pop(descriptor, None) is not None:
            self._poller.unregister(client.sock)
            client.sock.close()


def _refuse(answer: _Answer, status: int, reason: str) -> None:
    text = f"{status} {reason}\n"
    answer.sendall(
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode("ascii")
    )
