from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pingstate import Monitor, ProbeResult, probe
from pingstate.web.metrics import Metrics
from tests.support import ROOT
from tests.support.client import free_port


def samples(monitor):
    families = list(text_string_to_metric_families(Metrics(monitor).text().decode()))
    assert len({family.name for family in families}) == len(families)
    return {
        (sample.name, *[value for _, value in sorted(sample.labels.items())]): sample.value
        for family in families
        for sample in family.samples
    }


def test_http_check_has_blackbox_exporters_metrics(target):
    monitor = Monitor(probe("http", "127.0.0.1", target.port, check="body_contains:OK"))
    monitor.check_now()
    found = samples(monitor)
    assert found[("probe_success",)] == 1
    assert 0 < found[("probe_duration_seconds",)] < 5
    assert found[("probe_timeout_seconds",)] == 5
    assert found[("probe_http_status_code",)] == 200
    assert found[("probe_http_content_length",)] == 2
    assert found[("probe_http_redirects",)] == 0
    assert found[("probe_http_ssl",)] == 0
    assert found[("probe_http_version",)] == 1.0
    assert found[("probe_ip_protocol",)] == 4
    for phase in ("resolve", "connect", "tls", "processing", "transfer"):
        assert found["probe_http_duration_seconds", phase] >= 0
    assert ("probe_ssl_earliest_cert_expiry",) not in found
    assert found["pingstate_state", "up"] == 1
    assert found["pingstate_state", "down"] == 0
    assert found["pingstate_checks_total", "", "ok"] == 1
    # Labels in the order of their names: from, to.
    moves = {key[1:]: v for key, v in found.items() if key[0] == "pingstate_transitions_total"}
    assert moves == {
        ("unknown", "up"): 1,
        ("unknown", "down"): 0,
        ("up", "degraded"): 0,
        ("degraded", "up"): 0,
        ("degraded", "down"): 0,
        ("down", "up"): 0,
    }
    assert found[("pingstate_stale",)] == 0


def test_tcp_check_has_no_http_metrics(target):
    monitor = Monitor(probe("tcp", "127.0.0.1", target.port))
    monitor.check_now()
    assert not [name for name, *_ in samples(monitor) if name.startswith("probe_http")]


def test_http_check_without_an_answer_has_status_0():
    monitor = Monitor(probe("http", "127.0.0.1", free_port()))
    monitor.check_now()
    found = samples(monitor)
    assert found[("probe_http_status_code",)] == 0
    assert found[("probe_success",)] == 0
    assert ("probe_ip_protocol",) not in found
    assert found["pingstate_checks_total", "connect", "fail"] == 1


def test_stale_success_is_no_success(target, monkeypatch):
    monitor = Monitor(probe("tcp", "127.0.0.1", target.port))
    monitor.check_now()
    monkeypatch.setattr("pingstate.monitor.monitor.now", lambda: 1e12)
    found = samples(monitor)
    assert found[("probe_success",)] == 0
    assert found[("pingstate_stale",)] == 1


def test_before_the_first_check_and_for_a_bare_probe_there_is_what_is_known():
    class Bare:
        name = "bare"

        def check(self):
            return ProbeResult(ok=True)

    monitor = Monitor(Bare())
    found = samples(monitor)
    assert found["pingstate_state", "unknown"] == 1
    assert found[("probe_success",)] == 0
    assert ("pingstate_last_check_timestamp_seconds",) not in found
    monitor.check_now()
    assert samples(monitor)[("probe_success",)] == 1


@pytest.mark.parametrize("protocol", ["tcp", "http"])
def test_scrape_is_as_large_as_the_readme_says(target, protocol):
    series, kilobytes = re.search(
        rf"(\d+) series and (\d+) KB for {protocol.upper()}", (ROOT / "README.md").read_text()
    ).groups()
    monitor = Monitor(probe(protocol, "127.0.0.1", target.port))
    for _ in range(3):
        monitor.check_now()
    text = Metrics(monitor).text()
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    # Each kind of failure that was seen adds one.
    assert int(series) - 2 <= len(lines) <= int(series)
    assert len(text) <= int(kilobytes) * 1024
