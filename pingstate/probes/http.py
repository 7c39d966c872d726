"""An HTTP or HTTPS check through requests, over sockets that keep the check's deadline."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote_plus, urljoin, urlsplit

import requests

from pingstate.net.attempt import Attempt
from pingstate.net.errors import CheckFailedError
from pingstate.net.http1 import Answer, Hop, open_response
from pingstate.net.tls_contexts import ClientTLS
from pingstate.probes.base import ProbeResult, run_check, secret_variants
from pingstate.probes.checks import parse_checks
from pingstate.probes.conditions import (
    CallCondition,
    Check,
    ContentCondition,
    Head,
    HeadCondition,
    HTTPResponseSnapshot,
    Outcome,
)
from pingstate.probes.decoding import BodyDecoder
from pingstate.probes.head_conditions import evaluate_any_2xx
from pingstate.probes.request import (
    DEFAULT_PORTS,
    create_request,
    encode_headers,
    encode_target,
)
from pingstate.probes.stream import Content, read_until_decided
from pingstate.values import (
    DEFAULT_TIMEOUTS,
    authority,
    normalize_address,
    normalize_host,
    validate_basic_auth,
    validate_ip_version,
    validate_max_body_bytes,
    validate_method,
    validate_port,
    validate_timeout,
)

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HTTPProbe:
    """Ask one URL with requests and judge the final answer.

    `method` is any HTTP method. `headers` are sent as they are, `Host` included, and replace the
    probe's own. `basic_auth` is (user, password). `ca_file` is a PEM file of the authorities to
    trust instead of the system's; `client_cert` and `client_key` are PEM files; `server_name` is
    the name in the TLS handshake and the one that is verified (None: `address`); `verify_tls`
    False accepts any certificate. Redirects are followed at most 10 times, to http and https
    only, without credentials and own headers once the origin changes, and not for a status that
    the check names. At most `max_body_bytes` of a decoded body are read, and only where the check
    needs it. `ip_version` is 4 or 6, None for both.

    Proxies, `.netrc` and CA settings of the environment change nothing. Thread-safe: each check
    has a connection of its own. Raises ValueError for what can't be asked, certificate files that
    can't be used among it.
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
        ip_version: int | None = None,
    ) -> None:
        scheme = "https" if tls else "http"
        self.address = normalize_address(address)
        self.port = validate_port(DEFAULT_PORTS[scheme] if port is None else port)
        self._ip_version = validate_ip_version(ip_version, self.address)
        self.timeout = validate_timeout(DEFAULT_TIMEOUTS["http"] if timeout is None else timeout)
        self._max_body = validate_max_body_bytes(max_body_bytes)
        self._follow = follow_redirects
        self._set_checks(check)
        self._tls = ClientTLS(
            address=self.address,
            verify=verify_tls,
            ca_file=ca_file,
            client_cert=client_cert,
            client_key=client_key,
            server_name=server_name,
            alpn=("http/1.1",),
        )
        if tls:
            self._tls.load()
        target = encode_target(path)
        fields = encode_headers(headers)
        # The hosts that mean the given address: a target redirects to the name it was called by.
        called = urlsplit(f"//{fields.get('Host', '')}")
        self._own_hosts = {self.address.lower(), called.hostname, server_name}
        if self.address.startswith("unix:"):
            self._own_hosts.add("localhost")
        self._ports = {self.port}
        if called.hostname:
            self._ports.add(called.port or DEFAULT_PORTS[scheme])
        self._request = create_request(
            validate_method(method), scheme, self.address, self.port, target, fields
        )
        # Fields are ready to be sent, as Latin-1; what comes back is read as UTF-8.
        values = [value.encode("latin-1").decode("utf-8", "replace") for value in fields.values()]
        words = [word for value in values for word in (value, *value.split())]
        if basic_auth is not None:
            basic_auth = validate_basic_auth(basic_auth)
            user_password = ":".join(basic_auth).encode("utf-8", "surrogateescape")
            token = base64.b64encode(user_password).decode("ascii")
            self._request.headers["Authorization"] = f"Basic {token}"
            words += [token, basic_auth[1]]
        shown, _, query = target.partition("?")
        words += [query, *re.split("[=&]", query)]
        words += [unquote_plus(word) for word in words]
        self._secrets = secret_variants(words)
        colon = ":" if self.address.startswith("unix:") else ""
        self.name = f"{scheme}://{authority(self.address, self.port)}{colon}{shown}"

    def _set_checks(self, check: Check | Sequence[Check] | None) -> None:
        conditions = parse_checks("http", check, self.timeout)
        self._heads = [c for c in conditions if isinstance(c, HeadCondition)]
        self._bodies = [c for c in conditions if isinstance(c, ContentCondition)]
        self._calls = [c for c in conditions if isinstance(c, CallCondition)]
        self._statuses = frozenset[int]().union(*(c.statuses or () for c in self._heads))
        # A condition that names statuses says it all, and a lone callable decides for itself.
        if not self._statuses and (self._heads or self._bodies or not self._calls):
            self._heads.insert(0, HeadCondition(evaluate_any_2xx))

    def check(self) -> ProbeResult:
        """Check once; back within `timeout`, whatever the target does."""
        return run_check(self._check, timeout=self.timeout, owner=self, secrets=self._secrets)

    def _check(self, attempt: Attempt) -> Outcome:
        hop = Hop(self._request, self.address, self.port, ip_version=self._ip_version)
        while True:
            with open_response(hop, self._tls, attempt) as response:
                location = self._redirect_location(response)
                if location is None:
                    return self._judge(response, str(hop.request.url), attempt)
                status = response.status
            if attempt.redirects >= MAX_REDIRECTS:
                raise CheckFailedError(f"more than {MAX_REDIRECTS} redirects")
            attempt.redirects += 1
            hop = self._next_hop(hop.request, location, status)

    def _next_hop(self, request: requests.PreparedRequest, location: str, status: int) -> Hop:
        """The next hop. Raises CheckFailedError if it cannot be followed."""
        base = urlsplit(str(request.url))
        try:
            # RFC 9110 wants ASCII; what came was read as Latin-1, and it is often UTF-8.
            location = location.encode("latin-1").decode("utf-8", "replace")
            parts = urlsplit(urljoin(base.geturl(), location))
            if parts.scheme not in DEFAULT_PORTS:
                raise CheckFailedError(
                    f"redirected to {parts.scheme or 'no scheme'}, not http or https"
                )
            port = validate_port(
                parts.port if parts.port is not None else DEFAULT_PORTS[parts.scheme]
            )
            name = normalize_host(parts.hostname or "")
            same_host = parts.hostname in self._own_hosts
            address = self.address if same_host else name
            target = encode_target((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        except ValueError:
            # Not what it was: there may be a secret in it.
            raise CheckFailedError("redirected to what is no http or https URL") from None
        first = urlsplit(str(self._request.url))
        same_origin = same_host and parts.scheme == first.scheme and port in self._ports
        if same_origin:
            port = self.port
        method = str(request.method)
        if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
            method = "GET"
        headers = {
            name: value
            for name, value in (self._request.headers.items() if same_origin else ())
            if name != "Content-Length"
        }
        following = create_request(method, parts.scheme, name, port, target, headers)
        return Hop(following, address, port, None if same_origin else name, self._ip_version)

    def _redirect_location(self, response: Answer) -> str | None:
        status = response.status
        if not self._follow or status not in _REDIRECTS or status in self._statuses:
            return None
        return response.fields.get("Location")

    def _judge(self, response: Answer, url: str, attempt: Attempt) -> Outcome:
        status = response.status
        if not 100 <= status <= 599:
            raise CheckFailedError(f"HTTP {status} is not a status")
        outcome = self._evaluate(response, url, attempt)
        attempt.deadline.start_phase("check")
        if outcome.own_words:
            return outcome
        return replace(outcome, seen=", ".join(filter(None, (f"HTTP {status}", outcome.seen))))

    def _evaluate(self, response: Answer, url: str, attempt: Attempt) -> Outcome:
        """The outcome of the first condition that fails, else of the last one."""
        deadline = attempt.deadline
        head = Head(response.status, response.fields, deadline.remaining)
        outcome = Outcome(ok=True)
        for head_condition in self._heads:
            outcome = head_condition.evaluate(head)
            if not outcome.ok:
                return outcome
        if not (self._bodies or self._calls):
            return outcome
        deadline.start_phase("body")
        # What is not compressed well still has room for its framing.
        deadline.limit_bytes(max(1 << 20, 4 * self._max_body))
        content = Content(
            BodyDecoder(response.fields.get("Content-Type")),
            deadline.remaining,
            self._max_body,
            "PINGSTATE_MAX_BODY_BYTES",
        )

        def read(size: int, _: float | None) -> bytes:
            return response.read1(size, decode_content=True)

        outcomes = read_until_decided(read, self._bodies, content, whole=bool(self._calls))
        outcome = outcomes[-1] if outcomes else outcome
        if not outcome.ok or not self._calls:
            return outcome
        deadline.start_phase("check")
        snapshot = HTTPResponseSnapshot(
            status=response.status,
            headers=response.fields,
            body=bytes(content.data),
            text=content.text,
            elapsed_ms=round(deadline.elapsed() * 1000, 3),
            url=url,
            version=attempt.version,
            certificate=attempt.certificate,
        )
        for call in self._calls:
            outcome = call.evaluate(snapshot)
            if not outcome.ok:
                break
        return outcome
