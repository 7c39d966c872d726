"""Remote and foreign text as one safe line."""

from __future__ import annotations

import re

_CUT = "\N{HORIZONTAL ELLIPSIS}"
_CREDENTIALS = re.compile(r"//[^/\s@]*@")


def one_line(text: str, limit: int = 200) -> str:
    """`text` as one printable line of at most `limit` characters, without URL credentials."""
    if len(text) <= limit and text.isprintable() and "//" not in text:
        return text  # as most are
    safe = _CREDENTIALS.sub("//***@", text[: 4 * limit])
    safe = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in safe)
    return safe if len(safe) <= limit else safe[: limit - 1] + _CUT


def excerpt(data: bytes | bytearray | str, limit: int = 60) -> str:
    """The beginning of remote bytes or text in quotes, for a detail; `limit` is in characters."""
    head = data[:256]
    text = one_line(head if isinstance(head, str) else head.decode("utf-8", "replace"), limit)
    # The mark also lets a secret be found that the cut has left a part of.
    if len(data) > len(head) and not text.endswith(_CUT):
        text += _CUT
    return f"'{text}'" if data else "nothing"


def describe_exception(exc: BaseException) -> str:
    """An exception's name and message in one line, also when its `str()` raises."""
    try:
        message = one_line(str(exc), 160)
    except BaseException:  # noqa: BLE001  # a broken exception still has a name
        message = "unreadable message"
    return f"{type(exc).__name__}: {message}" if message else type(exc).__name__
