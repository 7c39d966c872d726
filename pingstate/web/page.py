"""The page for people: the snapshot in words, and the files that keep it following.

The words are made here once, for a reader without scripts; `static/page.js` puts newer ones in
their place. Nothing of a target's is trusted: MarkupSafe escapes whatever is put into the page,
`<bdi>` keeps its direction to itself, and it is cut. A template engine would do the same, and
take a tenth of a second and 4 MB in the process that answers health checks.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from pingstate.probes.base import prefix_phase

HTML = "text/html; charset=utf-8"
CONTENT_TYPES = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
        "require-trusted-types-for 'script'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_STATIC = Path(__file__).parent / "static"
# Characters without a shape of their own, some of which turn the text around them.
_SHAPELESS = {"Cc", "Cf", "Zl", "Zp"}
# How many checks a reader without scripts gets at most.
ROWS = 20
_HIDDEN = Markup(" hidden")
# Seconds before its end from which on a certificate's is in the colour of failures.
_SOON = 14 * 86400

# What all the pictures are drawn with, and a picture for each of the states and for what the page
# can come to beside them.
_PEN = Markup(
    'viewBox="0 0 64 64" fill="none" stroke="#fff" stroke-width="7" stroke-linecap="round"'
    ' stroke-linejoin="round"'
)
_SHAPES = {
    "up": Markup(
        '<circle cx="32" cy="32" r="30" fill="#1a8f50" stroke="none"/>'
        '<path d="M18 33l10 10 19-21"/>'
    ),
    "degraded": Markup(
        '<path d="M32 7 58 55H6z" fill="#c47a00" stroke="#c47a00"/><path d="M32 23v17M32 49v1"/>'
    ),
    "down": Markup(
        '<path d="M21 3h22l18 18v22L43 61H21L3 43V21z" fill="#cf3040" stroke="none"/>'
        '<path d="M22 22l20 20M42 22 22 42"/>'
    ),
    "unknown": Markup(
        '<path d="M32 4 60 32 32 60 4 32z" fill="#66727f" stroke="#66727f"/>'
        '<path d="M25 26c0-10 15-10 15 0 0 6-8 6-8 12M32 47v1"/>'
    ),
    "stale": Markup(
        '<rect x="4" y="4" width="56" height="56" rx="10" fill="#66727f" stroke="none"/>'
        '<path d="M21 14h22M21 50h22M24 14c0 11 16 25 16 36M40 14c0 11-16 25-16 36"/>'
    ),
    "unreachable": Markup(
        '<circle cx="32" cy="32" r="29" fill="#66727f" stroke="none"/>'
        '<path d="M17 32h.1M32 32h.1M47 32h.1"/>'
    ),
}
_ICON = Markup('<svg xmlns="http://www.w3.org/2000/svg" {}>{}</svg>')
_SYMBOL = Markup('<g id="shape-{}">{}</g>')
_MOMENT = Markup('<time datetime="{}">{}</time>')
_ROW = Markup("<tr><td>{}<td>{}<td>{} ms<td><bdi>{}</bdi></tr>")
_CHANGE = Markup("<li>{} <span><bdi>{}</bdi> → <b><bdi>{}</bdi></b></span> <bdi>{}</bdi></li>")


def read_static(name: str) -> bytes:
    """The content of one of `CONTENT_TYPES`' files."""
    return (_STATIC / name).read_bytes()


def render_page(snapshot: Mapping[str, Any]) -> str:
    """The page as HTML, with every word of a Monitor's snapshot. Times are UTC."""
    state, stale = snapshot["state"], snapshot["stale"]
    word = "stale" if stale else state
    face = word if word in _SHAPES else "unknown"
    age = snapshot["last_check_age_s"]
    quiet = "since the start" if age is None else f"for {describe_duration(age)}"
    return _template().format(
        title=without_controls(f"{cut(word, 40)} · {cut(snapshot['probe'], 80)}"),
        icon=quote(_ICON.format(_PEN, _SHAPES[face]), safe="=/:"),
        face=face,
        pen=_PEN,
        symbols=_lines(_SYMBOL.format(*shape) for shape in _SHAPES.items()),
        target=cut(snapshot["probe"]),
        banner=f"No check has ended {quiet}: the verdict is stale." if stale else "",
        no_banner="" if stale else _HIDDEN,
        word=cut(word, 40),
        held=(
            f"last verdict: {cut(state, 40)}"
            if stale
            else f"for {describe_duration(snapshot['uptime_in_state_s'])}"
        ),
        latency=describe_milliseconds(snapshot["last_latency_ms"]),
        event=snapshot["last_event"] or "",
        detail=describe_outcome(
            snapshot["last_event"],
            prefix_phase(snapshot["last_phase"], snapshot["last_detail"] or ""),
        ),
        age=("no check has ended yet" if age is None else f"checked {describe_duration(age)} ago"),
        no_recent="" if snapshot["recent"] else _HIDDEN,
        rows=_lines(_row(check) for check in reversed(snapshot["recent"])),
        checks=snapshot["checks"],
        no_errors="" if snapshot["checks"]["error"] else _HIDDEN,
        started=_moment(snapshot["started"]),
        rhythm=describe_rhythm(snapshot),
        transitions=snapshot["transitions"],
        changes=_lines(_change(change) for change in reversed(snapshot["changes"])),
        **_certificate(snapshot["certificate"]),
    )


@cache
def _template() -> Markup:
    return Markup((_STATIC / "page.html").read_text("utf-8"))  # noqa: S704  # a file of ours


def _lines(parts: Iterable[Markup]) -> Markup:
    return Markup("\n").join(parts)


def _row(check: Mapping[str, Any]) -> Markup:
    return _ROW.format(
        _utc(check["ts"]),
        "failed" if check["event"] == "fail" else check["event"],
        describe_milliseconds(check["latency_ms"]),
        cut(prefix_phase(check["phase"], check["detail"] or "")),
    )


def _change(change: Mapping[str, Any]) -> Markup:
    return _CHANGE.format(
        _moment(change["ts"]),
        cut(change["from"], 40),
        cut(change["to"], 40),
        describe_outcome(change["event"], change["detail"] or ""),
    )


def _certificate(certificate: Mapping[str, Any] | None) -> dict[str, str]:
    if certificate is None:
        return dict.fromkeys(("expiry", "soon", "expires", "subject", "issuer"), "") | {
            "no_certificate": _HIDDEN
        }
    now = time.time()
    return {
        "no_certificate": "",
        "expiry": describe_expiry(certificate["expires"], now),
        "soon": "soon" if certificate["expires"] - now < _SOON else "",
        "expires": _moment(certificate["expires"]),
        "subject": cut(certificate["subject"]),
        "issuer": cut(certificate["issuer"]),
    }


def _moment(ts: float) -> Markup:
    exact = datetime.fromtimestamp(ts, timezone.utc).isoformat(timespec="milliseconds")
    return _MOMENT.format(exact.replace("+00:00", "Z"), _utc(ts))


def _utc(ts: float) -> str:
    """A time of today, or a date and a time."""
    moment, today = datetime.fromtimestamp(ts, timezone.utc), datetime.now(timezone.utc)
    return f"{moment:%H:%M:%S}" if moment.date() == today.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


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


def describe_outcome(event: str | None, text: str) -> str:
    """What came of a check, in its own `text`; of one that passed too late that tells nothing."""
    return cut(": ".join(filter(None, ("slow" if event == "slow" else "", text))))


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
    if ms >= 1e9:  # as only a probe of the user's can say
        return f"{ms:.1e}"
    return f"{ms:.2g}" if ms < 9.95 else f"{ms:,.0f}"


def describe_number(number: float) -> str:
    """A setting as people write it: `0.25`, `5`, `31,536,000`."""
    return f"{number:,.3f}".rstrip("0").rstrip(".")


def describe_expiry(expires: float, at: float) -> str:
    """When a certificate expires or expired, seen from `at`; both in seconds since 1970."""
    left = expires - at
    if left < 0:
        return f"expired {describe_duration(-left)} ago"
    return f"expires in {describe_duration(left)}"


def describe_rhythm(snapshot: Mapping[str, Any]) -> str:
    """How often is checked, and from when on a check counts as slow or failed."""
    parts = [f"every {describe_number(snapshot['interval'])} s"]
    if snapshot["slow_ms"] is not None:
        parts.append(f"slow above {describe_number(snapshot['slow_ms'])} ms")
    if snapshot["timeout"] is not None:
        parts.append(f"timeout {describe_number(snapshot['timeout'])} s")
    return ", ".join(parts)
