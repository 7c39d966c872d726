"""Read a body, or what a TCP target says, only until every condition on it is decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pingstate.probes.conditions import ContentCondition, Outcome
from pingstate.text import excerpt

_PIECE = 16384  # bytes that are read at once


class Decoder(Protocol):
    """A decoder of bytes that come in pieces, as `codecs.IncrementalDecoder` is one."""

    def decode(self, data: bytes, /, *, final: bool) -> str:
        """The text that `data` adds."""


class Content:
    """What has come so far, as bytes and as text; at most `limit` bytes of it are kept.

    `complete` says that no more will come, `cut` that more would have come, `piece` is the text
    that came last. `limit_name` is the setting behind the limit, "" for none. `settle_after` is
    for a peer that need not end: the seconds after which conditions on what must not come are
    evaluated by what has come so far. None waits for the end. `remaining()` is the seconds left of
    the check's deadline; it raises TimeoutError when none are. `parsed` holds the JSON document
    once a condition has parsed it, for the other conditions. One thread at a time.
    """

    def __init__(
        self,
        decoder: Decoder,
        remaining: Callable[[], float],
        limit: int,
        limit_name: str = "",
        settle_after: float | None = None,
    ) -> None:
        self.remaining = remaining
        self.data = bytearray()
        self.piece = ""
        self.complete = False
        self.cut = False
        self.room = limit
        self.parsed: tuple[Any] | None = None
        self._decoder = decoder
        self._limit = f"{limit} bytes" + (f" ({limit_name})" if limit_name else "")
        self.settle_after = settle_after
        self._settled = False
        self._pieces: list[str] = []
        self._started = time.monotonic()

    def feed(self, data: bytes, *, complete: bool = False) -> None:
        """Add what came; `complete` says that it was the last."""
        self.cut = len(data) > self.room
        self.complete = complete or self.cut
        kept = data[: self.room]
        self.room -= len(kept)
        self.data += kept
        self.piece = self._decoder.decode(kept, final=self.complete)
        self._pieces.append(self.piece)

    @property
    def text(self) -> str:
        """All the text that has come so far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def elapsed(self) -> float:
        """Seconds since the reading began."""
        return time.monotonic() - self._started

    @property
    def extent(self) -> str:
        """How much was read of what was cut, for a detail."""
        return f"the first {self._limit}"

    def quote(self) -> str:
        """What has come, for a detail: its beginning, and how much of the whole it is."""
        quoted = excerpt(self.text)
        if self.cut:
            return f"{self.extent}: {quoted}"
        return f"{quoted} so far" if self._settled else quoted

    def settle(self) -> None:
        """Treat what has come so far as the whole."""
        self._settled = True
        self.feed(b"", complete=True)


class _Evaluations:
    """The conditions that are not decided yet, and the outcomes of those that are."""

    def __init__(self, conditions: Sequence[ContentCondition]) -> None:
        self.waiting = [(condition, condition.start()) for condition in conditions]
        self.outcomes: list[Outcome] = []
        self._any_wanted = any(not condition.negated for condition in conditions)

    def evaluate(self, content: Content) -> bool:
        """Evaluate each once more; False as soon as one fails."""
        for condition, evaluate in tuple(self.waiting):
            outcome = evaluate(content)
            if outcome is not None:
                self.waiting.remove((condition, evaluate))
                self.outcomes.append(outcome)
                if not outcome.ok:
                    return False
        return True

    def patience(self, content: Content) -> float | None:
        """Seconds since the reading began after which to evaluate again; None waits for a piece."""
        times = [one.patience for one, _ in self.waiting if one.patience is not None]
        if content.settle_after is not None and content.data and self._only_unwanted():
            times.append(content.settle_after)
        return min(times, default=None)

    def settled(self, content: Content) -> bool:
        """Whether what must not come can be judged by what has come.

        That is once all that must come has come; without such, once the time for it is over, if
        anything has come at all.
        """
        if content.complete or content.settle_after is None or not self._only_unwanted():
            return False
        over = bool(content.data) and content.elapsed() >= content.settle_after
        return self._any_wanted or over

    def _only_unwanted(self) -> bool:
        # How long the connection stays open is told by time alone.
        return bool(self.waiting) and all(
            one.negated and one.patience is None for one, _ in self.waiting
        )


def read_until_decided(
    read: Callable[[int, float | None], bytes],
    conditions: Sequence[ContentCondition],
    content: Content,
    *,
    whole: bool = False,
) -> list[Outcome]:
    """Read pieces into `content` until the first condition fails or all are decided.

    `read` takes the maximum of bytes and the seconds to wait for them (None: until the deadline);
    it returns b"" at the end and raises TimeoutError. With `whole` the reading goes on to the end
    though all is decided. Outcomes are in the order in which they were decided. Raises what `read`
    raises, and TimeoutError when the deadline is over.
    """
    evaluations = _Evaluations(conditions)
    while not content.complete and (evaluations.waiting or whole):
        content.remaining()
        patience = evaluations.patience(content)
        wait = None if patience is None else max(patience - content.elapsed(), 0.001)
        try:
            # One byte more than is kept, to know whether there is one.
            data = read(min(_PIECE, content.room + 1), wait)
        except TimeoutError:
            if patience is None or content.elapsed() < patience:
                raise
            content.feed(b"")
        else:
            content.feed(data, complete=not data)
        if not evaluations.evaluate(content):
            break
        if evaluations.settled(content):
            content.settle()
            if not evaluations.evaluate(content):
                break
    return evaluations.outcomes
