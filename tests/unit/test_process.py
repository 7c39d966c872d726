from __future__ import annotations

import signal
import subprocess
import sys

import click
import pytest
from flask.cli import run_command, shell_command
from gunicorn.workers.base import Worker

from pingstate import Monitor, probe
from pingstate.settings import load_settings
from pingstate.web.process import gunicorn_role, start_in_serving_process
from tests.support import ROOT
from tests.support.process import clean_environ

GUNICORN = "gunicorn/27.0.0"


@pytest.fixture
def monitor():
    one = Monitor(probe("tcp", "127.0.0.1", 1), interval=60)
    yield one
    one.stop()


@pytest.fixture
def sigterm():
    """Sets the handler of SIGTERM, and puts the old one back."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda handler: signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("software", [None, "", "Werkzeug/3.1", "gunicorn"])
def test_process_of_no_gunicorn_has_no_role(monkeypatch, software):
    import_arbiter(monkeypatch)
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    if software is not None:
        monkeypatch.setenv("SERVER_SOFTWARE", software)
    assert gunicorn_role() is None


def test_child_that_inherits_gunicorns_variable_has_no_role(monkeypatch):
    monkeypatch.setenv("SERVER_SOFTWARE", GUNICORN)
    monkeypatch.delitem(sys.modules, "gunicorn.arbiter", raising=False)
    assert gunicorn_role() is None


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN, lambda *_: None])
def test_gunicorn_without_a_workers_handler_is_the_arbiter(monkeypatch, sigterm, handler):
    monkeypatch.setenv("SERVER_SOFTWARE", GUNICORN)
    import_arbiter(monkeypatch)
    sigterm(handler)
    assert gunicorn_role() == "arbiter"


def test_gunicorn_with_a_workers_handler_is_a_worker(monkeypatch, sigterm):
    monkeypatch.setenv("SERVER_SOFTWARE", GUNICORN)
    import_arbiter(monkeypatch)
    sigterm(Worker.__new__(Worker).handle_exit)
    assert gunicorn_role() == "worker"


def import_arbiter(monkeypatch):
    import gunicorn.arbiter

    monkeypatch.setitem(sys.modules, "gunicorn.arbiter", gunicorn.arbiter)


def test_monitor_starts_where_nobody_else_starts_it(monkeypatch, monitor):
    for name in ("SERVER_SOFTWARE", "FLASK_RUN_FROM_CLI"):
        monkeypatch.delenv(name, raising=False)
    start_in_serving_process(monitor, load_settings({}).settings)
    assert monitor.running


@pytest.mark.parametrize(
    ("command", "reload", "child", "debug", "starts"),
    [
        (run_command, False, False, False, True),
        (run_command, None, False, False, True),
        (run_command, None, False, True, False),
        (run_command, None, True, True, True),
        (run_command, True, False, False, False),
        (run_command, True, True, False, True),
        (run_command, False, False, True, True),
        (shell_command, None, False, False, False),
        (None, None, False, False, True),
    ],
)
def test_flask_starts_it_in_the_process_that_serves(
    monkeypatch, monitor, command, reload, child, debug, starts
):
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")
    monkeypatch.setenv("FLASK_DEBUG", "1" if debug else "0")
    monkeypatch.delenv("WERKZEUG_RUN_MAIN", raising=False)
    if child:
        monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    settings = load_settings({}).settings
    if command is None:
        start_in_serving_process(monitor, settings)
    else:
        context = click.Context(command)
        context.params["reload"] = reload
        with context:
            start_in_serving_process(monitor, settings)
    assert monitor.running is starts


PRELOADED = """
import os, sys
import gunicorn.arbiter
os.environ["SERVER_SOFTWARE"] = "gunicorn/27.0.0"
from pingstate import Monitor, probe
from pingstate.settings import load_settings
from pingstate.web.process import start_in_serving_process

monitor = Monitor(probe("tcp", "127.0.0.1", 1), interval=60)
start_in_serving_process(monitor, load_settings({}).settings)
print("arbiter", monitor.running, flush=True)
for name in ("worker", "its successor"):
    child = os.fork()
    if child == 0:
        print(name, monitor.running, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_preloaded_monitor_starts_in_each_worker_and_never_in_the_arbiter():
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELOADED],
        env=clean_environ(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout.splitlines() == ["arbiter False", "worker True", "its successor True"]
