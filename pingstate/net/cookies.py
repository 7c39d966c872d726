"""The cookies of one check: what a host set on one hop, it gets back on the next (RFC 6265)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from email.utils import mktime_tz, parsedate_tz
from itertools import islice
from typing import NamedTuple

from pingstate.ip_literal import literal_ip_version
from pingstate.net.urls import URL

MAX_COOKIES = 50
MAX_BYTES = 4096  # of one cookie's name and value, and of its attributes as well
MAX_JAR_BYTES = 16_384
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class _Cookie(NamedTuple):
    name: str
    value: str
    host: str
    subdomains: bool
    path: str
    secure: bool

    @property
    def key(self) -> tuple[str, str, str]:
        return self.name, self.host, self.path

    def matches(self, url: URL) -> bool:
        return (
            (url.host == self.host or (self.subdomains and url.host.endswith(f".{self.host}")))
            and _path_matches(url.target.partition("?")[0], self.path)
            and (not self.secure or url.scheme == "https")
        )


class CookieJar:
    """At most 50 cookies of together 16 KiB; what is beyond that is left out.

    A cookie goes to the host that set it, and to that host's subdomains where its Domain allows
    them, but never to a host above or beside it: which of those belong together only the list of
    public suffixes could tell. The host of each URL is in its one spelling.
    """

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], _Cookie] = {}

    def store(self, url: URL, lines: Iterable[str]) -> None:
        """Take the first 50 values of Set-Cookie that came from `url` (RFC 6265, 5.3)."""
        for line in islice(lines, MAX_COOKIES):
            cookie, expired = _parse(url, line)
            if cookie is None:
                continue
            self._cookies.pop(cookie.key, None)
            size = sum(len(c.name) + len(c.value) for c in (*self._cookies.values(), cookie))
            if not expired and len(self._cookies) < MAX_COOKIES and size <= MAX_JAR_BYTES:
                self._cookies[cookie.key] = cookie

    def merge(self, url: URL, own: str | None) -> str | None:
        """The value of the field Cookie for `url`, None where there is none.

        `own` is what the user sends; a pair of it that the host has set anew is replaced.
        """
        found = [cookie for cookie in self._cookies.values() if cookie.matches(url)]
        found.sort(key=lambda cookie: -len(cookie.path))  # RFC 6265, 5.4
        names = {cookie.name for cookie in found}
        kept = [pair.strip() for pair in (own or "").split(";")]
        kept = [pair for pair in kept if pair and pair.partition("=")[0].strip() not in names]
        return "; ".join([*kept, *(f"{c.name}={c.value}" for c in found)]) or None

    @property
    def values(self) -> list[str]:
        """The cookies' values, which may be secrets."""
        return [cookie.value for cookie in self._cookies.values()]


def _parse(url: URL, line: str) -> tuple[_Cookie | None, bool]:
    """The cookie, None if it is malformed or not the host's to set; and whether it has expired."""
    pair, _, rest = line.partition(";")
    name, equals, value = (part.strip(" \t") for part in pair.partition("="))
    if not equals or not name or max(len(pair), len(rest)) > MAX_BYTES or _CONTROLS.search(pair):
        return None, False
    attributes = {}
    for attribute in rest.split(";"):
        key, _, given = attribute.partition("=")
        attributes[key.strip(" \t").lower()] = given.strip(" \t")
    domain = attributes.get("domain", "").removeprefix(".").lower()
    # Nothing is above an IP address (RFC 6265, 5.1.3).
    above = url.host.endswith(f".{domain}") and literal_ip_version(url.host) is None
    if domain and domain != url.host and not above:
        return None, False
    path = attributes.get("path", "")
    if path[:1] != "/":
        path = url.target.partition("?")[0].rpartition("/")[0] or "/"
    cookie = _Cookie(name, value, url.host, domain == url.host, path, "secure" in attributes)
    return cookie, _has_expired(attributes)


def _has_expired(attributes: dict[str, str]) -> bool:
    age = attributes.get("max-age", "")
    if re.fullmatch("-?[0-9]+", age):
        return age[0] == "-" or not age.strip("0")
    try:
        ends = parsedate_tz(attributes.get("expires", "")[:64])
        return ends is not None and mktime_tz((*ends[:9], ends[9] or 0)) <= time.time()
    except (ValueError, OverflowError):  # a day that no month has
        return False


def _path_matches(path: str, prefix: str) -> bool:
    """RFC 6265, 5.1.4."""
    return path == prefix or (
        path.startswith(prefix) and (prefix[-1] == "/" or path[len(prefix)] == "/")
    )
