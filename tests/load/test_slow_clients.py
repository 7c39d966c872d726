"""Clients that never finish a request hold nobody up, and don't stay."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.client import get
from tests.support.process import Sidecar
from tests.support.target import Target
from tests.support.waiting import TIMEOUT

EACH = 300
HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half: "
ANSWER_S = 0.25  # to a request on a new connection
CLOSED_S = 10.0  # a stalled connection, since it was opened
# What a machine that is busy with something else may add, once in a while.
BUSY_S = 0.75


class Crowd:
    """Connections that stop after half a head, that send a byte a second, or that say nothing."""

    def __init__(self, port: int, stack: contextlib.ExitStack) -> None:
        self.closed_after: list[float] = []  # seconds, for each that the server closed
        self._selector = stack.enter_context(selectors.DefaultSelector())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._open: dict[socket.socket, tuple[float, Iterator[int]]] = {}
        for n in range(3 * EACH):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT))
            begun = time.monotonic()
            kind = n % 3
            if kind == 0:
                sock.sendall(HALF_A_HEAD)
            sock.setblocking(False)
            self._open[sock] = (begun, iter(HALF_A_HEAD + b"x" * 60 if kind == 1 else b""))
            self._selector.register(sock, selectors.EVENT_READ)
        stack.callback(self._end)
        self._thread.start()

    @property
    def size(self) -> int:
        return len(self._open)

    def _run(self) -> None:
        tick = time.monotonic()
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.05):
                self._read(key.fileobj)
            if time.monotonic() >= tick:
                tick += 1.0
                for sock, (_, text) in tuple(self._open.items()):
                    with contextlib.suppress(OSError, StopIteration):
                        sock.send(bytes([next(text)]))

    def _read(self, sock: socket.socket) -> None:
        try:
            ended = not sock.recv(4096)
        except OSError:
            ended = True
        if ended:
            self._selector.unregister(sock)
            self.closed_after.append(time.monotonic() - self._open.pop(sock)[0])
            sock.close()

    def _end(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT)


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Room for some thousand connections, in this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def watching(descriptors, sidecar, target: Target) -> Sidecar:
    """A sidecar that finds its target up."""
    started = sidecar(
        PINGSTATE_PROTOCOL="http", PINGSTATE_PORT=str(target.port), PINGSTATE_INTERVAL="1"
    )
    started.wait_for_state("up")
    return started


def test_health_is_told_at_once_beside_900_stalled_clients(watching):
    times = []
    ages = []
    with contextlib.ExitStack() as stack:
        crowd = Crowd(watching.port, stack)
        assert crowd.size > 2 * EACH
        begun = time.monotonic()
        while time.monotonic() - begun < CLOSED_S:
            asked = time.monotonic()
            assert get(f"http://127.0.0.1:{watching.port}/healthz") == (200, "up")
            times.append(time.monotonic() - asked)
            ages.append(watching.status()["last_check_age_s"])
            threading.Event().wait(0.1)
        left = crowd.size
    times.sort()
    print(f"slowest answer {times[-1]:.3f} s; closed after {max(crowd.closed_after):.1f} s at most")
    assert len(times) > 20
    assert times[len(times) * 9 // 10] <= ANSWER_S, times
    assert times[-1] <= ANSWER_S + BUSY_S, times
    assert left == 0, f"{left} stalled connections are still open"
    assert max(crowd.closed_after) <= CLOSED_S
    assert max(ages) <= 1.5 + BUSY_S, "checks were held up"


def test_more_clients_than_descriptors_leave_room_for_new_ones(descriptors, sidecar, target):
    started = sidecar(
        command=["sh", "-c", 'ulimit -n 200; exec "$0" -m pingstate', sys.executable],
        PINGSTATE_PROTOCOL="http",
        PINGSTATE_PORT=str(target.port),
        PINGSTATE_INTERVAL="1",
    )
    started.wait_for_state("up")
    with contextlib.ExitStack() as stack:
        Crowd(started.port, stack)
        for _ in range(20):
            asked = time.monotonic()
            assert get(f"http://127.0.0.1:{started.port}/healthz") == (200, "up")
            assert time.monotonic() - asked <= ANSWER_S + BUSY_S
    assert "Traceback" not in started.output
