"""A condition on text that must be there."""

from __future__ import annotations

from pingstate.probes.conditions import ContentCondition, Evaluate, Outcome
from pingstate.probes.stream import Content
from pingstate.text import excerpt


def parse_contains(word: str, rest: str) -> ContentCondition:
    """`body_contains:TEXT` or `banner_contains:TEXT`. Raises ValueError."""
    if not rest:
        raise ValueError(f"'{word}:' names no text; expected {word}:TEXT")
    shown = excerpt(rest)

    def start() -> Evaluate:
        tail = ""

        def evaluate(content: Content) -> Outcome | None:
            nonlocal tail
            # The text may begin in one piece and end in the next.
            recent = tail + content.piece
            if rest in recent:
                return Outcome(ok=True, seen=f"found {shown}")
            tail = recent[max(0, len(recent) - len(rest) + 1) :]
            if not content.complete:
                return None
            return Outcome(
                ok=False,
                seen=f"{shown} is not in {content.quote()}",
                undecided=content.cut,
            )

        return evaluate

    return ContentCondition(start)
