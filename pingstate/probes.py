"""One check of one target: never late, never raising for a target that is not well."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pingstate.address import PROTOCOLS, authority, host_of, port_of, timeout_of
from pingstate.checks import (
    BannerCondition,
    CallCondition,
    Check,
    Outcome,
    describe,
    excerpt,
    one_line,
    parse_checks,
)
from pingstate.deadline import Deadline, PlainSocket, connect

if TYPE_CHECKING:
    from pingstate.certificate import Certificate
    from pingstate.http_probe import HTTPProbe

MAX_BANNER_BYTES = 65536


@dataclass(frozen=True)
class Trace:
    """What one check saw on its way, for metrics and for people. None: it did not come so far.

    `seconds` is the time spent in each phase, summed over redirects. `ip_protocol` is 4 or 6.
    `status`, `version` ("1.1"), `content_length` (-1: not said) are of the final HTTP answer,
    `tls_version` and `certificate` of the last TLS handshake.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    ip_protocol: int | None = None
    status: int | None = None
    version: str | None = None
    content_length: int | None = None
    redirects: int = 0
    tls_version: str | None = None
    certificate: Certificate | None = None


@dataclass(frozen=True)
class ProbeResult:
    """What one check found.

    `latency_ms` is the whole check's time in milliseconds, `detail` one line for people.
    `phase` says where a check failed: `dns`, `connect`, `tls`, `send`, `response`, `body`,
    `check`, or `timeout`, and then `timeout_phase` the phase that the time ran out in. Both are
    None on success and where a probe does not say.
    """

    ok: bool
    latency_ms: float | None = None
    detail: str = ""
    phase: str | None = None
    timeout_phase: str | None = None
    trace: Trace | None = None


@runtime_checkable
class Probe(Protocol):
    """Anything with a `name` and a `check()` that returns a `ProbeResult` is a probe.

    A `timeout` attribute, in seconds, tells the Monitor how long a check may take.
    """

    @property
    def name(self) -> str:
        """What is probed, for people."""

    def check(self) -> ProbeResult:
        """Check once."""


class PhaseError(Exception):
    """A check that failed for a reason of ours, in the phase that the deadline is in."""


def probe(
    protocol: str,
    address: str,
    port: int | None = None,
    path: str = "/",
    check: Check | Sequence[Check] | None = None,
    timeout: float | None = None,
    **options: Any,
) -> TCPProbe | HTTPProbe:
    """A probe for `tcp`, `http` or `https`.

    `address` is a host name, an IP address or `unix:/path`; `port` is 1 to 65535, None for 443
    (80 for http); `timeout` is in seconds for the whole check, None for 2 (tcp) or 5 (http,
    https). `check` is a string of the mini-language, a callable, or several of both that must all
    hold. `options` are those of `TCPProbe` or `HTTPProbe`. Raises ValueError for what is wrong.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    if protocol == "tcp":
        return TCPProbe(address, port, check=check, timeout=timeout, **options)
    from pingstate.http_probe import HTTPProbe  # noqa: PLC0415  # requests, which a TCP probe does without

    return HTTPProbe(
        address, port, path=path, check=check, timeout=timeout, tls=protocol == "https", **options
    )


class TCPProbe:
    """Connect to a TCP port or a Unix socket, and read the banner where the check needs one.

    `send` is written before a banner is read. A callable check gets the open socket, whose every
    call ends with the deadline. Thread-safe: each check has a connection of its own.
    """

    def __init__(
        self,
        address: str,
        port: int | None = None,
        *,
        check: Check | Sequence[Check] | None = None,
        timeout: float | None = None,
        send: bytes = b"",
    ) -> None:
        self.address = host_of(address)
        self.port = port_of(443 if port is None else port)
        self.timeout = timeout_of(2.0 if timeout is None else timeout)
        self._send = send
        self._conditions = parse_checks("tcp", check)
        self._banners = [c for c in self._conditions if isinstance(c, BannerCondition)]
        self._calls = [c for c in self._conditions if isinstance(c, CallCondition)]
        self.name = f"tcp://{authority(self.address, self.port)}"

    def check(self) -> ProbeResult:
        """Check once; back within `timeout`, whatever the target does."""
        deadline = Deadline(self.timeout)
        trace: dict[str, Any] = {}
        return finish(deadline, trace, lambda: self._check(deadline, trace))

    def _check(self, deadline: Deadline, trace: dict[str, Any]) -> Outcome:
        with connect(self.address, self.port, deadline) as sock:
            trace["ip_protocol"] = ip_protocol(sock)
            outcome = True, "connected"
            if self._send:
                deadline.enter("send")
                sock.sendall(self._send)
            if self._banners:
                deadline.enter("response")
                outcome = _read_banner(sock, self._banners, deadline)
            deadline.enter("check")
            for call in self._calls:
                if outcome[0]:
                    ok, detail = call.judge(sock)
                    outcome = ok, detail or outcome[1]
            return outcome


def _read_banner(
    sock: PlainSocket, conditions: list[BannerCondition], deadline: Deadline
) -> Outcome:
    banner = bytearray()
    waiting = list(conditions)
    outcome = True, ""
    while waiting:
        try:
            data = sock.recv(4096)
        except TimeoutError:
            raise PhaseError(f"the banner so far is {excerpt(bytes(banner))}") from None
        if not data and not banner:
            raise PhaseError("closed without a banner")
        banner += data
        complete = not data or len(banner) >= MAX_BANNER_BYTES
        for condition in tuple(waiting):
            decided = condition.on_banner(bytes(banner), complete, deadline.left())
            if decided is not None:
                outcome = decided
                waiting.remove(condition)
                if not outcome[0]:
                    deadline.enter("check")
                    return outcome
    return outcome


def finish(deadline: Deadline, trace: dict[str, Any], run: Callable[[], Outcome]) -> ProbeResult:
    """Run one check and turn whatever comes of it into a `ProbeResult`."""
    phase: str | None = None
    timeout_phase: str | None = None
    try:
        ok, detail = run()
        if not ok:
            phase = deadline.phase
    except (PhaseError, OSError, ValueError, RecursionError, MemoryError) as exc:
        ok, detail, phase = False, reason(exc), deadline.phase
    if not ok and deadline.over:
        phase, timeout_phase = "timeout", phase
        seen = f": {detail}" if detail else ""
        detail = f"timeout after {deadline.timeout:g} s in {timeout_phase}{seen}"
    elif not ok:
        detail = f"{phase}: {detail}"
    elapsed = deadline.elapsed()
    deadline.enter("done")
    return ProbeResult(
        ok=ok,
        latency_ms=round(elapsed * 1000, 3),
        detail=one_line(detail),
        phase=phase,
        timeout_phase=timeout_phase,
        trace=Trace(seconds=deadline.seconds, **trace),
    )


def reason(exc: BaseException) -> str:
    """What went wrong in a few words; "" where the deadline alone says it."""
    while (inner := exc.__cause__ or exc.__context__) is not None and not isinstance(
        exc, PhaseError
    ):
        exc = inner
    if isinstance(exc, PhaseError):
        return str(exc)
    if isinstance(exc, TimeoutError):
        return ""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return (
            f"TLS failed: {(exc.reason or 'the connection was closed').lower().replace('_', ' ')}"
        )
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror[:1].lower() + exc.strerror[1:]
    return describe(exc)


def ip_protocol(sock: socket.socket) -> int | None:
    """4 or 6; None for a Unix socket."""
    return {socket.AF_INET: 4, socket.AF_INET6: 6}.get(sock.family)
