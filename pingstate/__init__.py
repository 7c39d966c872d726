"""Probe one target, keep a small state machine of it, and serve its state over HTTP."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pingstate.checks import HTTPResponseSnapshot
    from pingstate.fsm import TRANSITIONS, PingFSM, threshold_transitions
    from pingstate.http_probe import HTTPProbe
    from pingstate.monitor import Monitor
    from pingstate.probes import probe
    from pingstate.result import Probe, ProbeResult, Trace
    from pingstate.settings import ConfigurationError
    from pingstate.tcp_probe import TCPProbe
    from pingstate.web import create_app, serve

__version__ = "0.1.0"

__all__ = [
    "TRANSITIONS",
    "ConfigurationError",
    "HTTPProbe",
    "HTTPResponseSnapshot",
    "Monitor",
    "PingFSM",
    "Probe",
    "ProbeResult",
    "TCPProbe",
    "Trace",
    "create_app",
    "probe",
    "serve",
    "threshold_transitions",
]

_HOMES = {
    "TRANSITIONS": "fsm",
    "ConfigurationError": "settings",
    "HTTPProbe": "http_probe",
    "HTTPResponseSnapshot": "checks",
    "Monitor": "monitor",
    "PingFSM": "fsm",
    "Probe": "result",
    "ProbeResult": "result",
    "TCPProbe": "tcp_probe",
    "Trace": "result",
    "create_app": "web",
    "probe": "probes",
    "serve": "web",
    "threshold_transitions": "fsm",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: Flask and requests are not always needed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
