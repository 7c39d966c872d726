"""From a setting's text to its value, and to what anyone may read of it.

A parser raises InvalidValueError, whose `expected` says what would do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from pingstate.imports import import_from_string
from pingstate.values import (
    InvalidValueError,
    normalize_address,
    parse_number,
    validate_basic_auth,
    validate_choice,
    validate_header,
)

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def _invalid(text: str, expected: str) -> InvalidValueError:
    """An error that leaves it to the reader of the settings to name the variable and to redact."""
    return InvalidValueError("setting", text, expected, secret=True)


# -- values ----------------------------------------------------------------------------------------


def address(text: str) -> str:
    """What `normalize_address` takes; of a URL or `host:port` it tells the settings that say it."""
    try:
        return normalize_address(text)
    except InvalidValueError:
        from pingstate.settings.addresses import suggest_settings  # only for what is wrong

        instead = suggest_settings(text)
        if not instead:
            raise
        expected = f"a host name, an IP address or unix:/path alone; instead set {instead}"
        raise _invalid(text, expected) from None


def integer(validate: Callable[[int], int | None]) -> Callable[[str], int | None]:
    """A parser for a whole number; `validate` gets any other text as it is, to refuse it."""

    def parse(text: str) -> int | None:
        digits = text.strip()
        value: Any = int(digits) if re.fullmatch("-?[0-9]{1,9}", digits) else text
        return validate(value)

    return parse


def number(validate: Callable[[float], float]) -> Callable[[str], float]:
    """A parser for a number; `validate` gets any other text as it is, to refuse it."""
    return lambda text: validate(parse_number(text))


def choice(words: Collection[str]) -> Callable[[str], str]:
    """A parser for one of several words, in any case."""
    return lambda text: validate_choice(text, words, "setting")


def choices(words: Collection[str], what: str) -> Callable[[str], tuple[str, ...]]:
    """A parser for some of several words, in any case and separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",")))
        if not set(found) <= set(words):
            raise _invalid(text, f"{what} separated by commas, of {', '.join(words)}")
        return found

    return parse


def switch(text: str) -> bool:
    """On or off."""
    word = text.lower()
    if word not in (*_YES, *_NO):
        raise _invalid(text, f"one of {', '.join(_YES)} or {', '.join(_NO)}")
    return word in _YES


def header(text: str) -> tuple[str, str]:
    """`Name: value`."""
    name, colon, value = text.partition(":")
    try:
        return validate_header(name.rstrip(" \t") if colon else "", value)
    except InvalidValueError as exc:
        expected = f"'Name: value' with {exc.expected}"
        raise _invalid(text, expected) from None


def user_password(text: str) -> tuple[str, str]:
    """`user:password`."""
    pair: Any = tuple(text.split(":", 1))
    return validate_basic_auth(pair)


def readable_file(text: str) -> str:
    """The path of a file that this process may read."""
    if _is_content(text):
        raise _invalid(text, "the path of a file, but what is in one")
    try:
        with Path(text).open("rb"):
            return text
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "no such path"
        raise _invalid(text, f"a file that can be read ({reason})") from None


def ca_file(text: str) -> str:
    """The path of a PEM file of certificates."""
    import ssl  # few configurations need it

    from pingstate.net.tls_contexts import load_authorities  # the same

    load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), readable_file(text), "")
    return text


def key_pair_problem(certificate: str, key: str | None) -> str | None:
    """What a client certificate and its key are not, after "is"; None for a pair that can be used.

    `key` is None where the key is in the certificate's file.
    """
    import ssl  # few configurations need it

    from pingstate.net.tls_contexts import load_client_certificate  # the same

    try:
        load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key, "")
    except InvalidValueError as exc:
        return f"not {exc.expected}"
    return None


def importable(text: str) -> str:
    """The `module:attribute` of an object that can be imported."""
    try:
        import_from_string(text)
    except ValueError as exc:
        reason = str(exc).partition(" can't be loaded: ")[2] or exc
        raise _invalid(text, f"importable as module:attribute ({reason})") from None
    return text


_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "e": 27}


def escaped(text: str) -> bytes:
    """Bytes, with escapes as in C."""

    def byte(found: re.Match[bytes]) -> bytes:
        escape = found[1].decode("utf-8", "replace")
        if escape[:1] == "x" and len(escape) > 1:
            return bytes([int(escape[1:], 16)])
        if re.fullmatch("[0-7]{1,3}", escape) and int(escape, 8) < 256:
            return bytes([int(escape, 8)])
        if escape in _ESCAPES:
            return bytes([_ESCAPES[escape]])
        if escape in ("\\", "'", '"', "?"):
            return escape.encode()
        expected = "text with escapes as in C, such as \\r\\n, \\t, \\x00 or \\\\"
        raise _invalid(text, expected)

    return re.sub(
        rb"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.|\Z)",
        byte,
        text.encode("utf-8", "surrogateescape"),
        flags=re.DOTALL,
    )


# -- what may be shown -----------------------------------------------------------------------------


def redact(_: str) -> str:
    """Nothing of it."""
    return "***"


def redact_content(text: str) -> str:
    """A path; nothing of what may be a key that was given in place of its path."""
    return "***" if _is_content(text) else text


def _is_content(text: str) -> bool:
    return "\n" in text or "-----BEGIN" in text


def redact_url(text: str) -> str:
    """An address without what a URL has before its @, and without its query."""
    userinfo, at, rest = text.rpartition("@")
    scheme = userinfo.partition("://")[0] + "://" if "://" in userinfo else ""
    return redact_query(f"{scheme}***@{rest}" if at else text)


def redact_query(text: str) -> str:
    """A path without its query."""
    path, mark, _ = text.partition("?")
    return f"{path}?***" if mark else path
