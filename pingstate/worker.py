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
from datetime import timedelta
from typing import Any

from gunicorn.http import errors, get_parser, wsgi
from gunicorn.workers import base

from pingstate.heartbeat import Heartbeat

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
# How many heads of requests are kept with what they were parsed to, and bytes that each may have.
_MAX_KNOWN = 32
_MAX_KNOWN_HEAD = 1024

_STATUSES: dict[type[Exception], tuple[int, str]] = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
}


# gunicorn's worker creates one before any code of ours runs.
base.WorkerTmp = Heartbeat


class _ResponseBuffer:
    """What gunicorn's response writer takes for the client's socket."""

    def __init__(self) -> None:
        self.data = bytearray()

    def sendall(self, data: bytes) -> None:
        self.data += data

    def send(self, data: bytes) -> int:
        self.data += data
        return len(data)


class _Connection:
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
        """Refuse settings that this worker does not support; gunicorn calls it at the start."""
        if cfg.is_ssl:
            log.error("pingstate's worker serves plain HTTP only: put a proxy in front for TLS")
            raise SystemExit(2)

    def init_process(self) -> None:
        self._poller = selectors.DefaultSelector()
        self._connections: dict[int, _Connection] = {}
        # Connections with a whole head still in their buffer; each is served once per poll.
        self._ready: deque[_Connection] = deque()
        self._known: dict[Any, tuple[Any, dict[str, Any]]] = {}
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._max_connections = max(8, min(self.cfg.worker_connections, descriptors - 64))
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
            self._poll_once(1.0)
            if time.monotonic() - swept >= 1.0:
                swept = time.monotonic()
                self._close_expired(swept)
        self._drain()

    def _poll_once(self, timeout: float) -> bool:
        """Handle what is ready, waiting at most `timeout` seconds for it; whether anything was."""
        events = self._poller.select(0 if self._ready else timeout)
        for key, _ in events:
            if isinstance(key.data, _Connection):
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
        """Answer requests already received, then close; new connections go to the next worker."""
        for listener in self.sockets:
            self._accept(listener, most=self._max_connections)
            self._poller.unregister(listener)
            listener.close()
        until = time.monotonic() + _DRAIN
        quiet = False
        # A poll that finds nothing means that the buffers are empty.
        while time.monotonic() < until and not quiet:
            self.notify()
            quiet = not self._poll_once(0.05) and not self._ready
        for connection in tuple(self._connections.values()):
            self._close(connection)

    def _accept(self, listener: Any, most: int = 64) -> None:
        for _ in range(most):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError:
                # Aborted by the client, or no descriptor is left: room is made below.
                if self._connections:
                    self._close(min(self._connections.values(), key=lambda each: each.expires))
                return
            if len(self._connections) >= self._max_connections:
                self._close(min(self._connections.values(), key=lambda each: each.expires))
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(sock, address, listener.getsockname())
            self._connections[sock.fileno()] = connection
            self._poller.register(sock, selectors.EVENT_READ, connection)
            self._receive(connection)

    def _receive(self, connection: _Connection) -> None:
        if len(connection.received) > _MAX_HEAD:
            return  # a client that asks faster than it reads the answers has to wait
        try:
            data = connection.sock.recv(_RECV)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # No more requests will come; those that have come are answered.
            while connection.received and not connection.blocked and self._serve(connection):
                pass
            self._close(connection)
        elif not connection.lingering:
            connection.received += data
            self._serve(connection)

    def _serve(self, connection: _Connection) -> bool:
        """Answer the first request whose head is whole; whether there was one."""
        if connection.sock.fileno() < 0 or connection.unsent or connection.closing:
            return False
        received = connection.received
        while received.startswith(b"\r\n"):  # RFC 9112, 2.2
            del received[:2]
        end = received.find(_END_OF_HEAD)
        if end < 0 and len(received) <= _MAX_HEAD:
            return False
        answer = _ResponseBuffer()
        if end < 0 or end > _MAX_HEAD:
            connection.closing = True
            _write_error(answer, 431, "Request Header Fields Too Large")
        else:
            head = bytes(received[: end + len(_END_OF_HEAD)])
            del received[: end + len(_END_OF_HEAD)]
            connection.closing = not self._answer(head, connection, answer)
        connection.unsent = bytes(answer.data)
        connection.expires = time.monotonic() + _SEND_TIMEOUT
        self._send(connection)
        return True

    def _answer(self, head: bytes, connection: _Connection, answer: _ResponseBuffer) -> bool:
        """Let the application answer one request; whether the connection may be used again."""
        try:
            request, response, environ = self._parse(head, connection, answer)
        except (errors.ParseException, StopIteration, UnicodeError, ValueError) as exc:
            answer.data.clear()
            _write_error(answer, *_STATUSES.get(type(exc), (400, "Bad Request")))
            return False
        # Bodies are not read, so that no client can make this wait for one.
        if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
            response.force_close()
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not self.alive:
            response.force_close()
        began = time.monotonic()
        try:
            body = self.wsgi(environ, response.start_response)
            try:
                for chunk in body:
                    response.write(chunk)
                response.close()
            finally:
                if hasattr(body, "close"):
                    body.close()
        except Exception:  # whatever a program's own middleware raises
            self.log.exception("%s: the application failed", request.path)
            answer.data.clear()
            _write_error(answer, 500, "Internal Server Error")
            return False
        if self.log.access_log_enabled:
            self.log.access(response, request, environ, timedelta(seconds=time.monotonic() - began))
        return not response.should_close()

    def _parse(self, head: bytes, connection: _Connection, answer: _ResponseBuffer) -> Any:
        """Gunicorn's request, its response, and the WSGI environment.

        A sidecar's clients send the same head each time, and parsing it is half of what an answer
        costs: a short one is parsed once for each client's address.
        """
        address = connection.address
        # What a head means may depend on who has sent it, as with X-Forwarded-Proto.
        key = (head, connection.server, address[0]) if isinstance(address, tuple) else None
        if key in self._known:
            request, environ = self._known[key]
            environ = {**environ, "gunicorn.socket": answer, "REMOTE_PORT": str(address[1])}
            return request, wsgi.Response(request, answer, self.cfg), environ
        request = next(get_parser(self.cfg, iter([head]), address))
        response, environ = wsgi.create(request, answer, address, connection.server, self.cfg)
        # Of this connection alone.
        environ.pop("wsgi.early_hints", None)
        bodiless = "CONTENT_LENGTH" not in environ and "HTTP_TRANSFER_ENCODING" not in environ
        # `Expect` has been answered by now.
        if key is not None and bodiless and not answer.data and len(head) <= _MAX_KNOWN_HEAD:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = request, dict(environ)
        return request, response, environ

    def _send(self, connection: _Connection) -> None:
        try:
            sent = connection.sock.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(connection)
            return
        connection.unsent = connection.unsent[sent:]
        if bool(connection.unsent) != connection.blocked:
            connection.blocked = not connection.blocked
            events = selectors.EVENT_WRITE if connection.blocked else selectors.EVENT_READ
            self._poller.modify(connection.sock, events, connection)
        if connection.blocked:
            return
        if connection.closing:
            # What the client still sends is read: a reset could take the answer away from it.
            connection.lingering = True
            connection.expires = time.monotonic() + _LINGER
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_WR)
        else:
            connection.expires = time.monotonic() + _HEAD_TIMEOUT
            if connection.received:
                self._ready.append(connection)

    def _close_expired(self, at: float) -> None:
        for connection in [each for each in self._connections.values() if each.expires <= at]:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        descriptor = connection.sock.fileno()
        if self._connections.pop(descriptor, None) is not None:
            self._poller.unregister(connection.sock)
            connection.sock.close()


def _write_error(answer: _ResponseBuffer, status: int, reason: str) -> None:
    text = f"{status} {reason}\n"
    answer.sendall(
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode("ascii")
    )
