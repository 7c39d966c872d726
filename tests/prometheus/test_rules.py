"""The alert rules and the dashboard as they are rendered, judged by promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes import tools
from tests.kubernetes.manifests import Object, of_kind, render

# What /metrics has; `up` is Prometheus' own.
METRICS = {
    "probe_success",
    "probe_duration_seconds",
    "probe_timeout_seconds",
    "probe_http_status_code",
    "probe_http_duration_seconds",
    "probe_http_redirects",
    "probe_http_ssl",
    "probe_http_version",
    "probe_http_content_length",
    "probe_dns_lookup_time_seconds",
    "probe_ip_protocol",
    "probe_failed_due_to_regex",
    "probe_ssl_earliest_cert_expiry",
    "probe_ssl_last_chain_expiry_timestamp_seconds",
    "probe_tls_version_info",
    "pingstate_state",
    "pingstate_checks_total",
    "pingstate_transitions_total",
    "pingstate_last_check_timestamp_seconds",
    "pingstate_stale",
    "pingstate_target_info",
    "pingstate_build_info",
    "up",
}


def promtool(*arguments: str | Path) -> None:
    """Run promtool; what it complains of is the failure's message."""
    command = [tools.promtool(), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def monitoring() -> list[Object]:
    return render("monitoring")


@pytest.fixture(scope="module")
def groups(monitoring: list[Object]) -> Object:
    (rule,) = of_kind(monitoring, "PrometheusRule")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["spec"].keys() == {"groups"}
    return rule["spec"]  # type: ignore[no-any-return]  # a manifest's part is one too


@pytest.fixture(scope="module")
def dashboard(monitoring: list[Object]) -> Any:
    (config_map,) = of_kind(monitoring, "ConfigMap")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    return json.loads(config_map["data"]["pingstate.json"])


def queries(dashboard: Any) -> list[str]:
    """The panels' queries, with values where Grafana puts them."""
    values = {"$namespace": "shop", "$instance": "database:5432"}
    found = []
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in values.items():
                query = query.replace(variable, value)
            found.append(query)
    return found


def metric_names(query: str) -> set[str]:
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"|(by|without) \([^)]*\)|\[\w+\]", " ", query)
    functions = r"\b(sum|min|max|rate|increase|time|absent|and|or|\w+_over_time)\b"
    return set(re.findall(r"[a-z]\w+", re.sub(functions, " ", bare)))


def test_each_trouble_has_its_alert(groups: Object) -> None:
    alerts = {rule["alert"]: rule for group in groups["groups"] for rule in group["rules"]}
    assert alerts.keys() == {
        "PingstateTargetDown",
        "PingstateTargetFlapping",
        "PingstateTargetSlow",
        "PingstateCertificateExpiresSoon",
        "PingstateSidecarStale",
        "PingstateSidecarGone",
    }
    for rule in alerts.values():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_each_alert_fires_on_its_trouble_and_not_beside_it(groups: Object, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups))
    shutil.copy(Path(__file__).with_name("rules_test.yaml"), tmp_path)
    promtool("check", "rules", tmp_path / "rules.yaml")
    promtool("test", "rules", tmp_path / "rules_test.yaml")


@pytest.mark.parametrize(
    ("right", "wrong", "alert"),
    [
        ('state="down"', 'state="up"', "PingstateTargetDown"),
        ("max_over_time(pingstate_stale[10m])", "pingstate_stale", "PingstateSidecarStale"),
    ],
)
def test_promtool_would_have_told(
    groups: Object, tmp_path: Path, right: str, wrong: str, alert: str
) -> None:
    # Else the test above would say nothing: an alert that doesn't fire must fail it.
    text = yaml.safe_dump(groups)
    assert right in text
    (tmp_path / "rules.yaml").write_text(text.replace(right, wrong))
    shutil.copy(Path(__file__).with_name("rules_test.yaml"), tmp_path)
    with pytest.raises(AssertionError, match=alert):
        promtool("test", "rules", tmp_path / "rules_test.yaml")


def test_rules_and_dashboard_ask_for_metrics_that_exist(groups: Object, dashboard: Any) -> None:
    asked = [rule["expr"] for group in groups["groups"] for rule in group["rules"]]
    asked += queries(dashboard)
    assert len(asked) > 10
    for query in asked:
        names = metric_names(query)
        assert names, query
        assert names <= METRICS, query


def test_every_query_of_the_dashboard_is_valid(dashboard: Any, tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:query:{number}", "expr": query}
        for number, query in enumerate(queries(dashboard))
    ]
    path = tmp_path / "dashboard.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", path)


def test_the_dashboards_panels_lie_side_by_side(dashboard: Any) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        covered = {
            (column, row)
            for column in range(at["x"], at["x"] + at["w"])
            for row in range(at["y"], at["y"] + at["h"])
        }
        assert not covered & cells
        assert max(column for column, _ in covered) < 24
        cells |= covered
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
