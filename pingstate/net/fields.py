"""The head of an answer, read line by line, and what it says of the body (RFC 9112, 4 to 6)."""

from __future__ import annotations

import re
from typing import BinaryIO

from urllib3 import HTTPHeaderDict

from pingstate.net.errors import CheckFailedError
from pingstate.text import excerpt
from pingstate.values import TOKEN

MAX_LINE = 65536  # bytes
# RFC 9110, 18.6, and what was registered since.
CODINGS = frozenset(
    {"aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "pack200-gzip"}
    | {"x-compress", "x-gzip", "zstd"}
)

_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([0-9]{3})(?: ([^\n]*))?\r?\n")
# RFC 9113, 4.1: SETTINGS or GOAWAY, of the whole connection.
_HTTP_2_FRAME = re.compile(rb"...[\x04\x07].\0{4}", re.DOTALL)
_FRAMING = frozenset({"contentlength", "transferencoding"})
_MAX_LENGTH = 10**18  # bytes: more than anybody waits for


def read_status_line(stream: BinaryIO) -> tuple[str, int, str]:
    """Version, status and reason, the last as Latin-1. Raises CheckFailedError, OSError."""
    line = stream.readline(MAX_LINE + 1)
    if not line:
        raise CheckFailedError("closed without an answer")
    found = _STATUS_LINE.fullmatch(line)
    if found is None or len(line) > MAX_LINE:
        raise CheckFailedError(_describe_foreign(line))
    return found[1].decode(), int(found[2]), (found[3] or b"").decode("latin-1")


def _describe_foreign(line: bytes) -> str:
    """What a target said that is no HTTP/1."""
    if line[:2] in (b"\x15\x03", b"\x16\x03"):  # RFC 8446, 5.1: an alert, a handshake
        return "not an HTTP answer but TLS: expected protocol https"
    if _HTTP_2_FRAME.match(line):
        return "not an HTTP/1 answer but HTTP/2"
    return f"not an HTTP answer: {excerpt(line[:512])}"


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
