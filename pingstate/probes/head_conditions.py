"""Conditions on the head of an HTTP answer: its status and its header fields."""

from __future__ import annotations

import re

from pingstate.probes.conditions import Head, HeadCondition, Outcome
from pingstate.text import excerpt
from pingstate.values import TOKEN

_STATUS = re.compile("[1-5][0-9][0-9]")


def parse_status(_: str, rest: str) -> HeadCondition:
    """`status:LIST`, of statuses and ranges with commas between. Raises ValueError."""
    statuses = _parse_statuses(rest)
    if not statuses:
        raise ValueError(
            f"'status:{rest}' is not a list of status codes from 100 to 599, such as "
            f"status:200,204 or status:200-299,404{_suggest_statuses(rest)}"
        )

    def evaluate(head: Head) -> Outcome:
        return Outcome(ok=head.status in statuses, expected=rest, by_status=True)

    return HeadCondition(evaluate, statuses)


def evaluate_any_2xx(head: Head) -> Outcome:
    """What an HTTP answer must be where no condition names a status."""
    return Outcome(ok=200 <= head.status <= 299, expected="a 2xx", by_status=True)


def _parse_statuses(text: str) -> frozenset[int]:
    """The statuses of a list; empty if the text is not such a list."""
    statuses: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (_STATUS.fullmatch(first) and _STATUS.fullmatch(last) and first <= last):
            return frozenset()
        statuses.update(range(int(first), int(last) + 1))
    return frozenset(statuses)


def _suggest_statuses(text: str) -> str:
    """What a bad list of statuses may mean, as the end of a message; "" for no idea."""
    found = re.fullmatch(r"\s*([<>]=?|!?={0,2})\s*(.*?)\s*", text)
    sign, rest = (found[1], found[2]) if found else ("", text)
    rest = re.sub(r"([1-5])xx", r"\g<1>00-\g<1>99", rest, flags=re.IGNORECASE)
    rest = ",".join(re.split(r"[\s,;|]+", rest))
    if sign[:1] in (">", "<") and _STATUS.fullmatch(rest):
        step = 0 if sign.endswith("=") else 1
        status = int(rest)
        rest = f"{status + step}-599" if sign[0] == ">" else f"100-{status - step}"
    word = "not:status" if sign[:1] == "!" else "status"
    return f"; did you mean '{word}:{rest}'?" if _parse_statuses(rest) else ""


def parse_header(_: str, rest: str) -> HeadCondition:
    """`header:NAME`, or `header:NAME=VALUE` of the field or one of its lines. Raises ValueError."""
    name, equals, value = rest.partition("=")
    value = value.strip()
    # The standard lets a name end with `!` or `~`, but here an operator is meant.
    looks_like_operator = equals and (name[-1:] in ("!", "~") or value[:1] in ("=", "~", ">", "<"))
    if looks_like_operator or not TOKEN.fullmatch(name):
        raise ValueError(
            f"'header:{rest}' is not header:NAME or header:NAME=VALUE{_suggest_header(rest)}"
        )

    def evaluate(head: Head) -> Outcome:
        values = field_values(head, name)
        if not values:
            return Outcome(ok=False, seen=f"there is no header {name}")
        ok = not equals or value in values
        return Outcome(ok=ok, seen=f"{name} is {excerpt(values[0])}", expected=excerpt(value))

    return HeadCondition(evaluate)


def field_values(head: Head, name: str) -> list[str]:
    """The whole value of a field, then each of its lines; none if it is not there."""
    lines = [line.strip() for line in head.headers.getlist(name)]
    values = [", ".join(lines), *lines] if len(lines) > 1 else lines
    # What http.client reads as Latin-1 is often UTF-8.
    decoded = [value.encode("latin-1", "replace").decode("utf-8", "replace") for value in values]
    return [*decoded, *values] if decoded != values else values


def _suggest_header(text: str) -> str:
    """What a bad header check may mean, as the end of a message; "" for no idea."""
    found = re.fullmatch(r"\s*([^\s=!~:<>]+)\s*(!?[=~]+~?|:)\s*(.*)", text)
    if not found or not TOKEN.fullmatch(found[1]):
        return ""
    name, sign, value = found.groups()
    word = "header_matches" if "~" in sign else "header"
    turned = "not:" if sign[0] == "!" else ""
    return f"; did you mean '{turned}{word}:{name}={value}'?"
