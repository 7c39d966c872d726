"""Regular expressions that keep the deadline and know when they can no longer match."""

from __future__ import annotations

import re
from typing import Any

# Its own engine backtracks without end as well, but can be told when to give up.
import regex

from pingstate.probes.stream import Content
from pingstate.text import excerpt

_HIGH_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\x[89A-Fa-f][0-9A-Fa-f]")
# What depends on the character that comes next: regex takes the end of a part for the end.
_BOUNDARY = re.compile(r"(?<!\\)(?:\\\\)*\\[bBmMXGK]")


class Pattern:
    r"""A compiled regular expression of the `regex` package.

    A pattern with an escape from `\x80` to `\xff` in it is matched against bytes, any other
    against text. `anchored` says that a match can only begin at the start, and that a partial
    search tells whether there can still be one.
    """

    def __init__(self, check: str, source: str) -> None:
        """Raises ValueError, which names the whole check."""
        self.source = excerpt(source)
        self._binary = _HIGH_BYTE.search(source) is not None
        expression = source.encode("utf-8", "surrogateescape") if self._binary else source
        try:
            self._regex: Any = regex.compile(expression)
        except (regex.error, RecursionError, OverflowError) as exc:
            raise ValueError(f"{check!r} is not a regular expression: {exc}") from exc
        something = b"\0" if self._binary else "\0"
        later = self._regex.search(something, 1, partial=True)
        self.anchored = later is None and not _BOUNDARY.search(source)

    def search(self, text: str, seconds: float) -> bool:
        """Whether it matches anywhere in the text. Raises TimeoutError after `seconds`."""
        subject = text.encode("utf-8", "surrogateescape") if self._binary else text
        return bool(self._regex.search(subject, timeout=seconds, concurrent=True))

    def search_content(self, content: Content, *, partial: bool = False) -> bool:
        """Whether it matches what has come or, with `partial`, could match with more to come."""
        subject = bytes(content.data) if self._binary else content.text
        return bool(
            self._regex.search(
                subject, partial=partial, timeout=content.remaining(), concurrent=True
            )
        )
