"""`probe(...)`: the probe for a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pingstate.probes.conditions import Check
from pingstate.probes.tcp import TCPProbe
from pingstate.values import validate_protocol

if TYPE_CHECKING:
    from pingstate.probes.http import HTTPProbe
    from pingstate.probes.tls import TLSProbe


def probe(
    protocol: str,
    address: str,
    port: int | None = None,
    path: str = "/",
    check: Check | Sequence[Check] | None = None,
    timeout: float | None = None,
    **options: Any,
) -> TCPProbe | TLSProbe | HTTPProbe:
    """A probe for `tcp`, `tls`, `http` or `https`.

    `address` is a host name, an IP address or `unix:/path`; `port` is 1 to 65535, None for 443
    (80 for http, with `starttls` that protocol's own). `path` is for http and https. `timeout` is
    seconds for the whole check, above 0, at most a day, None for 2 (tcp) or 5 (the others). `check`
    is a string of the mini-language, a callable, or several of both that must all hold; None takes
    any connect, handshake or 2xx. `options` are those of `TCPProbe`, `TLSProbe` or `HTTPProbe`.
    Nothing is connected to yet. Raises ValueError for a value that can't be used, and TypeError for
    an option that the protocol does not have.
    """
    protocol = validate_protocol(protocol)
    if protocol == "tcp":
        return TCPProbe(address, port, check=check, timeout=timeout, **options)
    if protocol == "tls":
        from pingstate.probes.tls import TLSProbe  # ssl, which a TCP probe does without

        return TLSProbe(address, port, check=check, timeout=timeout, **options)
    from pingstate.probes.http import HTTPProbe  # requests, which a TCP probe does without

    return HTTPProbe(
        address, port, path=path, check=check, timeout=timeout, tls=protocol == "https", **options
    )
