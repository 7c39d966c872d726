"""What a presented certificate says: its expiry, its subject and its issuer, verified or not.

The standard library parses a certificate only after it was verified, so the few fields are read
from the DER (X.690) of RFC 5280's structure here.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from functools import lru_cache
from typing import NamedTuple

from pingstate.net.der import parse_items
from pingstate.text import one_line

_UTC_TIME, _GENERALIZED_TIME, _VERSION, _EXTENSIONS = 0x17, 0x18, 0xA0, 0xA3
_COMMON_NAME, _ORGANIZATION, _ALT_NAME = b"\x55\x04\x03", b"\x55\x04\x0a", b"\x55\x1d\x11"
_BMP_STRING, _DNS_NAME = 0x1E, 0x82
_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z")


class Certificate(NamedTuple):
    """`expires` is in seconds since 1970; the names are one line each, "" where there is none."""

    expires: float
    subject: str
    issuer: str


@lru_cache(maxsize=8)
def read_certificate(der: bytes) -> Certificate | None:
    """The fields of one X.509 certificate, None where the bytes are not one. Never raises."""
    try:
        return _parse(der)
    except (ValueError, IndexError, OverflowError):
        return None


def _parse(der: bytes) -> Certificate:
    ((_, certificate),) = parse_items(der)
    fields = parse_items(parse_items(certificate)[0][1])
    if fields[0][0] == _VERSION:
        fields = fields[1:]
    # serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, extensions
    issuer, validity, subject = (fields[index][1] for index in (2, 3, 4))
    kind, ends = parse_items(validity)[1]
    # The common name reads best; without one the hosts are in the extension (RFC 6125).
    named = _find_name(subject, _COMMON_NAME) or _find_host(fields)
    return Certificate(
        expires=_parse_time(kind, ends),
        subject=named or _find_name(subject, _ORGANIZATION),
        issuer=_find_name(issuer, _COMMON_NAME) or _find_name(issuer, _ORGANIZATION),
    )


def _parse_time(kind: int, raw: bytes) -> float:
    text = raw.decode("ascii")
    if kind == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text  # RFC 5280, 4.1.2.5.1
    elif kind != _GENERALIZED_TIME:
        raise ValueError("not a time")
    # strptime() would import its own module and the locale's, for six numbers.
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a time")
    year, month, day, hour, minute, second = map(int, found.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()


def _find_name(raw: bytes, wanted: bytes) -> str:
    for _, attributes in parse_items(raw):
        for _, attribute in parse_items(attributes):
            (_, kind), (coding, value) = parse_items(attribute)
            if kind == wanted:
                text = value.decode("utf-16-be" if coding == _BMP_STRING else "utf-8", "replace")
                return one_line(text, 100)
    return ""


def _find_host(fields: list[tuple[int, bytes]]) -> str:
    for tag, wrapped in fields[6:]:
        if tag != _EXTENSIONS:
            continue
        for _, extension in parse_items(parse_items(wrapped)[0][1]):
            parts = parse_items(extension)
            if parts[0][1] == _ALT_NAME:
                for kind, name in parse_items(parse_items(parts[-1][1])[0][1]):
                    if kind == _DNS_NAME:
                        return one_line(name.decode("ascii", "replace"), 100)
    return ""
