"""HTTP/1.1 by requests over a connection that is already open, within one deadline."""

from __future__ import annotations

import errno
import http.client
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection
from urllib3.exceptions import DecodeError, HTTPError
from urllib3.response import BaseHTTPResponse, HTTPResponse
from urllib3.util.retry import Retry

from pingstate.net.attempt import Attempt
from pingstate.net.connect import connect
from pingstate.net.deadline import MAX_REST_BYTES, MAX_REST_SECONDS, Deadline
from pingstate.net.errors import CheckFailedError, describe_failure
from pingstate.net.fields import (
    CODINGS,
    MAX_LINE,
    parse_codings,
    parse_content_length,
    read_fields,
    read_status_line,
)
from pingstate.net.sockets import DeadlineSocket
from pingstate.net.tls import TLSStream
from pingstate.net.tls_contexts import ClientTLS
from pingstate.net.urls import URL

# Off the wire, interim answers included; http.client makes some ten times as much memory of a head.
MAX_HEAD_BYTES = 98_304
_CUT_OFF = "the body was cut off"
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")


@dataclass
class Hop:
    """A request and where it goes; `server_name` is who is verified, None for the target itself.

    The request is not to be changed after it was sent.
    """

    request: requests.PreparedRequest
    url: URL
    address: str
    port: int
    server_name: str | None = None
    ip_version: int | None = None
    body: bytes = b""

    @cached_property
    def head(self) -> bytes:
        """The head of the request as it is sent, written once for all checks."""
        writer = _HeadWriter("localhost")
        method = self.request.method or ""
        writer.putrequest(method, self.url.target, skip_host=True, skip_accept_encoding=True)
        for field in self.request.headers.items():
            writer.putheader(*field)
        writer.endheaders()
        return writer.written


class _HeadWriter(HTTPConnection):
    """urllib3's connection that keeps what it would send."""

    written = b""

    def send(self, data: Any) -> None:
        self.written += data


class _ReadAhead(NamedTuple):
    """A stream that is read 8 KiB ahead: what comes with a head counts as head.

    Python's own buffer has grown to 128 KiB with 3.14, which is more than a head may have.
    """

    stream: Any

    def makefile(self, mode: str) -> Any:
        return self.stream.makefile(mode, buffering=8192)


class _Response(http.client.HTTPResponse):
    """http.client's answer, whose body it reads, with a head that is read by RFC 9112.

    http.client takes any number for a status, +2_00 as well, skips 100 alone of the interim
    statuses, takes a line that is no field for the end of the head, and at most 100 lines.
    """

    fields: HTTPHeaderDict
    content_length: int | None = None  # None: not said
    codings = ""  # of the content and of its transfer, that are left to be decoded

    def __init__(self, stream: Any, method: str) -> None:
        super().__init__(_ReadAhead(stream), method=method)  # type: ignore[arg-type]  # all it needs
        self._bodiless = method == "HEAD"

    def begin(self, **_: Any) -> None:
        """Read the head of the final answer."""
        interim = True
        while interim:
            version, status, reason = read_status_line(self.fp)
            self.fields = read_fields(self.fp)
            interim = 100 <= status <= 199 and status != 101  # RFC 9110, 15.2
        self.code = self.status = status
        self.version, self.reason = int(version.replace(".", "")), reason.strip()
        self.version_text = version
        self.will_close = True
        self.chunked, self.chunk_left, self.length = False, None, None
        # RFC 9112, 6.3
        codings = parse_codings(self.fields, "Transfer-Encoding")
        bodiless = self._bodiless or status in {101, 204, 304}
        try:
            self.content_length = parse_content_length(self.fields)
        except CheckFailedError:
            if not bodiless and not codings:
                raise
        if bodiless:
            self.length = 0
        elif codings:
            self.chunked = codings[-1] == "chunked"
        else:
            self.length = self.content_length
        coded = [*parse_codings(self.fields, "Content-Encoding"), *codings]
        coded = [] if self.length == 0 else coded
        self.codings = ", ".join(coding for coding in coded if coding != "chunked")

    def _get_chunk_left(self) -> int | None:
        # http.client takes any two bytes for the end of a chunk (RFC 9112, 7.1).
        if self.chunk_left == 0:
            end = self.fp.readline(2)
            if end not in {b"\r\n", b"\n"}:
                cut = end in {b"", b"\r"}
                raise CheckFailedError(
                    _CUT_OFF if cut else "the body is malformed: no end of a chunk"
                )
            self.chunk_left = None
        left: int | None = super()._get_chunk_left()  # type: ignore[misc]  # not in typeshed
        return left

    def _read_next_chunk_size(self) -> int:
        # http.client takes any number here as well, -1 and 0x5 among them (RFC 9112, 7.1).
        line = self.fp.readline(MAX_LINE + 1)
        found = _CHUNK_SIZE.fullmatch(line)
        if found is None:
            cut = not line.endswith(b"\n") and len(line) <= MAX_LINE
            raise CheckFailedError(_CUT_OFF if cut else "the body is malformed: no size of a chunk")
        return int(found[1], 16)


class Answer(HTTPResponse):
    """urllib3's response to be read by `read_decoded()`; its `headers` are for urllib3 alone.

    `fields` are those that came, each line of one by itself in `getlist()`.
    """

    fields: HTTPHeaderDict

    @property
    def unreadable_coding(self) -> str:
        """A content coding of the body that can't be decoded here; "" where there is none.

        A name that is no coding's, such as `utf-8`, is taken for a slip: the body is as it came.
        """
        codings = parse_codings(self.headers, "Content-Encoding")
        return next((one for one in codings if one in CODINGS - {*self.CONTENT_DECODERS}), "")

    def read_decoded(self, size: int) -> bytes:
        """What has come, b"" at the end. Raises CheckFailedError for one amid compressed data."""
        data = self.read1(size, decode_content=True)
        if not data and self.tell() and not _has_ended(self._decoder):
            raise CheckFailedError(_CUT_OFF)
        return data


def _has_ended(decoder: Any) -> bool:
    """Whether a decoder of urllib3's has come to the end of its data, which urllib3 never asks."""
    return all(
        # One that has read a whole member of gzip skips what is no other.
        getattr(one, "_state", 0) or getattr(getattr(one, "_obj", None), "eof", True)
        for one in getattr(decoder, "_decoders", [decoder])
    )


class _Pool:
    """What requests takes for a pool of connections: the one that is open, for one request.

    urllib3's own is half of what a check costs beyond its system calls.
    """

    def __init__(self, stream: DeadlineSocket | TLSStream, hop: Hop, attempt: Attempt) -> None:
        self._stream = stream
        self._hop = hop
        self._attempt = attempt

    def urlopen(self, **_: Any) -> Answer:
        # A target that closes before it has read the whole request may have answered it.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._stream.sendall(self._hop.head + self._hop.body)
        self._attempt.deadline.start_phase("response")
        method = self._hop.request.method or ""
        answer = _Response(self._stream, method)
        try:
            answer.begin()
        except OSError as exc:
            if exc.errno == errno.EMSGSIZE:
                raise CheckFailedError(
                    f"the answer's head has more than {MAX_HEAD_BYTES} bytes"
                ) from exc
            raise
        trace, length = self._attempt.trace, answer.content_length
        trace.status, trace.version = answer.status, answer.version_text
        trace.content_length = -1 if length is None else length
        # urllib3 gets these alone: it has rules of its own for fields that contradict each other.
        told = {"Content-Length": str(answer.length)} if answer.length is not None else {}
        if answer.codings:
            told["Content-Encoding"] = answer.codings
        response = Answer(
            body=answer,
            headers=told,
            status=answer.status,
            version=answer.version,
            reason=answer.reason,
            preload_content=False,
            original_response=answer,
            request_method=method,
        )
        response.fields = answer.fields
        return response


class _Adapter(HTTPAdapter):
    """requests' adapter with one connection for one request, and no say in TLS or proxies."""

    max_retries = Retry(0, read=False)

    def __init__(self, pool: _Pool) -> None:
        # Not its base's, which makes a manager of pools.
        self._pool = pool

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        return self._pool

    def request_url(self, *_: Any) -> str:
        # The request is written already, and requests' own keeps what targets redirect to.
        return ""

    def cert_verify(self, *_: Any) -> None:
        """Nothing: the connection is verified before requests sees it."""

    def build_response(self, _: requests.PreparedRequest, resp: BaseHTTPResponse) -> Any:
        """The answer as it is: requests' own costs MiB where a head is full of cookies."""
        return resp


@contextmanager
def open_response(hop: Hop, tls: ClientTLS, attempt: Attempt) -> Iterator[Answer]:
    """One request over a new connection, and its answer with the body still unread.

    Afterwards the rest of a small answer is read. Raises OSError, and CheckFailedError for what is
    no HTTP, also where the body is read.
    """
    attempt.trace.forget_answer()
    deadline = attempt.deadline
    open_socket = partial(connect, hop.address, hop.port, ip_version=hop.ip_version)
    sock = open_socket(deadline)
    stream: DeadlineSocket | TLSStream = sock
    try:
        attempt.trace.ip_protocol = sock.ip_protocol
        if hop.url.scheme == "https":
            stream = tls.handshake(
                sock, attempt, reconnect=open_socket, server_name=hop.server_name
            )
        deadline.start_phase("send")
        deadline.limit_bytes(MAX_HEAD_BYTES)
        adapter = _Adapter(_Pool(stream, hop, attempt))
        with closing(cast("Answer", adapter.send(hop.request))) as answer:
            yield answer
            _read_rest(answer, deadline)
    except (requests.RequestException, HTTPError, http.client.HTTPException) as exc:
        raise CheckFailedError(_describe(exc)) from exc
    finally:
        with deadline.shorten(MAX_REST_SECONDS):
            if isinstance(stream, TLSStream):
                stream.say_goodbye()
            else:
                stream.end_orderly(wait=False)
        # The descriptor is closed now, whatever still refers to the socket.
        descriptor = sock.detach()
        if descriptor >= 0:
            os.close(descriptor)


def _describe(exc: BaseException) -> str:
    inner: BaseException | None = exc
    while inner is not None:
        if isinstance(inner, http.client.IncompleteRead):
            return _CUT_OFF
        if isinstance(inner, DecodeError):
            return "the body can't be decoded as its Content-Encoding says"
        inner = inner.__cause__ or inner.__context__
    return describe_failure(exc)


def read_beginning(answer: Answer, deadline: Deadline) -> bytes:
    """What has come of a body within 0.1 s, decoded, 1 KiB of it at most. Never raises."""
    body = b""
    with (
        suppress(OSError, CheckFailedError, HTTPError, http.client.HTTPException),
        deadline.shorten(MAX_REST_SECONDS),
    ):
        deadline.limit_bytes(MAX_REST_BYTES)
        while len(body) < 1024 and (data := answer.read_decoded(1024)):
            body += data
    return body


def _read_rest(answer: Answer, deadline: Deadline) -> None:
    with suppress(OSError, CheckFailedError), deadline.shorten(MAX_REST_SECONDS):
        deadline.limit_bytes(MAX_REST_BYTES)
        if answer.length_remaining is None or answer.length_remaining <= MAX_REST_BYTES:
            answer.drain_conn()
