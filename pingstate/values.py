"""What each value may be: every rule once, for settings, probes and the Monitor alike.

A `validate_...` returns the value as it is used; a `normalize_...` returns its one spelling. Both
raise InvalidValueError for anything else, a value of another type included. Where values of one
kind have several names, `name` is the caller's, for the message.
"""

from __future__ import annotations

import math
import operator
import os
import re
import socket
from collections.abc import Collection, Container, Iterable, Mapping
from typing import Any

from pingstate.ip_literal import literal_ip_version

DEFAULT_TIMEOUTS = {"tcp": 2.0, "tls": 5.0, "http": 5.0, "https": 5.0}  # seconds for a check
PROTOCOLS = tuple(DEFAULT_TIMEOUTS)
# Where servers listen that begin in plain text and can be asked for TLS.
STARTTLS_PORTS = {"smtp": 25, "imap": 143, "pop3": 110, "postgres": 5432, "ldap": 389}
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2

_MAX_UNIX_PATH = 107  # bytes: sockaddr_un has 108 with the NUL


class InvalidValueError(ValueError):
    """A value that can't be used: `value` is what was given, `expected` completes "is not ..."."""

    def __init__(self, name: str, value: object, expected: str, *, secret: bool = False) -> None:
        super().__init__(f"{name}: {'***' if secret else repr(value)} is not {expected}")
        self.value = value
        self.expected = expected

    def __reduce__(self) -> tuple[Any, ...]:
        # Without it a pool of processes breaks on the way back: __init__ takes more than the text.
        return type(self).__new__, (type(self), *self.args), self.__dict__


# -- where -----------------------------------------------------------------------------------------


def normalize_host(host: str, name: str = "host") -> str:
    """A host name in ASCII (RFC 5891) or an IP address without brackets; an IPv6 zone stays."""
    found = _ascii_host(host) if isinstance(host, str) else None
    if found is None:
        raise InvalidValueError(
            name, host, "a host name or an IP address, without scheme, port or path"
        )
    return found


def normalize_address(address: str) -> str:
    """A host as `normalize_host` returns it, or `unix:/path`."""
    if isinstance(address, str) and (socket_path := unix_path(address)) is not None:
        path = _utf8(socket_path)
        if path is None or path[:1] != b"/" or b"\0" in path or len(path) > _MAX_UNIX_PATH:
            expected = f"unix: and an absolute path of at most {_MAX_UNIX_PATH} bytes"
            raise InvalidValueError("address", address, expected)
        return address
    found = _ascii_host(address) if isinstance(address, str) else None
    if found is None:
        expected = "a host name, an IP address or unix:/path, without scheme, port or path"
        raise InvalidValueError("address", address, expected)
    return found


def unix_path(address: str) -> str | None:
    """The path of an address that is `unix:/path`; None for a host."""
    return address.removeprefix("unix:") if address.startswith("unix:") else None


def _ascii_host(text: str) -> str | None:
    host = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    if ":" in host:
        bare, percent, zone = host.partition("%")
        try:
            socket.inet_pton(socket.AF_INET6, bare)
        except (OSError, ValueError):
            return None
        return host if not percent or re.fullmatch("[A-Za-z0-9_.-]+", zone) else None
    try:
        ascii_name = host if host.isascii() else _idna(host)
    except ValueError:
        return None
    labels = ascii_name.removesuffix(".").split(".")
    if len(ascii_name) > 253 or not all(re.fullmatch("[A-Za-z0-9_-]{1,63}", x) for x in labels):
        return None
    return ascii_name


def _idna(host: str) -> str:
    import idna  # only for names outside ASCII

    return idna.encode(host, uts46=True).decode("ascii")


def authority(address: str, port: int, default: int | None = None) -> str:
    """`host:port` as a URL spells it, without a port that is the scheme's default."""
    if unix_path(address) is not None:
        return address
    host = f"[{address}]" if ":" in address else address
    return host if port == default else f"{host}:{port}"


def validate_ip_version(version: int | None, address: str = "") -> int | None:
    """An IP version, 4 or 6, None for both; where `address` is an IP address, its own."""
    if version is None:
        return None
    if not isinstance(version, int) or version not in (4, 6):
        raise InvalidValueError("ip_version", version, "4 or 6")
    if unix_path(address) is not None or literal_ip_version(address) not in (None, version):
        raise InvalidValueError("ip_version", version, f"the IP version of {address}")
    return version


# -- numbers ---------------------------------------------------------------------------------------


def validate_port(port: int, least: int = 1) -> int:
    """A port, 1 to 65535; `least` is 0 where port 0 means any free one."""
    return _integer(port, "port", least, 65535)


def validate_threshold(threshold: int, name: str = "threshold") -> int:
    """A number of consecutive checks, 1 to 1000."""
    return _integer(threshold, name, 1, 1000)


def validate_history(history: int, name: str = "history") -> int:
    """A number of checks to keep or to show, 0 to 10000."""
    return _integer(history, name, 0, 10_000)


def validate_max_body_bytes(size: int) -> int:
    """A number of bytes to read of a body, 0 to 16 MiB."""
    return _integer(size, "max_body_bytes", 0, 16_777_216)


def validate_timeout(timeout: float) -> float:
    """The seconds that something may take, above 0, at most a day."""
    expected = "a number of seconds above 0, at most 86400 (a day)"
    return _above_zero(timeout, "timeout", 86_400, expected)


def validate_interval(interval: float, name: str = "interval") -> float:
    """The seconds between checks, above 0, at most a year."""
    expected = "a number of seconds above 0, at most 31536000 (a year)"
    return _above_zero(interval, name, 31_536_000, expected)


def validate_wait(timeout: float | None) -> float | None:
    """The seconds to wait for something, None for ever; so is more than a year."""
    if timeout is None:
        return None
    number = _float(timeout)
    if math.isnan(number):
        raise InvalidValueError("timeout", timeout, "a number of seconds, or None")
    return None if number > 31_536_000 else number


def validate_milliseconds(milliseconds: float, name: str = "milliseconds") -> float:
    """Milliseconds, above 0, at most a day."""
    expected = "a number of milliseconds above 0, at most 86400000 (a day)"
    return _above_zero(milliseconds, name, 86_400_000, expected)


def validate_fraction(fraction: float, name: str = "fraction") -> float:
    """A part of one, 0 and 1 included."""
    number = _float(fraction)
    if not 0 <= number <= 1:
        raise InvalidValueError(name, fraction, "a fraction from 0 to 1")
    return number


def parse_number(text: str) -> Any:
    """The number that a text spells; the text itself where it spells none, for a rule to refuse."""
    try:
        return float(text)
    except ValueError:
        return text


def _integer(value: Any, name: str, least: int, most: int) -> int:
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise InvalidValueError(name, value, f"a whole number from {least} to {most}")
    return number


def _above_zero(value: Any, name: str, most: float, expected: str) -> float:
    number = _float(value)
    if not 0 < number <= most:
        raise InvalidValueError(name, value, expected)
    return number


def _float(value: Any) -> float:
    """Any number as a float; anything else as NaN, which is in no range."""
    if isinstance(value, (bool, str, bytes, bytearray)):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


# -- words and text --------------------------------------------------------------------------------


def validate_choice(word: str, choices: Collection[str], name: str) -> str:
    """One of `choices`, which are in lower case, in whatever case it was given."""
    found = word.lower() if isinstance(word, str) else ""
    if found not in choices:
        raise InvalidValueError(name, word, f"one of {', '.join(choices)}")
    return found


def validate_states(
    states: str | Container[str], possible: Iterable[str], name: str = "states"
) -> tuple[str, ...]:
    """Those of the possible states that `states` has, at least one: a state, or any of several."""
    possible = tuple(possible)
    wanted = (states,) if isinstance(states, str) else states
    try:
        found = tuple(state for state in possible if state in wanted)
    except TypeError:
        found = ()
    if not found:
        raise InvalidValueError(name, states, f"any of {', '.join(possible)}")
    return found


def validate_protocol(protocol: str) -> str:
    """One of PROTOCOLS."""
    return validate_choice(protocol, PROTOCOLS, "protocol")


def validate_starttls(protocol: str) -> str:
    """One of the protocols in which TLS can be asked for."""
    return validate_choice(protocol, STARTTLS_PORTS, "starttls")


def validate_method(method: str) -> str:
    """An HTTP method, in upper case (RFC 9110, 9.1)."""
    if not isinstance(method, str) or not TOKEN.fullmatch(method):
        raise InvalidValueError("method", method, "an HTTP method, such as GET or HEAD")
    return method.upper()


def validate_path(path: str) -> str:
    """A URL's path with an optional query (RFC 9112, 3.2.1), not percent-encoded yet."""
    bad = not isinstance(path, str) or path[:1] != "/" or re.search(r"[\x00-\x20\x7f#]", path)
    if bad or _utf8(path) is None:
        expected = "a path that begins with / and has no blanks and no fragment"
        raise InvalidValueError("path", path, expected)
    return path


def validate_header(field: str, value: str) -> tuple[str, str]:
    """A header field's name and its value without blanks around it (RFC 9110, 5.1 and 5.5).

    The value may be a secret: no message has it.
    """
    if not isinstance(field, str) or not TOKEN.fullmatch(field):
        raise InvalidValueError("header", field, "a valid header name")
    if not isinstance(value, str) or re.search("[\0\r\n]", value) or _utf8(value) is None:
        expected = "a header value without line breaks and NUL"
        raise InvalidValueError(f"header {field}", value, expected, secret=True)
    return field, value.strip(" \t")


def validate_headers(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
) -> list[tuple[str, str]]:
    """Header fields, each as `validate_header` returns it; secrets."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields: list[Any] = list(pairs) if isinstance(pairs, Iterable) else [None]
    if not all(isinstance(field, (tuple, list)) and len(field) == 2 for field in fields):
        expected = "a mapping of names to values, or pairs of them"
        raise InvalidValueError("headers", headers, expected, secret=True)
    return [validate_header(*field) for field in fields]


def validate_basic_auth(pair: tuple[str, str]) -> tuple[str, str]:
    """User and password (RFC 7617): no colon in the user, no control characters in either."""
    ok = isinstance(pair, (tuple, list)) and len(pair) == 2
    ok = ok and all(isinstance(part, str) and _utf8(part) is not None for part in pair)
    if not ok or ":" in pair[0] or re.search(r"[\x00-\x1f\x7f]", "".join(pair)):
        expected = "user:password, without control characters"
        raise InvalidValueError("basic_auth", pair, expected, secret=True)
    return pair[0], pair[1]


def validate_body(body: str | bytes) -> bytes:
    """The bytes of a request's body, text as UTF-8; a secret."""
    data = body if isinstance(body, bytes) else _utf8(body) if isinstance(body, str) else None
    if data is None:
        raise InvalidValueError("body", body, "text or bytes", secret=True)
    return data


def validate_send(data: bytes) -> bytes:
    """Bytes to send; a secret."""
    if not isinstance(data, bytes):
        raise InvalidValueError("send", data, "bytes", secret=True)
    return data


def normalize_file(path: str | os.PathLike[str], name: str = "file") -> str:
    """The path of a file as text, whether or not the file is there."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or "\0" in text or _utf8(text) is None:
        raise InvalidValueError(name, path, "the path of a file")
    return text


def _utf8(text: str) -> bytes | None:
    """The text as UTF-8, bytes of the environment as they were; None if it can't be encoded."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
