from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from pingstate import Monitor, ProbeResult, probe
from pingstate.web.metrics import Metrics
from tests.support import ROOT
from tests.support.client import free_port
from tests.support.servers import https_server


def samples(monitor):
    families = list(text_string_to_metric_families(Metrics(monitor).text()))
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
    assert found[("probe_failed_due_to_regex",)] == 0
    assert found["pingstate_target_info", monitor.name] == 1
    assert not [name for name, *_ in found if "ssl_" in name or "tls_version" in name]


def test_https_check_has_the_certificates_metrics():
    now = datetime.now(timezone.utc)
    root = trustme.CA()
    between = root.create_child_ca()
    leaf = between.issue_cert("127.0.0.1", not_after=now + timedelta(days=400))
    early = between.issue_cert("127.0.0.1", not_after=now + timedelta(days=30))
    with https_server(leaf) as far, https_server(early) as near, TemporaryDirectory() as folder:
        ca = Path(folder, "ca.pem")
        root.cert_pem.write_to_path(str(ca))
        for port, days in ((far, 400), (near, 30)):
            monitor = Monitor(probe("https", "127.0.0.1", port, ca_file=str(ca)))
            assert monitor.check_now().ok
            found = samples(monitor)
            presented = found[("probe_ssl_earliest_cert_expiry",)]
            verified = found[("probe_ssl_last_chain_expiry_timestamp_seconds",)]
            assert (
                presented
                == verified
                == pytest.approx((now + timedelta(days=days)).timestamp(), abs=86400)
            )
            assert found["probe_tls_version_info", "TLS 1.3"] == 1
            assert found[("probe_http_ssl",)] == 1


def test_chain_that_was_not_verified_has_no_expiry_of_a_verified_chain():
    root = trustme.CA()
    with https_server(root.issue_cert("127.0.0.1")) as port:
        for options, ok in (({"verify_tls": False}, True), ({}, False)):
            monitor = Monitor(probe("https", "127.0.0.1", port, **options))
            assert monitor.check_now().ok is ok
            found = samples(monitor)
            assert found[("probe_ssl_earliest_cert_expiry",)] > 0
            assert ("probe_ssl_last_chain_expiry_timestamp_seconds",) not in found


def test_root_that_expires_first_is_the_chains_expiry_though_it_is_not_presented():
    # The peer presents what it has issued for it alone, which outlives its authority.
    root = trustme.CA()
    with (
        https_server(
            root.issue_cert("127.0.0.1", not_after=datetime(3500, 1, 1, tzinfo=timezone.utc))
        ) as port,
        TemporaryDirectory() as folder,
    ):
        ca = Path(folder, "ca.pem")
        root.cert_pem.write_to_path(str(ca))
        monitor = Monitor(probe("https", "127.0.0.1", port, ca_file=str(ca)))
        assert monitor.check_now().ok
        found = samples(monitor)
    assert (
        found[("probe_ssl_earliest_cert_expiry",)]
        == datetime(3500, 1, 1, tzinfo=timezone.utc).timestamp()
    )
    assert (
        found[("probe_ssl_last_chain_expiry_timestamp_seconds",)]
        < datetime(3100, 1, 1, tzinfo=timezone.utc).timestamp()
    )


@pytest.mark.parametrize(
    ("check", "failed"),
    [
        ("body_matches:^nope$", 1),
        ("body_matches:OK", 0),
        ("header_matches:Server=nope", 1),
        ("body_contains:nope", 0),
        ("status:404", 0),
    ],
)
def test_failure_by_a_pattern_is_told_apart(target, check, failed):
    monitor = Monitor(probe("http", "127.0.0.1", target.port, check=check))
    monitor.check_now()
    assert samples(monitor)[("probe_failed_due_to_regex",)] == failed


def test_http_is_what_a_check_spoke_and_not_what_its_name_says(target):
    class Named:
        timeout = 1.0

        def __init__(self, name, inner):
            self.name, self.check = name, inner.check

    for name, protocol, is_http in (
        ("orders", "http", True),
        ("http://looks.like/it", "tcp", False),
    ):
        monitor = Monitor(Named(name, probe(protocol, "127.0.0.1", target.port)))
        monitor.check_now()
        found = samples(monitor)
        assert (("probe_http_status_code",) in found) is is_http
        assert found["pingstate_target_info", name] == 1


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
    assert ("probe_failed_due_to_regex",) not in found
    assert found["pingstate_target_info", "bare"] == 1
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
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    # Each kind of failure that was seen adds one.
    assert int(series) - 2 <= len(lines) <= int(series)
    assert len(text) <= int(kilobytes) * 1024
