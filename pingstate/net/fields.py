"""The fields of a head, read line by line, and what they say of the body (RFC 9112, 5 and 6)."""

from __future__ import annotations

import re
from typing import BinaryIO

from urllib3 import HTTPHeaderDict

from pingstate.net.errors import CheckFailedError
from pingstate.values import TOKEN

_FRAMING = frozenset({"contentlength", "transferencoding"})
_MAX_LENGTH = 10**18  # bytes: more than anybody waits for


def read_fields(stream: BinaryIO) -> HTTPHeaderDict:
    """The fields up to the empty line, read from `stream` and no further.

    A line that is not a field is skipped, with the lines folded into it. Values are read as
    Latin-1, each line of a field by itself in `getlist(name)`. Raises OSError, and CheckFailedError
    for a head that is cut off or whose skipped line may have told the body's length.
    """
    fields = HTTPHeaderDict()
    # A line that begins with a blank continues the one before it (5.2), if that is one (2.2).
    name, parts = "", [""]
    while True:
        raw = stream.readline()
        if raw[-1:] != b"\n":
            raise CheckFailedError("the answer's head was cut off")
        # RFC 9110, 5.5: a bare CR and NUL are dangerous, and count as blanks.
        line = raw.decode("latin-1").rstrip("\r\n").replace("\r", " ").replace("\0", " ")
        if line[:1] in {" ", "\t"}:
            parts.append(line)
            continue
        if TOKEN.fullmatch(name):
            fields.add(name, " ".join(part.strip(" \t") for part in parts).strip(" \t"))
        elif re.sub("[^a-z]", "", name.lower()) in _FRAMING:
            raise CheckFailedError("the answer's head is malformed: its length can't be told")
        if raw in {b"\r\n", b"\n"}:
            return fields
        name, colon, value = line.partition(":")
        parts = [value]
        if not colon:
            name = ""


def parse_content_length(fields: HTTPHeaderDict) -> int | None:
    """The body's length in bytes, None if it is not told. Raises CheckFailedError (RFC 9112, 6.3).

    A number above 10**18 is taken for that.
    """
    value = fields.get("Content-Length")
    if value is None:
        return None
    lengths = {length.strip(" \t") for length in value.split(",")}
    if len(lengths) != 1 or not re.fullmatch("[0-9]+", length := lengths.pop()):
        raise CheckFailedError("the answer's head is malformed: its Content-Length is no number")
    digits = length.lstrip("0") or "0"
    return int(digits) if len(digits) < len(str(_MAX_LENGTH)) else _MAX_LENGTH


def parse_codings(fields: HTTPHeaderDict, name: str) -> list[str]:
    """The codings of a field in lower case, the outermost last, without `identity` (RFC 2616)."""
    codings = fields.get(name, "").lower().split(",")
    return [coding for coding in map(str.strip, codings) if coding not in {"", "identity"}]
