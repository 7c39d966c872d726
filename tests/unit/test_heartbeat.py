from __future__ import annotations

import math
import os
import tempfile
import time

import pytest

from pingstate.heartbeat import Heartbeat


@pytest.fixture(params=["in memory", "in a directory"])
def heartbeat(request, monkeypatch):
    if request.param == "in a directory":
        monkeypatch.setattr(os, "memfd_create", refuse)
    made = Heartbeat(None)
    yield made
    made.close()


def refuse(*_arguments, **_options):
    raise PermissionError(1, "Operation not permitted")


def test_worker_that_boots_is_not_late(heartbeat):
    assert heartbeat.last_update() == math.inf


def test_arbiter_reads_when_its_forked_worker_was_last_alive(heartbeat):
    before = time.monotonic()
    pid = os.fork()
    if pid == 0:
        heartbeat.notify()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert before <= heartbeat.last_update() <= time.monotonic()


def test_heartbeat_may_be_closed_twice(heartbeat):
    assert os.fstat(heartbeat.fileno()).st_nlink == 0
    heartbeat.close()
    heartbeat.close()
    with pytest.raises(ValueError, match="closed"):
        heartbeat.last_update()


def test_nowhere_at_all_is_one_line(monkeypatch):
    monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(
        SystemExit, match="pingstate: a worker needs a file in memory or a directory"
    ):
        Heartbeat(None)
