"""The check mini-language: from a string, or a callable, to a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

from pingstate.imports import import_from_string
from pingstate.probes.conditions import CallCondition, Check, Condition, ContentCondition

# By word: the module and the function that parse it, imported at first use, and what follows `:`.
_Words = dict[str, tuple[str, str, str]]
_HTTP: _Words = {
    "status": ("head_conditions", "parse_status", "LIST"),
    "body_contains": ("text_conditions", "parse_contains", "TEXT"),
    "body_matches": ("pattern_conditions", "parse_matches", "REGEX"),
    "json": ("json_conditions", "parse_json", "POINTER=VALUE"),
    "json_matches": ("pattern_conditions", "parse_json_matches", "POINTER=REGEX"),
    "header": ("head_conditions", "parse_header", "NAME=VALUE"),
    "header_matches": ("pattern_conditions", "parse_header_matches", "NAME=REGEX"),
}
_TCP: _Words = {
    "banner_contains": ("text_conditions", "parse_contains", "TEXT"),
    "banner_matches": ("pattern_conditions", "parse_matches", "REGEX"),
    "open": ("open_condition", "parse_open", "SECONDS"),
}
_CALL: _Words = {"call": ("", "", "module:function")}


def parse_checks(
    protocol: str, check: Check | Sequence[Check] | None, timeout: float | None = None
) -> tuple[Condition, ...]:
    """Conditions that must all hold, from one check or several.

    `check` is a string of the mini-language, a callable, several of both, or None (TCP: the
    connect, HTTP: any 2xx). `timeout` is in seconds for the whole check, None if it is not known.
    Raises ValueError that says what was expected.
    """
    if check is None:
        checks: Sequence[Check] = ()
    elif isinstance(check, (str, bytes)) or callable(check) or not isinstance(check, Iterable):
        checks = (check,)
    else:
        checks = check
    return tuple(
        parse_check(protocol, item, timeout)
        if isinstance(item, str)
        else CallCondition(_require_callable(item))
        for item in checks
    )


def parse_check(protocol: str, text: str, timeout: float | None = None) -> Condition:
    """One condition from one string of the mini-language, for `tcp`, `tls`, `http` or `https`.

    `timeout` is in seconds for the whole check, None if it is not known. Raises ValueError that
    says what was expected.
    """
    if text.startswith("not:"):
        inner = text.removeprefix("not:")
        if inner.startswith("not:"):
            raise ValueError(f"{text!r} negates a check twice; expected not: once or not at all")
        return parse_check(protocol, inner, timeout).negate(text)
    words = (_TCP if protocol in ("tcp", "tls") else _HTTP) | _CALL
    word, colon, rest = text.partition(":")
    if not colon or word not in words:
        from pingstate.probes.suggestions import describe_unknown  # only for what is wrong

        forms = {name: form for name, (_, _, form) in words.items()}
        raise ValueError(describe_unknown(protocol, text, forms, {*_HTTP, *_TCP}, parse_check))
    if word == "call":
        try:
            return CallCondition(_require_callable(import_from_string(rest)))
        except ValueError as exc:
            raise ValueError(f"{text!r}: {exc}") from exc
    module, function, _ = words[word]
    parse: Callable[[str, str], Condition] = getattr(
        import_module(f"pingstate.probes.{module}"), function
    )
    condition = parse(word, rest)
    patience = condition.patience if isinstance(condition, ContentCondition) else None
    if patience is not None and timeout is not None and patience >= timeout:
        raise ValueError(f"{text!r} is not shorter than the timeout of {timeout:g} s")
    return condition


def _require_callable(function: Any) -> Callable[[Any], Any]:
    if not callable(function):
        raise ValueError(f"{function!r} is neither a check string nor callable")  # noqa: TRY004  # one error type
    checked: Callable[[Any], Any] = function
    return checked
