"""One live Monitor thread in each process that serves, and none in any other."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time

import pytest

from tests.support import ROOT
from tests.support.client import free_port, get
from tests.support.waiting import wait_until

PROBE = """
import os, threading
from pingstate import ProbeResult

class Recorder:
    name = "recorder"
    timeout = 1.0

    def check(self):
        with open({path!r}, "a") as file:
            file.write(f"{{os.getpid()}} {{threading.get_ident()}}\\n")
        return ProbeResult(ok=True, latency_ms=0.1, detail="recorded")
"""


class Recorded:
    """A sidecar whose probe writes down which thread of which process runs it."""

    def __init__(self, start, tmp_path, arguments, *, ours=False, **environ):
        self.path = tmp_path / "checks"
        self.path.touch()
        (tmp_path / "recorder.py").write_text(PROBE.format(path=str(self.path)))
        port = free_port()
        bind = [] if ours else ["-b", f"127.0.0.1:{port}"]
        command = [sys.executable, "-m", "gunicorn", *bind, *arguments]
        self.sidecar = start(
            command=command,
            PYTHONPATH=str(tmp_path),
            HOME=str(tmp_path),
            PINGSTATE_PROBE="recorder:Recorder",
            PINGSTATE_INTERVAL="0.05",
            PINGSTATE_API_PORT=str(port),
            **environ,
        )
        wait_until(self.sidecar.answers)

    def checkers(self, seconds=0.6):
        """The (pid, thread) pairs that check during some time from now on."""
        offset = self.path.stat().st_size
        threading.Event().wait(seconds)
        with self.path.open() as file:
            file.seek(offset)
            return {tuple(map(int, line.split())) for line in file if line.endswith("\n")}

    def one_in_each_worker(self, count):
        def so():
            workers = self.sidecar.workers()
            pids = [pid for pid, _ in self.checkers()]
            return len(workers) == count and sorted(pids) == sorted(workers)

        return wait_until(so)


APP = "pingstate:create_app()"
OURS = ["-c", "python:pingstate.gunicorn_conf"]
MODES = {
    "bare": [APP],
    "three sync workers": ["-w", "3", APP],
    "threads": ["-w", "2", "--threads", "4", APP],
    "preload": ["-w", "2", "--preload", APP],
    "preload and threads": ["--preload", "--threads", "4", APP],
    "our worker alone": ["-k", "pingstate.worker.Worker", APP],
    "our configuration": [*OURS],
    "our configuration and two workers": [*OURS, "-w", "2", APP],
}


@pytest.mark.parametrize("mode", MODES)
def test_each_worker_has_exactly_one_live_monitor(sidecar, tmp_path, mode):
    arguments = MODES[mode]
    one = Recorded(sidecar, tmp_path, arguments, ours=OURS[0] in arguments)
    count = int(arguments[arguments.index("-w") + 1]) if "-w" in arguments else 1
    assert one.one_in_each_worker(count)
    wait_until(lambda: one.sidecar.get("/healthz") == (200, "up"))
    assert one.sidecar.status()["pid"] in one.sidecar.workers()
    assert one.sidecar.stop() == 0
    assert "Traceback" not in one.sidecar.output


@pytest.mark.parametrize(
    "arguments", [[APP], ["--preload", APP], OURS], ids=["bare", "preload", "ours"]
)
def test_reload_kill_more_and_fewer_workers(sidecar, tmp_path, arguments):
    one = Recorded(sidecar, tmp_path, arguments, ours=arguments is OURS)
    assert one.one_in_each_worker(1)
    (before,) = one.sidecar.workers()
    one.sidecar.process.send_signal(signal.SIGHUP)
    wait_until(lambda: one.sidecar.workers() and before not in one.sidecar.workers())
    assert one.one_in_each_worker(1)
    one.sidecar.process.send_signal(signal.SIGTTIN)
    assert one.one_in_each_worker(2)
    one.sidecar.process.send_signal(signal.SIGTTOU)
    assert one.one_in_each_worker(1)
    os.kill(one.sidecar.workers()[0], signal.SIGKILL)
    assert one.one_in_each_worker(1)
    assert one.sidecar.stop() == 0


def test_process_that_a_worker_forks_checks_nothing(sidecar, tmp_path):
    (tmp_path / "forker.py").write_text(
        "import os, time\nfrom recorder import Recorder\n"
        "class Forker(Recorder):\n"
        "    forked = False\n"
        "    def check(self):\n"
        "        if not Forker.forked:\n"
        "            Forker.forked = True\n"
        "            if os.fork() == 0:\n"
        "                time.sleep(3)\n"
        "                os._exit(0)\n"
        "        return super().check()\n"
    )
    one = Recorded(sidecar, tmp_path, OURS, ours=True)
    one.sidecar.stop()
    one = Recorded(sidecar, tmp_path, [*OURS, "--env", "PINGSTATE_PROBE=forker:Forker"], ours=True)
    assert one.one_in_each_worker(1)


def test_bad_settings_end_a_bare_gunicorn_at_once_without_traceback(sidecar):
    for arguments, code in (([APP], 3), (["--preload", APP], 2), (OURS, 2)):
        one = sidecar(
            command=[sys.executable, "-m", "gunicorn", *arguments],
            PINGSTATE_INTERVAL="abc",
            PINGSTATE_PORT="x",
        )
        assert one.wait() == code
        assert one.output.count("pingstate: PINGSTATE_INTERVAL: 'abc' is not a number") == 1
        assert one.output.count("pingstate: PINGSTATE_PORT: 'x' is not a whole number") == 1
        assert "Traceback" not in one.output


def test_flask_run_checks_in_the_process_that_serves(sidecar, tmp_path):
    (tmp_path / "recorder.py").write_text(PROBE.format(path=str(tmp_path / "checks")))
    for extra in ([], ["--debug"]):
        port = free_port()
        one = sidecar(
            command=[
                sys.executable,
                "-m",
                "flask",
                "--app",
                "pingstate:create_app",
                "run",
                "-p",
                str(port),
                *extra,
            ],
            PYTHONPATH=str(tmp_path),
            PINGSTATE_PROBE="recorder:Recorder",
            PINGSTATE_INTERVAL="0.05",
            PINGSTATE_API_PORT=str(port),
        )
        one.wait_for_state("up")
        (tmp_path / "checks").write_text("")
        checks = wait_until(lambda: (t := (tmp_path / "checks").read_text()).count("\n") > 9 and t)
        assert {int(line.split()[0]) for line in checks.splitlines()[:9]} == {one.status()["pid"]}
        one.close()


def test_flask_routes_checks_nothing(sidecar, tmp_path):
    (tmp_path / "recorder.py").write_text(PROBE.format(path=str(tmp_path / "checks")))
    one = sidecar(
        command=[sys.executable, "-m", "flask", "--app", "pingstate:create_app", "routes"],
        PYTHONPATH=str(tmp_path),
        PINGSTATE_PROBE="recorder:Recorder",
    )
    assert one.wait() == 0
    assert "/healthz" in one.output
    assert not (tmp_path / "checks").exists()


def test_sigterm_ends_within_two_seconds_with_a_check_in_flight(sidecar, target):
    one = sidecar("--protocol", "http", "--port", str(target.port), "--interval", "0.1")
    one.wait_for_state("up")
    asked = len(target.requests)
    target.hold.clear()
    wait_until(lambda: len(target.requests) > asked)
    began = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - began < 2.0
    assert "Traceback" not in one.output


def test_first_answer_has_a_verdict(sidecar, target):
    one = sidecar("--port", str(target.port), "--interval", "60")
    wait_until(one.answers)
    assert one.get("/state")[1] == "up"


def test_read_only_home_and_no_place_to_write(sidecar, target):
    one = sidecar("--port", str(target.port), HOME="/nonexistent", TMPDIR="/nonexistent")
    one.wait_for_state("up")
    assert one.stop() == 0
    assert len(one.lines) == 2


def test_killed_worker_is_followed_by_one_that_knows_the_verdict(sidecar, target):
    one = sidecar("--protocol", "http", "--port", str(target.port), "--interval", "1")
    one.wait_for_state("up")
    before = one.status()
    target.hold.clear()
    os.kill(before["pid"], signal.SIGKILL)
    wait_until(lambda: [pid for pid in one.workers() if pid != before["pid"]])
    assert one.get("/healthz") == (200, "up")
    after = one.status()
    assert after["pid"] != before["pid"]
    assert after["recent"][0] == before["recent"][0]
    assert after["uptime_in_state_s"] >= before["uptime_in_state_s"]
    assert "probe_success 1.0" in one.get("/metrics")[1]


def test_app_that_is_made_before_gunicorn_forks_checks_in_the_worker(sidecar, target, tmp_path):
    port = free_port()
    (tmp_path / "custom.py").write_text(
        "from gunicorn.app.base import BaseApplication\n"
        "from pingstate import create_app\n"
        "class Custom(BaseApplication):\n"
        "    def __init__(self, app):\n"
        "        self.application = app\n"
        "        super().__init__()\n"
        "    def load_config(self):\n"
        f"        self.cfg.set('bind', '127.0.0.1:{port}')\n"
        "    def load(self):\n"
        "        return self.application\n"
        "Custom(create_app()).run()\n"
    )
    one = sidecar(
        command=[sys.executable, str(tmp_path / "custom.py")],
        PYTHONPATH=str(ROOT),
        PINGSTATE_PORT=str(target.port),
        PINGSTATE_API_PORT=str(port),
        PINGSTATE_INTERVAL="0.2",
    )
    one.wait_for_state("up")
    wait_until(lambda: one.status()["pid"] in one.workers())
    first = len(one.status()["recent"])
    wait_until(lambda: len(one.status()["recent"]) > first)


def test_request_that_came_before_sigterm_is_answered(sidecar, target):
    one = sidecar("--port", str(target.port))
    one.wait_for_state("up")
    clients = [socket.create_connection(("127.0.0.1", one.port), 10) for _ in range(50)]
    for client in clients:
        client.sendall(b"GET /state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    one.process.send_signal(signal.SIGTERM)
    for client in clients:
        with client, client.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\nup")
    assert one.wait() == 0


def test_probe_of_the_users_is_made_in_the_worker_that_runs_it(sidecar, tmp_path):
    (tmp_path / "beating.py").write_text(
        "import threading, time, logging\n"
        "from pingstate import ProbeResult\n"
        "logging.basicConfig()\n"
        "class Beating:\n"
        "    name = 'beating'\n"
        "    def __init__(self):\n"
        "        self.thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)\n"
        "        self.thread.start()\n"
        "    def check(self):\n"
        "        return ProbeResult(ok=self.thread.is_alive(), detail='alive')\n"
    )
    one = sidecar(PYTHONPATH=str(tmp_path), PINGSTATE_PROBE="beating:Beating")
    one.wait_for_state("up")
    wait_until(lambda: "unknown -> up: alive" in one.output, what="the log tells it")


def test_probe_that_kills_its_worker_does_not_keep_the_last_verdict_alive(sidecar, tmp_path):
    (tmp_path / "deadly.py").write_text(
        "import os, pathlib, signal\n"
        "from pingstate import ProbeResult\n"
        f"once = pathlib.Path({str(tmp_path / 'once')!r})\n"
        "class Deadly:\n"
        "    name = 'deadly'\n"
        "    timeout = 0.5\n"
        "    def check(self):\n"
        "        if once.exists():\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return ProbeResult(ok=True, detail='alive')\n"
    )
    one = sidecar(
        PYTHONPATH=str(tmp_path), PINGSTATE_PROBE="deadly:Deadly", PINGSTATE_INTERVAL="0.3"
    )
    one.wait_for_state("up")
    (tmp_path / "once").touch()

    def is_ready():
        # Most requests get no answer: no worker lives long enough.
        try:
            return get(f"http://127.0.0.1:{one.port}/healthz", timeout=0.1)[0] == 200
        except OSError:
            return False

    wait_until(lambda: not any(is_ready() for _ in range(20)))
