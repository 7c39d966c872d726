"""Suggest a check for a text that is not one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Container, Mapping

# How a check may be misspelt: with another negation, word or separator.
_SPELLING = re.compile(
    r"\s*(not(?=[\s:_-])[\s:_-]*|!\s*)?([A-Za-z][\w-]*)\s*(!?:|!?=+(?!~)|)\s*(.*)",
    re.DOTALL | re.IGNORECASE,
)

_NEGATIONS = ("not", "no", "doesnt", "without")


def describe_unknown(
    protocol: str,
    text: str,
    forms: Mapping[str, str],
    everywhere: Container[str],
    parse: Callable[[str, str], object],
) -> str:
    """What is wrong with a text that begins with none of the protocol's words, for a message.

    `forms` has the protocol's words, each with what follows its colon; `everywhere` has the words
    of all protocols. `parse` takes the protocol and a check, and raises ValueError for a bad one.
    """
    known = ", ".join(f"{word}:{form}" for word, form in forms.items())
    word, colon, _ = text.partition(":")
    if colon and word in everywhere:
        return f"{text!r} is not a check for {protocol}, which takes {known}, not:CHECK"
    # Quotes of a shell stay where an env file has them.
    quoted = text[:1] in ("'", '"') and text[-1:] == text[:1]
    found = _SPELLING.fullmatch(text[1:-1] if quoted else text)
    said = found[2].lower().replace("-", "_") if found else ""
    # A negation within, as in body_not_contains.
    bare = "_".join(part for part in said.split("_") if part not in _NEGATIONS)
    near = difflib.get_close_matches(bare, forms, 1)
    if not found or not near:
        return f"{text!r} is not a check; expected one of {known}, not:CHECK"
    negated = found[1] or "!" in found[3] or bare != said
    meant = f"{'not:' if negated else ''}{near[0]}:{found[4] or forms[near[0]]}"
    if found[4] and near[0] != "call":
        try:
            parse(protocol, meant)
        except ValueError as exc:
            return f"{text!r} is not a check, and {exc}"
    return f"{text!r} is not a check; did you mean {meant!r}?"
