"""A TCP target that says what it is told to, and a check of it."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from typing import Any

from pingstate import ProbeResult, probe
from tests.support.servers import talker
from tests.support.waiting import TIMEOUT


def says(*pieces: bytes, then: str = "close") -> AbstractContextManager[Any]:
    """A target that says these pieces; then it closes, or is silent until the probe closes."""

    def talk(sock: socket.socket) -> None:
        for piece in pieces:
            sock.sendall(piece)
        if then == "hold":
            sock.settimeout(TIMEOUT)
            sock.recv(1)

    return talker(talk)


def check(
    server: AbstractContextManager[Any], checks: Any, timeout: float = 5.0, **options: Any
) -> ProbeResult:
    """Check a target once while it runs."""
    with server as (host, port):
        return probe("tcp", host, port, check=checks, timeout=timeout, **options).check()
