"""Faults of our own processes: a killed worker, a signal at a bad moment, a port that is taken."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from tests.hostile.answers import says_nothing
from tests.hostile.peers import serving
from tests.support.client import get
from tests.support.process import Sidecar, run_pingstate
from tests.support.waiting import TIMEOUT, wait_until

BACK_S = 3.0  # a killed worker's successor, with a fresh verdict
ENDED_S = 5.0  # from SIGTERM to the end of every process
PERIOD_S = 1.0  # the shortest period of a kubelet's probe


def group_is_gone(sidecar: Sidecar) -> bool:
    try:
        os.killpg(sidecar.process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def terminate(sidecar: Sidecar) -> float:
    """Send SIGTERM as an engine does, to the first process; seconds until all have ended."""
    begun = time.monotonic()
    sidecar.process.send_signal(signal.SIGTERM)
    sidecar.process.wait(TIMEOUT)
    wait_until(lambda: group_is_gone(sidecar))
    return time.monotonic() - begun


@pytest.fixture
def watching(sidecar, target) -> Sidecar:
    """A sidecar that finds its target up."""
    started = sidecar(
        PINGSTATE_PROTOCOL="http", PINGSTATE_PORT=str(target.port), PINGSTATE_INTERVAL="1"
    )
    started.wait_for_state("up")
    return started


def test_killed_worker_is_replaced_without_failing_readiness(watching):
    before = watching.status()["pid"]
    # The verdict must have had time to be more than the first check's.
    wait_until(lambda: len(watching.status()["recent"]) >= 3)
    os.kill(before, signal.SIGKILL)
    killed = time.monotonic()
    failed: list[float] = []  # when a readiness probe was not answered with 200 within its second
    back = None
    while time.monotonic() - killed < 2 * BACK_S:
        asked = time.monotonic()
        try:
            code, _ = get(f"http://127.0.0.1:{watching.port}/healthz", timeout=PERIOD_S)
        except OSError:
            code = 0
        if code != 200:
            failed.append(asked - killed)
        elif back is None:
            snapshot = watching.status()
            if (
                snapshot["pid"] != before
                and snapshot["last_check_age_s"] <= time.monotonic() - killed
            ):
                back = time.monotonic() - killed
        threading.Event().wait(0.02)
    print(f"back after {back} s; failed probes at {failed}")
    assert back is not None, watching.output
    assert back <= BACK_S
    assert watching.workers() == [watching.status()["pid"]]
    # Two probes in a row, a period apart, would both have to fail for a Pod to lose its readiness.
    assert not failed or failed[-1] - failed[0] < PERIOD_S, failed


def test_workers_killed_one_after_the_other_are_all_replaced(watching):
    for _ in range(5):
        pid = wait_until(lambda: watching.answers() and watching.status()["pid"])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: watching.answers() and watching.status()["pid"] != pid)
    watching.wait_for_state("up")
    assert "Traceback" not in watching.output


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.9])
def test_sigterm_during_start_ends_every_process(sidecar, moment):
    started = sidecar(PINGSTATE_PORT="1")
    threading.Event().wait(moment)  # the moment is what is tried, not what is waited for
    assert terminate(started) <= ENDED_S
    # Before Python can have a handler of ours, the signal itself ends the process. While the
    # settings are read, nobody knows yet whether it will be a server.
    assert started.wait() in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Traceback" not in started.output


@pytest.mark.parametrize("protocol", ["tcp", "http", "https"])
def test_sigterm_during_a_check_ends_every_process(sidecar, protocol):
    asked = threading.Event()

    def never_answers(peer):
        asked.set()
        says_nothing(peer)

    with serving(never_answers, protocol="tcp") as port:
        started = sidecar(
            PINGSTATE_PROTOCOL=protocol,
            PINGSTATE_PORT=str(port),
            PINGSTATE_TIMEOUT="60",
            PINGSTATE_CHECK="banner_contains:x" if protocol == "tcp" else "status:200",
        )
        assert asked.wait(TIMEOUT)
        wait_until(started.answers)
        assert terminate(started) <= ENDED_S
        assert started.wait() == 0, started.output
        assert "Traceback" not in started.output


def test_sigterm_beside_300_stalled_clients_ends_every_process(watching):
    with contextlib.ExitStack() as stack:
        for n in range(300):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", watching.port)))
            sock.sendall((b"GET /healthz HTTP/1.1\r\nX-Half: ", b"G", b"")[n % 3])
        assert get(f"http://127.0.0.1:{watching.port}/healthz")[0] == 200
        assert terminate(watching) <= ENDED_S
    assert watching.wait() == 0, watching.output
    assert "Traceback" not in watching.output


def test_sigkill_of_the_first_process_ends_its_worker(watching):
    watching.process.kill()
    watching.process.wait(TIMEOUT)
    wait_until(lambda: group_is_gone(watching))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_taken_api_port_is_one_line_and_a_failure(host):
    with socket.create_server(
        (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
    ) as taken:
        port = taken.getsockname()[1]
        ended = run_pingstate(
            PINGSTATE_API_HOST=host, PINGSTATE_API_PORT=str(port), PINGSTATE_PORT="1"
        )
    assert ended.returncode not in (0, None)
    lines = (ended.stdout + ended.stderr).splitlines()
    assert len(lines) == 1, lines
    assert str(port) in lines[0]
    assert "in use" in lines[0]


def test_port_that_is_taken_after_the_start_is_no_matter(watching):
    """What a second sidecar does to a first one: nothing."""
    second = run_pingstate(PINGSTATE_API_PORT=str(watching.port), PINGSTATE_PORT="1")
    assert second.returncode != 0
    assert watching.get("/healthz") == (200, "up")
