"""IP addresses told from names; by itself, for a health check that loads next to nothing."""

from __future__ import annotations

import _socket  # socket itself takes as long to import as all the rest of a health check


def literal_ip_version(address: str) -> int | None:
    """The version of an IP address, in every spelling that a connect takes; None for a name."""
    if ":" in address:
        return 6
    try:
        _socket.inet_aton(address)
    except OSError:
        return None
    return 4
