"""Create the Monitor and the probe that the settings describe."""

from __future__ import annotations

from typing import Any

from pingstate.imports import import_from_string
from pingstate.monitor.fsm import threshold_transitions
from pingstate.monitor.monitor import Monitor
from pingstate.monitor.notifier import TransitionCallback
from pingstate.net.errors import describe_failure
from pingstate.probes.base import Probe
from pingstate.probes.factory import probe
from pingstate.settings import PREFIX, ConfigurationError, Settings
from pingstate.text import describe_exception


def create_monitor(settings: Settings, on_transition: TransitionCallback | None = None) -> Monitor:
    """A Monitor as the settings say, not started. Raises ConfigurationError."""
    return Monitor(
        create_probe(settings),
        interval=settings.interval,
        transitions=threshold_transitions(settings.failure_threshold, settings.success_threshold),
        fast_interval=settings.fast_interval,
        jitter=settings.jitter,
        slow_ms=settings.slow,
        history=settings.history,
        on_transition=on_transition,
    )


def create_probe(settings: Settings) -> Probe:
    """The probe that the settings name. Raises ConfigurationError."""
    if settings.probe is not None:
        return _create_custom_probe(settings.probe)
    options: dict[str, Any]
    tls = {
        "verify_tls": not settings.no_verify_tls,
        "ca_file": settings.ca_file,
        "client_cert": settings.client_cert,
        "client_key": settings.client_key,
        "server_name": settings.server_name,
    }
    if settings.protocol == "tcp":
        options = {"send": settings.send}
    elif settings.protocol == "tls":
        options = {"send": settings.send, "starttls": settings.starttls, **tls}
    else:
        options = {
            **tls,
            "path": settings.path,
            "method": settings.method,
            "body": settings.body,
            "headers": settings.header,
            "basic_auth": settings.basic_auth,
            "follow_redirects": not settings.no_follow_redirects,
            "max_body_bytes": settings.max_body_bytes,
        }
    try:
        return probe(
            settings.protocol,
            settings.address,
            settings.port,
            check=settings.check,
            timeout=settings.timeout,
            ip_version=settings.ip_version,
            **options,
        )
    except (ValueError, OSError) as exc:
        raise ConfigurationError([describe_failure(exc)]) from exc


def _create_custom_probe(path: str) -> Probe:
    found = import_from_string(path)
    try:
        is_object = not isinstance(found, type) and hasattr(found, "check")
        created = found if is_object else found()
        custom = created if isinstance(created, Probe) else None
        # The name may be computed, by code that raises.
        str(custom and custom.name)
    except (Exception, SystemExit) as exc:
        why = describe_exception(exc)
        raise ConfigurationError(
            [f"{PREFIX}PROBE: {path!r} cannot be created without arguments: {why}"]
        ) from exc
    if custom is None:
        raise ConfigurationError(
            [f"{PREFIX}PROBE: {path!r} is not a probe, with a name and a check()"]
        )
    return custom
