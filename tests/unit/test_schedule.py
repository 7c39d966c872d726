from __future__ import annotations

import random

import pytest

from pingstate.monitor.schedule import Schedule
from tests.support import fleet


def slots(schedule, durations, *, fast=False, start=0.0):
    """When checks begin, if each takes as long as `durations` say."""
    at, began = start, []
    for duration in durations:
        began.append(at)
        at = schedule.next(at + duration, fast=fast)
    return began


def test_slots_do_not_drift_by_the_length_of_a_check():
    began = slots(Schedule(1.0, 1.0, 0.0, 0.0), [0.3, 0.9, 0.0, 0.5] * 5)
    assert began == pytest.approx(range(20))


def test_late_check_skips_the_slots_it_missed():
    assert slots(Schedule(1.0, 1.0, 0.0, 0.0), [0.1, 2.5, 0.1, 0.1]) == pytest.approx([0, 1, 4, 5])


def test_jitter_spreads_each_slot_and_does_not_add_up():
    rng = random.Random(1)
    began = slots(Schedule(10.0, 10.0, 0.1, 0.0, rng.uniform), [0.2] * 1000)
    assert 0 < began[1] <= 11.0
    phase = [at % 10.0 for at in began[1:]]
    base = min(phase) if max(phase) - min(phase) < 5 else min(p for p in phase if p > 5)
    offsets = [(at - base) % 10.0 for at in began[1:]]
    assert max(offsets) <= 1.0 + 1e-9
    assert max(offsets) - min(offsets) > 0.5
    assert began[-1] - began[1] == pytest.approx(998 * 10.0, abs=1.0)


def test_fast_interval_holds_while_asked_for():
    schedule = Schedule(10.0, 2.0, 0.0, 0.0)
    assert [schedule.next(0.1, fast=True), schedule.next(2.1, fast=True)] == [2.0, 4.0]
    assert schedule.next(4.1, fast=False) == 14.0


@pytest.mark.parametrize("interval", [0.1, 86400.0])
def test_interval_of_a_tenth_and_of_a_day(interval):
    began = slots(Schedule(interval, interval, 0.0, 5.0), [0.01] * 10, start=5.0)
    assert began == pytest.approx([5.0 + interval * k for k in range(10)])


def test_fleet_that_starts_at_once_spreads_after_the_first_interval():
    load = fleet.simulate(sidecars=10_000, interval=5.0, jitter=0.1, seconds=60)
    assert load.mean == 2000
    assert load.peak <= 1.3 * load.mean
    together = fleet.simulate(sidecars=1000, interval=5.0, jitter=0.0, seconds=60)
    assert together.peak > 2 * together.mean


def test_jitter_of_nothing_keeps_the_slots_exactly():
    schedule = Schedule(0.5, 0.5, 0.0, 100.0, lambda *_: pytest.fail("no chance is asked for"))
    assert [schedule.next(100.1), schedule.next(100.6)] == [100.5, 101.0]


def test_change_to_the_fast_interval_counts_from_the_last_slot():
    schedule = Schedule(10.0, 1.0, 0.0, 0.0)
    assert schedule.next(0.2) == 10.0
    assert schedule.next(10.2, fast=True) == 11.0
    assert schedule.next(11.0, fast=True) == 12.0


def test_no_slot_lies_in_the_past_after_a_long_suspension():
    schedule = Schedule(1.0, 1.0, 0.0, 0.0)
    assert schedule.next(86400.5) == 86401.0
