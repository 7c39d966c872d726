"""The condition that a connection stays open: a proxy without a back end closes it."""

from __future__ import annotations

from pingstate.probes.conditions import ContentCondition, Outcome
from pingstate.probes.stream import Content
from pingstate.values import InvalidValueError, parse_number, validate_timeout


def parse_open(_: str, rest: str) -> ContentCondition:
    """`open:SECONDS`: still open after so long, or the target has spoken. Raises ValueError."""
    try:
        seconds = validate_timeout(parse_number(rest))
    except InvalidValueError:
        raise ValueError(
            f"'open:{rest}' is not open:SECONDS, a number above 0 such as open:0.5"
        ) from None

    def evaluate(content: Content) -> Outcome | None:
        if content.data:
            return Outcome(ok=True, seen="open, and the target has spoken")
        if content.complete:
            after = f"{content.elapsed():.2f} s"
            return Outcome(ok=False, seen=f"closed after {after}", expected=f"open for {rest} s")
        if content.elapsed() >= seconds:
            return Outcome(ok=True, seen=f"open for {rest} s")
        return None

    return ContentCondition(lambda: evaluate, patience=seconds)
