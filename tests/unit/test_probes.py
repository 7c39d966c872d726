from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from pingstate import HTTPProbe, Probe, ProbeResult, TCPProbe, probe
from pingstate.net.certificate import read_certificate
from tests.conftest import LONG, free_port


@contextlib.contextmanager
def talker(talk, family=socket.AF_INET, address=("127.0.0.1", 0)):
    """A server that gives each connection to `talk`."""
    server = socket.socket(family)
    server.bind(address)
    server.listen()
    stop = threading.Event()

    def run():
        while not stop.is_set():
            try:
                sock, _ = server.accept()
            except OSError:
                return
            if stop.is_set():
                sock.close()
                return
            with sock, contextlib.suppress(OSError):
                talk(sock)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server.getsockname()
    finally:
        stop.set()
        with socket.socket(family) as last, contextlib.suppress(OSError):
            last.connect(server.getsockname())
        thread.join(LONG)
        server.close()


def http(target, **options):
    return probe("http", "127.0.0.1", target.port, timeout=5, **options)


# -- the shape -----------------------------------------------------------------------------------


def test_probes_are_probes():
    for protocol in ("tcp", "http", "https"):
        assert isinstance(probe(protocol, "127.0.0.1", 1), Probe)


def test_defaults_are_the_seeds():
    tcp, http_, https = (probe(protocol, "127.0.0.1") for protocol in ("tcp", "http", "https"))
    assert isinstance(tcp, TCPProbe)
    assert isinstance(http_, HTTPProbe)
    assert (tcp.port, http_.port, https.port) == (443, 80, 443)
    assert (tcp.timeout, http_.timeout, https.timeout) == (2.0, 5.0, 5.0)
    assert https.name == "https://127.0.0.1:443/"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("udp", "127.0.0.1", 1), {}),
        (("tcp", "", 1), {}),
        (("tcp", "http://127.0.0.1", 1), {}),
        (("tcp", "127.0.0.1:80", 1), {}),
        (("tcp", "127.0.0.1/x?", 1), {}),
        (("tcp", "a b", 1), {}),
        (("tcp", "user:pw@host", 1), {}),
        (("tcp", "unix:relative", 1), {}),
        (("tcp", "x" * 64, 1), {}),
        (("tcp", "127.0.0.1", 0), {}),
        (("tcp", "127.0.0.1", 65536), {}),
        (("tcp", "127.0.0.1", True), {}),
        (("tcp", "127.0.0.1", 1), {"timeout": 0}),
        (("tcp", "127.0.0.1", 1), {"timeout": float("nan")}),
        (("tcp", "127.0.0.1", 1), {"check": "status:200"}),
        (("http", "127.0.0.1", 1), {"check": "banner_contains:x"}),
        (("http", "127.0.0.1", 1), {"check": "status:abc"}),
        (("http", "127.0.0.1", 1), {"check": 7}),
        (("http", "127.0.0.1", 1), {"check": [7]}),
        (("http", "127.0.0.1", 1), {"path": "healthz"}),
        (("http", "127.0.0.1", 1), {"path": "/a b"}),
        (("http", "127.0.0.1", 1), {"path": "/\r\nX: y"}),
        (("http", "127.0.0.1", 1), {"method": "GE T"}),
        (("http", "127.0.0.1", 1), {"headers": {"a b": "c"}}),
        (("http", "127.0.0.1", 1), {"headers": {"a": "c\r\nd: e"}}),
    ],
)
def test_what_cannot_be_probed_is_an_error_when_the_probe_is_built(arguments, options):
    with pytest.raises((ValueError, TypeError)):
        probe(*arguments, **options)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("::1", "tcp://[::1]:7"),
        ("[::1]", "tcp://[::1]:7"),
        ("db_1", "tcp://db_1:7"),
        ("bücher.example", "tcp://xn--bcher-kva.example:7"),
        ("example.com.", "tcp://example.com.:7"),
        ("unix:/run/x.sock", "tcp://unix:/run/x.sock"),
    ],
)
def test_address_forms(address, name):
    assert probe("tcp", address, 7).name == name


# -- tcp -----------------------------------------------------------------------------------------


def test_connect_is_ok_and_refused_is_connect():
    with talker(lambda _: None) as (host, port):
        result = probe("tcp", host, port).check()
        assert result.ok
        assert result.detail == "connected"
        assert result.phase is None
        assert result.latency_ms > 0
    result = probe("tcp", host, port).check()
    assert not result.ok
    assert result.phase == "connect"
    assert result.detail == "connect: connection refused"


def test_ipv6_literal_is_probed():
    with talker(lambda _: None, socket.AF_INET6, ("::1", 0)) as (host, port, *_):
        result = probe("tcp", host, port).check()
        assert result.ok
        assert result.trace.ip_protocol == 6


def test_banner_in_pieces_is_read_whole():
    def pieces(sock):
        for piece in (b"SS", b"H-2", b".0-x\r\n"):
            sock.sendall(piece)
            time.sleep(0.05)

    with talker(pieces) as (host, port):
        assert probe("tcp", host, port, check="banner_contains:SSH-2.0").check().ok


def test_banner_without_the_text_says_what_it_was():
    with talker(lambda sock: sock.sendall(b"220 mail\r\n\x1b[2J")) as (host, port):
        result = probe("tcp", host, port, check="banner_contains:SSH-").check()
    assert not result.ok
    assert result.phase == "check"
    assert "220 mail" in result.detail
    assert "\x1b" not in result.detail


def test_send_goes_before_the_banner():
    def redis(sock):
        if sock.recv(100) == b"PING\r\n":
            sock.sendall(b"+PONG\r\n")

    with talker(redis) as (host, port):
        options = {"check": ["banner_contains:+PONG", r"banner_matches:^\+P.NG"]}
        assert probe("tcp", host, port, send=b"PING\r\n", **options).check().ok


def test_callable_gets_the_open_socket_and_its_words_are_the_detail():
    def is_ssh(sock):
        sock.settimeout(1.0)
        banner = sock.recv(64)
        return banner.startswith(b"SSH-"), banner.decode()

    with talker(lambda sock: sock.sendall(b"SSH-2.0-x")) as (host, port):
        assert probe("tcp", host, port, check=is_ssh).check().detail == "SSH-2.0-x"


def test_callable_can_not_outlive_the_deadline():
    def patient(sock):
        sock.settimeout(None)
        sock.recv(1)

    def roundabout(sock):
        sock.settimeout(None)
        sock.recvfrom(1)

    for check in (patient, roundabout, lambda sock: sock.makefile().readline()):
        hold = threading.Event()
        with talker(lambda _, hold=hold: hold.wait(LONG)) as (host, port):
            result = probe("tcp", host, port, check=check, timeout=0.3).check()
            hold.set()
        assert result.phase == "timeout"
        assert result.timeout_phase == "check"
        assert result.latency_ms < 1500


def test_unix_socket(tmp_path):
    path = str(tmp_path / "target.sock")
    with talker(lambda _: None, socket.AF_UNIX, path):
        assert probe("tcp", f"unix:{path}").check().ok
    assert probe("tcp", f"unix:{tmp_path}/none").check().phase == "connect"


# -- http ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "ok"), [(200, True), (204, True), (299, True), (304, False), (404, False), (503, False)])  # fmt: skip
def test_any_2xx_is_up_by_default(target, status, ok):
    target.status, target.body = status, b""
    result = http(target).check()
    assert result.ok is ok
    assert f"HTTP {status}" in result.detail
    assert result.phase == (None if ok else "check")


def test_all_conditions_must_hold(target):
    target.body = b'{"ready": true}'
    target.headers["X-Role"] = "primary"
    checks = ["json:/ready=true", "header:x-role=primary", "body_matches:r..dy"]
    assert http(target, check=checks).check().ok
    assert not http(target, check=[*checks, "body_contains:nope"]).check().ok
    target.status = 500
    assert not http(target, check=checks).check().ok
    assert http(target, check=[*checks, "status:500"]).check().ok


def test_callable_gets_the_snapshot(target):
    seen = []

    def judge(response):
        seen.append(response)
        return response.status == 503 and b"maint" in response.body, "as planned"

    target.status, target.body = 503, "maint é".encode()
    target.headers["Content-Type"] = "text/plain; charset=utf-8"
    result = http(target, check=judge).check()
    assert result.ok
    assert result.detail == "as planned"
    assert seen[0].text == "maint é"
    assert seen[0].headers["content-type"] == "text/plain; charset=utf-8"
    assert seen[0].elapsed_ms > 0


def test_body_is_cut_at_the_cap(target):
    target.body = b"x" * 300_000
    sizes = []
    http(target, check=lambda r: sizes.append(len(r.body))).check()
    http(target, check=lambda r: sizes.append(len(r.body)), max_body_bytes=1000).check()
    assert sizes == [65536, 1000]


def test_request_is_what_was_asked_for(target):
    made = http(
        target,
        path="/a/../b%zz?q=1&é",
        method="post",
        headers=[("Host", "virtual.example"), ("X-One", "é"), ("User-Agent", "me")],
        basic_auth=("user", "pass:word"),
    )
    assert made.check().ok
    method, path, headers = target.requests[0]
    assert (method, path) == ("POST", "/a/../b%25zz?q=1&%C3%A9")
    assert headers["Host"] == "virtual.example"
    assert headers["X-One"].encode("latin-1").decode() == "é"
    assert headers["User-Agent"] == "me"
    assert headers["Authorization"] == "Basic dXNlcjpwYXNzOndvcmQ="
    assert headers["Accept-Encoding"] == "identity"
    assert "pass" not in made.name
    assert "q=1" not in made.name


def test_redirects_are_followed_unless_told_otherwise(target):
    target.status, target.headers["Location"] = 302, "/elsewhere"
    result = http(target).check()
    assert not result.ok
    assert result.detail == "response: more than 10 redirects"
    assert len(target.requests) == 11
    assert http(target, follow_redirects=False, check="status:302").check().ok
    assert http(target, check="status:302").check().ok
    assert not http(target, follow_redirects=False).check().ok


def test_redirect_to_another_origin_takes_no_secrets_along(target):
    got = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            got.append(dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        target.status = 302
        target.headers["Location"] = f"http://localhost:{other.server_port}/x"
        result = http(target, headers={"X-Token": "s3cret"}, basic_auth=("u", "p")).check()
        other.shutdown()
        thread.join()
    assert result.ok
    assert result.trace.redirects == 1
    assert not {"X-Token", "Authorization"} & set(got[0])
    assert got[0]["Host"] == f"localhost:{other.server_port}"


def test_redirect_to_the_same_origin_keeps_them(target):
    target.status, target.headers["Location"] = 307, "next"
    http(target, headers={"X-Token": "s3cret"}, method="POST").check()
    assert {m for m, _, _ in target.requests} == {"POST"}
    assert {h["X-Token"] for _, _, h in target.requests} == {"s3cret"}


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "//", "http://[", "http://a b/", "http://127.0.0.1:99999/", "http://127.0.0.1:0/"])  # fmt: skip
def test_redirect_to_nowhere_is_a_fail_of_the_response(target, location):
    target.status, target.headers["Location"] = 302, location
    result = http(target).check()
    assert not result.ok
    assert result.phase == "response"


def test_http_over_a_unix_socket(tmp_path):
    def answer(sock):
        assert sock.recv(1000).startswith(b"GET /x HTTP/1.1\r\nHost: localhost\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    path = str(tmp_path / "target.sock")
    with talker(answer, socket.AF_UNIX, path):
        made = probe("http", f"unix:{path}", path="/x", check="body_contains:OK")
        assert made.check().ok
        assert made.name == f"http://unix:{path}:/x"


def test_environment_does_not_change_where_the_probe_goes(target, monkeypatch, tmp_path):
    nowhere = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, nowhere)
    netrc = tmp_path / "netrc"
    netrc.write_text("default login user password pass\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert http(target).check().ok
    assert "Authorization" not in target.requests[0][2]


def test_each_check_has_a_fresh_connection(target):
    ports = set()
    original = target.server.finish_request
    target.server.finish_request = lambda r, a: (ports.add(a[1]), original(r, a))
    made = http(target)
    assert all(made.check().ok for _ in range(5))
    assert len(ports) == 5


def test_trace_has_the_phases_and_the_answer(target):
    trace = http(target, check="body_contains:OK").check().trace
    assert set(trace.seconds) == {"dns", "connect", "send", "response", "body", "check"}
    assert (trace.status, trace.version, trace.content_length) == (200, "1.0", 2)
    assert trace.certificate is None


# -- https ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def https_server(certificate, ca=None, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if ca is not None:
        ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"OK")

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            """A handshake that the probe ended is what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return ca, str(path)


def test_private_authority_is_trusted_when_named_and_not_otherwise(authority, monkeypatch):
    ca, path = authority
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", path)
    expires = datetime(2040, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    with https_server(ca.issue_cert("localhost", "127.0.0.1", not_after=expires)) as port:
        trusted = probe("https", "localhost", port, ca_file=path).check()
        stranger = probe("https", "localhost", port).check()
        blind = probe("https", "localhost", port, verify_tls=False).check()
    assert trusted.ok
    assert trusted.trace.tls_version == "TLS 1.3"
    assert not stranger.ok
    assert stranger.phase == "tls"
    assert "certificate was not accepted" in stranger.detail
    assert blind.ok
    for result in (trusted, stranger, blind):
        assert result.trace.certificate.expires == expires.timestamp()
        assert "trustme" in result.trace.certificate.issuer
        assert result.trace.certificate.subject == "localhost"


def test_server_name_is_what_is_verified(authority):
    ca, path = authority
    with https_server(ca.issue_cert("db.internal")) as port:
        by_ip = probe("https", "127.0.0.1", port, ca_file=path, server_name="db.internal")
        assert by_ip.check().ok
        wrong = probe("https", "127.0.0.1", port, ca_file=path).check()
    assert not wrong.ok
    assert wrong.phase == "tls"


def test_expired_certificate_fails_and_says_when(authority):
    ca, path = authority
    past = datetime(2021, 1, 1, tzinfo=timezone.utc)
    certificate = ca.issue_cert("localhost", not_before=datetime(2020, 1, 1, tzinfo=timezone.utc), not_after=past)  # fmt: skip
    with https_server(certificate) as port:
        result = probe("https", "localhost", port, ca_file=path).check()
    assert not result.ok
    assert "expired" in result.detail
    assert result.trace.certificate.expires == past.timestamp()


def test_client_certificate_is_shown_when_it_is_asked_for(authority, tmp_path):
    ca, path = authority
    mine = ca.issue_cert("client@example.org")
    pem = tmp_path / "client.pem"
    mine.private_key_and_cert_chain_pem.write_to_path(pem)
    with https_server(ca.issue_cert("localhost"), ca) as port:
        assert probe("https", "localhost", port, ca_file=path, client_cert=str(pem)).check().ok
        assert not probe("https", "localhost", port, ca_file=path).check().ok


def test_tls_to_a_plain_port_fails_in_tls(target):
    assert probe("https", "127.0.0.1", target.port).check().phase == "tls"


def test_contexts_are_made_once(authority, monkeypatch):
    ca, path = authority
    with https_server(ca.issue_cert("localhost")) as port:
        made = probe("https", "localhost", port, ca_file=path)
        monkeypatch.setattr(ssl, "SSLContext", None)
        assert made.check().ok


def test_certificate_that_is_garbage_is_none():
    der = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
    assert read_certificate(der) is not None
    assert read_certificate(b"") is None
    for cut in range(1, len(der), 7):
        read_certificate(der[:cut])
    for index in range(0, len(der), 3):
        read_certificate(der[:index] + b"\xff" + der[index + 1 :])


def test_certificate_is_read_as_openssl_reads_it(authority):
    ca, path = authority
    context = ssl.create_default_context(cafile=path)
    context.check_hostname = False
    with (
        https_server(ca.issue_cert("localhost", common_name="näme")) as port,
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw) as sock,
    ):
        ours = read_certificate(sock.getpeercert(True))
        theirs = sock.getpeercert()
    assert ours.expires == ssl.cert_time_to_seconds(theirs["notAfter"])
    assert ours.subject == "näme"
    assert json.dumps(theirs["issuer"]).count(ours.issuer)


def test_result_is_a_plain_value():
    assert ProbeResult(ok=True, latency_ms=1.0, detail="x") == ProbeResult(True, 1.0, "x")
