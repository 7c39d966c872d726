"""HTTP/1.1 through requests over a connection of ours, within one deadline."""

from __future__ import annotations

import http.client
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse, HTTPResponse

from pingstate.net.attempt import Attempt
from pingstate.net.deadline import Deadline
from pingstate.net.errors import CheckFailedError, describe_failure
from pingstate.net.sockets import DeadlineSocket, connect, ip_protocol
from pingstate.net.tls import TLSStream
from pingstate.net.tls_contexts import ClientTLS
from pingstate.text import excerpt

# Off the wire, interim answers included; http.client makes some ten times as much memory of a head.
MAX_HEAD_BYTES = 98_304
_MAX_LINE = 65536
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([0-9]{3})(?: ([^\n]*))?\r?\n")  # RFC 9112, 4
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")


class Hop(NamedTuple):
    """A request and where it goes; `server_name` is who is verified, None for the target itself."""

    request: requests.PreparedRequest
    address: str
    port: int
    server_name: str | None = None


class _Response(http.client.HTTPResponse):
    """An answer whose status line is RFC 9112's, and whose interim statuses are all skipped.

    http.client takes any number for a status, +2_00 as well, and skips 100 alone (RFC 9110, 15.2).
    """

    def _read_status(self) -> tuple[str, int, str]:
        line = self.fp.readline(_MAX_LINE + 1)
        if not line:
            raise CheckFailedError("closed without an answer")
        found = _STATUS_LINE.fullmatch(line)
        if found is None or len(line) > _MAX_LINE:
            raise CheckFailedError(f"not an HTTP answer: {excerpt(line[:512])}")
        status = int(found[2])
        interim = 100 <= status <= 199 and status != 101
        return found[1].decode(), 100 if interim else status, (found[3] or b"").decode("latin-1")

    def _read_next_chunk_size(self) -> int:
        # http.client takes any number here as well, -1 and 0x5 among them (RFC 9112, 7.1).
        line = self.fp.readline(_MAX_LINE + 1)
        found = _CHUNK_SIZE.fullmatch(line)
        if found is None:
            raise ValueError("not the size of a chunk")
        return int(found[1], 16)


class _Connection(HTTPConnection):
    """urllib3's connection over a socket of ours that is already open."""

    response_class = _Response

    def __init__(
        self, *args: Any, stream: DeadlineSocket | TLSStream, deadline: Deadline, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.sock = stream  # as much of a socket as is looked at
        self._stream = stream
        self._deadline = deadline

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        self._deadline.start_phase("response")
        response = super().getresponse()
        # http.client takes the end of the stream for the end of the head.
        if self._stream.eof:
            raise CheckFailedError("the answer's head was cut off")
        return response


class _Adapter(HTTPAdapter):
    """requests' adapter with one connection for one request, and no say in TLS or proxies."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        super().__init__(max_retries=0)
        self._pool = pool

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        return self._pool

    def cert_verify(self, *_: Any) -> None:
        """Nothing: the connection is verified before requests sees it."""

    def build_response(
        self, req: requests.PreparedRequest, resp: BaseHTTPResponse
    ) -> requests.Response:
        """The answer without its cookies, which cost MiB where a head is full of them."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.raw = resp
        response.request = req
        return response


@contextmanager
def open_response(hop: Hop, tls: ClientTLS, attempt: Attempt) -> Iterator[requests.Response]:
    """One request over a new connection, and its answer with the body still unread.

    Raises OSError and ValueError, and CheckFailedError for what is no HTTP, also where the body
    is read.
    """
    attempt.forget_answer()
    deadline = attempt.deadline
    sock = connect(hop.address, hop.port, deadline)
    try:
        attempt.ip_protocol = ip_protocol(sock)
        stream: DeadlineSocket | TLSStream = sock
        if str(hop.request.url).startswith("https:"):
            stream = tls.handshake(
                sock, attempt, address=hop.address, port=hop.port, server_name=hop.server_name
            )
        deadline.start_phase("send")
        deadline.limit_bytes(MAX_HEAD_BYTES)
        pool = HTTPConnectionPool("localhost", hop.port, stream=stream, deadline=deadline)
        pool.ConnectionCls = _Connection
        response = _Adapter(pool).send(hop.request, stream=True)
        attempt.status = response.status_code
        attempt.version = {10: "1.0", 11: "1.1"}.get(response.raw.version)
        length = response.headers.get("Content-Length", "")
        attempt.content_length = int(length) if length.isdecimal() and len(length) < 19 else -1
        with response:
            yield response
    except (requests.RequestException, HTTPError, http.client.HTTPException) as exc:
        raise CheckFailedError(describe_failure(exc)) from exc
    finally:
        # Whoever still refers to the socket, its descriptor goes now.
        descriptor = sock.detach()
        if descriptor >= 0:
            os.close(descriptor)
