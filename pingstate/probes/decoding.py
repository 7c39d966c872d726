"""The text of a body: one decoding for every check of it."""

from __future__ import annotations

import codecs
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from encodings.aliases import aliases

# A parameter's value may be quoted, and then have anything in it (RFC 9110, 5.6.6).
_PARAMETER = re.compile(r""";\s*([^\s=;]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)""")
_CHARSET = re.compile(r"""["']?([\w.:+-]{1,40})""", re.ASCII)

# Longest first: UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (BOM_UTF32_LE, "utf_32_le"),
    (BOM_UTF32_BE, "utf_32_be"),
    (BOM_UTF8, "utf_8"),
    (BOM_UTF16_LE, "utf_16_le"),
    (BOM_UTF16_BE, "utf_16_be"),
)

# The codecs whose names a target may choose. Others are no charsets (undefined, unicode_escape),
# are slow (punycode), or would fill Python's own cache with a new name for each check.
_CODECS = {name: name for name in aliases.values()} | aliases
for _name in ("cp720", "cp737", "cp874", "koi8_t", "koi8_u", "mac_croatian", "utf_8_sig"):
    _CODECS[_name] = _name
_CODECS |= {
    "windows_874": "cp874",
    # What is declared as a standard is mostly its superset (WHATWG Encoding, 4.2).
    "ascii": "utf_8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "tis_620": "cp874",
    # Without a mark; RFC 2781 has it the other way round, browsers and most senders have not.
    "utf_16": "utf_16_le",
    "utf_32": "utf_32_le",
}


def decode_body(body: bytes, content_type: str | None) -> str:
    """The text of a body whose field Content-Type is `content_type`; never raises.

    It is read in the charset that is declared there, else in that of its byte order mark, else
    as UTF-8. A charset that is unknown, or not for text, counts as not declared. What can't be
    decoded becomes U+FFFD, and a byte order mark is left out.
    """
    return BodyDecoder(content_type).decode(body, final=True)


class BodyDecoder:
    """Decode a body as `decode_body` does, in pieces as they come. One thread at a time."""

    def __init__(self, content_type: str | None) -> None:
        self._declared = _find_declared_codec(content_type or "")
        self._start = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def decode(self, data: bytes, *, final: bool) -> str:
        """The text that `data` adds; `final` says that no more will come."""
        if self._decoder is not None:
            return self._decoder.decode(data, final)
        self._start += data
        # Only what has come so far of a mark, if that is what it is, has to wait.
        if not final and any(
            mark.startswith(self._start) and mark != self._start for mark, _ in _MARKS
        ):
            return ""
        mark, marked = next(
            (found for found in _MARKS if self._start.startswith(found[0])), (b"", "utf_8")
        )
        codec = self._declared
        if codec is None or marked.startswith(codec.removesuffix("_le")):
            codec = marked
        self._decoder = codecs.getincrementaldecoder(codec)("replace")
        text = self._decoder.decode(self._start, final)
        return text.removeprefix("\N{BYTE ORDER MARK}") if mark else text


def _find_declared_codec(content_type: str) -> str | None:
    for parameter in _PARAMETER.finditer(content_type):
        if parameter[1].lower() == "charset" and (charset := _CHARSET.match(parameter[2])):
            return _find_codec(charset[1])
    return None


def _find_codec(charset: str) -> str | None:
    """Python's name of a charset; None for what is unknown or not for text, such as zlib."""
    name = re.sub("[^a-z0-9]+", "_", charset.lower())
    codec = _CODECS.get(name) or _CODECS.get(name.removeprefix("x_"))
    if codec is None:
        return None
    codec = _CODECS.get(codec, codec)
    try:
        b"x".decode(codec, "replace")
        codecs.getincrementaldecoder(codec)
    except (LookupError, ValueError):
        return None
    return codec
