"""Conditions by regular expressions: on content, a header field, or a value in JSON."""

from __future__ import annotations

from typing import Any

from pingstate.probes.conditions import ContentCondition, Head, HeadCondition, Outcome
from pingstate.probes.head_conditions import field_values
from pingstate.probes.json_conditions import (
    create_json_condition,
    describe_found,
    dump_json,
    parse_pointer,
)
from pingstate.probes.patterns import Pattern
from pingstate.probes.stream import Content
from pingstate.text import excerpt
from pingstate.values import TOKEN

_MAX_PARTIAL = 65536  # bytes of a body after which an anchored pattern waits for the end


def parse_matches(word: str, rest: str) -> ContentCondition:
    """`body_matches:REGEX` or `banner_matches:REGEX`. Raises ValueError.

    A body is matched when it is whole: an end ($) or an absence (?!) can't be told from a part.
    """
    if not rest:
        raise ValueError(f"'{word}:' names no pattern; expected {word}:REGEX")
    pattern = Pattern(f"{word}:{rest}", rest)
    whole = word == "body_matches"

    def evaluate(content: Content) -> Outcome | None:
        if (content.complete or not whole) and pattern.search_content(content):
            part = f" in {content.extent}" if content.cut and whole else ""
            return Outcome(ok=True, seen=f"matched {pattern.source}{part}", by_regex=True)
        hopeless = (
            pattern.anchored
            and (content.cut or not content.complete)
            and len(content.data) <= _MAX_PARTIAL
            and not pattern.search_content(content, partial=True)
        )
        if not (content.complete or hopeless):
            return None
        return Outcome(
            ok=False,
            seen=f"{pattern.source} matches nothing in {content.quote()}",
            undecided=content.cut and not hopeless,
            by_regex=True,
        )

    return ContentCondition(lambda: evaluate)


def parse_header_matches(_: str, rest: str) -> HeadCondition:
    """`header_matches:NAME=REGEX`, of the field or one of its lines. Raises ValueError."""
    name, source = _split_pattern("header_matches", rest, "NAME")
    if not TOKEN.fullmatch(name):
        raise ValueError(f"'header_matches:{rest}' is not header_matches:NAME=REGEX")
    pattern = Pattern(f"header_matches:{rest}", source)

    def evaluate(head: Head) -> Outcome:
        values = field_values(head, name)
        if not values:
            return Outcome(ok=False, seen=f"there is no header {name}", by_regex=True)
        return Outcome(
            ok=any(pattern.search(value, head.remaining()) for value in values),
            seen=f"{name} is {excerpt(values[0])}",
            expected=f"a match of {pattern.source}",
            by_regex=True,
        )

    return HeadCondition(evaluate)


def parse_json_matches(_: str, rest: str) -> ContentCondition:
    """`json_matches:POINTER=REGEX`, on a string or the JSON of all else. Raises ValueError."""
    pointer, source = _split_pattern("json_matches", rest, "POINTER")
    steps = parse_pointer("json_matches", rest, pointer)
    pattern = Pattern(f"json_matches:{rest}", source)

    def evaluate_value(found: Any, seconds: float) -> Outcome:
        ok = pattern.search(found if isinstance(found, str) else dump_json(found), seconds)
        seen = describe_found(pointer, found)
        return Outcome(ok=ok, seen=seen, expected=f"a match of {pattern.source}", by_regex=True)

    return create_json_condition(pointer, steps, evaluate_value)


def _split_pattern(word: str, rest: str, subject: str) -> tuple[str, str]:
    """What comes before `=`, and the pattern. Raises ValueError, also for other operators."""
    before, equals, source = rest.partition("=")
    if not equals or not source:
        raise ValueError(f"'{word}:{rest}' is not {word}:{subject}=REGEX")
    name, pattern = before.rstrip("!~<>"), source.lstrip("=~")
    if (name, pattern) == (before, source):
        return name, pattern
    sign = rest[len(name) : len(rest) - len(pattern)]
    text = f"'{word}:{rest}' has no operator {sign!r}; expected ="
    if pattern and not {"<", ">"} & set(sign):
        text += f"; did you mean '{'not:' if '!' in sign else ''}{word}:{name}={pattern}'?"
    if pattern != source:
        text += f" A pattern that begins with {source[0]} is written with [{source[0]}]"
    raise ValueError(text)
