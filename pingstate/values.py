"""What may be probed: host names, IP addresses, ports, and how they are spelled."""

from __future__ import annotations

import re
import socket

PROTOCOLS = ("tcp", "http", "https")


def authority(address: str, port: int, default: int | None = None) -> str:
    """`host:port` as a URL spells it, without a port that is the scheme's default."""
    if address.startswith("unix:"):
        return address
    host = f"[{address}]" if ":" in address else address
    return host if port == default else f"{host}:{port}"


def host_of(address: str) -> str:
    """A host name in ASCII (RFC 5891), an IP address or `unix:/path`.

    Raises ValueError for anything else: a URL, `host:port`, an empty address.
    """
    if address.startswith("unix:"):
        if not address.startswith("unix:/") or "\0" in address or len(address.encode()) > 5 + 107:
            raise ValueError(f"{address!r} is not unix: and an absolute path of at most 107 bytes")
        return address
    host = address[1:-1] if address[:1] == "[" and address[-1:] == "]" else address
    if ":" in host:
        bare, percent, zone = host.partition("%")
        try:
            socket.inet_pton(socket.AF_INET6, bare)
        except (OSError, ValueError):
            bare = ""
        if bare and (not percent or re.fullmatch("[A-Za-z0-9_.-]+", zone)):
            return host
    else:
        try:
            name = host if host.isascii() else _idna(host)
        except ValueError:
            name = ""
        labels = name.removesuffix(".").split(".")
        if len(name) <= 253 and all(re.fullmatch("[A-Za-z0-9_-]{1,63}", part) for part in labels):
            return name
    raise ValueError(
        f"{address!r} is not a host name, an IP address or unix:/path, without scheme, port or path"
    )


def _idna(host: str) -> str:
    import idna  # noqa: PLC0415  # only for names outside ASCII

    return idna.encode(host, uts46=True).decode("ascii")


def port_of(port: int) -> int:
    """`port`, if it is one. Raises ValueError."""
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise ValueError(f"port {port!r} is not a whole number from 1 to 65535")
    return port


def timeout_of(timeout: float) -> float:
    """`timeout` in seconds, if it is one. Raises ValueError."""
    if not 0 < timeout <= 86400:
        raise ValueError(f"timeout {timeout!r} is not a number of seconds above 0, at most 86400")
    return float(timeout)
