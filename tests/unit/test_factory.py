"""From settings to a Monitor: nothing that can be set is lost on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pingstate import ConfigurationError, ProbeResult
from pingstate.factory import create_monitor, create_probe
from pingstate.settings import Settings

LOCAL = Settings(address="127.0.0.1", port=9)
CUSTOM = """
import sys
from pingstate import ProbeResult

class Probe:
    name = "custom"
    timeout = 0.5
    def check(self):
        return ProbeResult(ok=True, detail="custom")

def create():
    return Probe()

made = Probe()

class Typed:
    name = "typed"
    @classmethod
    def check(cls):
        return ProbeResult(ok=True, detail="typed")

class Needs:
    def __init__(self, argument): ...

class Nameless:
    def check(self): ...

def exits():
    sys.exit(3)

def nothing():
    return None
"""


@pytest.fixture
def custom(tmp_path, monkeypatch):
    """Settings with a probe of the module above, which is imported anew in each test."""
    name = f"custom_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda attribute: replace(LOCAL, probe=f"{name}:{attribute}")


@pytest.mark.parametrize("protocol", ["tcp", "http", "https"])
def test_target_is_the_settings(protocol):
    probe = create_probe(replace(LOCAL, protocol=protocol, timeout=0.25))
    assert probe.name.startswith(f"{protocol}://127.0.0.1:9")
    assert probe.timeout == 0.25


def test_monitor_has_the_settings():
    settings = replace(
        LOCAL,
        interval=7.0,
        fast_interval=0.5,
        jitter=0.5,
        slow=250.0,
        history=1,
        failure_threshold=3,
    )
    told = []
    monitor = create_monitor(settings, on_transition=lambda *change: told.append(change))
    monitor.check_now()
    monitor.check_now()
    snapshot = monitor.snapshot()
    assert snapshot["interval"] == 7.0
    assert snapshot["timeout"] == 2.0
    assert snapshot["slow_ms"] == 250.0
    assert len(snapshot["recent"]) == 1
    assert not monitor.running


def test_thresholds_reach_the_state_machine(custom):
    monitor = create_monitor(replace(custom("made"), failure_threshold=3, success_threshold=2))
    outcomes = iter([True, False, False, False, True, True])

    class Scripted:
        name = "scripted"

        def check(self):
            return ProbeResult(ok=next(outcomes))

    monitor.probe = Scripted()
    states = []
    for _ in range(6):
        monitor.check_now()
        states.append(monitor.state)
    assert states == ["up", "degraded", "degraded", "down", "down", "up"]


@pytest.mark.parametrize("attribute", ["Probe", "create", "made", "Typed"])
def test_custom_probe_is_a_class_a_factory_or_an_object(custom, attribute):
    assert create_probe(custom(attribute)).check().ok


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("Needs", "cannot be created without arguments: TypeError: "),
        ("exits", "cannot be created without arguments: SystemExit: 3"),
        ("Nameless", "is not a probe, with a name and a check()"),
        ("nothing", "is not a probe, with a name and a check()"),
    ],
)
def test_custom_probe_that_is_none_is_an_error_that_names_the_setting(custom, attribute, reason):
    settings = custom(attribute)
    with pytest.raises(ConfigurationError) as caught:
        create_monitor(settings)
    (problem,) = caught.value.problems
    assert problem.startswith(f"PINGSTATE_PROBE: {settings.probe!r} {reason}")


def test_what_settings_alone_can_not_know_is_an_error_without_a_traceback(tmp_path):
    # The file was there when the settings were read.
    settings = replace(LOCAL, protocol="https", ca_file=str(tmp_path / "gone.pem"))
    with pytest.raises(ConfigurationError, match=r"gone\.pem"):
        create_probe(settings)
