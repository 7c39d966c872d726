"""A snapshot as Prometheus text: blackbox_exporter's names for the last check, and our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pingstate import __version__
from pingstate.monitor.fsm import STATES

if TYPE_CHECKING:
    from pingstate.monitor.monitor import Monitor
    from pingstate.monitor.stats import Stats
    from pingstate.net.attempt import Trace

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# blackbox_exporter's words for the phases of a check: ours are finer.
_PHASES = {
    "dns": "resolve",
    "connect": "connect",
    "tls": "tls",
    "send": "processing",
    "response": "processing",
    "body": "transfer",
}


class Metrics:
    """What one Monitor exports."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> str:
        """The metrics of this moment in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry).decode()

    def collect(self) -> Iterator[Metric]:
        """The metric families; prometheus_client calls it."""
        stats = self._monitor.stats()
        yield from _last_check(stats)
        trace = stats.last.trace if stats.last else None
        if trace is not None:
            yield from _network(trace)
            if trace.is_http:
                yield from _http(trace)
        yield from _verdict(stats)
        target = {(self._monitor.name,): 1.0}
        yield _labelled("pingstate_target_info", "What is probed", ["target"], target)


def _last_check(stats: Stats) -> Iterator[Metric]:
    result = stats.last
    fresh = result is not None and result.ok and not stats.stale
    yield _gauge("probe_success", "Whether the last check was ok and is not stale", fresh)
    if result is not None and result.latency_ms is not None:
        yield _gauge("probe_duration_seconds", "Time of the last check", result.latency_ms / 1000)
    yield _gauge("probe_timeout_seconds", "Time that a check may take", stats.timeout)


def _network(trace: Trace) -> Iterator[Metric]:
    dns = trace.seconds.get("dns", 0.0)
    yield _gauge("probe_dns_lookup_time_seconds", "Time of the last check's name resolution", dns)
    yield _gauge(
        "probe_failed_due_to_regex",
        "Whether a pattern of the last check decided that it failed",
        trace.failed_due_to_regex,
    )
    if trace.ip_protocol is not None:
        yield _gauge("probe_ip_protocol", "IP version of the last check", trace.ip_protocol)
    if trace.earliest_expiry is not None:
        yield _gauge(
            "probe_ssl_earliest_cert_expiry",
            "Unix time at which the first of the presented certificates expires",
            trace.earliest_expiry,
        )
    if trace.verified_chain_expiry is not None:
        yield _gauge(
            "probe_ssl_last_chain_expiry_timestamp_seconds",
            "Unix time at which the first certificate of the verified chain expires",
            trace.verified_chain_expiry,
        )
    if trace.tls_version:
        versions = {(trace.tls_version,): 1.0}
        yield _labelled("probe_tls_version_info", "TLS version", ["version"], versions)


def _http(trace: Trace) -> Iterator[Metric]:
    status = trace.status or 0
    yield _gauge("probe_http_status_code", "Status of the final answer, 0 for none", status)
    seconds = dict.fromkeys(((phase,) for phase in _PHASES.values()), 0.0)
    for phase, spent in trace.seconds.items():
        if phase in _PHASES:
            seconds[(_PHASES[phase],)] += spent
    yield _labelled(
        "probe_http_duration_seconds",
        "Time of the last check by phase, summed over redirects",
        ["phase"],
        seconds,
    )
    yield _gauge("probe_http_redirects", "Redirects that were followed", trace.redirects)
    yield _gauge("probe_http_ssl", "Whether the answer came over TLS", bool(trace.tls_version))
    version = float(trace.version or 0)
    yield _gauge("probe_http_version", "HTTP version of the final answer", version)
    length = -1 if trace.content_length is None else trace.content_length
    yield _gauge("probe_http_content_length", "Length of the content, -1 for unknown", length)


def _verdict(stats: Stats) -> Iterator[Metric]:
    states = {(word,): float(word == stats.state) for word in STATES}
    yield _labelled("pingstate_state", "1 for the state", ["state"], states)
    checks = CounterMetricFamily(
        "pingstate_checks_total", "Checks by result and phase", labels=["result", "phase"]
    )
    for labels, count in sorted(stats.results.items()):
        checks.add_metric(labels, count)
    yield checks
    transitions = CounterMetricFamily(
        "pingstate_transitions_total", "Changes of state", labels=["from", "to"]
    )
    for labels, count in sorted(stats.transitions.items()):
        transitions.add_metric(labels, count)
    yield transitions
    if stats.checked_at is not None:
        yield _gauge(
            "pingstate_last_check_timestamp_seconds",
            "Unix time at which the last check ended",
            stats.checked_at,
        )
    yield _gauge("pingstate_stale", "Whether the verdict has expired", stats.stale)
    yield _labelled("pingstate_build_info", "The version", ["version"], {(__version__,): 1.0})


def _labelled(
    name: str, documentation: str, labels: list[str], values: Mapping[tuple[str], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for chosen, value in values.items():
        family.add_metric(chosen, value)
    return family


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=float(value))
