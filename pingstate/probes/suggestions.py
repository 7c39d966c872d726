"""What was meant by a text that is no check."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container

from pingstate.probes.checks import Words, parse_check

# How a check may be spelled that is none: with another negation, word or separator.
_SPELLING = re.compile(
    r"\s*(not(?=[\s:_-])[\s:_-]*|!\s*)?([A-Za-z][\w-]*)\s*(!?:|!?=+(?!~)|)\s*(.*)",
    re.DOTALL | re.IGNORECASE,
)

_NEGATIONS = ("not", "no", "doesnt", "without")


def describe_unknown(protocol: str, text: str, words: Words, everywhere: Container[str]) -> str:
    """What is wrong with a text that begins with none of the protocol's words.

    `everywhere` are the words of all protocols.
    """
    forms = ", ".join(f"{word}:{form}" for word, (_, _, form) in words.items())
    word, colon, _ = text.partition(":")
    if colon and word in everywhere:
        return f"{text!r} is not a check for {protocol}, which takes {forms}, not:CHECK"
    # Quotes of a shell stay where an env file has them.
    quoted = text[:1] in ("'", '"') and text[-1:] == text[:1]
    found = _SPELLING.fullmatch(text[1:-1] if quoted else text)
    said = found[2].lower().replace("-", "_") if found else ""
    # A negation within, as in body_not_contains.
    bare = "_".join(part for part in said.split("_") if part not in _NEGATIONS)
    near = difflib.get_close_matches(bare, words, 1)
    if not found or not near:
        return f"{text!r} is not a check; expected one of {forms}, not:CHECK"
    turned = found[1] or "!" in found[3] or bare != said
    meant = f"{'not:' if turned else ''}{near[0]}:{found[4] or words[near[0]][2]}"
    if found[4] and near[0] != "call":
        try:
            parse_check(protocol, meant)
        except ValueError as exc:
            return f"{text!r} is not a check, and {exc}"
    return f"{text!r} is not a check; did you mean {meant!r}?"
