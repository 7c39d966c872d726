"""A snapshot as Prometheus text: blackbox_exporter's names for the last check, and our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from pingstate import __version__
from pingstate.fsm import STATES

if TYPE_CHECKING:
    from pingstate.monitor import Monitor

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

    def text(self) -> bytes:
        """The metrics of this moment in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The metric families; prometheus_client calls it."""
        account = self._monitor.account()
        result = account.last
        trace = result.trace if result else None
        http = self._monitor.name.startswith(("http://", "https://"))

        # The last check, as blackbox_exporter tells of it. One that is too old succeeds no more.
        fresh = result is not None and result.ok and not account.stale
        yield _gauge("probe_success", "Whether the last check was ok and is not stale", fresh)
        if result is not None and result.latency_ms is not None:
            yield _gauge(
                "probe_duration_seconds", "Time of the last check", result.latency_ms / 1000
            )
        yield _gauge("probe_timeout_seconds", "Time that a check may take", account.timeout)
        if trace is not None:
            yield _gauge(
                "probe_dns_lookup_time_seconds",
                "Time of the last check's name resolution",
                trace.seconds.get("dns", 0.0),
            )
            yield _gauge(
                "probe_ip_protocol", "IP version of the last check, 4 or 6", trace.ip_protocol or 0
            )
        if http and trace is not None:
            yield _gauge(
                "probe_http_status_code", "Status of the final answer, 0 for none", trace.status or 0
            )
            seconds = GaugeMetricFamily(
                "probe_http_duration_seconds",
                "Time of the last check by phase, summed over redirects",
                labels=["phase"],
            )
            sums = dict.fromkeys(_PHASES.values(), 0.0)
            for phase, time in trace.seconds.items():
                if phase in _PHASES:
                    sums[_PHASES[phase]] += time
            for phase, time in sums.items():
                seconds.add_metric([phase], time)
            yield seconds
            yield _gauge("probe_http_redirects", "Redirects that were followed", trace.redirects)
            yield _gauge(
                "probe_http_ssl", "Whether the final answer came over TLS", bool(trace.tls_version)
            )
            yield _gauge(
                "probe_http_version", "HTTP version of the final answer", float(trace.version or 0)
            )
            yield _gauge(
                "probe_http_content_length",
                "Length of the final answer's content, -1 for unknown",
                -1 if trace.content_length is None else trace.content_length,
            )
        if trace is not None and trace.certificate is not None:
            yield _gauge(
                "probe_ssl_earliest_cert_expiry",
                "Unix time at which the presented certificate expires",
                trace.certificate.expires,
            )
        if trace is not None and trace.tls_version:
            version = GaugeMetricFamily(
                "probe_tls_version_info", "TLS version of the last check", labels=["version"]
            )
            version.add_metric([trace.tls_version], 1)
            yield version

        # The verdict, and what led there.
        state = GaugeMetricFamily("pingstate_state", "1 for the state", labels=["state"])
        for word in STATES:
            state.add_metric([word], word == account.state)
        yield state
        checks = CounterMetricFamily(
            "pingstate_checks_total", "Checks by result and phase", labels=["result", "phase"]
        )
        for (event, phase), count in sorted(account.results.items()):
            checks.add_metric([event, phase], count)
        yield checks
        moves = CounterMetricFamily(
            "pingstate_transitions_total", "Changes of state", labels=["from", "to"]
        )
        for (old, new), count in sorted(account.moves.items()):
            moves.add_metric([old, new], count)
        yield moves
        if account.checked_at is not None:
            yield _gauge(
                "pingstate_last_check_timestamp_seconds",
                "Unix time at which the last check ended",
                account.checked_at,
            )
        yield _gauge("pingstate_stale", "Whether the verdict has expired", account.stale)
        build = GaugeMetricFamily("pingstate_build_info", "The version", labels=["version"])
        build.add_metric([__version__], 1)
        yield build


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=float(value))
