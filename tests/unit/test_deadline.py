from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

from pingstate.net.deadline import Deadline


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    fake = SimpleNamespace(now=100.0)
    fake.monotonic = lambda: fake.now
    monkeypatch.setattr("pingstate.net.deadline.time", fake)
    return fake


def test_what_remains_goes_down_to_an_error(clock):
    deadline = Deadline(2.0)
    assert deadline.remaining() == 2.0
    clock.now += 1.5
    assert deadline.remaining() == 0.5
    assert not deadline.expired
    clock.now += 0.5
    assert deadline.expired
    with pytest.raises(TimeoutError):
        deadline.remaining()
    assert deadline.elapsed() == 2.0


def test_a_wall_clock_that_is_set_back_changes_nothing(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert 0 < Deadline(5.0).remaining() <= 5.0


def test_each_phase_has_its_time_and_a_phase_that_comes_again_adds_to_it(clock):
    deadline = Deadline(10.0)
    for phase, seconds in (("connect", 1.0), ("tls", 2.0), ("dns", 3.0), ("done", 0.5)):
        clock.now += seconds
        deadline.start_phase(phase)
    assert deadline.phase == "done"
    assert deadline.seconds == {"dns": 1.0 + 0.5, "connect": 2.0, "tls": 3.0}


def test_bytes_are_unbounded_until_a_limit_is_set():
    deadline = Deadline(1.0)
    deadline.consume(1 << 40)
    deadline.limit_bytes(10)
    deadline.consume(4)
    deadline.consume(6)
    with pytest.raises(OSError, match="more bytes came") as caught:
        deadline.consume(1)
    assert caught.value.errno == errno.EMSGSIZE


def test_a_new_limit_counts_anew():
    deadline = Deadline(1.0)
    deadline.limit_bytes(3)
    deadline.consume(3)
    deadline.limit_bytes(2)
    deadline.consume(2)
    with pytest.raises(OSError, match="more bytes came"):
        deadline.consume(1)


def test_what_is_discounted_is_no_part_of_the_time_but_of_the_deadline(clock):
    deadline = Deadline(10.0)
    deadline.start_phase("tls")
    clock.now += 3.0
    deadline.discount(2.0)
    assert deadline.remaining() == 7.0
    deadline.stop()
    assert deadline.elapsed() == 1.0
    assert deadline.seconds == {"dns": 0.0, "tls": 1.0}


def test_stopped_clock_counts_nothing_more(clock):
    deadline = Deadline(10.0)
    deadline.start_phase("check")
    clock.now += 2.0
    deadline.stop(grace=0.1)
    clock.now += 20.0
    deadline.stop()
    assert deadline.elapsed() == 2.0
    assert not deadline.expired
    assert deadline.seconds == {"dns": 0.0, "check": 2.0}
    assert deadline.phase == "check"


@pytest.mark.parametrize(("after", "left"), [(2.0, 0.1), (9.95, 0.05)])
def test_what_follows_a_stop_has_its_grace_and_never_more_than_the_deadline(clock, after, left):
    deadline = Deadline(10.0)
    clock.now += after
    deadline.stop(grace=0.1)
    assert deadline.remaining() == pytest.approx(left)
    clock.now += left
    with pytest.raises(TimeoutError):
        deadline.remaining()
    assert not deadline.expired


def test_clock_that_is_stopped_late_is_expired(clock):
    deadline = Deadline(1.0)
    clock.now += 1.0
    deadline.stop(grace=5.0)
    assert deadline.expired
    with pytest.raises(TimeoutError):
        deadline.remaining()


@pytest.mark.parametrize(("seconds", "left"), [(0.1, 0.1), (50.0, 10.0)])
def test_shorter_while_ends_early_and_gives_the_time_back(clock, seconds, left):
    deadline = Deadline(10.0)
    with deadline.shorten(seconds):
        assert deadline.remaining() == pytest.approx(left)
    assert deadline.remaining() == 10.0
