"""Who reads the log stalls for ever: checks go on, the API answers, and the end comes in time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.client import free_port, get
from tests.support.pipes import fill
from tests.support.process import clean_environ
from tests.support.waiting import TIMEOUT, wait_until

# Changes its state with every check, so each is a line; and prints, as users' code does.
FLAPPING = """
import itertools
from pingstate import ProbeResult

class Flapping:
    name = "flapping"
    timeout = 1.0
    checks = itertools.count()

    def check(self):
        print("checked", flush=True)
        return ProbeResult(ok=next(self.checks) % 2 == 0, latency_ms=1.0, detail="x" * 150)
"""

# Each ends with what is started: ours, and gunicorn with our configuration and its access log.
COMMANDS = {
    "pingstate": [sys.executable, "-m", "pingstate"],
    "gunicorn": [
        sys.executable, "-m", "gunicorn", "-c", "python:pingstate.gunicorn_conf",
        "--access-logfile", "-", "--log-level", "debug",
    ],
}  # fmt: skip


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_reader_that_stalls_holds_up_nothing(command, form, tmp_path):
    (tmp_path / "flapping.py").write_text(FLAPPING)
    port = free_port()
    reader, writer = os.pipe()
    process = subprocess.Popen(
        COMMANDS[command],
        env=clean_environ(
            PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
            PINGSTATE_PROBE="flapping:Flapping",
            PINGSTATE_API_PORT=str(port),
            PINGSTATE_INTERVAL="0.001",
            PINGSTATE_LOG_FORMAT=form,
        ),
        cwd=ROOT,
        stdout=writer,
        stderr=writer,
    )

    def status():
        return json.loads(get(f"http://127.0.0.1:{port}/status")[1])

    try:
        wait_until(status, ignore=OSError)
        fill(writer)
        at = status()["checks"]
        # Far more lines than any queue keeps.
        wait_until(lambda: status()["checks"]["ok"] > at["ok"] + 400)
        assert get(f"http://127.0.0.1:{port}/livez") == (200, "alive")

        # The arbiter has something to tell as well, and is needed.
        (worker,) = children(process.pid)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: status()["pid"] != worker, ignore=OSError)
        at = status()["checks"]
        wait_until(lambda: status()["checks"]["ok"] > at["ok"] + 400)

        # Who reads again is told how much is missing.
        os.set_blocking(reader, False)
        data = b""

        def told():
            nonlocal data
            with contextlib.suppress(BlockingIOError):
                data += os.read(reader, 1_000_000)
            return b"lines could not be written in time and were lost" in data

        wait_until(told)
        (count,) = [line for line in data.splitlines() if b"could not be written" in line][:1]
        if form == "json":
            assert json.loads(count)["level"] == "warning"
        fill(writer)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
        assert time.monotonic() - began < 5
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)
