"""A request as it is sent: its fields, its target, and nothing that requests would rewrite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

import requests
from requests.structures import CaseInsensitiveDict

from pingstate.values import authority, validate_header, validate_path

DEFAULT_PORTS = {"http": 80, "https": 443}


def create_request(
    method: str, scheme: str, address: str, port: int, target: str, headers: Mapping[str, str]
) -> requests.PreparedRequest:
    """A request for `target` at `address`; `headers` replace the probe's own fields."""
    if address.startswith("unix:"):
        host = "localhost"
    else:
        host = authority(address.partition("%")[0].removesuffix("."), port, DEFAULT_PORTS[scheme])
    own = {
        "Host": host,
        "User-Agent": "pingstate",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    prepared = requests.Request(method, f"{scheme}://localhost/").prepare()
    prepared.headers.update(own)
    prepared.headers.update(headers)
    # Not by requests, which rewrites a path that it would have written otherwise.
    prepared.url = f"{scheme}://{host}{target}"
    return prepared


def encode_target(path: str) -> str:
    """A request target in ASCII. Raises ValueError."""
    safe = "".join(map(chr, range(0x21, 0x7F)))
    return quote(validate_path(path), safe, errors="surrogateescape")


def encode_headers(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
) -> CaseInsensitiveDict[str]:
    """Header fields ready to be sent, values as UTF-8. Raises ValueError."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    ready: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for field in pairs:
        name, value = validate_header(*field)
        text = value.encode("utf-8", "surrogateescape").decode("latin-1")
        # One field of several lines is one list (RFC 9110, 5.3).
        again = name.lower() != "host" and name in ready
        ready[name] = f"{ready[name]}, {text}" if again else text
    return ready
