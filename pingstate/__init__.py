"""Probe one target, keep a small state machine of it, and serve its state over HTTP."""

from __future__ import annotations

from importlib import import_module

# typing's own costs a health check a third of its time.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from pingstate.monitor.fsm import TRANSITIONS, PingFSM, threshold_transitions
    from pingstate.monitor.monitor import Monitor
    from pingstate.net.attempt import Trace
    from pingstate.probes.base import Probe, ProbeResult
    from pingstate.probes.conditions import HTTPResponseSnapshot
    from pingstate.probes.factory import probe
    from pingstate.probes.http import HTTPProbe
    from pingstate.probes.tcp import TCPProbe
    from pingstate.probes.tls import TLSProbe
    from pingstate.settings import ConfigurationError
    from pingstate.web.app import create_app, serve

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
    "TLSProbe",
    "Trace",
    "create_app",
    "probe",
    "serve",
    "threshold_transitions",
]

_HOMES = {
    "TRANSITIONS": "monitor.fsm",
    "ConfigurationError": "settings",
    "HTTPProbe": "probes.http",
    "HTTPResponseSnapshot": "probes.conditions",
    "Monitor": "monitor.monitor",
    "PingFSM": "monitor.fsm",
    "Probe": "probes.base",
    "ProbeResult": "probes.base",
    "TCPProbe": "probes.tcp",
    "TLSProbe": "probes.tls",
    "Trace": "net.attempt",
    "create_app": "web.app",
    "probe": "probes.factory",
    "serve": "web.app",
    "threshold_transitions": "monitor.fsm",
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
