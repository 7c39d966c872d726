"""Load from 64 connections while the target hangs: no error, no growth, no check skipped."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.hostile.answers import says_nothing
from tests.hostile.peers import serving
from tests.support.waiting import TIMEOUT, wait_until

CONNECTIONS = 64
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
INTERVAL_S = 1.0
TIMEOUT_S = 0.8
WARM_S = 4.0  # of load before the first look, so that caches and buffers are not taken for growth
LOOK_S = 1.0
P99_S = 0.05  # in the seconds in which the machine did little else
BUSY_P99_S = TIMEOUT_S / 2  # over all of them, whoever else was at work
ELSE = 0.15  # how many processors' work counts as little
GROWTH_KIB = 2048


def resident_kib(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def holdings(pid: int) -> tuple[int, ...]:
    """How many descriptors and threads a process has."""
    return tuple(sum(1 for _ in Path(f"/proc/{pid}/{kind}").iterdir()) for kind in ("fd", "task"))


def elsewhere(pid: int) -> float:
    """Seconds of work that all processors have done for others than us and the process."""
    tick = os.sysconf("SC_CLK_TCK")
    cpu = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    user, nice, system, stolen = *cpu[:3], cpu[7]  # proc(5); interrupts are mostly our own packets
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ours = time.process_time() + (int(fields[11]) + int(fields[12])) / tick
    return (user + nice + system + stolen) / tick - ours


def percentile(values: list[float], percent: int) -> float:
    """The value that so many per cent of them don't exceed."""
    return sorted(values)[len(values) * percent // 100]


class Load:
    """Keep-alive connections that each ask again as soon as they are answered."""

    def __init__(self, port: int, stack: contextlib.ExitStack) -> None:
        self.seconds: list[list[float]] = []  # from each request to its answer, by the second
        self.errors: list[str] = []
        self._asked: dict[socket.socket, float] = {}
        self._selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(CONNECTIONS):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT))
            self._selector.register(sock, selectors.EVENT_READ)
            self._ask(sock)

    def _ask(self, sock: socket.socket) -> None:
        self._asked[sock] = time.monotonic()
        sock.sendall(REQUEST)

    def run(self, seconds: float, look: Callable[[], None]) -> None:
        """Ask at full speed, and look about you each second."""
        end = time.monotonic() + seconds
        next_look = time.monotonic() + LOOK_S
        self.seconds = [[]]
        while time.monotonic() < end:
            for key, _ in self._selector.select(1.0):
                sock = key.fileobj
                answer = sock.recv(65536)
                self.seconds[-1].append(time.monotonic() - self._asked[sock])
                if not answer.startswith(b"HTTP/1.1 503 ") or not answer.endswith(b"\r\n\r\ndown"):
                    self.errors.append(repr(answer[:200]))
                    if not answer:
                        self._selector.unregister(sock)
                        continue
                self._ask(sock)
            if time.monotonic() >= next_look:
                next_look += LOOK_S
                self.seconds.append([])
                look()


@pytest.mark.timeout(0)  # it takes as long as it is told to, and waits for nothing without an end
def test_load_while_the_target_hangs(sidecar, request: pytest.FixtureRequest):
    soak_s = request.config.getoption("--soak-seconds")
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(serving(says_nothing))
        started = sidecar(
            PINGSTATE_PROTOCOL="http",
            PINGSTATE_PORT=str(port),
            PINGSTATE_INTERVAL=str(INTERVAL_S),
            PINGSTATE_TIMEOUT=str(TIMEOUT_S),
            PINGSTATE_JITTER="0",
        )
        started.wait_for_state("down")
        pid = started.status()["pid"]
        load = Load(started.port, stack)
        looks: list[tuple[int, ...]] = []
        others: list[float] = []
        checks: dict[float, str] = {}

        def look() -> None:
            others.append(elsewhere(pid))
            looks.append((resident_kib(pid), *holdings(pid)))
            checks.update((entry["ts"], entry["event"]) for entry in started.status()["recent"])

        load.run(WARM_S, lambda: None)
        look()
        load.run(soak_s, look)
        wait_until(lambda: started.status()["last_check_age_s"] < 0.2)
        look()
        assert started.status()["pid"] == pid

    times = [seconds for second in load.seconds for seconds in second]
    p99 = percentile(times, 99)
    quiet = [
        percentile(second, 99)
        for second, before, after in zip(load.seconds[:-1], others, others[1:], strict=False)
        if after - before <= ELSE * LOOK_S
    ]
    memory, descriptors, threads = zip(*looks, strict=True)
    print(
        f"{len(times) / soak_s:.0f} requests/s, p50 {percentile(times, 50) * 1000:.1f} ms, "
        f"p99 {p99 * 1000:.1f} ms, slowest {max(times) * 1000:.1f} ms; memory {memory[0]} KiB, "
        f"grown by {max(memory) - memory[0]} KiB; {max(threads)} threads, {len(checks)} checks; "
        f"p99 of {len(quiet)} quiet seconds {percentile(quiet or [0.0], 50) * 1000:.1f} ms"
    )
    assert load.errors == []
    assert p99 <= BUSY_P99_S
    assert not quiet or percentile(quiet, 50) <= P99_S, quiet
    assert max(memory) - memory[0] <= GROWTH_KIB, memory
    # A check under way holds a connection more, or not.
    assert max(descriptors) - min(descriptors) <= 2, descriptors
    assert max(threads) == min(threads), threads
    starts = sorted(checks)
    assert set(checks.values()) == {"fail"}
    assert len(starts) >= soak_s / INTERVAL_S - 1
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert max(gaps) < 1.9 * INTERVAL_S, "a check was skipped"
    assert "Traceback" not in started.output
