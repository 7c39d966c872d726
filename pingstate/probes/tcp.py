"""A TCP check: the connect, and what the target says first."""

from __future__ import annotations

from collections.abc import Sequence

from pingstate.net.attempt import Attempt
from pingstate.net.connect import connect
from pingstate.net.deadline import MAX_REST_SECONDS
from pingstate.probes.base import ProbeResult, run_check
from pingstate.probes.conditions import Check, Outcome
from pingstate.probes.conversation import Conversation
from pingstate.values import (
    DEFAULT_TIMEOUTS,
    authority,
    normalize_address,
    validate_ip_version,
    validate_port,
    validate_timeout,
)

_CONNECTED = Outcome(ok=True, seen="connected")


class TCPProbe:
    """Connect to a TCP port or a Unix socket, and read the banner where the check needs one.

    `address`, `port`, `check` and `timeout` are those of `probe()`. `send` is written before a
    banner is read. A callable check gets the open socket, whose every call ends with the deadline.
    `ip_version` is 4 or 6, None for both. Thread-safe: each check has a connection of its own.
    Raises ValueError for what can't be probed.
    """

    def __init__(
        self,
        address: str,
        port: int | None = None,
        *,
        check: Check | Sequence[Check] | None = None,
        timeout: float | None = None,
        send: bytes = b"",
        ip_version: int | None = None,
    ) -> None:
        self.address = normalize_address(address)
        self.port = validate_port(443 if port is None else port)
        self._ip_version = validate_ip_version(ip_version, self.address)
        self.timeout = validate_timeout(DEFAULT_TIMEOUTS["tcp"] if timeout is None else timeout)
        self._conversation = Conversation("tcp", check, send, self.timeout)
        self.name = f"tcp://{authority(self.address, self.port)}"

    def check(self) -> ProbeResult:
        """Check once; back within `timeout`, whatever the target does."""
        return run_check(self._check, self.timeout, self, self._conversation.secrets)

    def _check(self, attempt: Attempt) -> Outcome:
        deadline, writes = attempt.deadline, self._conversation.writes
        with connect(self.address, self.port, deadline, self._ip_version, writes=writes) as sock:
            attempt.trace.ip_protocol = sock.ip_protocol
            outcome = self._conversation.hold(sock, deadline, _CONNECTED)
            deadline.stop(grace=MAX_REST_SECONDS)
            sock.end_orderly(wait=self._conversation.reads)
            return outcome
