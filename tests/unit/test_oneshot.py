from __future__ import annotations

import pytest

from pingstate import ProbeResult, oneshot
from pingstate.settings import load_settings


def pace(**environ):
    loaded = load_settings({"PINGSTATE_ADDRESS": "127.0.0.1", **environ})
    return oneshot._pace(loaded)


@pytest.mark.parametrize(
    ("environ", "interval", "fast_interval"),
    [
        # At most a second apart, and at least ten times.
        ({"PINGSTATE_WAIT": "60"}, 1.0, None),
        ({"PINGSTATE_WAIT": "4"}, 0.4, None),
        ({"PINGSTATE_WAIT": "0.5"}, 0.05, None),
        # As it is asked for, but never slower than a tenth.
        ({"PINGSTATE_WAIT": "60", "PINGSTATE_INTERVAL": "3"}, 3.0, None),
        ({"PINGSTATE_WAIT": "60", "PINGSTATE_INTERVAL": "0.2"}, 0.2, None),
        ({"PINGSTATE_WAIT": "8", "PINGSTATE_INTERVAL": "60"}, 0.8, None),
        ({"PINGSTATE_WAIT": "8", "PINGSTATE_FAST_INTERVAL": "60"}, 0.8, 0.8),
        ({"PINGSTATE_WAIT": "600", "PINGSTATE_FAST_INTERVAL": "0.1"}, 1.0, 0.1),
    ],
)
def test_pace_is_fit_for_waiting(environ, interval, fast_interval):
    settings = pace(**environ)
    assert settings.interval == pytest.approx(interval)
    assert settings.fast_interval == pytest.approx(fast_interval)
    assert settings.jitter == 0


@pytest.mark.parametrize(
    ("environ", "timeout"),
    [
        ({"PINGSTATE_WAIT": "60"}, None),
        ({"PINGSTATE_WAIT": "60", "PINGSTATE_TIMEOUT": "7"}, 7.0),
        # A last check that ends in time has a reason to tell.
        ({"PINGSTATE_WAIT": "1"}, 0.9),
        ({"PINGSTATE_WAIT": "10", "PINGSTATE_TIMEOUT": "30"}, 9.0),
    ],
)
def test_check_ends_before_the_wait_does(environ, timeout):
    assert pace(**environ).timeout == pytest.approx(timeout)


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (None, "x is down: no check has ended"),
        (ProbeResult(ok=True, latency_ms=1.5, detail="HTTP 200"), "x is down: HTTP 200 (1.5 ms)"),
        (ProbeResult(ok=False, phase="dns", detail="no such name"), "x is down: dns: no such name"),
    ],
)
def test_line_says_what_came(result, line):
    assert oneshot._line("x", "down", result) == line
