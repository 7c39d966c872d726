"""What is said over an open stream, in plain text or inside TLS, and what of it counts as up."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pingstate.net.deadline import Deadline
from pingstate.net.errors import CheckFailedError
from pingstate.probes.checks import parse_checks
from pingstate.probes.conditions import CallCondition, Check, ContentCondition, Outcome
from pingstate.probes.redaction import secret_variants
from pingstate.probes.stream import Content, read_until_decided
from pingstate.text import excerpt
from pingstate.values import validate_send

if TYPE_CHECKING:
    from pingstate.net.sockets import DeadlineSocket
    from pingstate.net.tls import TLSStream

MAX_BANNER_BYTES = 65536


class Conversation:
    """What to send first, and the conditions on what the target says then.

    `secrets` are the words sent that no detail may show; `reads` says whether a condition reads
    what the target says, `writes` whether anything may be written. `timeout` is in seconds. Raises
    ValueError for what can't be sent or checked.
    """

    def __init__(
        self, protocol: str, check: Check | Sequence[Check] | None, send: bytes, timeout: float
    ) -> None:
        self._send = validate_send(send)
        self.secrets = secret_variants(send.decode("utf-8", "replace").split())
        conditions = parse_checks(protocol, check, timeout)
        self._banners = [c for c in conditions if isinstance(c, ContentCondition)]
        self._calls = [c for c in conditions if isinstance(c, CallCondition)]
        self.reads = bool(self._banners)
        self.writes = bool(self._send or self._calls)

    def hold(
        self, stream: DeadlineSocket | TLSStream, deadline: Deadline, outcome: Outcome
    ) -> Outcome:
        """Hold the conversation over an open stream. Raises OSError and CheckFailedError.

        `outcome` is that of having come so far, where no condition has another.
        """
        if self._send:
            deadline.start_phase("send")
            stream.sendall(self._send)
        if not self._banners and not self._calls:
            return outcome
        if self._banners:
            deadline.start_phase("response")
            outcome = self._read_banner(stream, deadline)
        deadline.start_phase("check")
        for call in self._calls:
            if outcome.ok:
                called = call.evaluate(stream)
                outcome = called if called.detail else called._replace(seen=outcome.seen)
        return outcome

    def _read_banner(self, stream: DeadlineSocket | TLSStream, deadline: Deadline) -> Outcome:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        content = Content(
            decoder,
            deadline.remaining,
            MAX_BANNER_BYTES,
            # Time is left to evaluate the conditions, and for a callable.
            settle_after=0.9 * deadline.remaining(),
        )

        def read(size: int, seconds: float | None) -> bytes:
            stream.settimeout(seconds)
            data = stream.recv(size)
            if not data and not content.data and not any(c.patience for c in self._banners):
                raise CheckFailedError("closed without a banner")
            return data

        try:
            outcomes = read_until_decided(read, self._banners, content)
        except TimeoutError:
            raise CheckFailedError(f"the banner so far is {excerpt(content.data)}") from None
        stream.settimeout(None)
        return outcomes[-1]
