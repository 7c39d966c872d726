"""`pingstate healthcheck`: ask the sidecar that runs with the same settings."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from pingstate.settings import ConfigurationError, load_settings


def healthcheck(flags: Mapping[str, str]) -> None:
    """Ask the sidecar that runs with the same settings; say in one line why it exits 0 or 1."""
    try:
        # No more than these: the rest may import the user's code, and is the sidecar's business.
        asked = load_settings(os.environ, flags, only=("api_host", "api_port", "healthcheck"))
    except ConfigurationError as exc:
        print(f"unhealthy: {'; '.join(exc.problems)}")
        raise SystemExit(1) from None
    settings = asked.settings
    host = settings.api_host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    try:
        status, body = _get(host, settings.api_port, f"/{settings.healthcheck}")
        if status == 200:
            print(f"healthy: {body}")
            return
        import json  # noqa: PLC0415  # only for who is not well

        snapshot = json.loads(_get(host, settings.api_port, "/status")[1])
        print(f"unhealthy: {body}: {snapshot['probe']}: {snapshot['last_detail']}")
    except (OSError, ValueError, LookupError) as exc:
        print(f"unhealthy: no answer from the API on {host} port {settings.api_port}: {exc}")
    raise SystemExit(1)


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    """One answer of our own API; http.client would cost more than the rest of a health check."""
    with socket.create_connection((host, port), timeout=3.0) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode("ascii"))
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode().strip()
