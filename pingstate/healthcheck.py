"""`pingstate healthcheck`: ask the sidecar that runs with the same settings."""

from __future__ import annotations

import _socket  # not socket, for the reason that ip_literal tells
import os
import time
from collections.abc import Mapping

from pingstate.ip_literal import literal_ip_version
from pingstate.settings import ConfigurationError, load_settings

# The variables that tell where to ask, and their defaults; a test compares them to the settings'.
DEFAULTS = {
    "PINGSTATE_API_HOST": "127.0.0.1",
    "PINGSTATE_API_PORT": "8787",
    "PINGSTATE_HEALTHCHECK": "healthz",
}
_TIMEOUT = 3.0  # seconds, for each step on the wire
_MAX_ANSWER = 16 * 1024 * 1024  # bytes; a long history is long


def healthcheck(flags: Mapping[str, str]) -> None:
    """Ask the sidecar that runs with the same settings; say in one line why it exits 0 or 1."""
    if not flags and (answer := _ask_quickly()) is not None:
        print(f"healthy: {answer}")
        return
    try:
        # No more than these: the rest may import the user's code, and is the sidecar's business.
        asked = load_settings(os.environ, flags, only=("api_host", "api_port", "healthcheck"))
    except ConfigurationError as exc:
        print(f"unhealthy: {'; '.join(exc.problems)}")
        raise SystemExit(1) from None
    settings = asked.settings
    where = f"the API on {settings.api_host} port {settings.api_port}"
    try:
        status, body = _ask(settings.api_host, settings.api_port, f"/{settings.healthcheck}")
        if status == 200:
            print(f"healthy: {body}")
            return
        if status == 503:
            import json  # only when unhealthy

            snapshot = json.loads(_ask(settings.api_host, settings.api_port, "/status")[1])
            print(f"unhealthy: {body}: {snapshot['probe']}: {snapshot['last_detail']}")
        else:
            print(f"unhealthy: {where} answered with status {status}; expected 200 or 503")
    except OSError as exc:
        reason = str(exc.strerror or exc)
        print(f"unhealthy: no answer from {where}: {reason[:1].lower()}{reason[1:]}")
    except (ValueError, LookupError, TypeError):
        print(f"unhealthy: {where} gave an answer that is not pingstate's")
    raise SystemExit(1)


def _ask_quickly() -> str | None:
    """The answer of a healthy sidecar, without loading the settings.

    None if the sidecar is not healthy, or if its address is in files: then they must be loaded,
    which costs more than the rest of a check that runs every few seconds.
    """
    if any(f"{variable}_FILE" in os.environ for variable in DEFAULTS):
        return None
    host, port, page = (os.environ.get(*variable) for variable in DEFAULTS.items())
    if not host or page not in ("healthz", "livez"):
        return None
    try:
        status, body = _ask(str(host), int(str(port)), f"/{page}")
    except (OSError, ValueError, LookupError):
        return None
    return body if status == 200 else None


def _ask(host: str, port: int, path: str) -> tuple[int, str]:
    """One answer of the API, from the first of its addresses that gives one. Raises OSError."""
    host = host.strip("[]")
    if ":" in host and "%" not in host:
        host = _socket.inet_ntop(_socket.AF_INET6, _socket.inet_pton(_socket.AF_INET6, host))
    # A sidecar that listens on `::` does so on IPv4 alone where there is no IPv6.
    wildcards = {"0.0.0.0": ("127.0.0.1",), "::": ("127.0.0.1", "::1")}  # noqa: S104  # compared
    failure = OSError("no address")
    for address in wildcards.get(host, (host,)):
        try:
            sock = _connect(address, port)
            try:
                return _get(sock, path)
            finally:
                sock.close()
        except OSError as exc:
            failure = exc
    raise failure


def _connect(host: str, port: int) -> _socket.socket:
    version = literal_ip_version(host)
    if version is None:
        import socket  # for names alone

        return socket.create_connection((host, port), _TIMEOUT)
    sock = _socket.socket(_socket.AF_INET6 if version == 6 else _socket.AF_INET)
    try:
        sock.settimeout(_TIMEOUT)
        sock.connect((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _get(sock: _socket.socket, path: str) -> tuple[int, str]:
    """One answer of our own API; http.client would cost more than the rest of a health check."""
    end = time.monotonic() + _TIMEOUT
    sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode("ascii"))
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
        if time.monotonic() > end or len(data) > _MAX_ANSWER:
            raise ValueError("an answer without an end")
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/"):
        raise ValueError("no HTTP")
    return int(head.split()[1]), body.decode().strip()
