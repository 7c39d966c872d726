"""A plain HTTP client, and ports that are free."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

# No proxy of this machine's stands between a test and what it asks.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, timeout: float = 10.0) -> tuple[int, str]:
    """The status and the text of an answer, whatever the status. Raises OSError without one."""
    try:
        with _DIRECT.open(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
