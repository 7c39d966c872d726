"""`pingstate healthcheck`: ask the sidecar that runs with the same settings."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from pingstate.settings import ConfigurationError, load_settings

# The variables that tell where to ask, and their defaults, as a test holds them to be.
PLAIN = {
    "PINGSTATE_API_HOST": "127.0.0.1",
    "PINGSTATE_API_PORT": "8787",
    "PINGSTATE_HEALTHCHECK": "healthz",
}
_TIMEOUT = 3.0  # seconds, for each step on the wire


def healthcheck(flags: Mapping[str, str]) -> None:
    """Ask the sidecar that runs with the same settings; say in one line why it exits 0 or 1."""
    if not flags and (answer := _ask_plainly()) is not None:
        print(f"healthy: {answer}")
        return
    try:
        # No more than these: the rest may import the user's code, and is the sidecar's business.
        asked = load_settings(os.environ, flags, only=("api_host", "api_port", "healthcheck"))
    except ConfigurationError as exc:
        print(f"unhealthy: {'; '.join(exc.problems)}")
        raise SystemExit(1) from None
    settings = asked.settings
    host = _reachable(settings.api_host)
    address = host, settings.api_port
    try:
        with socket.create_connection(address, timeout=_TIMEOUT) as sock:
            status, body = _get(sock, f"/{settings.healthcheck}")
        if status == 200:
            print(f"healthy: {body}")
            return
        import json  # noqa: PLC0415  # only for who is not well

        with socket.create_connection(address, timeout=_TIMEOUT) as sock:
            snapshot = json.loads(_get(sock, "/status")[1])
        print(f"unhealthy: {body}: {snapshot['probe']}: {snapshot['last_detail']}")
    except (OSError, ValueError, LookupError) as exc:
        print(f"unhealthy: no answer from the API on {host} port {settings.api_port}: {exc}")
    raise SystemExit(1)


def _ask_plainly() -> str | None:
    """What a healthy sidecar answers whose settings are plain variables; None for any other.

    To load the settings would cost more than the rest of a check that runs every few seconds.
    """
    if any(f"{variable}_FILE" in os.environ for variable in PLAIN):
        return None
    host, port, page = (os.environ.get(*variable) for variable in PLAIN.items())
    if not host or page not in ("healthz", "livez"):
        return None
    host = _reachable(str(host))
    try:
        # create_connection() looks its host up even where it is a number, for which it loads IDNA.
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.settimeout(_TIMEOUT)
            sock.connect((host, int(str(port))))
            status, body = _get(sock, f"/{page}")
    except (OSError, ValueError, LookupError):
        return None
    return body if status == 200 else None


def _reachable(host: str) -> str:
    """The address to connect to where the API listens on `host`."""
    host = host.strip("[]")
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound


def _get(sock: socket.socket, path: str) -> tuple[int, str]:
    """One answer of our own API; http.client would cost more than the rest of a health check."""
    sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode("ascii"))
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode().strip()
