"""Each setting, by environment alone, on the built image against a real nginx."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from statistics import median
from typing import Any

import docker
import pytest
import trustme
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.support.containers import (
    SidecarContainer,
    get_health,
    health_log,
    run_to_end,
    running_server,
    running_sidecar,
)
from tests.support.waiting import wait_until

SITE = b"""
server {
    listen 8080 default_server;
    default_type text/plain;
    location = / { return 200 "plain\\n"; }
    location = /posted { if ($request_method != POST) { return 405; } return 200; }
    location = /body {
        if ($http_content_type != "application/json") { return 415; }
        proxy_pass http://127.0.0.1:8080/body/seen;
        proxy_method GET;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_set_header X-Seen "$request_method $http_content_length $request_body";
    }
    location = /body/seen { return 200 "$http_x_seen"; }
    location = /header { if ($http_x_probe != "let me in") { return 403; } return 200; }
    location = /basic {
        auth_basic private;
        auth_basic_user_file /etc/nginx/passwords;
        try_files /index.html =404;
    }
    location = /moved { return 302 /; }
    location = /cookie {
        if ($cookie_seen = "") {
            add_header Set-Cookie "seen=here; Path=/; HttpOnly";
            return 302 $scheme://TARGET:8080/cookie;
        }
        return 200 "$cookie_seen";
    }
    location = /unwell { return 503 '{"status":"DOWN","db":"DOWN"}'; }
    location = /teapot { return 418; }
    location = /json { default_type application/json; return 200 '{"db": {"ready": true}}'; }
    location = /echo/header { return 200 "$http_x_probe"; }
    location = /echo/basic { return 200 "$http_authorization"; }
    location = /echo/query { return 200 "$request_uri"; }
    location = /echo/head { add_header X-Echo "$http_x_probe"; return 200; }
    location = /echo/json {
        default_type application/json;
        return 200 '{"echo": "$http_x_probe $http_authorization $args"}';
    }
    root /usr/share/nginx/html;
}
server {
    listen 8080;
    listen unix:/run/shared/nginx.sock;
    server_name named.test;
    location = /named { return 200; }
}
server {
    listen 8443 ssl;
    ssl_certificate /etc/nginx/target.pem;
    ssl_certificate_key /etc/nginx/target.pem;
    location = / { return 200 "private\\n"; }
}
server {
    listen 9443 ssl;
    ssl_certificate /etc/nginx/target.pem;
    ssl_certificate_key /etc/nginx/target.pem;
    ssl_verify_client on;
    ssl_client_certificate /etc/nginx/authority.pem;
    location = / { return 200 "for clients\\n"; }
}
"""

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()
SERVER = AUTHORITY.issue_cert("server.test").private_key_and_cert_chain_pem.bytes()
CLIENT = AUTHORITY.issue_cert("client@example.org")

FILES = {
    "/authority.pem": AUTHORITY.cert_pem.bytes(),
    "/stranger.pem": STRANGER.cert_pem.bytes(),
    "/client.pem": CLIENT.cert_chain_pems[0].bytes(),
    "/client.key": CLIENT.private_key_pem.bytes(),
    "/password": b"probe:open sesame\n",
    # As editors of another system save it.
    "/password-with-mark": b"\xef\xbb\xbfprobe:open sesame\r\n",
    "/body.json": b'{"ask": "x"}\n',
    "/let-me-in": b"X-Probe: let me in\n",
    "/probes/mine.py": (
        b"def is_plain(answer):\n"
        b"    return answer.body == b'plain\\n', 'mine'\n"
        b"class Mine:\n"
        b"    name = 'mine'\n"
        b"    def check(self):\n"
        b"        from pingstate import ProbeResult\n"
        b"        return ProbeResult(ok=True, latency_ms=1.0, detail='of my own')\n"
    ),
}

SLOW_IMPORT_S = 6.0  # longer than the image's HEALTHCHECK may take

SLOW = (
    f"import time; time.sleep({SLOW_IMPORT_S})\n"
    "class Slow:\n"
    "    name = 'slow'\n"
    "    def check(self):\n"
    "        from pingstate import ProbeResult\n"
    "        return ProbeResult(ok=True)\n"
).encode()

HTTP = {"PINGSTATE_PROTOCOL": "http", "PINGSTATE_ADDRESS": "target", "PINGSTATE_PORT": "8080"}
HTTPS = {
    **HTTP,
    "PINGSTATE_PROTOCOL": "https",
    "PINGSTATE_PORT": "8443",
    "PINGSTATE_CA_FILE": "/authority.pem",
    "PINGSTATE_SERVER_NAME": "server.test",
}
MUTUAL = {
    **HTTPS,
    "PINGSTATE_PORT": "9443",
    "PINGSTATE_CLIENT_CERT": "/client.pem",
    "PINGSTATE_CLIENT_KEY": "/client.key",
}
UNIX = {"PINGSTATE_ADDRESS": "unix:/run/shared/nginx.sock"}
BANNER = {
    **HTTP,
    "PINGSTATE_PROTOCOL": "tcp",
    "PINGSTATE_SEND": r"GET / HTTP/1.0\r\n\r\n",
    "PINGSTATE_CHECK": "banner_matches:^HTTP/1[.][01] 2[0-9]{2} ",
}


def http(path: str = "/", **settings: str) -> dict[str, str]:
    named = {f"PINGSTATE_{name.upper()}": value for name, value in settings.items()}
    return {**HTTP, "PINGSTATE_PATH": path, **named}


def without(settings: dict[str, str], *names: str) -> dict[str, str]:
    return {key: value for key, value in settings.items() if key not in names}


UP = {
    "ip version": http("/", ip_version="4"),
    "method": http("/posted", method="POST"),
    "body": http(
        "/body",
        body='{"ask": "grüße"}',
        header="Content-Type: application/json",
        check='body_contains:POST 18 {"ask": "grüße"}',
    ),
    "body from a file by another method": http(
        "/body",
        body_file="/body.json",
        method="PUT",
        header="Content-Type: application/json",
        check='body_contains:PUT 12 {"ask": "x"}',
    ),
    "header": http("/header", header="X-Probe: let me in"),
    "host header among two": http("/named", header="X-Other: 1\nHost: named.test"),
    "basic auth": http("/basic", basic_auth="probe:open sesame"),
    "basic auth from a file": http("/basic", basic_auth_file="/password"),
    "basic auth from a file with a byte order mark": http(
        "/basic", basic_auth_file="/password-with-mark"
    ),
    "lines of their own": http(
        "/header",
        header="X-Other: 1",
        header_2_file="/let-me-in",
        check_10="status:200-299",
        check_2="not:body_contains:nothing",
    ),
    "empty variables": http("/", method="", header="", basic_auth_file="", ca_file="", check_2=""),
    "protocol in capitals": {**HTTP, "PINGSTATE_PROTOCOL": "HTTP"},
    "redirect followed": http("/moved"),
    "cookie given back": http("/cookie", check="body_contains:here"),
    "redirect judged": http("/moved", no_follow_redirects="true", check="status:302"),
    "status range": http("/teapot", check="status:200-299,418"),
    "body matches": http("/", check="body_matches:^pl[a-z]+n"),
    "json": http("/json", check="json:/db/ready=true"),
    "header check": http("/json", check="header:Content-Type=application/json"),
    "two checks": http("/", check="status:200\nbody_contains:plain"),
    "check of my own": http("/", check="call:mine:is_plain"),
    "probe of my own": {"PINGSTATE_PROBE": "mine:Mine"},
    "private authority": HTTPS,
    "no verification": {
        **without(HTTPS, "PINGSTATE_CA_FILE", "PINGSTATE_SERVER_NAME"),
        "PINGSTATE_NO_VERIFY_TLS": "true",
    },
    "client certificate": MUTUAL,
    "banner matches": BANNER,
    "no more than max body bytes": http("/long", check="body_contains:end", max_body_bytes="80000"),
    "unix socket by tcp": UNIX,
    "unix socket by http": {
        **UNIX,
        "PINGSTATE_PROTOCOL": "http",
        "PINGSTATE_PATH": "/named",
        "PINGSTATE_HEADER": "Host: named.test",
    },
}

# What is down, and a word of the line that says why.
DOWN = {
    "method": (http("/posted"), "405"),
    "ip version": (http("/", ip_version="6"), "target has no IPv6 address"),
    "body": (http("/body", body="x"), "415"),
    "header": (http("/header", header="X-Probe: other"), "403"),
    "basic auth": (http("/basic", basic_auth="probe:wrong"), "401"),
    "unexpected status": (
        http("/unwell"),
        """503, expected a 2xx: '{"status":"DOWN","db":"DOWN"}'""",
    ),
    "redirect judged": (http("/moved", no_follow_redirects="true"), "302"),
    "status range": (http("/teapot", check="status:200-299"), "418"),
    "body matches": (http("/", check="body_matches:^no"), "'^no'"),
    "json": (http("/json", check="json:/db/ready=false"), "/db/ready"),
    "banner matches": ({**BANNER, "PINGSTATE_CHECK": "banner_matches:^SSH-"}, "'^SSH-'"),
    "more than max body bytes": (
        http("/", check="body_contains:plain", max_body_bytes="3"),
        "'plain' is not in the first 3 bytes (PINGSTATE_MAX_BODY_BYTES): 'pla'",
    ),
    "more than max body bytes by default": (http("/long", check="body_contains:end"), "'end'"),
    "header check": (http("/", check="header:Content-Type=text/html"), "Content-Type"),
    "one of two checks": (http("/", check="status:200\nbody_contains:other"), "'other'"),
    "one of two numbered checks": (
        http("/", check="status:200", check_2="body_contains:other"),
        "'other'",
    ),
    "check of my own": (http("/json", check="call:mine:is_plain"), "mine"),
    "unknown authority": ({**HTTPS, "PINGSTATE_CA_FILE": "/stranger.pem"}, "tls"),
    "system's authorities": (without(HTTPS, "PINGSTATE_CA_FILE"), "tls"),
    "another name": ({**HTTPS, "PINGSTATE_SERVER_NAME": "other.test"}, "tls"),
    "no client certificate": (
        without(MUTUAL, "PINGSTATE_CLIENT_CERT", "PINGSTATE_CLIENT_KEY"),
        "400",
    ),
}


@pytest.fixture(scope="module")
def shared_volume() -> Iterator[str]:
    volume = docker.from_env().volumes.create(f"pingstate-test-{uuid.uuid4().hex[:8]}")
    try:
        yield volume.name
    finally:
        volume.remove()


@pytest.fixture(scope="module")
def site(server_image: Callable[[str], str], shared_volume: str) -> Iterator[Network]:
    """A network with the nginx that all of these ask, by the name `target`."""
    files = {
        "/etc/nginx/conf.d/site.conf": SITE,
        "/etc/nginx/target.pem": SERVER,
        "/etc/nginx/authority.pem": AUTHORITY.cert_pem.bytes(),
        "/etc/nginx/passwords": b"probe:{PLAIN}open sesame\n",
        "/usr/share/nginx/html/long": b"x" * 70_000 + b"end",
    }
    with (
        Network() as network,
        running_server(
            server_image("nginx"), network, files=files, volumes={shared_volume: "/run/shared"}
        ) as server,
    ):
        # The last of what nginx sets up is there when it answers.
        wait_until(
            lambda: server.exec_run(["test", "-S", "/run/shared/nginx.sock"]).exit_code == 0,
            what="nginx has its socket",
        )
        yield network


@pytest.fixture
def once(image: str, site: Network, shared_volume: str) -> Callable[..., tuple[int, str]]:
    """Check once, as the environment says; return the exit code and the line."""

    def run(environment: dict[str, str]) -> tuple[int, str]:
        code, out, _ = run_to_end(
            image,
            environment={**environment, "PINGSTATE_ONCE": "true"},
            files=FILES,
            network=site,
            volumes={shared_volume: "/run/shared"},
        )
        (line,) = out.splitlines()
        return code, line

    return run


@pytest.mark.parametrize("settings", UP.values(), ids=UP.keys())
def test_the_target_is_up(once: Callable[..., tuple[int, str]], settings: dict[str, str]) -> None:
    code, line = once(settings)
    assert " is up: " in line
    assert code == 0


@pytest.mark.parametrize(("settings", "reason"), DOWN.values(), ids=DOWN.keys())
def test_the_target_is_down_and_the_line_says_why(
    once: Callable[..., tuple[int, str]], settings: dict[str, str], reason: str
) -> None:
    code, line = once(settings)
    assert " is down: " in line
    assert reason in line
    assert "sesame" not in line
    assert code == 1


def test_wait_ends_with_0_once_the_target_is_up(image: str, site: Network) -> None:
    code, out, _ = run_to_end(image, environment=http(wait="60"), network=site)
    assert code == 0
    assert " is up: " in out


def test_wait_ends_with_124_and_the_reason_when_the_time_is_over(image: str, site: Network) -> None:
    settings = http("/teapot", wait="1", interval="0.2")
    code, out, _ = run_to_end(image, environment=settings, network=site)
    assert code == 124
    assert "418" in out


def test_wait_prints_that_the_target_is_down_and_then_up_when_it_starts_later(
    image: str, server_image: Callable[[str], str], network: Network
) -> None:
    settings = http(port="80", wait="60", interval="0.25", timeout="2")
    waiting = DockerContainer(image).with_envs(**settings).with_network(network)
    with waiting:

        def lines() -> list[str]:
            return waiting.get_logs()[0].decode().splitlines()

        wait_until(lines, what="the target is down")
        with running_server(server_image("nginx"), network):
            code = waiting.wait()
        down, up = lines()
    assert code == 0
    assert "target:80/ is down: " in down
    assert "target:80/ is up: HTTP 200" in up


def test_a_variable_and_its_file_at_once_are_refused(image: str) -> None:
    settings = http(basic_auth="a:b", basic_auth_file="/password")
    code, _, err = run_to_end(image, environment=settings, files=FILES)
    assert code == 2
    (line,) = err.splitlines()
    assert "PINGSTATE_BASIC_AUTH" in line


def test_a_file_that_is_missing_is_named(image: str) -> None:
    code, _, err = run_to_end(image, environment=http(basic_auth_file="/missing"))
    assert code == 2
    (line,) = err.splitlines()
    assert "PINGSTATE_BASIC_AUTH_FILE" in line


def test_a_misspelt_setting_and_a_url_are_named(image: str) -> None:
    settings = {
        "PINGSTATE_ADDRESS": "http://probe:sesame@target:8080/json",
        "PINGSTATE_INTERVALL": "30",
    }
    code, out, err = run_to_end(image, environment=settings)
    assert (code, out) == (2, "")
    url, misspelt = err.splitlines()
    assert url.endswith(
        "; instead set PINGSTATE_PROTOCOL=http PINGSTATE_ADDRESS=target PINGSTATE_PORT=8080 "
        "PINGSTATE_PATH=/json PINGSTATE_BASIC_AUTH=***"
    )
    assert misspelt.endswith(
        "PINGSTATE_INTERVALL: is not a setting; did you mean PINGSTATE_INTERVAL?"
    )
    assert "sesame" not in err


def test_variables_of_the_app_next_door_change_nothing(image: str, site: Network) -> None:
    foreign = {
        "SCRIPT_NAME": "/app",
        "GUNICORN_CMD_ARGS": "--bind 0.0.0.0:9999 --workers 3",
        "WEB_CONCURRENCY": "",
        "FORWARDED_ALLOW_IPS": "garbage",
        "PORT": "9999",
    }
    with running_sidecar(image, site, http() | foreign, {}) as sidecar:
        sidecar.follow("up")
        assert sidecar.get("/healthz") == (200, "up")
        wait_until(lambda: sidecar.health() == "healthy", what="the container is healthy")
        log = sidecar.docker.logs().decode()
    assert log.count(" WARNING ") == 1
    assert "not pingstate's: GUNICORN_CMD_ARGS, SCRIPT_NAME\n" in log


def test_the_configuration_is_printed_without_its_secrets(image: str) -> None:
    settings = http(basic_auth_file="/password", print_config="true")
    code, out, err = run_to_end(image, "--interval", "7", environment=settings, files=FILES)
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert rows["PINGSTATE_BASIC_AUTH"].endswith("***  (PINGSTATE_BASIC_AUTH_FILE)")
    assert rows["PINGSTATE_INTERVAL"].endswith("  7.0  (--interval)")
    assert rows["PINGSTATE_PORT"].endswith("  8080  (PINGSTATE_PORT)")
    assert rows["PINGSTATE_TIMEOUT"].endswith("(default)")
    assert "sesame" not in out


@pytest.fixture
def sidecar(image: str, site: Network) -> Callable[..., AbstractContextManager[SidecarContainer]]:
    """Run a sidecar on the site; its first check has ended when it is there."""
    return lambda **settings: running_sidecar(image, site, http(**settings), {})


def states(snapshot: dict[str, Any]) -> list[str]:
    return [check["state"] for check in snapshot["recent"]]


def enough(sidecar: SidecarContainer, checks: int) -> dict[str, Any]:
    """The first snapshot with at least so many checks."""

    def snapshot() -> dict[str, Any] | None:
        now = sidecar.snapshot()
        return now if len(now["recent"]) >= checks else None

    told: dict[str, Any] = wait_until(snapshot, what=f"{checks} checks")
    return told


def test_slow_leads_to_degraded_which_ready_states_can_admit(
    sidecar: Callable[..., AbstractContextManager[SidecarContainer]],
) -> None:
    with sidecar(slow="0.001", ready_states="up,degraded") as slow:
        assert set(states(enough(slow, 4))[1:]) == {"degraded"}
        assert slow.get("/healthz")[0] == 200
        wait_until(lambda: slow.health() == "healthy", what="the container is healthy")


def test_the_fast_interval_holds_while_the_state_is_not_settled(
    sidecar: Callable[..., AbstractContextManager[SidecarContainer]],
) -> None:
    with sidecar(slow="0.001", interval="3600", fast_interval="0.2") as unsettled:
        enough(unsettled, 5)


def test_the_first_check_comes_at_once(
    sidecar: Callable[..., AbstractContextManager[SidecarContainer]],
) -> None:
    with sidecar(interval="3600") as idle:
        assert states(enough(idle, 1)) == ["up"]


def gaps(sidecar: SidecarContainer, checks: int) -> list[float]:
    """How far each check came from an interval of 0.25 s after the one before it, in seconds."""
    times = [check["ts"] for check in enough(sidecar, checks)["recent"]]
    return [abs(later - earlier - 0.25) for earlier, later in pairwise(times)]


def test_jitter_spreads_the_checks(
    sidecar: Callable[..., AbstractContextManager[SidecarContainer]],
) -> None:
    rhythm = {"interval": "0.25", "history": "60"}
    with sidecar(jitter="0", **rhythm) as steady, sidecar(jitter="1", **rhythm) as spread:
        # By chance alone: half the gaps of a jitter of 1 are off by 0.07 s and more.
        assert median(gaps(spread, 60)) > 0.025
        assert median(gaps(steady, 60)) < 0.025


def test_history_is_how_many_checks_are_kept(
    sidecar: Callable[..., AbstractContextManager[SidecarContainer]],
) -> None:
    with sidecar(history="3") as brief:
        wait_until(lambda: brief.snapshot() and brief.checks >= 6, what="6 checks")
        assert len(brief.snapshot()["recent"]) == 3


def test_the_api_is_on_api_port(image: str, site: Network) -> None:
    with running_sidecar(image, site, http(api_port="9000"), {}, port=9000) as moved:
        moved.follow("up")
        wait_until(lambda: moved.health() == "healthy", what="the container is healthy")


def test_the_api_is_on_api_host_alone(image: str, site: Network) -> None:
    ask = (
        "import sys, urllib.request as request;"
        "print(request.urlopen(f'http://{sys.argv[1]}:8787/livez').status)"
    )
    settings = {**HTTP, "PINGSTATE_API_HOST": "127.0.0.2"}
    with DockerContainer(image).with_envs(**settings).with_network(site) as container:
        docker = container.get_wrapped_container()
        wait_until(lambda: get_health(docker) == "healthy", what="the container is healthy")
        answers = {
            host: container.exec(["python", "-c", ask, host])
            for host in ("127.0.0.2", "127.0.0.1", docker.attrs["Config"]["Hostname"])
        }
    assert [answer.exit_code for answer in answers.values()] == [0, 1, 1]
    assert b"Connection refused" in answers["127.0.0.1"].output


LEAKS = ("hunter2", base64.b64encode(b"probe:hunter").decode())


@pytest.mark.parametrize(
    ("path", "check"),
    [
        ("/echo/header", "body_contains:nobody"),
        ("/echo/basic", "body_matches:nobody"),
        ("/echo/query", "body_contains:nobody"),
        ("/echo/head", "header:X-Echo=nobody"),
        ("/echo/json", "json:/echo=nobody"),
    ],
)
def test_no_secret_is_told_even_if_the_target_says_it_again(
    sidecar: Callable[..., AbstractContextManager[SidecarContainer]],
    once: Callable[..., tuple[int, str]],
    path: str,
    check: str,
) -> None:
    settings = {
        "path": f"{path}?token=hunter2-of-a-query",
        "check": check,
        "header": "X-Probe: Bearer hunter2-of-a-header",
        "basic_auth": "probe:hunter2-of-a-password",
    }
    _, line = once(http(**settings))
    with sidecar(log_level="debug", **settings) as echoing:
        enough(echoing, 3)
        told = {page: echoing.get(page)[1] for page in ("/", "/status", "/state", "/metrics")}
        told["the log"] = echoing.docker.logs().decode()
        told["the health"] = json.dumps(
            wait_until(lambda: health_log(echoing.docker), what="a health check")
        )
    told["the line"] = line
    for place in ("/status", "the log", "the line"):
        assert "'nobody'" in told[place]  # the detail that quotes the target is there
        assert "***" in told[place]
    assert {place for place, text in told.items() if any(leak in text for leak in LEAKS)} == set()


def test_a_probe_that_takes_long_to_import_is_healthy(image: str, site: Network) -> None:
    settings = {"PINGSTATE_PROBE": "slow:Slow"}
    with running_sidecar(image, site, settings, {"/probes/slow.py": SLOW}) as slow:
        wait_until(lambda: slow.health() == "healthy", what="the container is healthy")
        since = health_log(slow.docker)[-1]["Start"]

        def later() -> list[int]:
            log = health_log(slow.docker)
            return [entry["ExitCode"] for entry in log if entry["Start"] > since]

        wait_until(lambda: len(later()) >= 2, what="two more health checks")
        assert set(later()) == {0}
        began = time.monotonic()
        assert slow.container.exec(["pingstate", "healthcheck"]).exit_code == 0
        assert time.monotonic() - began < SLOW_IMPORT_S


def test_healthcheck_of_livez_is_healthy_while_the_target_is_down(
    sidecar: Callable[..., AbstractContextManager[SidecarContainer]],
) -> None:
    with sidecar(path="/teapot", healthcheck="livez") as down:
        wait_until(lambda: down.health() == "healthy", what="the container is healthy")
        assert down.get("/healthz")[0] == 503


def test_logs_are_one_json_object_a_line(
    sidecar: Callable[..., AbstractContextManager[SidecarContainer]],
) -> None:
    with sidecar(path="/teapot", log_format="json") as logging:
        enough(logging, 3)
        lines = [json.loads(line) for line in logging.docker.logs().splitlines()]
    (moved,) = (line for line in lines if line.get("new_state"))
    assert (moved["old_state"], moved["new_state"]) == ("unknown", "down")
    assert "418" in moved["detail"]


def test_the_log_level_keeps_quiet_what_is_below_it(
    sidecar: Callable[..., AbstractContextManager[SidecarContainer]],
) -> None:
    with sidecar(log_level="error") as quiet:
        enough(quiet, 3)
        assert quiet.docker.logs() == b""


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ({"failure_threshold": "1"}, ["up", "down", "up"]),
        ({"failure_threshold": "4", "success_threshold": "3"}, ["up", "degraded", "down", "up"]),
    ],
    ids=["1 failure", "4 failures and 3 successes"],
)
def test_the_thresholds_count_the_checks_in_a_row(
    image: str,
    server_image: Callable[[str], str],
    network: Network,
    thresholds: dict[str, str],
    expected: list[str],
) -> None:
    settings = http(port="80", **thresholds)
    with (
        running_server(server_image("nginx"), network) as server,
        running_sidecar(image, network, settings, {}) as watching,
    ):
        wait_until(lambda: watching.snapshot()["state"] == "up", what="the target is up")
        del watching.states[:-1]
        server.stop()
        down = watching.follow(*expected[: expected.index("down") + 1])
        server.start()
        up = watching.follow("down", "up")
    events = [check["event"] for check in down["recent"]]
    failures = int(thresholds["failure_threshold"])
    assert events[-failures:] == ["fail"] * failures
    assert events[-failures - 1] == "ok"
    successes = int(thresholds.get("success_threshold", "1"))
    events = [check["event"] for check in up["recent"]]
    assert events[-successes:] == ["ok"] * successes
    assert events[-successes - 1] == "fail"
