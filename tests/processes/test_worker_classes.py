"""A gunicorn that the user starts, with each of gunicorn's own workers."""

from __future__ import annotations

import sys
import time

import pytest

from pingstate.web.process import _GEVENT_REFUSED
from tests.support.client import free_port
from tests.support.waiting import wait_until

WORKERS = ["sync", "gthread", "gevent", "tornado"]


PRELOADED = {
    "preload": ("--preload",),
    "config": ("--config", "python:pingstate.gunicorn_conf"),
}


def gunicorn(worker, port, *options):
    """gunicorn's command line."""
    return [
        sys.executable, "-m", "gunicorn", "--worker-class", worker, *options,
        "--bind", f"127.0.0.1:{port}", "pingstate:create_app()",
    ]  # fmt: skip


@pytest.mark.parametrize("options", PRELOADED.values(), ids=PRELOADED)
def test_gevent_is_refused_for_an_application_that_is_preloaded(options, sidecar):
    port = free_port()
    one = sidecar(command=gunicorn("gevent", port, *options), PINGSTATE_API_PORT=str(port))
    assert one.wait() == 2
    told = [line for line in one.output.splitlines() if line.startswith("pingstate: ")]
    assert told == [f"pingstate: {_GEVENT_REFUSED}"]
    assert "Traceback" not in one.output


@pytest.mark.parametrize(
    ("worker", "options"),
    [
        *((worker, ()) for worker in WORKERS),
        *(
            (worker, options)
            for worker in WORKERS
            if worker != "gevent"
            for options in PRELOADED.values()
        ),
    ],
)
def test_probe_works_and_a_target_that_hangs_holds_up_no_answer(worker, options, sidecar, target):
    port = free_port()
    one = sidecar(
        command=gunicorn(worker, port, *options),
        PINGSTATE_API_PORT=str(port),
        PINGSTATE_ADDRESS="localhost",
        PINGSTATE_PROTOCOL="http",
        PINGSTATE_PORT=str(target.port),
        PINGSTATE_INTERVAL="0.1",
        PINGSTATE_TIMEOUT="3",
    )  # fmt: skip
    one.wait_for_state("up")
    target.hold.clear()
    asked = len(target.requests)
    wait_until(lambda: len(target.requests) > asked)
    began = time.monotonic()
    for _ in range(20):
        assert one.get("/livez") == (200, "alive")
    assert time.monotonic() - began < 2.5
    wait_until(lambda: one.status()["last_phase"] == "timeout")
    target.hold.set()
    one.wait_for_state("up")
    assert "internal error" not in one.output
    assert one.stop() == 0
    assert "Traceback" not in one.output
