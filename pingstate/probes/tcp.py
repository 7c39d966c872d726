"""A TCP check: the connect, and what the target says first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pingstate.net.deadline import Deadline
from pingstate.net.errors import PhaseError
from pingstate.net.sockets import DeadlineSocket, connect, ip_protocol
from pingstate.probes.base import ProbeResult, finish
from pingstate.probes.conditions import BannerCondition, CallCondition, Check, Outcome, parse_checks
from pingstate.text import excerpt
from pingstate.values import authority, host_of, port_of, timeout_of

MAX_BANNER_BYTES = 65536


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
        # A target may say again what it was told; none so short that it stands there by chance.
        words = send.decode("utf-8", "replace").split()
        self._secrets = sorted((word for word in words if len(word) > 3), key=len, reverse=True)
        self._conditions = parse_checks("tcp", check)
        self._banners = [c for c in self._conditions if isinstance(c, BannerCondition)]
        self._calls = [c for c in self._conditions if isinstance(c, CallCondition)]
        self.name = f"tcp://{authority(self.address, self.port)}"

    def check(self) -> ProbeResult:
        """Check once; back within `timeout`, whatever the target does."""
        deadline = Deadline(self.timeout, owner=self)
        trace: dict[str, Any] = {}
        return finish(deadline, trace, lambda: self._check(deadline, trace), self._secrets)

    def _check(self, deadline: Deadline, trace: dict[str, Any]) -> Outcome:
        with connect(self.address, self.port, deadline) as sock:
            trace["ip_protocol"] = ip_protocol(sock)
            outcome = True, "connected"
            if self._send:
                deadline.start_phase("send")
                sock.sendall(self._send)
            if self._banners:
                deadline.start_phase("response")
                outcome = _read_banner(sock, self._banners, deadline)
            deadline.start_phase("check")
            for call in self._calls:
                if outcome[0]:
                    ok, detail = call.judge(sock)
                    outcome = ok, detail or outcome[1]
            return outcome


def _read_banner(
    sock: DeadlineSocket, conditions: list[BannerCondition], deadline: Deadline
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
            decided = condition.on_banner(bytes(banner), complete, deadline.remaining())
            if decided is not None:
                outcome = decided
                waiting.remove(condition)
                if not outcome[0]:
                    deadline.start_phase("check")
                    return outcome
    return outcome
