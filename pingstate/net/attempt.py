"""One check in flight: the time that it may take and what it has seen so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pingstate.net.certificate import Certificate
from pingstate.net.deadline import Deadline


@dataclass(slots=True)
class Trace:
    """What one check saw on its way, for metrics and for people. The check fills it in.

    A field is None if the check did not get that far.

    `seconds` is the time spent in each phase, summed over redirects. `ip_protocol` is 4 or 6.
    `status`, `version` ("1.1"), `content_length` (-1: not said) are of the final HTTP answer,
    `tls_version` and `certificate` of its TLS handshake; `earliest_expiry`, in seconds since 1970,
    is that of all the certificates that were presented there, and `verified_chain_expiry` that of
    those from the target's to the one that is trusted. `failed_due_to_regex` says that a pattern
    of the check decided that it failed, `is_http` that it spoke HTTP.
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
    failed_due_to_regex: bool = False
    verified_chain_expiry: float | None = None
    is_http: bool = False

    def forget_answer(self) -> None:
        """Forget what an earlier hop answered: it is not the final answer."""
        self.status = self.version = self.content_length = None
        self.tls_version = self.certificate = None
        self.earliest_expiry = self.verified_chain_expiry = None


class Attempt:
    """What travels with a check from the lookup to the last byte. One thread at a time.

    `hop` is scheme, host and port of where a redirect has led to, "" before the first one, and
    `secrets` are what only this check has sent.
    """

    __slots__ = ("deadline", "hop", "secrets", "trace")

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.trace = Trace(deadline.seconds)
        self.hop = ""
        self.secrets: list[str] = []
