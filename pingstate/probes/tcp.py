"""A TCP check: the connect, and what the target says first."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import replace

from pingstate.net.attempt import Attempt
from pingstate.net.deadline import Deadline
from pingstate.net.errors import CheckFailedError
from pingstate.net.sockets import DeadlineSocket, connect, ip_protocol
from pingstate.probes.base import ProbeResult, run_check, secret_variants
from pingstate.probes.checks import parse_checks
from pingstate.probes.conditions import CallCondition, Check, ContentCondition, Outcome
from pingstate.probes.stream import Content, read_until_decided
from pingstate.text import excerpt
from pingstate.values import (
    DEFAULT_TIMEOUTS,
    authority,
    normalize_address,
    validate_ip_version,
    validate_port,
    validate_send,
    validate_timeout,
)

MAX_BANNER_BYTES = 65536


class TCPProbe:
    """Connect to a TCP port or a Unix socket, and read the banner where the check needs one.

    `send` is written before a banner is read. A callable check gets the open socket, whose every
    call ends with the deadline. `ip_version` is 4 or 6, None for both. Thread-safe: each check has
    a connection of its own.
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
        self._send = validate_send(send)
        self._secrets = secret_variants(send.decode("utf-8", "replace").split())
        conditions = parse_checks("tcp", check, self.timeout)
        self._banners = [c for c in conditions if isinstance(c, ContentCondition)]
        self._calls = [c for c in conditions if isinstance(c, CallCondition)]
        self.name = f"tcp://{authority(self.address, self.port)}"

    def check(self) -> ProbeResult:
        """Check once; back within `timeout`, whatever the target does."""
        return run_check(self._check, timeout=self.timeout, owner=self, secrets=self._secrets)

    def _check(self, attempt: Attempt) -> Outcome:
        deadline = attempt.deadline
        with connect(self.address, self.port, deadline, self._ip_version) as sock:
            attempt.ip_protocol = ip_protocol(sock)
            outcome = Outcome(ok=True, seen="connected")
            if self._send:
                deadline.start_phase("send")
                sock.sendall(self._send)
            if self._banners:
                deadline.start_phase("response")
                outcome = _read_banner(sock, self._banners, deadline)
            deadline.start_phase("check")
            for call in self._calls:
                if outcome.ok:
                    called = call.evaluate(sock)
                    outcome = called if called.detail else replace(called, seen=outcome.seen)
            return outcome


def _read_banner(
    sock: DeadlineSocket, conditions: list[ContentCondition], deadline: Deadline
) -> Outcome:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    content = Content(
        decoder,
        deadline.remaining,
        MAX_BANNER_BYTES,
        # So that there is time left to judge, and for a callable.
        settle_after=0.9 * deadline.remaining(),
    )

    def read(size: int, seconds: float | None) -> bytes:
        sock.settimeout(seconds)
        data = sock.recv(size)
        if not data and not content.data and not any(c.patience for c in conditions):
            raise CheckFailedError("closed without a banner")
        return data

    try:
        outcomes = read_until_decided(read, conditions, content)
    except TimeoutError:
        raise CheckFailedError(f"the banner so far is {excerpt(content.data)}") from None
    sock.settimeout(None)
    return outcomes[-1]
