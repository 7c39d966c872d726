"""One check in flight: the time that it may take and what it has seen so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from pingstate.net.certificate import Certificate
from pingstate.net.deadline import Deadline


@dataclass(slots=True)
class Attempt:
    """What travels with a check from the lookup to the last byte. One thread at a time.

    `hop` is scheme, host and port of where a redirect has led to, "" before the first one, and
    `secrets` are what only this check has sent. The other fields are those of the public `Trace`:
    None where the check has not got that far, and of the answer to the last request only.
    """

    deadline: Deadline
    is_http: bool = False
    ip_protocol: int | None = None
    redirects: int = 0
    status: int | None = None
    version: str | None = None
    content_length: int | None = None
    tls_version: str | None = None
    certificate: Certificate | None = None
    earliest_expiry: float | None = None
    verified_chain_expiry: float | None = None
    hop: str = ""
    secrets: list[str] = field(default_factory=list)

    def forget_answer(self) -> None:
        """Forget what an earlier hop answered: it is not the final answer."""
        self.status = self.version = self.content_length = None
        self.tls_version = self.certificate = None
        self.earliest_expiry = self.verified_chain_expiry = None
