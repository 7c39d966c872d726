"""URLs: hosts in one spelling, targets that can be sent, and where a Location leads (RFC 3986)."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple
from urllib.parse import unquote

from pingstate.net.errors import CheckFailedError
from pingstate.values import authority, normalize_host, validate_port

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_TARGET_BYTES = 65_536  # more than any server takes

# RFC 3986, appendix B, without the fragment, which is not sent.
_REFERENCE = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL
)
_AUTHORITY = re.compile(r"(?:[^\\]*@)?(\[[^\[\]]*:[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{0,9}))?")


class URL(NamedTuple):
    """An http or https URL; `host` is as it is connected to, `target` is ASCII."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the field Host has them: without a zone and a final dot."""
        host = self.host.partition("%")[0].removesuffix(".")
        return authority(host, self.port, DEFAULT_PORTS[self.scheme])

    @property
    def origin(self) -> str:
        """Scheme, host and port, for people."""
        return f"{self.scheme}://{authority(self.host, self.port)}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def canonicalize_host(host: str) -> str:
    """The one spelling in which valid hosts are compared: lower case, no final dot, no zone.

    Of the spellings of an IPv6 address it is RFC 5952's; of an IPv4 address, which a connect takes
    as 127.1 or 0x7f000001 as well, it is four numbers.
    """
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        return socket.inet_ntop(socket.AF_INET6, packed)
    name = host.lower().removesuffix(".")
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        return name


def parse_authority(text: str) -> tuple[str, int | None]:
    """Host and port of `host:port`; userinfo is left out. Raises ValueError."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise ValueError("not an authority")
    # RFC 6874 writes the zone of an IPv6 address after an encoded percent sign.
    return normalize_host(unquote(found[1])), validate_port(int(found[2])) if found[2] else None


def join_location(base: URL, location: str) -> URL:
    """Where `location`, read as Latin-1, leads from `base` (RFC 3986, 5.2).

    What has no place in a target is percent-encoded. Raises CheckFailedError where the scheme is
    not http or https, host or port can't be connected to, or the target is longer than 64 KiB.
    The message has nothing else of the location: there may be a secret in it.
    """
    # RFC 9110 wants ASCII; what comes is often UTF-8.
    text = location.strip(" \t").encode("latin-1").decode("utf-8", "surrogateescape")
    parts = _REFERENCE.fullmatch(text)
    scheme, given, path, query = parts.groups() if parts else (None, None, "", None)
    if scheme is None and given is None:
        old_path, mark, old_query = base.target.partition("?")
        if not path:
            path, query = old_path, mark + old_query if query is None else query
        elif path[0] != "/":
            path = old_path[: old_path.rfind("/") + 1] + path
        return base._replace(target=_create_target(path, query))
    scheme = base.scheme if scheme is None else scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise CheckFailedError(f"redirected to {scheme[:30]}, not http or https")
    try:
        host, port = parse_authority(given or "")
    except ValueError:
        raise CheckFailedError("redirected to no usable host or port") from None
    return URL(scheme, host, port or DEFAULT_PORTS[scheme], _create_target(path or "/", query))


def encode_target(target: str) -> str:
    """A request target of what RFC 3986 allows in one, other bytes percent-encoded."""
    raw = re.sub(rb"%(?![0-9A-Fa-f]{2})", b"%25", target.encode("utf-8", "surrogateescape"))
    encoded = re.sub(
        rb"[^!$&-;=?-Z_a-z~%]+", lambda found: b"%" + found[0].hex("%").upper().encode(), raw
    )
    return encoded.decode("ascii")


def _create_target(path: str, query: str | None) -> str:
    target = encode_target(_remove_dot_segments(path) + (query or ""))
    if len(target) > MAX_TARGET_BYTES:
        raise CheckFailedError(f"redirected to a target of more than {MAX_TARGET_BYTES} bytes")
    return target


def _remove_dot_segments(path: str) -> str:
    """RFC 3986, 5.2.4, for a path that begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
