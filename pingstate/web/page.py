"""The page for people: the snapshot in words, and the files that keep it following.

The words are made here once, for a reader without scripts; `static/page.js` puts newer ones in
their place. Nothing of a target's is trusted: Jinja escapes it, `<bdi>` keeps its direction to
itself, and it is cut.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from pingstate.monitor.fsm import STATES

HTML = "text/html; charset=utf-8"
CONTENT_TYPES = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
        "require-trusted-types-for 'script'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_STATIC = Path(__file__).parent / "static"
# Characters without a shape of their own, some of which turn the text around them.
_SHAPELESS = {"Cc", "Cf", "Zl", "Zp"}


def read_static(name: str) -> bytes:
    """The content of one of `CONTENT_TYPES`' files."""
    return (_STATIC / name).read_bytes()


def render_page(snapshot: Mapping[str, Any]) -> str:
    """The page as HTML, with every word of a Monitor's snapshot. Times are UTC."""
    state = snapshot["state"]
    last = {"detail": snapshot["last_detail"], "phase": snapshot["last_phase"]}
    return _template().render(
        s=snapshot,
        at=time.time(),
        word="stale" if snapshot["stale"] else state,
        face="stale" if snapshot["stale"] else state if state in STATES else "unknown",
        reason=describe_reason(last),
        rhythm=describe_rhythm(snapshot),
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "cut": cut,
        "duration": describe_duration,
        "expiry": describe_expiry,
        "iso": lambda ts: _utc(ts).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "milliseconds": describe_milliseconds,
        "plain": without_controls,
        "reason": describe_reason,
        "utc": lambda ts: f"{_utc(ts):%Y-%m-%d %H:%M:%S}",
    }
    return environment.from_string((_STATIC / "page.html").read_text("utf-8"))


def _utc(ts: float) -> datetime:
    return datetime.fromtimestamp(ts, timezone.utc)


def cut(text: str | None, limit: int = 300) -> str:
    """`text` with at most `limit` characters; "" for None."""
    text = text or ""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def without_controls(text: str) -> str:
    """`text` for a title, where nothing keeps right-to-left marks from the words around them."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _SHAPELESS else char
        for char in text
    )


def describe_duration(seconds: float) -> str:
    """Seconds in the two units that matter: `12 s`, `3 min 5 s`, `4 h 0 min`, `2 d 7 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def describe_milliseconds(ms: float | None) -> str:
    """A latency with two digits at least; a dash for None."""
    if ms is None:
        return "\N{EN DASH}"
    return f"{ms:.2g}" if ms < 9.95 else f"{ms:,.0f}"


def describe_expiry(expires: float, at: float) -> str:
    """When a certificate expires or expired, seen from `at`; both in seconds since 1970."""
    left = expires - at
    if left < 0:
        return f"expired {describe_duration(-left)} ago"
    return f"expires in {describe_duration(left)}"


def describe_reason(check: Mapping[str, Any]) -> str:
    """A check's detail, and before it the phase where the detail does not say it itself."""
    detail, phase = check["detail"] or "", check["phase"]
    if not phase or detail.startswith(phase):
        return detail
    return f"{phase}: {detail or 'no detail'}"


def describe_rhythm(snapshot: Mapping[str, Any]) -> str:
    """How often is checked, and from when on a check counts as slow or failed."""
    parts = [f"every {snapshot['interval']:g} s"]
    if snapshot["slow_ms"] is not None:
        parts.append(f"slow above {snapshot['slow_ms']:g} ms")
    if snapshot["timeout"] is not None:
        parts.append(f"timeout {snapshot['timeout']:g} s")
    return ", ".join(parts)
