"""An HTTP or HTTPS check through requests, over sockets that keep the check's deadline."""

from __future__ import annotations

import base64
import http.client
import os
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.response import BaseHTTPResponse, HTTPResponse

from pingstate.address import authority, host_of, port_of, timeout_of
from pingstate.certificate import read_certificate
from pingstate.checks import (
    CallCondition,
    Check,
    HTTPCondition,
    HTTPResponseSnapshot,
    Outcome,
    any_2xx,
    excerpt,
    parse_checks,
)
from pingstate.deadline import Deadline, PlainSocket, TLSStream, connect
from pingstate.result import (
    PhaseError,
    ProbeResult,
    finish,
    ip_protocol,
    reason,
)

MAX_REDIRECTS = 10
# Off the wire, interim answers included; http.client makes some ten times as much memory of a head.
MAX_HEAD_BYTES = 98_304
MAX_HANDSHAKE_BYTES = 262_144
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_LINE = 65536
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([0-9]{3})(?: ([^\n]*))?\r?\n")  # RFC 9112, 4
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


class HTTPProbe:
    """Ask one URL with requests and judge the final answer.

    `method` is any HTTP method. `headers` are sent as they are, `Host` included, and replace the
    probe's own. `basic_auth` is (user, password). `ca_file` is a PEM file of the authorities to
    trust instead of the system's; `client_cert` and `client_key` are PEM files; `server_name` is
    the name in the TLS handshake and the one that is verified (None: `address`); `verify_tls`
    False accepts any certificate. Redirects are followed at most 10 times, to http and https
    only, without credentials and own headers once the origin changes, and not for a status that
    the check names. At most `max_body_bytes` of a decoded body are read, and only where the check
    needs it.

    Proxies, `.netrc` and CA settings of the environment change nothing. Thread-safe: each check
    has a connection of its own. Raises ValueError for what can't be asked, OSError (ssl.SSLError
    among them) for certificate files that can't be read.
    """

    def __init__(
        self,
        address: str,
        port: int | None = None,
        *,
        path: str = "/",
        check: Check | Sequence[Check] | None = None,
        timeout: float | None = None,
        tls: bool = False,
        verify_tls: bool = True,
        method: str = "GET",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        basic_auth: tuple[str, str] | None = None,
        ca_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        server_name: str | None = None,
        follow_redirects: bool = True,
        max_body_bytes: int = 65536,
    ) -> None:
        scheme = "https" if tls else "http"
        self.address = host_of(address)
        self.port = port_of(_PORTS[scheme] if port is None else port)
        self.timeout = timeout_of(5.0 if timeout is None else timeout)
        self._max_body = max_body_bytes
        self._follow = follow_redirects
        self._set_checks(check)
        self._tls = _TLS(
            home=self.address,
            verify=verify_tls,
            ca_file=ca_file,
            client_cert=client_cert,
            client_key=client_key,
            server_name=server_name,
        )
        if tls:
            self._tls.context  # noqa: B018  # files that can't be read are an error now
        target = target_of(path)
        fields = headers_of(headers)
        # The hosts that mean the given address: a target redirects to the name it was called by.
        called = urlsplit(f"//{fields.get('Host', '')}")
        self._aliases = {self.address.lower(), called.hostname, server_name}
        if self.address.startswith("unix:"):
            self._aliases.add("localhost")
        self._ports = {self.port}
        if called.hostname:
            self._ports.add(called.port or _PORTS[scheme])
        self._request = _request(method_of(method), scheme, self.address, self.port, target, fields)
        # Fields are ready to be sent, as Latin-1; what comes back is read as UTF-8.
        values = [value.encode("latin-1").decode("utf-8", "replace") for value in fields.values()]
        words = [word for value in values for word in (value, *value.split())]
        if basic_auth is not None:
            user_password = ":".join(basic_auth).encode("utf-8", "surrogateescape")
            token = base64.b64encode(user_password).decode("ascii")
            self._request.headers["Authorization"] = f"Basic {token}"
            words += [token, basic_auth[1]]
        shown, _, query = target.partition("?")
        words += [query, *re.split("[=&]", query)]
        self._secrets = _spellings(words)
        colon = ":" if self.address.startswith("unix:") else ""
        self.name = f"{scheme}://{authority(self.address, self.port)}{colon}{shown}"

    def _set_checks(self, check: Check | Sequence[Check] | None) -> None:
        conditions = parse_checks("http", check)
        named = [c for c in conditions if isinstance(c, HTTPCondition)]
        self._calls = [c for c in conditions if isinstance(c, CallCondition)]
        self._statuses = frozenset[int]().union(*(c.statuses or () for c in named))
        self._heads = [c.on_head for c in named if c.on_head is not None]
        self._bodies = [c.on_body for c in named if c.on_body is not None]
        # A condition that names statuses says it all, and a lone callable decides for itself.
        if not self._statuses and (named or not self._calls):
            self._heads.insert(0, any_2xx)

    def check(self) -> ProbeResult:
        """Check once; back within `timeout`, whatever the target does."""
        deadline = Deadline(self.timeout, owner=self)
        trace: dict[str, Any] = {"redirects": 0}
        return finish(deadline, trace, lambda: self._check(deadline, trace), self._secrets)

    def _check(self, deadline: Deadline, trace: dict[str, Any]) -> Outcome:
        hop = _Hop(self._request, self.address, self.port)
        while True:
            try:
                with _ask(hop, self._tls, deadline, trace) as response:
                    location = self._redirection(response)
                    if location is None:
                        return self._judge(response, deadline)
                    status = response.status_code
            except (requests.RequestException, HTTPError, http.client.HTTPException) as exc:
                raise PhaseError(_reason(exc)) from exc
            if trace["redirects"] >= MAX_REDIRECTS:
                raise PhaseError(f"more than {MAX_REDIRECTS} redirects")
            trace["redirects"] += 1
            hop = self._redirected(hop.request, location, status)

    def _redirected(self, request: requests.PreparedRequest, location: str, status: int) -> _Hop:
        """The next hop. Raises PhaseError where there is no going."""
        base = urlsplit(str(request.url))
        try:
            # RFC 9110 wants ASCII; what came was read as Latin-1, and it is often UTF-8.
            location = location.encode("latin-1").decode("utf-8", "replace")
            parts = urlsplit(urljoin(base.geturl(), location))
            if parts.scheme not in _PORTS:
                raise PhaseError(f"redirected to {parts.scheme or 'no scheme'}, not http or https")
            port = port_of(parts.port if parts.port is not None else _PORTS[parts.scheme])
            name = host_of(parts.hostname or "")
            at_home = parts.hostname in self._aliases
            address = self.address if at_home else name
            target = target_of((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        except ValueError:
            # Not what it was: there may be a secret in it.
            raise PhaseError("redirected to what is no http or https URL") from None
        first = urlsplit(str(self._request.url))
        kept = at_home and parts.scheme == first.scheme and port in self._ports
        if kept:
            port = self.port
        method = str(request.method)
        if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
            method = "GET"
        headers = {
            name: value
            for name, value in (self._request.headers.items() if kept else ())
            if name != "Content-Length"
        }
        following = _request(method, parts.scheme, name, port, target, headers)
        return _Hop(following, address, port, None if kept else name)

    def _redirection(self, response: requests.Response) -> str | None:
        status = response.status_code
        if not self._follow or status not in _REDIRECTS or status in self._statuses:
            return None
        return response.headers.get("Location")

    def _judge(self, response: requests.Response, deadline: Deadline) -> Outcome:
        status = response.status_code
        if not 100 <= status <= 599:
            raise PhaseError(f"HTTP {status} is not a status")
        body = b""
        decided: list[Outcome] = []
        for on_head in self._heads:
            decided.append(on_head(status, response.headers))
            if not decided[-1][0]:
                break
        else:
            if self._bodies or self._calls:
                body, outcomes = self._read(response, deadline)
                decided += outcomes
        deadline.enter("check")
        if self._calls and all(ok for ok, _ in decided):
            snapshot = HTTPResponseSnapshot(
                status=status,
                headers=response.headers,
                body=body,
                text=_text(body, response),
                elapsed_ms=round(deadline.elapsed() * 1000, 3),
            )
            for call in self._calls:
                decided.append(call.judge(snapshot))
                if not decided[-1][0]:
                    break
        ok, detail = decided[-1]
        # A callable's own words stand as they are.
        if len(decided) > len(self._heads) + len(self._bodies) and detail:
            return ok, detail
        return ok, detail if detail.startswith(
            "HTTP "
        ) else f"HTTP {status}, {detail}".removesuffix(", ")

    def _read(self, response: requests.Response, deadline: Deadline) -> tuple[bytes, list[Outcome]]:
        deadline.enter("body")
        # What is not compressed well still has room for its framing.
        deadline.allow(max(1 << 20, 4 * self._max_body))
        body = bytearray()
        waiting = list(self._bodies)
        decided: list[Outcome] = []
        complete = False
        while not complete and (waiting or self._calls):
            data = response.raw.read1(min(16384, self._max_body - len(body)), decode_content=True)
            body += data
            complete = not data or len(body) >= self._max_body
            for on_body in tuple(waiting):
                outcome = on_body(bytes(body), complete, deadline.left())
                if outcome is None:
                    continue
                waiting.remove(on_body)
                decided.append(outcome)
                if not outcome[0]:
                    return bytes(body), decided
        return bytes(body), decided


class _Hop(NamedTuple):
    """A request and where it goes; `name` is who must be there by TLS, None for the target."""

    request: requests.PreparedRequest
    address: str
    port: int
    name: str | None = None


class _TLS:
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
        self, sock: PlainSocket, hop: _Hop, deadline: Deadline, trace: dict[str, Any]
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
                again = Deadline(min(deadline.left() / 2, 1.0), owner=deadline.owner)
                with connect(hop.address, hop.port, again) as second:
                    again.allow(MAX_HANDSHAKE_BYTES)
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
        self, *args: Any, stream: PlainSocket | TLSStream, deadline: Deadline, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.sock = stream  # as much of a socket as is looked at
        self._stream = stream
        self._deadline = deadline

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        self._deadline.enter("response")
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
def _ask(
    hop: _Hop, tls: _TLS, deadline: Deadline, trace: dict[str, Any]
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
        stream: PlainSocket | TLSStream = sock
        if str(hop.request.url).startswith("https:"):
            deadline.allow(MAX_HANDSHAKE_BYTES)
            stream = tls.shake(sock, hop, deadline, trace)
        deadline.enter("send")
        deadline.allow(MAX_HEAD_BYTES)
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


def _request(
    method: str, scheme: str, address: str, port: int, target: str, headers: Mapping[str, str]
) -> requests.PreparedRequest:
    if address.startswith("unix:"):
        host = "localhost"
    else:
        host = authority(address.partition("%")[0].removesuffix("."), port, _PORTS[scheme])
    own = {
        "Host": host,
        "User-Agent": "pingstate",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    prepared = requests.Request(method, f"{scheme}://localhost/").prepare()
    prepared.headers.update(own)
    prepared.headers.update(headers)
    # Not by requests, which rewrites a path that it would have written otherwise.
    prepared.url = f"{scheme}://{host}{target}"
    return prepared


def _spellings(words: Iterable[str]) -> list[str]:
    """The ways in which a target may say secrets again, longest first.

    None is so short that it stands in a detail by chance.
    """
    spelled = {unquote_plus(word) for word in words}.union(words)
    spelled |= {word.replace("\\", "\\\\").replace('"', '\\"') for word in spelled}
    return sorted((word for word in spelled if len(word) > 3), key=len, reverse=True)


def _reason(exc: BaseException) -> str:
    root = exc
    while (inner := root.__cause__ or root.__context__) is not None:
        root = inner
    if isinstance(root, http.client.RemoteDisconnected):
        return "closed without an answer"
    if isinstance(root, http.client.BadStatusLine):
        return f"not an HTTP answer: {excerpt(str(root.args[0]).encode('latin-1', 'replace'))}"
    return reason(exc)


def _text(body: bytes, response: requests.Response) -> str:
    charset = requests.utils.get_encoding_from_headers(response.headers)
    try:
        return body.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):  # no such charset, or one that is not for text
        return body.decode("utf-8", "replace")


def method_of(method: str) -> str:
    """`method` in upper case. Raises ValueError for what RFC 9110 doesn't call a method."""
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"method {method!r} is not an HTTP method, such as GET or HEAD")
    return method.upper()


def headers_of(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> CaseInsensitiveDict[str]:
    """Header fields ready to be sent, values as UTF-8. Raises ValueError (RFC 9110, 5.5)."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    ready: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for name, value in pairs:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"header {name!r} is not a field name")
        if re.search("[\0\r\n]", value):
            raise ValueError(f"the value of header {name!r} has a line break or NUL in it")
        text = value.strip(" \t").encode("utf-8", "surrogateescape").decode("latin-1")
        # One field of several lines is one list (RFC 9110, 5.3).
        again = name.lower() != "host" and name in ready
        ready[name] = f"{ready[name]}, {text}" if again else text
    return ready


def target_of(path: str) -> str:
    """A request target in ASCII. Raises ValueError for what is not a path with maybe a query."""
    if not path.startswith("/") or re.search(r"[\x00-\x20\x7f#]", path):
        raise ValueError(
            f"path {path!r} is not a path that begins with / and has no blanks and no fragment"
        )
    return quote(path, safe="".join(map(chr, range(0x21, 0x7F))))
