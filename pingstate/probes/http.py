"""An HTTP or HTTPS check through requests, over sockets that keep the check's deadline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pingstate.net.attempt import Attempt
from pingstate.net.deadline import MAX_REST_SECONDS
from pingstate.net.errors import CheckFailedError
from pingstate.net.http1 import Answer, Hop, open_response, read_beginning
from pingstate.net.tls_contexts import ClientTLS
from pingstate.net.urls import DEFAULT_PORTS, URL, encode_target
from pingstate.probes.base import ProbeResult, run_check
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
from pingstate.probes.decoding import BodyDecoder, decode_body
from pingstate.probes.head_conditions import evaluate_any_2xx
from pingstate.probes.redaction import secret_variants
from pingstate.probes.redirects import MAX_REDIRECTS, REDIRECT_STATUSES, Redirects
from pingstate.probes.request import (
    create_request,
    encode_basic_auth,
    encode_headers,
    split_secrets,
)
from pingstate.probes.stream import Content, read_until_decided
from pingstate.text import excerpt
from pingstate.values import (
    DEFAULT_TIMEOUTS,
    InvalidValueError,
    authority,
    normalize_address,
    normalize_host,
    unix_path,
    validate_body,
    validate_ip_version,
    validate_max_body_bytes,
    validate_method,
    validate_path,
    validate_port,
    validate_timeout,
)

_MAX_SECRET_QUERY = 4096  # characters of a target that a redirect led to


class HTTPProbe:
    """Ask one URL with requests and judge the final answer.

    `address`, `port`, `path`, `check` and `timeout` are those of `probe()`; `tls` is for https.
    `method` is any HTTP method, None for GET, or for POST where there is a `body`. Text is sent as
    UTF-8. `headers` are sent as they are, `Host` included, and replace the probe's own; a body's
    length is always its own. `basic_auth` is (user, password). `ca_file` is a PEM file of what to
    trust instead of the system's authorities: roots, intermediates or the target's own
    certificate; `client_cert` and `client_key` are PEM files; files that are replaced are used
    from the next check on. `server_name` is the name in the TLS handshake and the one that is
    verified (None: `address`); `verify_tls` False accepts any certificate. `ip_version` is 4 or 6,
    None for both. At most `max_body_bytes` (0 to 16 MiB) of a decoded body are read, and only where
    the check needs it.

    With `follow_redirects` redirects are followed at most 10 times, to http and https only, and not
    for a status that the check names. To another origin go no credentials and of `headers` only
    those that are harmless anywhere, such as User-Agent and Accept; a host gets back the cookies
    that it set on the way. A body is sent again where the status says so (RFC 9110, 15.4), and
    never to another origin.

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
        method: str | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: str | bytes = b"",
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
        if server_name is not None:
            server_name = normalize_host(server_name, "server_name")
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
        # Over plain HTTP a redirect may lead to where they are needed.
        if tls or ca_file is not None or client_cert is not None:
            self._tls.load()
        url, fields = self._create_url(scheme, path), encode_headers(headers)
        if basic_auth is not None:
            fields["Authorization"] = encode_basic_auth(basic_auth)
        content = validate_body(body)
        method = validate_method(("POST" if content else "GET") if method is None else method)
        if content and "Transfer-Encoding" in fields:
            raise InvalidValueError("header", "Transfer-Encoding", "a header to send with a body")
        request = create_request(url, method, fields, content)
        self._hop = Hop(request, url, self.address, self.port, None, self._ip_version, content)
        self._redirects = Redirects(self._hop, server_name)
        self._secrets = secret_variants(split_secrets(fields, basic_auth, url.target, content))
        colon = "" if unix_path(self.address) is None else ":"
        shown = url.target.partition("?")[0]
        self.name = f"{scheme}://{authority(self.address, self.port)}{colon}{shown}"

    def _create_url(self, scheme: str, path: str) -> URL:
        target = encode_target(validate_path(path))
        if unix_path(self.address) is not None:
            return URL(scheme, "localhost", DEFAULT_PORTS[scheme], target)
        return URL(scheme, self.address, self.port, target)

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
        return run_check(self._check, self.timeout, self, self._secrets)

    def _check(self, attempt: Attempt) -> Outcome:
        attempt.trace.is_http = True
        hop, jar = self._hop, None
        queries: list[str] = []
        while True:
            with open_response(hop, self._tls, attempt) as answer:
                if not self._is_redirect(answer):
                    return self._judge(answer, str(hop.url), attempt)
            if attempt.trace.redirects >= MAX_REDIRECTS:
                raise CheckFailedError(f"more than {MAX_REDIRECTS} redirects")
            following = self._redirects.follow(hop, answer)
            attempt.trace.redirects += 1
            if jar is not None or "Set-Cookie" in answer.fields:
                jar = self._redirects.carry_cookies(jar, hop, answer, following)
            if "?" in following.url.target:
                # It may be a secret: the signature of a file on another server, for instance.
                queries += split_secrets({}, None, following.url.target[:_MAX_SECRET_QUERY], b"")
            attempt.secrets = [*queries, *(jar.values if jar else ())]
            hop = following
            attempt.hop = hop.url.origin

    def _is_redirect(self, answer: Answer) -> bool:
        return (
            self._follow
            and answer.status in REDIRECT_STATUSES
            and answer.status not in self._statuses
            and "Location" in answer.fields
        )

    def _judge(self, response: Answer, url: str, attempt: Attempt) -> Outcome:
        status = response.status
        if not 100 <= status <= 599:
            raise CheckFailedError(f"HTTP {status} is not a status")
        outcome = self._evaluate(response, url, attempt)
        attempt.deadline.start_phase("check")
        attempt.deadline.stop(grace=MAX_REST_SECONDS)
        if outcome.own_words:
            return outcome
        if outcome.by_status and not outcome.ok and not response.unreadable_coding:
            # A health endpoint says in its body what is down.
            body = read_beginning(response, attempt.deadline)
            said = " ".join(decode_body(body, response.fields.get("Content-Type")).split())
            outcome = outcome._replace(quote=excerpt(said, 120) if said else "")
        return outcome._replace(seen=", ".join(filter(None, (f"HTTP {status}", outcome.seen))))

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
        if self._bodies and (coding := response.unreadable_coding):
            raise CheckFailedError(f"the body is coded as {coding}, which can't be read")
        # Bytes off the wire: what does not compress needs room for its chunks' framing.
        deadline.limit_bytes(max(1 << 20, 4 * self._max_body))
        content = Content(
            BodyDecoder(response.fields.get("Content-Type")),
            deadline.remaining,
            self._max_body,
            "PINGSTATE_MAX_BODY_BYTES",
        )

        def read(size: int, _: float | None) -> bytes:
            return response.read_decoded(size)

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
            version=attempt.trace.version,
            certificate=attempt.trace.certificate,
        )
        for call in self._calls:
            outcome = call.evaluate(snapshot)
            if not outcome.ok:
                break
        return outcome
