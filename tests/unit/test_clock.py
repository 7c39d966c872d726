from __future__ import annotations

import time

from pingstate.monitor.clock import now
from tests.support.waiting import wait_until


def test_clock_runs_forward_in_seconds():
    began, at = time.monotonic(), now()
    wait_until(lambda: now() > at + 0.05, every=0.001)
    passed, real = now() - at, time.monotonic() - began
    assert 0.05 < passed < real + 0.05


def test_setting_the_wall_clock_does_not_change_it(monkeypatch):
    before = now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert before <= now() < before + 60


def test_a_suspended_machines_sleep_is_counted():
    assert abs(now() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
