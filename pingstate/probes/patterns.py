"""Regular expressions that keep the deadline and know when they can no longer match."""

from __future__ import annotations

import re
import time
from typing import Any

# Unlike re, it can be told when to give up.
import regex

from pingstate.probes.stream import Content
from pingstate.text import excerpt

_HIGH_BYTE = re.compile(r"(?<!\\)(?:\\\\)*\\x[89A-Fa-f][0-9A-Fa-f]")
# What depends on the next or the previous character: a partial search takes the end of what has
# come for the end of all, and a look-behind does not tell where a match begins.
_BOUNDARY = re.compile(r"(?<!\\)(?:\\\\)*(?:\\[bBmMXGK]|\(\?<[!=])")
_FIRST_BUDGET = 0.01  # seconds of CPU time


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
        try:
            self._regex: Any = regex.compile(self._encode(source))
        except (regex.error, RecursionError, OverflowError) as exc:
            raise ValueError(f"{check!r} is not a regular expression: {exc}") from exc
        later = self._regex.search(self._encode("\0"), 1, partial=True)
        self.anchored = later is None and not _BOUNDARY.search(source)

    def search(self, text: str, seconds: float) -> bool:
        """Whether it matches anywhere in the text. Raises TimeoutError after `seconds`."""
        # JSON may have half of a pair of surrogates in it, which is no UTF-8.
        subject = text.encode("utf-8", "surrogatepass") if self._binary else text
        return self._search(subject, seconds)

    def search_content(self, content: Content, *, partial: bool = False) -> bool:
        """Whether it matches what has come or, with `partial`, could match with more to come."""
        subject = bytes(content.data) if self._binary else content.text
        return self._search(subject, content.remaining(), partial=partial)

    def _encode(self, text: str) -> str | bytes:
        return text.encode("utf-8", "surrogateescape") if self._binary else text

    def _search(self, subject: str | bytes, seconds: float, *, partial: bool = False) -> bool:
        # regex counts its timeout in CPU time of the whole process: slower than the clock on a busy
        # machine, faster beside busy threads. So it is tried with growing budgets, and what the
        # last one took by the clock bounds the next.
        ends = time.monotonic() + seconds
        budget, pace = _FIRST_BUDGET, 1.0
        while (left := ends - time.monotonic()) > 0:
            budget = min(budget, max(0.5 * left / pace, 0.001))
            began = time.monotonic()
            try:
                found = self._regex.search(
                    subject, partial=partial, timeout=budget, concurrent=True
                )
            except TimeoutError:
                pace = max((time.monotonic() - began) / budget, 0.1)
                budget *= 4
            else:
                return found is not None
        raise TimeoutError("timed out")
