"""The image with the environment and the files that the sidecar component gives it in a Pod."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from testcontainers.core.network import Network

from tests.kubernetes.manifests import content, environment, named, put_sidecars
from tests.support.containers import run_to_end, running_server, running_sidecar
from tests.support.waiting import wait_until

ORDERS = b"""
server {
    listen 443 ssl;
    ssl_certificate /etc/nginx/orders.pem;
    ssl_certificate_key /etc/nginx/orders.pem;
    default_type application/json;
    location = /health {
        if ($http_authorization != "Bearer s3cr3t") { return 401; }
        return 200 '{"status": "ok"}';
    }
}
"""

PROBE = """
from pingstate import probe

def orders():
    return probe("http", "orders", 80, timeout=2.0)
"""


def render_sidecar(
    folder: Path, annotations: dict[str, str], config: dict[str, str], secret: dict[str, str]
) -> tuple[dict[str, str], dict[str, bytes]]:
    """The variables and the files of the sidecar of an app with these annotations."""
    named_alike = {"apiVersion": "v1", "metadata": {"name": "pingstate-sidecar"}}
    app = {"name": "app", "image": "example.test/app:1.0"}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [app]}}
    workload: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "labels": {"pingstate/sidecar": "readiness"}},
        "spec": {"template": template},
    }
    objects = put_sidecars(
        folder,
        workload,
        {"kind": "ConfigMap", "data": config, **named_alike},
        {"kind": "Secret", "stringData": secret, **named_alike},
    )
    template = named(objects, "Deployment", "shop")["spec"]["template"]
    (sidecar,) = template["spec"]["initContainers"]
    (mount,) = sidecar["volumeMounts"]
    files: dict[str, bytes] = {}
    for source in template["spec"]["volumes"][0]["projected"]["sources"]:
        ((kind, asked),) = source.items()
        kinds = {"configMap": "ConfigMap", "secret": "Secret"}
        for key, text in content(named(objects, kinds[kind], asked["name"])).items():
            files[f"{mount['mountPath']}/{key}"] = text.encode()
    return environment(objects, template, sidecar), files


def test_annotations_a_certificate_and_a_secret_watch_a_target(
    image: str, server_image: Callable[[str], str], network: Network, tmp_path: Path
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("orders").private_key_and_cert_chain_pem.bytes()
    annotations = {
        "pingstate/protocol": "https",
        "pingstate/address": "orders",
        "pingstate/path": "/health",
        "pingstate/interval": "0.25",
        "pingstate/check": "status:200\njson:/status=ok\n",
        "pingstate/ca-file": "/etc/pingstate/ca.pem",
    }
    variables, files = render_sidecar(
        tmp_path,
        annotations,
        {"ca.pem": authority.cert_pem.bytes().decode(), "PINGSTATE_LOG_FORMAT": "json"},
        {"PINGSTATE_HEADER": "Authorization: Bearer s3cr3t"},
    )
    site = {"/etc/nginx/conf.d/orders.conf": ORDERS, "/etc/nginx/orders.pem": certificate}
    with (
        running_server(server_image("nginx"), network, alias="orders", files=site) as nginx,
        running_sidecar(image, network, variables, files) as sidecar,
    ):
        wait_until(lambda: sidecar.get("/healthz")[0] == 200, what="the target is up")
        assert sidecar.snapshot()["probe"] == "https://orders:443/health"
        nginx.stop()
        wait_until(lambda: sidecar.get("/healthz")[0] == 503, what="the target is down")
        log = sidecar.docker.logs().decode()
        assert all(line.startswith("{") for line in log.splitlines())
        assert "s3cr3t" not in log


def test_a_probe_in_a_config_map_watches_a_target(
    image: str, server_image: Callable[[str], str], network: Network, tmp_path: Path
) -> None:
    config = {
        "PYTHONPATH": "/etc/pingstate",
        "PINGSTATE_PROBE": "watch:orders",
        "watch.py": PROBE,
    }
    annotations = {"pingstate/interval": "0.25"}
    variables, files = render_sidecar(tmp_path, annotations, config, {})
    with (
        running_server(server_image("nginx"), network, alias="orders") as nginx,
        running_sidecar(image, network, variables, files) as sidecar,
    ):
        wait_until(lambda: sidecar.get("/healthz")[0] == 200, what="the target is up")
        assert sidecar.snapshot()["probe"] == "http://orders:80/"
        nginx.stop()
        wait_until(lambda: sidecar.get("/healthz")[0] == 503, what="the target is down")


@pytest.mark.parametrize("annotations", [{}, {"pingstate/port": "5432"}], ids=str)
def test_a_sidecar_without_an_address_ends_with_one_line(
    image: str, tmp_path: Path, annotations: dict[str, str]
) -> None:
    variables, _ = render_sidecar(tmp_path, annotations, {}, {})
    code, out, err = run_to_end(image, environment=variables)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("pingstate: PINGSTATE_ADDRESS: ")
