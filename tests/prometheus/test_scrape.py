"""/metrics as a real Prometheus reads it: scraped from a running pingstate, asked by its API."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import trustme
from testcontainers.core.network import Network

from tests.kubernetes import tools
from tests.prometheus.test_rules import METRICS
from tests.support.client import free_port
from tests.support.containers import API_PORT, running_sidecar
from tests.support.servers import https_server
from tests.support.waiting import wait_until

SECONDS = 60.0
ONLY_OF_HTTP = {name for name in METRICS if name.startswith("probe_http_")}
ONLY_OF_TLS = {
    "probe_ssl_earliest_cert_expiry",
    "probe_ssl_last_chain_expiry_timestamp_seconds",
    "probe_tls_version_info",
}


def fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        # It holds the connection: a Prometheus that is starting says 503.
        error.close()
        raise


@contextmanager
def process(name: str, folder: Path, *command: str | Path, **env: str) -> Iterator[None]:
    """Run a program, its output in a file that is shown when the block fails."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], **env},
            stdout=output,
            stderr=output,
        )
    try:
        yield
    except BaseException:
        print(f"--- {name}", log.read_text(errors="replace"), sep="\n")
        raise
    finally:
        running.terminate()
        running.wait(30)


@contextmanager
def pingstate(folder: Path, settings: Mapping[str, str]) -> Iterator[int]:
    """A pingstate with these settings, up: the port of its API."""
    port = free_port()
    command = (sys.executable, "-m", "pingstate")
    api = {"PINGSTATE_API_PORT": str(port), "PINGSTATE_INTERVAL": "0.5"}
    with process("pingstate", folder, *command, **api, **settings):
        wait_until(
            lambda: fetch(f"http://127.0.0.1:{port}/state").strip() == b"up",
            ignore=OSError,
            what="up",
        )
        yield port


class Prometheus:
    """A running server that scrapes one target."""

    def __init__(self, url: str) -> None:
        self._url = url

    def api(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        return json.loads(fetch(f"{self._url}/api/v1/{path}?{query}"))["data"]

    def value(self, query: str) -> float | None:
        """The one sample that the query finds, or None."""
        found = self.api("query", query=query)["result"]
        return float(found[0]["value"][1]) if len(found) == 1 else None


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """A Prometheus that has scraped the API at this host:port twice at least."""
    port = free_port()
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "pingstate", "static_configs": [{"targets": [target]}]}],
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    command = (
        tools.prometheus(),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with process("prometheus", folder, *command):
        server = Prometheus(f"http://127.0.0.1:{port}")
        scrapes = 'count_over_time(up{job="pingstate"}[1m])'
        wait_until(lambda: (server.value(scrapes) or 0) >= 2, ignore=OSError, what="two scrapes")
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scrape")


@pytest.fixture(scope="module")
def of_https(folder: Path) -> Iterator[tuple[int, Prometheus]]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    with https_server(authority.issue_cert("127.0.0.1")) as target:
        settings = {
            "PINGSTATE_PROTOCOL": "https",
            "PINGSTATE_ADDRESS": "127.0.0.1",
            "PINGSTATE_PORT": str(target),
            "PINGSTATE_CA_FILE": str(folder / "ca.pem"),
            "PINGSTATE_TIMEOUT": "4",
        }
        with (
            pingstate(folder, settings) as port,
            prometheus(folder, f"127.0.0.1:{port}") as server,
        ):
            yield port, server


@pytest.fixture(scope="module")
def of_tcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The exposition of a TCP probe."""
    with socket.create_server(("127.0.0.1", 0)) as target:
        settings = {
            "PINGSTATE_ADDRESS": "127.0.0.1",
            "PINGSTATE_PORT": str(target.getsockname()[1]),
        }
        with pingstate(tmp_path_factory.mktemp("tcp"), settings) as port:
            yield fetch(f"http://127.0.0.1:{port}/metrics").decode()


def names_in(exposition: str) -> set[str]:
    lines = [line for line in exposition.splitlines() if line and not line.startswith("#")]
    return {line.replace("{", " ").split()[0] for line in lines}


def test_promtool_finds_nothing_to_say(of_https: tuple[int, Prometheus]) -> None:
    port, _ = of_https
    command = [tools.promtool(), "check", "metrics"]
    exposition = fetch(f"http://127.0.0.1:{port}/metrics")
    result = subprocess.run(command, input=exposition, capture_output=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_prometheus_scrapes_without_an_error(of_https: tuple[int, Prometheus]) -> None:
    _, server = of_https
    (target,) = server.api("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_an_https_probe_has_every_metric_and_no_other(of_https: tuple[int, Prometheus]) -> None:
    _, server = of_https
    found = set(server.api("label/__name__/values"))
    assert {name for name in found if not name.startswith("scrape_")} == METRICS


def test_a_tcp_probe_has_none_of_http_and_tls(of_tcp: str) -> None:
    assert names_in(of_tcp) == METRICS - ONLY_OF_HTTP - ONLY_OF_TLS - {"up"}


def test_the_last_check_reads_as_blackbox_exporter_would_have_it(
    of_https: tuple[int, Prometheus],
) -> None:
    _, server = of_https
    exact = {
        "probe_success": 1,
        "probe_timeout_seconds": 4,
        "probe_http_status_code": 200,
        "probe_http_redirects": 0,
        "probe_http_ssl": 1,
        "probe_http_version": 1.1,
        "probe_http_content_length": 2,
        "probe_ip_protocol": 4,
        'probe_tls_version_info{version="TLS 1.3"}': 1,
        'pingstate_state{state="up"}': 1,
        'pingstate_state{state="down"}': 0,
        "pingstate_stale": 0,
        "count(pingstate_state)": 4,
        "count(probe_http_duration_seconds)": 5,
    }
    assert {query: server.value(query) for query in exact} == exact


def test_the_phases_add_up_to_less_than_the_whole_check(
    of_https: tuple[int, Prometheus],
) -> None:
    _, server = of_https
    phases = server.api("query", query="probe_http_duration_seconds")["result"]
    names = {sample["metric"]["phase"] for sample in phases}
    assert names == {"resolve", "connect", "tls", "processing", "transfer"}
    together = server.value("sum(probe_http_duration_seconds)")
    whole = server.value("sum(probe_duration_seconds)")
    assert together is not None
    assert whole is not None
    # Both are of one scrape; rounding may differ.
    assert 0 < together <= whole + 0.001


def test_counters_count(of_https: tuple[int, Prometheus]) -> None:
    _, server = of_https
    first = server.value('sum(pingstate_checks_total{result="ok"})')
    assert first is not None
    wait_until(
        lambda: (server.value('sum(pingstate_checks_total{result="ok"})') or 0) > first,
        ignore=OSError,
        what="more checks than before",
    )
    assert server.value('pingstate_transitions_total{from="unknown",to="up"}') == 1


def test_times_are_seconds_since_the_epoch(of_https: tuple[int, Prometheus]) -> None:
    _, server = of_https
    age = server.value("time() - pingstate_last_check_timestamp_seconds")
    assert age is not None
    assert -1 < age < SECONDS
    left = server.value("probe_ssl_earliest_cert_expiry - time()")
    assert left is not None
    assert left > 86400


@pytest.mark.container
@pytest.mark.timeout(900)  # the first to need the image builds it
def test_prometheus_scrapes_the_container(image: str, network: Network, tmp_path: Path) -> None:
    # Its target is itself: one that is there, and is no other container.
    settings = {
        "PINGSTATE_PROTOCOL": "http",
        "PINGSTATE_ADDRESS": "127.0.0.1",
        "PINGSTATE_PORT": str(API_PORT),
        "PINGSTATE_PATH": "/livez",
    }
    with running_sidecar(image, network, settings, {}) as sidecar:
        host = sidecar.container.get_container_host_ip()
        port = sidecar.container.get_exposed_port(API_PORT)
        with prometheus(tmp_path, f"{host}:{port}") as server:
            wait_until(
                lambda: server.value("probe_success") == 1,
                ignore=OSError,
                what="a check that succeeded",
            )
            version = metadata.version("pingstate")
            assert server.value(f'pingstate_build_info{{version="{version}"}}') == 1
            found = set(server.api("label/__name__/values"))
    assert {name for name in found if not name.startswith("scrape_")} == METRICS - ONLY_OF_TLS
