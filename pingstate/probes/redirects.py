"""Where a redirect leads, and what may be said there (RFC 9110, 15.4)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pingstate.net.errors import CheckFailedError
from pingstate.net.http1 import Answer, Hop
from pingstate.net.urls import DEFAULT_PORTS, URL, canonicalize_host, join_location, parse_authority
from pingstate.probes.request import HARMLESS, create_request

if TYPE_CHECKING:
    from pingstate.net.cookies import CookieJar

MAX_REDIRECTS = 10
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

_OF_CONTENT = frozenset({"digest", "expect", "last-modified", "repr-digest", "transfer-encoding"})


class Redirects:
    """Where a probe may be redirected from its first `hop`. Thread-safe: nothing changes in it.

    `names` are other names of the target's host: a redirect to one of them stays on the target.
    """

    def __init__(self, hop: Hop, *names: str | None) -> None:
        self._first = hop
        self._ports = {hop.url.port}
        self._home = canonicalize_host(hop.url.host)
        self._hosts = {self._home, *(canonicalize_host(name) for name in names if name)}
        with suppress(ValueError):  # the user may send anything as Host
            host, port = parse_authority(hop.request.headers["Host"])
            self._home = canonicalize_host(host)
            self._hosts.add(self._home)
            self._ports.add(port or DEFAULT_PORTS[hop.url.scheme])

    def follow(self, hop: Hop, answer: Answer) -> Hop:
        """The hop that the Location of `answer` leads to. Raises CheckFailedError if there is none.

        Fields that may be secret, or that name the old host, go to the first hop's origin alone.
        """
        first, status = self._first, answer.status
        url = join_location(hop.url, answer.fields.getlist("Location")[0])
        same_host = canonicalize_host(url.host) in self._hosts
        same_origin = same_host and url.scheme == first.url.scheme and url.port in self._ports
        method, body = str(hop.request.method), hop.body
        if status == 303 or (status in {301, 302} and method == "POST"):
            method, body = "HEAD" if method == "HEAD" else "GET", b""
        if body and not same_origin:
            raise CheckFailedError(f"redirected to {url.origin}, and a body is for one origin only")
        without_content = method != first.request.method or body != first.body
        headers = {
            name: value
            for name, value in first.request.headers.items()
            if (same_origin or name.lower() in HARMLESS)
            and not (without_content and _describes_content(name.lower()))
        }
        return Hop(
            create_request(url, method, headers, body),
            url,
            first.address if same_host else url.host,
            first.port if same_origin else url.port,
            None if same_origin else canonicalize_host(url.host),
            first.ip_version,
            body,
        )

    def carry_cookies(
        self, jar: CookieJar | None, hop: Hop, answer: Answer, following: Hop
    ) -> CookieJar:
        """Put the cookies that its host has set into the hop `following`; returns the jar.

        `jar` is None before the first cookie.
        """
        from pingstate.net.cookies import CookieJar  # few targets set any here

        jar = CookieJar() if jar is None else jar
        jar.store(self._identify(hop.url), answer.fields.getlist("Set-Cookie"))
        headers = following.request.headers
        cookie = jar.merge(self._identify(following.url), headers.get("Cookie"))
        if cookie is not None:
            headers["Cookie"] = cookie
        return jar

    def _identify(self, url: URL) -> URL:
        """`url` with its host's name in one spelling, the same for all names of the target."""
        host = canonicalize_host(url.host)
        return url._replace(host=self._home if host in self._hosts else host)


def _describes_content(name: str) -> bool:
    return name.startswith("content-") or name in _OF_CONTENT
