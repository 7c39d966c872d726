"""The result of one check, and how anything that may happen in it becomes that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pingstate.net.attempt import Attempt, Trace
from pingstate.net.deadline import Deadline
from pingstate.net.errors import CheckFailedError, describe_failure
from pingstate.probes.conditions import Outcome
from pingstate.probes.redaction import redact, secret_variants
from pingstate.text import one_line

PHASES = ("dns", "connect", "tls", "send", "response", "body", "check", "timeout")


@dataclass(slots=True)
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
        return detail if self.ok else prefix_phase(self.phase, detail)


def prefix_phase(phase: str | None, detail: str) -> str:
    """A failure's detail with its phase before it, unless the detail has it; no phase for None."""
    if phase is None:
        return detail
    detail = detail or "no detail"
    # What a callable or a probe of the user's says of its own check stands alone.
    said = phase == "check" or detail.startswith(
        (f"{phase}: ", f"{phase} at http", "timeout after ")
    )
    return detail if said else f"{phase}: {detail}"


@runtime_checkable
class Probe(Protocol):
    """Anything with a `name` and a `check()` that returns a `ProbeResult` is a probe.

    A `timeout` attribute, in seconds, tells the Monitor how long a check may take.
    """

    @property
    def name(self) -> str:
        """What is probed, for people."""

    def check(self) -> ProbeResult:
        """Check once, and block as long as that takes; what it raises is a failed check."""


def run_check(
    run: Callable[[Attempt], Outcome],
    timeout: float,
    owner: object,
    secrets: Sequence[str] = (),
) -> ProbeResult:
    """Run one check of at most `timeout` seconds and turn whatever comes of it into a result.

    `owner` is whose lookups it makes. A target may repeat what it was sent: `secrets`, from
    `secret_variants()`, are left out of the detail. Any exception but those of the wire escapes.
    """
    deadline = Deadline(timeout, owner)
    attempt = Attempt(deadline)
    phase: str | None = None
    timeout_phase: str | None = None
    try:
        outcome = run(attempt)
        if not outcome.ok:
            phase = deadline.phase
    except (CheckFailedError, OSError, RecursionError, MemoryError) as exc:
        outcome, phase = Outcome(ok=False, seen=describe_failure(exc)), deadline.phase
    ok, detail = outcome.ok, outcome.detail
    if not ok:
        where, timed_out = phase or "", deadline.expired
        if timed_out:
            phase, timeout_phase = "timeout", phase
            where = f"timeout after {deadline.timeout:g} s in {where}"
        if timed_out or not outcome.own_words:
            where += f" at {attempt.hop}" if attempt.hop else ""
            detail = f"{where}: {detail}".removesuffix(": ")
    deadline.stop()
    attempt.trace.failed_due_to_regex = outcome.by_regex and not ok
    if attempt.secrets:
        secrets = [*secret_variants(attempt.secrets), *secrets]
    latency_ms = round(deadline.elapsed() * 1e6) / 1000
    detail = one_line(redact(detail, secrets) if secrets else detail)
    return ProbeResult(ok, latency_ms, detail, phase, timeout_phase, attempt.trace)
