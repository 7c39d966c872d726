"""The exit code is the answer, whatever becomes of the lines that explain it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.support import ROOT
from tests.support.client import free_port
from tests.support.pipes import fill
from tests.support.process import clean_environ, run_pingstate
from tests.support.waiting import TIMEOUT, wait_until

# How standard output and error are spoiled, in the shell's words.
SINKS = {
    "full": ">/dev/full 2>/dev/full",
    "closed": ">&- 2>&-",
    "output closed": ">&-",
    "output full": ">/dev/full",
    "all closed": "<&- >&- 2>&-",
}


@pytest.fixture(scope="module")
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


MODES = {
    "up": (["--once"], 0),
    "down": (["--once", "--port", "CLOSED"], 1),
    "ready": (["--wait", "20"], 0),
    "late": (["--wait", "0.3", "--port", "CLOSED"], 124),
    "bad setting": (["--interval", "x"], 2),
    "unknown flag": (["--nonsense"], 2),
    "help": (["--help"], 0),
    "settings": (["--print-config"], 0),
    "health check": (["healthcheck"], 1),
    "health check's help": (["healthcheck", "--help"], 0),
}


def run_mode(mode, listening, *before, **streams):
    """Run a mode to its end, behind the words of `before`; it has ended with its exit code."""
    arguments, code = MODES[mode]
    closed = str(free_port())
    command = [closed if word == "CLOSED" else word for word in arguments]
    ended = subprocess.run(
        [*before, sys.executable, "-m", "pingstate", *command],
        env=clean_environ(PINGSTATE_PORT=str(listening), PINGSTATE_API_PORT=closed),
        cwd=ROOT,
        timeout=TIMEOUT,
        check=False,
        **streams,
    )
    assert ended.returncode == code
    return ended


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("mode", MODES)
def test_exit_code_does_not_change_where_lines_can_not_be_written(mode, sink, listening):
    shell = ("sh", "-c", f'"$@" {SINKS[sink]}', "sh")
    ended = run_mode(mode, listening, *shell, capture_output=True, text=True)
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize("mode", ["up", "ready", "help", "settings", "unknown flag", "bad setting"])
def test_exit_code_does_not_change_where_the_reader_has_gone(mode, listening):
    reader, writer = os.pipe()
    os.close(reader)
    errors = subprocess.PIPE if MODES[mode][1] == 0 else writer
    ended = run_mode(mode, listening, stdout=writer, stderr=errors)
    os.close(writer)
    assert not ended.stderr


@pytest.mark.parametrize("mode", ["up", "late", "help", "unknown flag", "bad setting", "settings"])
def test_exit_code_comes_though_nobody_reads(mode, listening):
    reader, writer = os.pipe()
    fill(writer)
    run_mode(mode, listening, stdout=writer, stderr=writer)
    os.close(reader)
    os.close(writer)


def test_lines_come_through_a_pipe_that_somebody_made_non_blocking(listening):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    process = subprocess.Popen(
        [sys.executable, "-m", "pingstate", "--once"],
        env=clean_environ(PINGSTATE_PORT=str(listening)),
        cwd=ROOT,
        stdout=writer,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    assert process.wait(TIMEOUT) == 0
    assert b" is up: " in text


def test_no_line_goes_into_a_connection_where_output_is_closed(target):
    ended = subprocess.run(
        ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "pingstate", "--once"],
        env=clean_environ(PINGSTATE_PROTOCOL="http", PINGSTATE_PORT=str(target.port)),
        cwd=ROOT,
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == 0
    assert [request[:2] for request in target.requests] == [("GET", "/")]


# -- the pace of waiting -----------------------------------------------------------------------------


def ready_after(seconds, *arguments):
    """The exit code of a wait for a port that opens later, and how long after that it came."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        opened = []

        def listen():
            server.listen()
            opened.append(time.monotonic())

        timer = threading.Timer(seconds, listen)
        timer.start()
        ended = run_pingstate("--port", str(server.getsockname()[1]), *arguments)
        timer.join()
        return ended.returncode, time.monotonic() - opened[0]


def test_wait_looks_at_a_pace_fit_for_waiting():
    code, late = ready_after(1.2, "--wait", "20")
    assert code == 0
    assert late < 4  # below the interval's default of 5 s


def test_wait_looks_ten_times_whatever_the_interval():
    code, late = ready_after(1.5, "--wait", "10", "--interval", "60", "--fast-interval", "60")
    assert code == 0
    assert late < 8


def test_wait_looks_once_more_just_before_the_time_is_over():
    asked = []

    def accept():
        while True:
            client, _ = server.accept()
            with client:
                if not client.recv(1):
                    return
                asked.append(time.monotonic())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        port = server.getsockname()[1]
        ended = run_pingstate(
            "--wait", "10", "--send", "x", "--check", "banner_contains:y", "--port", str(port)
        )
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()
    assert ended.returncode == 124
    assert f"not up after 10 s: tcp://127.0.0.1:{port} is down: " in ended.stdout
    # The tenth of the regular looks came after 9 s.
    assert asked[-1] - asked[0] > 9.2
    # One more may begin as the time ends.
    assert len(asked) <= 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_wait_ends_at_a_signal_without_a_word(number):
    process = subprocess.Popen(
        [sys.executable, "-m", "pingstate", "--wait", "60", "--port", str(free_port())],
        env=clean_environ(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    assert " is down: " in line
    process.send_signal(number)
    assert process.wait(TIMEOUT) == 128 + number
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()


# -- errors of our own -------------------------------------------------------------------------------

BUG = """
from pingstate.probes.tcp import TCPProbe

class Buggy(TCPProbe):
    def __init__(self):
        super().__init__("127.0.0.1", 9)
    def check(self):
        raise ZeroDivisionError("a bug")

Buggy.__module__ = TCPProbe.__module__
"""


@pytest.mark.parametrize("mode", [["--once"], ["--wait", "5"]])
def test_error_of_our_own_before_a_check_is_70_and_no_verdict(mode, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import pingstate.factory\n"
        "def probe(*_, **__): raise ZeroDivisionError('a bug')\n"
        "pingstate.factory.probe = probe\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = run_pingstate(*mode, PYTHONPATH=path)
    assert ended.returncode == 70
    assert ended.stdout == (
        "the target was not checked: internal error of pingstate: ZeroDivisionError: a bug\n"
    )
    assert ended.stderr.count("Traceback") == 1


def test_error_of_our_own_is_70_and_no_verdict(tmp_path):
    (tmp_path / "buggy.py").write_text(BUG)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = run_pingstate("--once", "--probe", "buggy:Buggy", PYTHONPATH=path)
    assert ended.returncode == 70
    assert ended.stderr.count("Traceback") == 1
    assert "internal error of pingstate: ZeroDivisionError: a bug" in ended.stdout


def test_error_of_our_own_keeps_the_state_and_lets_it_expire(sidecar, tmp_path):
    (tmp_path / "buggy.py").write_text(BUG)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    one = sidecar(
        "--probe", "buggy:Buggy", PYTHONPATH=path, PINGSTATE_INTERVAL="0.1", PINGSTATE_TIMEOUT="0.1"
    )
    wait_until(one.answers)
    wait_until(lambda: one.get("/livez") == (503, "stale"))
    status = one.status()
    assert (status["state"], status["last_event"]) == ("unknown", "error")
    assert one.get("/healthz") == (503, "stale")
    assert one.stop() == 0
    assert one.output.count("Traceback") == 1
