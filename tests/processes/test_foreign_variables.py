"""Variables that are not pingstate's change neither what it serves nor where, nor end it."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from tests.support.client import free_port, get
from tests.support.process import run_pingstate
from tests.support.waiting import TIMEOUT, wait_until

# Each with the names that the one warning has, or none where gunicorn would not have obeyed.
FOREIGN = [
    ({"SCRIPT_NAME": "/app"}, "SCRIPT_NAME"),
    ({"SCRIPT_NAME": "/app", "GUNICORN_CMD_ARGS": "-w 3"}, "GUNICORN_CMD_ARGS, SCRIPT_NAME"),
    ({"GUNICORN_CMD_ARGS": "--bind 127.0.0.1:{other} --worker-class sync"}, "GUNICORN_CMD_ARGS"),
    ({"GUNICORN_CMD_ARGS": "--no-such-flag"}, "GUNICORN_CMD_ARGS"),
    ({"GUNICORN_CMD_ARGS": "'"}, "GUNICORN_CMD_ARGS"),
    ({"GUNICORN_CMD_ARGS": ""}, None),
    ({"SCRIPT_NAME": ""}, None),
    ({"WEB_CONCURRENCY": ""}, None),
    ({"PORT": "{other}"}, None),
    ({"PORT": "tcp://10.0.0.1:80"}, None),
    ({"HOST": "0.0.0.0", "BIND": "0.0.0.0:{other}"}, None),
    ({"FORWARDED_ALLOW_IPS": "*"}, None),
    ({"FORWARDED_ALLOW_IPS": "10.0.0.0/8,garbage"}, None),
    ({"FORWARDED_ALLOW_IPS": ""}, None),
    ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, None),
    ({"LISTEN_FDS": "garbage", "LISTEN_PID": "garbage"}, None),
    ({"GUNICORN_PID": "garbage"}, None),
    ({"GUNICORN_PID": "1", "GUNICORN_FD": "garbage"}, None),
    ({"GUNICORN_FD": "7"}, None),
    ({"SENDFILE": "garbage"}, None),
    ({"NOTIFY_SOCKET": "garbage"}, None),
    ({"SERVER_SOFTWARE": "gunicorn/99"}, None),
    ({"FLASK_APP": "nothing", "FLASK_DEBUG": "1", "FLASK_RUN_FROM_CLI": "true"}, None),
    ({"PROMETHEUS_MULTIPROC_DIR": "/nonexistent"}, None),
    ({"WERKZEUG_RUN_MAIN": "true", "WERKZEUG_SERVER_FD": "9"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("variables", "warned"), FOREIGN, ids=str)
def test_foreign_variable_changes_nothing_and_is_warned_of_once(sidecar, target, variables, warned):
    other = free_port()
    one = sidecar(
        "--port", str(target.port), **{k: v.format(other=other) for k, v in variables.items()}
    )
    one.wait_for_state("up")
    assert one.get("/healthz") == (200, "up")
    assert one.get("/app/healthz")[0] == 404
    assert "probe_success 1.0" in one.get("/metrics")[1]
    wait_until(lambda: f"API on http://127.0.0.1:{one.port}" in one.output)
    with pytest.raises(OSError):  # noqa: PT011  # nobody listens there
        socket.create_connection(("127.0.0.1", other), 5)
    assert len(one.workers()) == 1
    warnings = [line for line in one.lines if " WARNING " in line]
    if warned is None:
        assert warnings == []
    else:
        (line,) = warnings
        assert line.endswith(f"ignored variables that are gunicorn's, not pingstate's: {warned}")
    assert one.stop() == 0
    assert "Traceback" not in one.output


def test_socket_that_systemd_would_hand_over_is_left_alone(sidecar, target):
    # LISTEN_PID must be the process that gets the socket, so a shell becomes it.
    script = f'LISTEN_FDS=1 LISTEN_PID=$$ exec "{sys.executable}" -m pingstate --port {target.port}'
    one = sidecar(command=["sh", "-c", script])
    one.wait_for_state("up")
    assert (
        one.output.count("ignored variables that are gunicorn's, not pingstate's: LISTEN_FDS") == 1
    )


@pytest.mark.parametrize("arguments", [[], ["--once"], ["--print-config"]], ids=str)
@pytest.mark.parametrize("workers", ["abc", "0", "-1", "1.5", " 2", "1000"])
def test_number_of_workers_that_is_none_is_one_line_and_exit_2(workers, arguments):
    ended = run_pingstate(*arguments, WEB_CONCURRENCY=workers)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"pingstate: WEB_CONCURRENCY: {workers!r} is not a number of workers from 1 to 999\n"
    )


def test_number_of_workers_is_obeyed(sidecar, target):
    one = sidecar("--port", str(target.port), WEB_CONCURRENCY="2")
    one.wait_for_state("up")
    wait_until(lambda: len(one.workers()) == 2)
    wait_until(lambda: "; 2 workers, each with a verdict of its own" in one.output)


def test_gunicorn_that_the_user_starts_is_the_users_and_the_line_is_true(sidecar, target):
    other = free_port()
    for options in (
        {"GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{other}"},
        {"arguments": ["--bind", f"127.0.0.1:{other}"]},
    ):
        arguments = options.pop("arguments", [])
        config = ["-c", "python:pingstate.gunicorn_conf"]
        one = sidecar(
            command=[sys.executable, "-m", "gunicorn", *config, *arguments],
            PINGSTATE_PORT=str(target.port),
            **options,
        )
        wait_until(lambda one=one: f"API on http://127.0.0.1:{other}" in one.output)
        wait_until(lambda: get(f"http://127.0.0.1:{other}/healthz") == (200, "up"))
        assert "WARNING" not in one.output
        assert one.stop() == 0


def test_gunicorn_that_the_user_starts_serves_below_the_users_prefix(sidecar, target):
    one = sidecar(
        command=[sys.executable, "-m", "gunicorn", "-c", "python:pingstate.gunicorn_conf"],
        PINGSTATE_PORT=str(target.port),
        SCRIPT_NAME="/app",
    )
    wait_until(lambda: "API on" in one.output)
    assert wait_until(lambda: one.get("/app/state")) == (200, "up")


@pytest.mark.parametrize("started_by", ["pingstate", "gunicorn"])
def test_pipe_with_a_secret_is_read_once(sidecar, target, tmp_path, started_by):
    pipe = tmp_path / "secret"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=("user:password\n",)).start()
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:pingstate.gunicorn_conf"]
    one = sidecar(
        command=gunicorn if started_by == "gunicorn" else None,
        PINGSTATE_PROTOCOL="http",
        PINGSTATE_PORT=str(target.port),
        PINGSTATE_BASIC_AUTH_FILE=str(pipe),
    )
    one.wait_for_state("up")
    assert target.requests[0][2]["Authorization"] == "Basic dXNlcjpwYXNzd29yZA=="


def test_flags_do_not_become_variables_of_the_process(sidecar, tmp_path):
    (tmp_path / "teller.py").write_text(
        "import os\n"
        "from pingstate import ProbeResult\n"
        "class Teller:\n"
        "    name = 'teller'\n"
        "    def check(self):\n"
        "        return ProbeResult(ok=True, detail=os.environ.get('PINGSTATE_INTERVAL', 'unset'))\n"
    )
    one = sidecar("--probe", "teller:Teller", "--interval", "0.3", PYTHONPATH=str(tmp_path))
    one.wait_for_state("up")
    assert one.status()["interval"] == 0.3
    assert one.status()["last_detail"] == "unset"


def test_server_that_reloads_keeps_its_flags(sidecar, target):
    one = sidecar("--port", str(target.port), "--interval", "0.3")
    one.wait_for_state("up")
    (before,) = one.workers()
    one.process.send_signal(signal.SIGHUP)
    wait_until(lambda: one.workers() and before not in one.workers())
    wait_until(lambda: one.status()["pid"] in one.workers())
    assert one.status()["interval"] == 0.3
    assert one.stop() == 0


def test_server_that_replaces_itself_keeps_its_flags(sidecar, target):
    one = sidecar("--port", str(target.port), "--interval", "0.3")
    one.wait_for_state("up")
    one.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: len(re.findall("probing tcp://.* every 0.3 s; API on", one.output)) == 2)

    def new_arbiter_has_a_worker():
        children = (Path(f"/proc/{pid}/task/{pid}/children") for pid in one.workers())
        return any(path.read_text() for path in children)

    wait_until(new_arbiter_has_a_worker)
    one.process.send_signal(signal.SIGTERM)
    one.process.wait(TIMEOUT)
    assert one.get("/healthz") == (200, "up")
    assert "Traceback" not in one.output
