"""How a request travels: an open socket, TLS, and requests over both, within one deadline."""

from __future__ import annotations

import http.client
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ProtocolError
from urllib3.response import BaseHTTPResponse, HTTPResponse

from pingstate.net.certificate import read_certificate
from pingstate.net.deadline import Deadline
from pingstate.net.errors import reason
from pingstate.net.sockets import DeadlineSocket, connect, ip_protocol
from pingstate.net.tls import TLSStream
from pingstate.text import excerpt
from pingstate.values import host_of

# Off the wire, interim answers included; http.client makes some ten times as much memory of a head.
MAX_HEAD_BYTES = 98_304
MAX_HANDSHAKE_BYTES = 262_144
_MAX_LINE = 65536
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([0-9]{3})(?: ([^\n]*))?\r?\n")  # RFC 9112, 4
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")


class Hop(NamedTuple):
    """A request and where it goes; `name` is who must be there by TLS, None for the target."""

    request: requests.PreparedRequest
    address: str
    port: int
    name: str | None = None


class ClientTLS:
    """How to shake hands: contexts are costly, so each is made once, when it is first needed."""

    def __init__(
        self,
        *,
        home: str,
        verify: bool,
        ca_file: str | None,
        client_cert: str | None,
        client_key: str | None,
        server_name: str | None,
    ) -> None:
        self._verify = verify
        self._ca_file = ca_file
        self._client = (client_cert, client_key)
        self._name = host_of(server_name or ("localhost" if home.startswith("unix:") else home))

    @cached_property
    def context(self) -> ssl.SSLContext:
        """For the given address, with the client's certificate."""
        return self._context(verify=self._verify, client=True)

    @cached_property
    def _elsewhere(self) -> ssl.SSLContext:
        # Who a redirect leads to has no business with the client's certificate.
        return self._context(verify=self._verify, client=False) if self._client[0] else self.context

    @cached_property
    def _unverified(self) -> ssl.SSLContext:
        return self._context(verify=False, client=False)

    def _context(self, *, verify: bool, client: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["http/1.1"])
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
        else:
            _trust_the_system(context)
        certificate, key = self._client
        if client and certificate is not None:
            # Without a password OpenSSL would ask a terminal for the one of an encrypted key.
            context.load_cert_chain(certificate, key, password="")
        return context

    def shake(
        self, sock: DeadlineSocket, hop: Hop, deadline: Deadline, trace: dict[str, Any]
    ) -> TLSStream:
        """Shake hands; the certificate is noted also when it is not accepted."""
        name = self._name if hop.name is None else hop.name
        context = self.context if hop.name is None else self._elsewhere
        try:
            tls = TLSStream(sock, context, name, deadline)
        except ssl.SSLCertVerificationError:
            # The standard library shows no certificate that it did not accept, so ask once more;
            # on a budget of its own, for the verdict is there and must not turn into a timeout.
            with suppress(OSError):
                again = Deadline(min(deadline.remaining() / 2, 1.0), owner=deadline.owner)
                with connect(hop.address, hop.port, again) as second:
                    again.limit_bytes(MAX_HANDSHAKE_BYTES)
                    shown = TLSStream(second, self._unverified, name, again)
                    trace.update(_presented(shown))
            raise
        trace["tls_version"] = tls.version
        trace.update(_presented(tls))
        return tls


def _presented(tls: TLSStream) -> dict[str, Any]:
    certificates = [read_certificate(der) for der in tls.chain]
    return {
        "certificate": certificates[0] if certificates else None,
        "earliest_expiry": min((one.expires for one in certificates if one), default=None),
    }


def _trust_the_system(context: ssl.SSLContext) -> None:
    """Trust what the system trusts, or, where it has no such list, what requests does."""
    system = ssl.get_default_verify_paths()
    hashed = system.capath is not None and any(
        re.fullmatch(r"[0-9a-f]{8}\.0", path.name) for path in Path(system.capath).iterdir()
    )
    if hashed and system.openssl_cafile_env not in os.environ:
        # Read one at a time when they are needed: the bundle takes 15 ms and more than 1 MiB.
        context.load_verify_locations(capath=system.capath)
    elif hashed or system.cafile is not None:
        context.load_default_certs()
    else:
        context.load_verify_locations(requests.certs.where())


class _Response(http.client.HTTPResponse):
    """An answer whose status line is RFC 9112's, and whose interim statuses are all skipped.

    http.client takes any number for a status, +2_00 as well, and skips 100 alone (RFC 9110, 15.2).
    """

    def _read_status(self) -> tuple[str, int, str]:
        line = self.fp.readline(_MAX_LINE + 1)
        if not line:
            raise http.client.RemoteDisconnected("closed without an answer")
        found = _STATUS_LINE.fullmatch(line)
        if found is None or len(line) > _MAX_LINE:
            raise http.client.BadStatusLine(line[:512].decode("latin-1"))
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
            raise ProtocolError("the answer's head was cut off")
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
def ask(
    hop: Hop, tls: ClientTLS, deadline: Deadline, trace: dict[str, Any]
) -> Iterator[requests.Response]:
    """One request over a new connection, and its answer with the body still unread."""
    # What an earlier hop answered is not the final answer.
    for fact in (
        "status",
        "version",
        "content_length",
        "tls_version",
        "certificate",
        "earliest_expiry",
    ):
        trace.pop(fact, None)
    sock = connect(hop.address, hop.port, deadline)
    try:
        trace["ip_protocol"] = ip_protocol(sock)
        stream: DeadlineSocket | TLSStream = sock
        if str(hop.request.url).startswith("https:"):
            deadline.limit_bytes(MAX_HANDSHAKE_BYTES)
            stream = tls.shake(sock, hop, deadline, trace)
        deadline.start_phase("send")
        deadline.limit_bytes(MAX_HEAD_BYTES)
        pool = HTTPConnectionPool("localhost", hop.port, stream=stream, deadline=deadline)
        pool.ConnectionCls = _Connection
        response = _Adapter(pool).send(hop.request, stream=True)
        trace["status"] = response.status_code
        trace["version"] = {10: "1.0", 11: "1.1"}.get(response.raw.version)
        length = response.headers.get("Content-Length", "")
        trace["content_length"] = int(length) if length.isdecimal() and len(length) < 19 else -1
        with response:
            yield response
    finally:
        # Whoever still refers to the socket, its descriptor goes now.
        descriptor = sock.detach()
        if descriptor >= 0:
            os.close(descriptor)


def http_reason(exc: BaseException) -> str:
    """What went wrong in a few words, where http.client has its own for it."""
    root = exc
    while (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    if isinstance(root, http.client.RemoteDisconnected):
        return "closed without an answer"
    if isinstance(root, http.client.BadStatusLine):
        return f"not an HTTP answer: {excerpt(str(root.args[0]).encode('latin-1', 'replace'))}"
    return reason(exc)
