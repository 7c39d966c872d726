"""What counts as up: the check mini-language, and the rules behind each of its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pingstate.imports import load
from pingstate.text import describe, excerpt, one_line
from pingstate.values import TOKEN

Outcome = tuple[bool, str]
"""Whether the condition holds, and one line that says what was seen."""


@dataclass(frozen=True)
class HTTPResponseSnapshot:
    """What a check callable gets of a final HTTP answer.

    `headers` looks names up in any case. `body` is decoded from its content coding and cut at the
    probe's `max_body_bytes`; `text` is the same in the charset that the answer declares, else in
    that of its byte order mark, else as UTF-8. `elapsed_ms` counts from the start of the check.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    text: str
    elapsed_ms: float


@dataclass(frozen=True)
class HTTPCondition:
    """One condition on an HTTP answer, decided by its head (`on_head`) or its body (`on_body`).

    `on_body(body, complete, seconds)` is asked again as the body grows and answers None until it
    knows; `complete` says that no more will come, `seconds` is what is left of the deadline.
    `statuses` are the ones that the condition names, None where it takes any 2xx.
    """

    on_head: Callable[[int, Mapping[str, str]], Outcome] | None = None
    on_body: Callable[[bytes, bool, float], Outcome | None] | None = None
    statuses: frozenset[int] | None = None


@dataclass(frozen=True)
class BannerCondition:
    """One condition on what a TCP target says first; asked like `HTTPCondition.on_body`."""

    on_banner: Callable[[bytes, bool, float], Outcome | None]


@dataclass(frozen=True)
class CallCondition:
    """A callable that gets the `HTTPResponseSnapshot`, or the open socket, and judges it."""

    function: Callable[[Any], Any]

    def judge(self, subject: Any) -> Outcome:
        """The callable's verdict; one that raises is a fail that names the exception."""
        try:
            outcome = self.function(subject)
            if isinstance(outcome, tuple):
                ok, detail = outcome
                return bool(ok), one_line(str(detail))
            return bool(outcome), "" if outcome else "the check said no"
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # noqa: BLE001  # the user's code may raise anything
            return False, f"the check raised {describe(exc)}"


Condition = HTTPCondition | BannerCondition | CallCondition
Check = str | Callable[[Any], Any]


def parse_checks(protocol: str, check: Check | Sequence[Check] | None) -> tuple[Condition, ...]:
    """Conditions that must all hold, from one check or several.

    `check` is a string of the mini-language, a callable, several of both, or None (TCP: the
    connect, HTTP: any 2xx). Raises ValueError that says what was expected.
    """
    if check is None:
        checks: Sequence[Check] = ()
    elif isinstance(check, str) or callable(check):
        checks = (check,)
    else:
        checks = check
    return tuple(
        parse_check(protocol, item) if isinstance(item, str) else CallCondition(_called(item))
        for item in checks
    )


def parse_check(protocol: str, text: str) -> Condition:
    """One condition from one string of the mini-language, for `tcp`, `http` or `https`.

    Raises ValueError that says what was expected.
    """
    word, colon, rest = text.partition(":")
    kinds = _BANNER if protocol == "tcp" else _HTTP
    if word == "call" and colon:
        return CallCondition(_called(load(rest)))
    if word in kinds and colon:
        return kinds[word](rest)
    known = ", ".join(f"{name}:..." for name in (*kinds, "call"))
    if word in _HTTP or word in _BANNER:
        raise ValueError(f"{text!r} is not a check for {protocol}, which takes {known}")
    raise ValueError(f"{text!r} is not a check; expected one of {known}")


def _called(function: Any) -> Callable[[Any], Any]:
    if not callable(function):
        raise ValueError(f"{function!r} is neither a check string nor callable")  # noqa: TRY004  # one error type
    checked: Callable[[Any], Any] = function
    return checked


def _status(rest: str) -> HTTPCondition:
    statuses: set[int] = set()
    for part in rest.split(","):
        first, dash, last = part.strip().partition("-")
        bounds = [first, last] if dash else [first]
        if (
            not all(re.fullmatch("[1-5][0-9][0-9]", bound) for bound in bounds)
            or first > bounds[-1]
        ):
            raise ValueError(
                f"'status:{rest}' is not a list of status codes from 100 to 599, "
                "such as status:200,204 or status:200-299,404"
            )
        statuses.update(range(int(first), int(bounds[-1]) + 1))

    def on_head(status: int, _: Mapping[str, str]) -> Outcome:
        ok = status in statuses
        return ok, f"HTTP {status}" if ok else f"HTTP {status}, expected {rest}"

    return HTTPCondition(on_head=on_head, statuses=frozenset(statuses))


def any_2xx(status: int, _: Mapping[str, str]) -> Outcome:
    """What an HTTP answer must be where no condition names a status."""
    ok = 200 <= status <= 299
    return ok, f"HTTP {status}" if ok else f"HTTP {status}, expected a 2xx"


def _contains(word: str, rest: str) -> Callable[[bytes, bool, float], Outcome | None]:
    if not rest:
        raise ValueError(f"'{word}:' names no text; expected {word}:TEXT")
    text = rest.encode("utf-8", "surrogateescape")

    def search(data: bytes, complete: bool, _: float) -> Outcome | None:  # noqa: FBT001  # as documented
        if text in data:
            return True, f"found {excerpt(text)}"
        return (False, f"{excerpt(text)} is not in {excerpt(data)}") if complete else None

    return search


def _matches(
    word: str, rest: str, *, whole: bool
) -> Callable[[bytes, bool, float], Outcome | None]:
    # Its own engine backtracks without end as well, but can be told when to give up.
    import regex  # noqa: PLC0415  # few configurations need it

    if not rest:
        raise ValueError(f"'{word}:' names no pattern; expected {word}:REGEX")
    try:
        pattern = regex.compile(rest)
    except (regex.error, RecursionError, OverflowError) as exc:
        raise ValueError(f"'{word}:{rest}' is not a regular expression: {exc}") from exc

    def search(data: bytes, complete: bool, seconds: float) -> Outcome | None:  # noqa: FBT001  # as documented
        # An end ($) or an absence (?!) can't be told from a part.
        if whole and not complete:
            return None
        text = data.decode("utf-8", "surrogateescape")
        if pattern.search(text, timeout=seconds, concurrent=True):
            return True, f"matched {excerpt(rest.encode())}"
        if not complete:
            return None
        return False, f"{excerpt(rest.encode())} matches nothing in {excerpt(data)}"

    return search


def _json(rest: str) -> HTTPCondition:
    import json  # noqa: PLC0415  # few configurations need it

    pointer, equals, wanted = rest.partition("=")
    if not equals or (pointer and not pointer.startswith("/")) or re.search("~(?![01])", pointer):
        raise ValueError(
            f"'json:{rest}' is not json:POINTER=VALUE with an RFC 6901 pointer, "
            "such as json:/status=ok"
        )
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    try:
        value: Any = json.loads(wanted)
    except (ValueError, RecursionError):
        value = wanted

    def on_body(body: bytes, complete: bool, _: float) -> Outcome | None:  # noqa: FBT001  # as documented
        if not complete:
            return None
        # An object takes some 200 bytes of memory: one in 8 bytes says nothing, and is much.
        if body.count(b"{") * 8 > max(len(body), 65536):
            return False, "the body is JSON of hardly anything but braces"
        try:
            found: Any = json.loads(body)
            for step in steps:
                found = found[_index(step)] if isinstance(found, list) else found[step]
            seen = json.dumps(found, sort_keys=True, ensure_ascii=False)
        except (ValueError, RecursionError):
            return False, f"the body is not JSON: {excerpt(body)}"
        except (LookupError, TypeError):
            return False, f"the body has no {excerpt(pointer.encode())}"
        # 1 == True in Python, not in JSON; 1 == 1.0 in both; a bare word is a string.
        numbers = not {type(found), type(value)} - {int, float}
        ok = seen == json.dumps(value, sort_keys=True, ensure_ascii=False) or found == wanted
        ok = ok or (numbers and found == value)
        sign = "is" if ok else f"is not {excerpt(wanted.encode())} but"
        return ok, f"{pointer or 'the body'} {sign} {excerpt(seen.encode('utf-8', 'replace'))}"

    return HTTPCondition(on_body=on_body)


def _index(step: str) -> int:
    if not re.fullmatch("0|[1-9][0-9]{0,8}", step):
        raise LookupError(step)
    return int(step)


def _header(rest: str) -> HTTPCondition:
    name, equals, value = rest.partition("=")
    if not equals or not TOKEN.fullmatch(name):
        raise ValueError(f"'header:{rest}' is not header:NAME=VALUE")

    def on_head(_: int, headers: Mapping[str, str]) -> Outcome:
        seen = headers.get(name)
        if seen is None:
            return False, f"there is no header {name}"
        # What http.client reads as Latin-1 is often UTF-8.
        raw = seen.strip().encode("latin-1", "replace")
        ok = raw.decode("utf-8", "replace") == value.strip() or seen.strip() == value.strip()
        sign = "is" if ok else f"is not {value!r} but"
        return ok, f"{name} {sign} {excerpt(raw)}"

    return HTTPCondition(on_head=on_head)


_HTTP: dict[str, Callable[[str], HTTPCondition]] = {
    "status": _status,
    "body_contains": lambda rest: HTTPCondition(on_body=_contains("body_contains", rest)),
    "body_matches": lambda rest: HTTPCondition(on_body=_matches("body_matches", rest, whole=True)),
    "json": _json,
    "header": _header,
}
_BANNER: dict[str, Callable[[str], BannerCondition]] = {
    "banner_contains": lambda rest: BannerCondition(_contains("banner_contains", rest)),
    "banner_matches": lambda rest: BannerCondition(_matches("banner_matches", rest, whole=False)),
}
