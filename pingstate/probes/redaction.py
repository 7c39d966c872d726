"""A detail without the secrets that a target may repeat, however it spells them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MAX_ESCAPED = 1024  # characters of a word: more than any detail has
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# Not percent-encoded in a URL (RFC 3986, 2.3).
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def secret_variants(words: Iterable[str]) -> list[str]:
    """What to look for in a detail to find secrets in it, as they are and escaped; longest first.

    A word of three characters or fewer is left out: it would be found by chance.
    """
    variants = {word for word in words if len(word) > 3}
    for word in tuple(variants):
        if not (word.isascii() and word.isalnum()):
            variants.update(_escape(word[:_MAX_ESCAPED]))
    return sorted(variants, key=len, reverse=True)


def _escape(word: str) -> Iterable[str]:
    """How JSON, HTML and URLs may have a word."""
    json = word.replace("\\", "\\\\").replace('"', '\\"')
    ascii_json = _NOT_ASCII.sub(_escape_as_utf16, json)
    yield from (json, json.replace("/", "\\/"), ascii_json, ascii_json.replace("/", "\\/"))
    html = word.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for quote, apostrophe in (("&quot;", "&#x27;"), ("&#34;", "&#39;"), ("&quot;", "&#039;")):
        yield html.replace('"', quote).replace("'", apostrophe)
    url = "".join(
        chr(byte) if chr(byte) in _UNRESERVED else f"%{byte:02X}"
        for byte in word.encode("utf-8", "surrogatepass")
    )
    yield from (url, url.replace("%20", "+"))


def _escape_as_utf16(found: re.Match[str]) -> str:
    return re.sub("....", r"\\u\g<0>", found[0].encode("utf-16-be", "surrogatepass").hex())


def redact(detail: str, secrets: Iterable[str]) -> str:
    """`detail` with `***` in place of each secret, also of one that a quotation cut short."""
    for secret in secrets:
        detail = detail.replace(secret, "***")
        if secret[:4] in detail:
            for length in range(min(len(secret), len(detail)) - 1, 3, -1):
                detail = detail.replace(f"{secret[:length]}\N{HORIZONTAL ELLIPSIS}", "***")
    return detail
