"""Conditions on a value in a JSON body, found by an RFC 6901 pointer."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from pingstate.probes.conditions import ContentCondition, Outcome
from pingstate.probes.stream import Content
from pingstate.text import excerpt

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MAX_DEPTH = 500
_MAX_NESTED = 500_000  # half a second to read, during which nothing can end it
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_NO_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^\[\]{}"]+', re.DOTALL)
_SIGN = re.compile(r"!?[=<>][=<>!~]*|!~|~=|[\u2248\u2260\u2264\u2265]")
# Operators that people write by mistake, and what they mean.
_MEANT = {
    "==": "json:{0}={1}",
    "===": "json:{0}={1}",
    "=!": "json:{0}!={1}",
    "!==": "json:{0}!={1}",
    "<>": "json:{0}!={1}",
    "=>": "json:{0}>={1}",
    "=<": "json:{0}<={1}",
    "~=": "json_matches:{0}={1}",
    "=~": "json_matches:{0}={1}",
    "!~": "not:json_matches:{0}={1}",
    "!=~": "not:json_matches:{0}={1}",
    "\u2260": "json:{0}!={1}",
    "\u2264": "json:{0}<={1}",
    "\u2265": "json:{0}>={1}",
}


def parse_json(_: str, rest: str) -> ContentCondition:
    """`json:POINTER`, or with `=`, `!=`, `<`, `<=`, `>` or `>=` and a value. Raises ValueError."""
    found = _SIGN.search(rest)
    pointer, sign, wanted = rest, "", ""
    if found:
        pointer, sign, wanted = rest[: found.start()], found[0], rest[found.end() :].strip()
    if sign not in ("", "=", "!=", *_COMPARISONS):
        raise ValueError(_describe_sign(rest, pointer, sign, wanted))
    steps = parse_pointer("json", rest, pointer)
    value = _parse_value(wanted)
    if sign in _COMPARISONS and not _is_number(value):
        raise ValueError(f"'json:{rest}' compares with {wanted!r}; expected a number after {sign}")

    def evaluate_value(found: Any, _: float) -> Outcome:
        seen = describe_found(pointer, found)
        if not sign:
            return Outcome(ok=True, seen=seen)
        if sign in ("=", "!="):
            ok = (found == wanted or _is_equal(found, value)) is (sign == "=")
        elif _is_number(found):
            ok = _COMPARISONS[sign](found, value)
        else:
            return Outcome(ok=False, seen=seen, expected="a number", undecided=True)
        shown = excerpt(wanted)
        return Outcome(ok=ok, seen=seen, expected=shown if sign == "=" else f"{sign} {shown}")

    return create_json_condition(pointer, steps, evaluate_value)


def _describe_sign(rest: str, pointer: str, sign: str, wanted: str) -> str:
    text = f"'json:{rest}' has no operator {sign!r}; expected = != < <= > or >="
    if sign in _MEANT:
        text += f"; did you mean {_MEANT[sign].format(pointer, wanted)!r}?"
    if sign[0] == "=":
        text += f" A text that begins with {sign[1]} is written as JSON: "
        text += repr(f"json:{pointer}={json.dumps(sign[1:] + wanted, ensure_ascii=False)}")
    return text


def parse_pointer(word: str, rest: str, pointer: str) -> list[str]:
    """The steps of a pointer. Raises ValueError."""
    good = not pointer or (pointer[0] == "/" and pointer == pointer.rstrip())
    if not good or re.search("~(?![01])", pointer):
        # A pointer with blanks before the operator, or a path as in JSONPath or jq.
        meant = pointer.strip()
        if meant[:1] != "/":
            meant = "/" + re.sub(r"\]?[.\[]", "/", meant.removeprefix("$").lstrip(".").rstrip("]"))
        # Nor are the blanks after it meant.
        end = re.sub(r"^(\W+?)\s+", r"\1", rest[len(pointer) :])
        suggestion = f"{word}:{meant}{end}"
        hint = f"; did you mean {suggestion!r}?" if re.fullmatch("(/[^/~]+)+", meant) else ""
        raise ValueError(
            f"'{word}:{rest}' has no RFC 6901 pointer, such as /status or /checks/0/name{hint}"
        )
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def create_json_condition(
    pointer: str, steps: list[str], evaluate_value: Callable[[Any, float], Outcome]
) -> ContentCondition:
    """A condition by `evaluate_value`, which gets the value that was found and the seconds left."""

    def evaluate(content: Content) -> Outcome | None:
        if not content.complete:
            return None
        if content.cut:
            seen = f"the body was cut: no whole JSON in {content.extent}"
            return Outcome(ok=False, seen=seen, undecided=True)
        if excess := _find_excess(content):
            return Outcome(ok=False, seen=excess, undecided=True)
        try:
            # Once for all conditions of a check.
            content.parsed = content.parsed or (json.loads(content.text),)
        except (ValueError, RecursionError):
            seen = f"the body is not JSON: {excerpt(content.text)}"
            return Outcome(ok=False, seen=seen, undecided=True)
        try:
            found = _look_up(content.parsed[0], steps)
        except (LookupError, TypeError):
            return Outcome(ok=False, seen=f"the body has no {excerpt(pointer)}")
        return evaluate_value(found, content.remaining())

    return ContentCondition(lambda: evaluate)


def _find_excess(content: Content) -> str:
    """Why the JSON would take many times its size to read (RFC 8259, 9); "" if it would not.

    How deep Python itself goes depends on its version and its stack.
    """
    text = content.text
    objects = text.count("{")
    # An object takes some 200 bytes of memory: one in 8 bytes makes 25 times the body of it.
    if objects * 8 > max(len(content.data), 65536):
        return "too many nested objects in the JSON body"
    nested = objects + text.count("[")
    if nested > _MAX_NESTED:
        return "too many nested objects and arrays in the JSON body"
    if nested > _MAX_DEPTH:
        steps = (_STEPS.get(char, 0) for char in _NO_BRACKET.sub("", text))
        if max(accumulate(steps), default=0) > _MAX_DEPTH:
            return "the JSON body is nested too deeply"
    return ""


def _look_up(document: Any, steps: list[str]) -> Any:
    """The value that the steps lead to. Raises LookupError, or TypeError if there is none."""
    for step in steps:
        document = document[_parse_index(step) if isinstance(document, list) else step]
    return document


def _parse_index(step: str) -> int:
    if not re.fullmatch("0|[1-9][0-9]{0,8}", step):
        raise LookupError(step)
    return int(step)


def _parse_value(text: str) -> Any:
    """A JSON value; a bare word is a string."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_equal(found: Any, value: Any) -> bool:
    # 1 == True in Python, not in JSON; 1 == 1.0 in both.
    if isinstance(found, dict) and isinstance(value, dict):
        return found.keys() == value.keys() and all(_is_equal(found[k], value[k]) for k in found)
    if isinstance(found, list) and isinstance(value, list):
        return len(found) == len(value) and all(map(_is_equal, found, value))
    return isinstance(found, bool) == isinstance(value, bool) and bool(found == value)


def describe_found(pointer: str, found: Any) -> str:
    """The value that was found, for a detail."""
    return f"{pointer or 'the body'} is {excerpt(dump_json(found))}"


def dump_json(value: Any) -> str:
    """JSON in one spelling."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
