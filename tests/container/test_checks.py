"""What a check can say, by environment alone, on the built image against nginx and Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import trustme
from testcontainers.core.network import Network

from tests.support.containers import run_to_end, running_server

SITE = """
server {
    listen 8080 default_server;
    default_type text/plain;
    location = / { return 200 "plain\\n"; }
    location = /json {
        default_type application/json;
        return 200 '{"queue": {"depth": 7}, "version": "2.10.1", "warnings": []}';
    }
    location = /lines { add_header X-Line one; add_header X-Line two; return 200; }
    location = /busy { add_header Retry-After 60 always; return 503 "maintenance\\n"; }
    location = /latin {
        default_type "text/plain; charset=iso-8859-1";
        return 200 "prêt";
    }
    root /usr/share/nginx/html;
}
server {
    listen 8443 ssl;
    ssl_certificate /etc/nginx/target.pem;
    ssl_certificate_key /etc/nginx/target.pem;
    location = / { return 302 /final; }
    location = /final { return 200; }
}
# Accepts, and closes what says nothing for a second: as a proxy whose back end is gone.
server {
    listen 9080;
    client_header_timeout 1s;
}
""".encode("latin-1")

AUTHORITY = trustme.CA()
SERVER = AUTHORITY.issue_cert("nginx", common_name="nginx").private_key_and_cert_chain_pem.bytes()
FILES = {
    "/authority.pem": AUTHORITY.cert_pem.bytes(),
    "/probes/mine.py": (
        b"def says(answer):\n"
        b"    return True, f'{answer.url} {answer.version} {answer.certificate.subject}'\n"
        b"def refuses(answer):\n"
        b"    return False, 'replica 2 of 3'\n"
    ),
}


def http(path: str, check: str) -> dict[str, str]:
    return {
        "PINGSTATE_PROTOCOL": "http",
        "PINGSTATE_ADDRESS": "nginx",
        "PINGSTATE_PORT": "8080",
        "PINGSTATE_PATH": path,
        "PINGSTATE_CHECK": check,
    }


def tcp(check: str, *, send: str = "", address: str = "redis", port: int = 6379) -> dict[str, str]:
    given = {"PINGSTATE_SEND": send} if send else {}
    return {
        **given,
        "PINGSTATE_ADDRESS": address,
        "PINGSTATE_PORT": str(port),
        "PINGSTATE_TIMEOUT": "4",
        "PINGSTATE_CHECK": check,
    }


PING = r"PING\r\n"
CALL = {
    **http("/", "call:mine:says"),
    "PINGSTATE_PROTOCOL": "https",
    "PINGSTATE_PORT": "8443",
    "PINGSTATE_CA_FILE": "/authority.pem",
}

# What is up, and a part of the line that says so.
UP = {
    "json numbers": (http("/json", "json:/queue/depth<8\njson:/queue/depth>=7\njson:/queue/depth!=0"), "'7'"),
    "json is there": (http("/json", "json:/warnings\nnot:json:/errors"), "no '/errors'"),
    "json pattern": (http("/json", r"json_matches:/version=^2[.]\d+"), "2.10.1"),
    "header is there": (http("/lines", "header:X-Line\nnot:header:X-Maintenance"), "no header X-Maintenance"),
    "a line of a header": (http("/lines", "header:X-Line=two"), "X-Line is"),
    "header pattern": (http("/json", "header_matches:Content-Type=^application/json"), "Content-Type"),
    "another status": (http("/busy", "not:status:500\nheader:Retry-After=60"), "HTTP 503"),
    "no such text": (http("/", "not:body_contains:maintenance"), "'plain"),
    "charset": (http("/latin", "body_contains:prêt\nbody_matches:^pr.t$"), "matched"),
    "callable": (CALL, "is up: https://nginx:8443/final 1.1 nginx ("),
    "open": (tcp("open:0.5"), "open for 0.5 s"),
    "open for a while": (tcp("open:0.3", address="nginx", port=9080), "open for 0.3 s"),
    "not in the banner": (tcp("banner_contains:+PONG\nnot:banner_contains:-LOADING", send=PING), "so far"),
    "not in the banner alone": (tcp("not:banner_contains:-LOADING", send=PING), "'+PONG"),
    "not at the start of the banner": (tcp("not:banner_matches:^-", send=PING), "'+PONG"),
    "bytes in the banner": (tcp(r"not:banner_matches:\x84", send=PING), "'+PONG"),
}  # fmt: skip

# What is down, and a part of the line that says why.
DOWN = {
    "json numbers": (http("/json", "json:/queue/depth>7"), "/queue/depth is '7', expected > '7'"),
    "json text as a number": (http("/json", "json:/version>1"), "expected a number"),
    "json is there": (http("/json", "not:json:/warnings"), "expected not:json:/warnings"),
    "no json": (http("/", "not:json:/errors"), "the body is not JSON"),
    "header pattern": (http("/lines", "header_matches:X-Line=^three"), "expected a match of '^three'"),
    "header is there": (http("/lines", "not:header:X-Line"), "expected not:header:X-Line"),
    "another status": (http("/busy", "not:status:503"), "HTTP 503, expected not:status:503"),
    "absent in a part": (
        {**http("/long", "not:body_contains:end"), "PINGSTATE_MAX_BODY_BYTES": "1000"},
        "in the first 1000 bytes (PINGSTATE_MAX_BODY_BYTES)",
    ),
    "callable": (http("/", "call:mine:refuses"), "is down: replica 2 of 3 ("),
    "closes": (tcp("open:3", address="nginx", port=9080), "expected open for 3 s"),
    "pattern that can not match": (tcp(r"banner_matches:^\+", send=r"NOSUCH\r\n"), "check: '^\\+' matches nothing"),
    "unwanted in the banner": (tcp("not:banner_contains:-ERR", send=r"NOSUCH\r\n"), "found '-ERR'"),
}  # fmt: skip


@pytest.fixture(scope="module")
def servers(image: str, server_image: Callable[[str], str]) -> Iterator[Network]:
    """A network with an nginx and a Redis, by these names, that answer."""
    files = {
        "/etc/nginx/conf.d/site.conf": SITE,
        "/etc/nginx/target.pem": SERVER,
        "/usr/share/nginx/html/long": b"x" * 70_000 + b"end",
    }
    with (
        Network() as network,
        running_server(server_image("nginx"), network, alias="nginx", files=files),
        running_server(server_image("redis"), network, alias="redis"),
    ):
        for settings in (http("/", "status:200"), tcp("banner_contains:+PONG", send=PING)):
            waiting = {**settings, "PINGSTATE_WAIT": "60"}
            code, out, err = run_to_end(image, environment=waiting, network=network)
            assert code == 0, out + err
        yield network


@pytest.fixture
def once(image: str, servers: Network) -> Callable[[dict[str, str]], tuple[int, str]]:
    """Check once, as the environment says; return the exit code and the line."""

    def run(environment: dict[str, str]) -> tuple[int, str]:
        code, out, err = run_to_end(
            image,
            environment={**environment, "PINGSTATE_ONCE": "true"},
            files=FILES,
            network=servers,
        )
        assert out, err
        (line,) = out.splitlines()
        return code, line

    return run


@pytest.mark.parametrize(("settings", "says"), UP.values(), ids=UP.keys())
def test_check_holds(
    once: Callable[[dict[str, str]], tuple[int, str]], settings: dict[str, str], says: str
) -> None:
    code, line = once(settings)
    assert " is up: " in line
    assert says in line
    assert code == 0


@pytest.mark.parametrize(("settings", "says"), DOWN.values(), ids=DOWN.keys())
def test_check_does_not_hold_and_the_line_says_why(
    once: Callable[[dict[str, str]], tuple[int, str]], settings: dict[str, str], says: str
) -> None:
    code, line = once(settings)
    assert " is down: " in line
    assert says in line
    assert "timeout" not in line
    assert code == 1


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (http("/", "json:/n=>5"), "PINGSTATE_CHECK: 'json:/n=>5' has no operator '=>'"),
        (http("/", "body_contain:x"), "did you mean 'body_contains:x'?"),
        (tcp("open:4"), "PINGSTATE_CHECK: 'open:4' is not shorter than the timeout of 4 s"),
    ],
)
def test_check_that_can_not_be_ends_with_2_and_one_line(
    image: str, settings: dict[str, str], line: str
) -> None:
    code, out, err = run_to_end(image, environment=settings)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert line in err
