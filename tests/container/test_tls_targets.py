"""TLS without HTTP, at once and after STARTTLS, against real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import trustme
from docker.models.containers import Container
from testcontainers.core.network import Network

from tests.support.containers import run_to_end, running_server, running_sidecar
from tests.support.waiting import wait_until

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("target")
CLIENT = AUTHORITY.issue_cert("sidecar@client.test")
SERVER_FILES = {
    "/etc/target.pem": CERTIFICATE.private_key_and_cert_chain_pem.bytes(),
    "/etc/authority.pem": AUTHORITY.cert_pem.bytes(),
}
FILES = {
    "/authority.pem": AUTHORITY.cert_pem.bytes(),
    "/stranger.pem": trustme.CA().cert_pem.bytes(),
    "/certificate.pem": CERTIFICATE.cert_chain_pems[0].bytes(),
    "/client.pem": CLIENT.private_key_and_cert_chain_pem.bytes(),
}
REDIS = (
    "redis-server", "--protected-mode", "no", "--port", "0", "--tls-port", "6380", "--bind", "0.0.0.0",
    "--tls-cert-file", "/etc/target.pem", "--tls-key-file", "/etc/target.pem",
    "--tls-ca-cert-file", "/etc/authority.pem", "--tls-auth-clients", "yes",
)  # fmt: skip
# Enables TLS in a running PostgreSQL, which takes a key that no one else may read.
POSTGRES_TLS = """
install -m 600 /etc/target.pem /tmp/target.pem
export PGPASSWORD=secret
for setting in "ssl_cert_file = '/tmp/target.pem'" "ssl_key_file = '/tmp/target.pem'" "ssl = on"; do
    psql -h 127.0.0.1 -U postgres -c "ALTER SYSTEM SET $setting"
done
psql -h 127.0.0.1 -U postgres -c "SELECT pg_reload_conf()"
"""


@dataclass(frozen=True)
class Server:
    """A real server, and by name the settings that a sidecar has of it, all of which are up."""

    role: str
    ways: Mapping[str, Mapping[str, str]]
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None


SERVERS = {
    "redis": Server(
        "redis",
        {
            "handshake": {"PORT": "6380", "CLIENT_CERT": "/client.pem"},
            "ping": {
                "PORT": "6380",
                "CLIENT_CERT": "/client.pem",
                "SEND": r"PING\r\n",
                "CHECK": "banner_contains:+PONG",
            },
        },
        REDIS,
    ),
    "postfix": Server(
        "postfix",
        {
            "smtps": {"PORT": "465", "CHECK": "banner_contains:220 "},
            "smtp": {"STARTTLS": "smtp"},
            "smtp and on": {
                "STARTTLS": "smtp",
                "SEND": r"EHLO sidecar.test\r\n",
                "CHECK": "banner_matches:(?m)^250 ",
            },
        },
    ),
    "dovecot": Server(
        "dovecot",
        {
            "imaps": {"PORT": "993", "CHECK": "banner_contains:* OK"},
            "pop3s": {"PORT": "995", "CHECK": "banner_contains:+OK"},
            "imap": {
                "STARTTLS": "imap",
                "SEND": r"b NOOP\r\n",
                "CHECK": "banner_contains:b OK",
            },
            "pop3": {"STARTTLS": "pop3", "SEND": r"CAPA\r\n", "CHECK": "banner_contains:+OK"},
        },
    ),
    "slapd": Server("slapd", {"ldaps": {"PORT": "636"}, "ldap": {"STARTTLS": "ldap"}}),
    "postgres": Server(
        "postgres", {"sslrequest": {"STARTTLS": "postgres"}}, (), {"POSTGRES_PASSWORD": "secret"}
    ),
}
WAYS = [(role, way) for role, server in SERVERS.items() for way in server.ways]
Probe = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def running(
    network: Network, server_image: Callable[[str], str]
) -> Iterator[Callable[[str], Container]]:
    """Start a server once for all its tests."""
    started: dict[str, Container] = {}
    with ExitStack() as stack:

        def start(role: str) -> Container:
            if role not in started:
                server = SERVERS[role]
                started[role] = stack.enter_context(
                    running_server(
                        server_image(server.role),
                        network,
                        alias=role,
                        environment=server.environment,
                        files=SERVER_FILES,
                        command=server.command,
                    )
                )
            return started[role]

        yield start


def settings(role: str, way: str, **more: str) -> dict[str, str]:
    chosen = {
        "PROTOCOL": "tls",
        "ADDRESS": role,
        "SERVER_NAME": "target",
        "CA_FILE": "/authority.pem",
        "TIMEOUT": "10",
        **SERVERS[role].ways[way],
        **more,
    }
    return {f"PINGSTATE_{name}": value for name, value in chosen.items()}


@pytest.fixture(scope="module")
def probe(image: str, network: Network, running: Callable[[str], Container]) -> Probe:
    """Check once by the image, in one of the ways: the exit code and the line."""

    def once(role: str, way: str, **more: str) -> tuple[int, str]:
        running(role)
        code, out, err = run_to_end(
            image, "--once", environment=settings(role, way, **more), files=FILES, network=network
        )
        assert not err or code == 2, err
        return code, out + err

    return once


def eventually_up(probe: Probe, role: str, way: str) -> str:
    """The line of a check that is up, however long the server takes to come up."""
    last = [(1, "")]

    def is_up() -> bool:
        last[0] = probe(role, way)
        print(last[0])  # for the report of a test that failed
        return last[0][0] == 0

    wait_until(is_up, what=f"{role} {way} is up", every=0.5)
    return last[0][1]


@pytest.fixture(scope="module")
def postgres_with_tls(running: Callable[[str], Container], probe: Probe) -> None:
    server = running("postgres")

    def refuses_plainly() -> bool:
        code, said = probe("postgres", "sslrequest")
        return code == 1 and "offers no TLS, it answered SSLRequest with 'N'" in said

    wait_until(refuses_plainly, what="PostgreSQL without TLS says so", every=0.5)
    # It answers SSLRequest a moment before it takes connections.
    wait_until(
        lambda: server.exec_run(["sh", "-euc", POSTGRES_TLS]).exit_code == 0,
        what="TLS is enabled",
        every=0.5,
    )


@pytest.mark.usefixtures("postgres_with_tls")
@pytest.mark.parametrize(("role", "way"), WAYS)
def test_a_real_server_is_up(probe: Probe, role: str, way: str) -> None:
    assert "tls://" in eventually_up(probe, role, way)


@pytest.mark.usefixtures("postgres_with_tls")
@pytest.mark.parametrize(("role", "way"), WAYS)
def test_a_certificate_by_a_stranger_or_for_another_is_down(
    probe: Probe, role: str, way: str
) -> None:
    eventually_up(probe, role, way)
    for wrong in ({"CA_FILE": "/stranger.pem"}, {"SERVER_NAME": "other.test"}):
        code, said = probe(role, way, **wrong)
        assert code == 1
        assert "the certificate was not accepted" in said
    # What is pinned is the server's own certificate.
    assert probe(role, way, CA_FILE="/certificate.pem")[0] == 0


def test_a_missing_client_certificate_is_told_by_a_check_of_the_handshake(probe: Probe) -> None:
    eventually_up(probe, "redis", "handshake")
    code, said = probe("redis", "handshake", CLIENT_CERT="")
    assert code == 1
    assert "'certificate required'" in said
    assert "PINGSTATE_CLIENT_CERT" in said


@pytest.mark.parametrize(
    ("role", "way", "more", "words"),
    [
        # Postfix greets, or complains of who speaks first.
        ("postfix", "smtps", {"PORT": "25"}, "the target speaks no TLS, it said '"),
        ("dovecot", "imaps", {"PORT": "143"}, "the target speaks no TLS, it said '* OK"),
        ("dovecot", "pop3", {"STARTTLS": "smtp", "PORT": "110"}, "the greeting is no SMTP: '+OK"),
        ("dovecot", "imap", {"STARTTLS": "pop3", "PORT": "143"}, "the greeting is no POP3: '* OK"),
        ("postfix", "smtp", {"STARTTLS": "imap", "PORT": "25"}, "the greeting is no IMAP: '220 "),
        ("postfix", "smtp", {"STARTTLS": "ldap", "PORT": "25"}, "is no LDAP: '"),
        ("postfix", "smtp", {"STARTTLS": "postgres", "PORT": "25"}, "expected 'S'"),
    ],
)
def test_a_server_of_another_protocol_is_quoted(
    probe: Probe, role: str, way: str, more: dict[str, str], words: str
) -> None:
    eventually_up(probe, role, way)
    code, said = probe(role, way, **more)
    assert code == 1
    assert words in said


def test_starttls_with_another_protocol_is_an_error_at_the_start(probe: Probe) -> None:
    code, said = probe("postfix", "smtp", PROTOCOL="tcp")
    assert code == 2
    assert "PINGSTATE_STARTTLS: requires PINGSTATE_PROTOCOL=tls" in said


def test_the_snapshot_and_the_metrics_have_the_certificate(
    image: str, network: Network, running: Callable[[str], Container]
) -> None:
    running("postfix")
    with running_sidecar(image, network, settings("postfix", "smtp"), FILES) as sidecar:
        snapshot = wait_until(
            lambda: (now := sidecar.snapshot())["state"] == "up" and now, what="postfix is up"
        )
        metrics = sidecar.get("/metrics")[1]
    assert snapshot["probe"] == "tls://postfix:25"
    assert snapshot["certificate"]["issuer"].startswith("trustme")
    assert snapshot["last_detail"] == "connected, TLS 1.3"
    assert "probe_ssl_earliest_cert_expiry" in metrics
    assert 'probe_tls_version_info{version="TLS 1.3"} 1.0' in metrics
    assert "probe_http" not in metrics
