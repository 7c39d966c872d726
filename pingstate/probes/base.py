"""What one check found, and how whatever may come of it is turned into that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pingstate.net.deadline import Deadline
from pingstate.net.errors import PhaseError, reason
from pingstate.probes.conditions import Outcome
from pingstate.text import one_line

if TYPE_CHECKING:
    from pingstate.net.certificate import Certificate


PHASES = ("dns", "connect", "tls", "send", "response", "body", "check", "timeout")


@dataclass(frozen=True)
class Trace:
    """What one check saw on its way, for metrics and for people. None: it did not come so far.

    `seconds` is the time spent in each phase, summed over redirects. `ip_protocol` is 4 or 6.
    `status`, `version` ("1.1"), `content_length` (-1: not said) are of the final HTTP answer,
    `tls_version` and `certificate` of its TLS handshake; `earliest_expiry`, in seconds since 1970,
    is that of all the certificates that were presented there.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    ip_protocol: int | None = None
    status: int | None = None
    version: str | None = None
    content_length: int | None = None
    redirects: int = 0
    tls_version: str | None = None
    certificate: Certificate | None = None
    earliest_expiry: float | None = None


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

    @property
    def reason(self) -> str:
        """The detail, and before it the phase of a failure where it does not say it itself."""
        detail = self.detail or "no detail"
        said = self.ok or self.phase is None or detail.startswith(self.phase)
        return detail if said else f"{self.phase}: {detail}"


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


def finish(
    deadline: Deadline,
    trace: dict[str, Any],
    run: Callable[[], Outcome],
    secrets: Iterable[str] = (),
) -> ProbeResult:
    """Run one check and turn whatever comes of it into a `ProbeResult`.

    A target may say again what it was told: `secrets` are left out of the detail.
    """
    phase: str | None = None
    timeout_phase: str | None = None
    try:
        ok, detail = run()
        if not ok:
            phase = deadline.phase
    except (PhaseError, OSError, ValueError, RecursionError, MemoryError) as exc:
        ok, detail, phase = False, reason(exc), deadline.phase
    if not ok and deadline.expired:
        phase, timeout_phase = "timeout", phase
        seen = f": {detail}" if detail else ""
        detail = f"timeout after {deadline.timeout:g} s in {timeout_phase}{seen}"
    elif not ok:
        detail = f"{phase}: {detail}"
    elapsed = deadline.elapsed()
    deadline.start_phase("done")
    return ProbeResult(
        ok=ok,
        latency_ms=round(elapsed * 1000, 3),
        detail=one_line(_hidden(detail, secrets)),
        phase=phase,
        timeout_phase=timeout_phase,
        trace=Trace(seconds=deadline.seconds, **trace),
    )


def _hidden(detail: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        detail = detail.replace(secret, "***")
        # A quotation may have been cut in the midst of it.
        for length in range(len(secret) - 1, 3, -1):
            detail = detail.replace(f"{secret[:length]}\N{HORIZONTAL ELLIPSIS}", "***")
    return detail
