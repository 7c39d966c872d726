from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

from pingstate import TLSProbe, probe
from tests.support.details import JARGON
from tests.support.dialogues import LDAP_OK, SCRIPTS, scripted, upgrading
from tests.support.servers import talker, tls_context, tls_talker
from tests.support.waiting import TIMEOUT, wait_until


@pytest.fixture
def serve(authority):
    """A server for localhost inside TLS, and a probe of it that is patient."""
    ca, path = authority
    context = tls_context(ca.issue_cert("localhost"))

    def start(talk, **options):
        return tls_talker(talk, options.pop("context", context), **options)

    def make(port, **options):
        return probe("tls", "localhost", port, **{"ca_file": path, "timeout": TIMEOUT, **options})

    start.make = make
    return start


def hold(sock):
    sock.recv(1)


def test_a_handshake_is_up_and_tells_the_certificate(serve):
    with serve(hold) as (_, port):
        result = serve.make(port).check()
    assert result.ok
    assert result.detail == "connected, TLS 1.3"
    assert result.trace.tls_version == "TLS 1.3"
    assert result.trace.certificate.subject
    assert result.trace.earliest_expiry == result.trace.certificate.expires
    assert result.trace.ip_protocol == 4
    assert set(result.trace.seconds) == {"dns", "connect", "tls"}
    assert result.trace.status is None


def test_a_certificate_that_is_not_accepted_is_down_and_told(serve):
    with serve(hold) as (_, port):
        stranger = serve.make(port, ca_file=None).check()
        wrong = serve.make(port, server_name="other.test").check()
        blind = serve.make(port, ca_file=None, verify_tls=False).check()
    for result in (stranger, wrong):
        assert result.phase == "tls"
        assert "certificate was not accepted" in result.detail
        assert result.trace.certificate is not None
    assert blind.ok


def test_what_is_said_inside_is_checked(serve):
    def greet(sock):
        for piece in (b"220 ", b"mail.test ", b"ESMTP\r\n"):
            sock.sendall(piece)
        sock.recv(1)

    with serve(greet) as (_, port):
        assert serve.make(port, check="banner_contains:mail.test ESMTP").check().ok
        assert serve.make(port, check=["banner_matches:^220 .*ESMTP", "not:banner_contains:421"]).check().ok  # fmt: skip
        failed = serve.make(port, check="banner_contains:SSH-", timeout=2).check()
    assert failed.phase == "timeout"
    assert failed.timeout_phase == "response"
    assert "220 mail.test ESMTP" in failed.detail


def test_what_is_sent_goes_inside(serve):
    def redis(sock):
        if sock.recv(100) == b"PING\r\n":
            sock.sendall(b"+PONG\r\n")

    with serve(redis) as (_, port):
        assert serve.make(port, send=b"PING\r\n", check="banner_contains:+PONG").check().ok
        secret = serve.make(port, send=b"AUTH hunter2\r\n", check="banner_contains:+OK").check()
    assert not secret.ok
    assert "hunter2" not in secret.detail


def test_open_tells_a_proxy_without_a_back_end_from_one_with(serve):
    with serve(lambda sock: sock.unwrap()) as (_, port):
        closed = serve.make(port, check="open:5").check()
    assert not closed.ok
    assert "closed after" in closed.detail
    with serve(hold) as (_, port):
        assert serve.make(port, check="open:0.1").check().ok


def test_a_callable_gets_the_stream_inside(serve):
    def is_mail(stream):
        stream.settimeout(TIMEOUT)
        file = stream.makefile("rw", encoding="ascii", newline="")
        greeting = file.readline()
        file.write("NOOP\r\n")
        file.flush()
        subject = stream.getpeercert()["subjectAltName"]
        return file.readline() == "250 ok\r\n", f"{greeting.strip()} {subject[0][1]} {stream.version()}"  # fmt: skip

    def mail(sock):
        sock.sendall(b"220 mail\r\n")
        if sock.recv(100) == b"NOOP\r\n":
            sock.sendall(b"250 ok\r\n")

    with serve(mail) as (_, port):
        result = serve.make(port, check=is_mail).check()
    assert result.ok
    assert result.detail == "220 mail localhost TLSv1.3"


@pytest.mark.parametrize("verify", [True, False])
def test_a_callable_sees_the_certificate_verified_or_not(serve, verify):
    def lasts(stream):
        left = stream.certificate.expires - time.time()
        return left > 14 * 86400, f"{stream.certificate.issuer} {stream.certificate.subject}"

    with serve(hold) as (_, port):
        options = {} if verify else {"ca_file": None, "verify_tls": False}
        result = serve.make(port, check=lasts, **options).check()
    assert result.ok
    assert result.detail.startswith("trustme")
    assert result.detail.endswith("localhost")


@pytest.mark.parametrize(
    "call",
    [
        lambda stream: stream.recv(1),
        lambda stream: stream.makefile().readline(),
        lambda stream: stream.sendall(bytes(1 << 26)),
    ],
    ids=["recv", "makefile", "sendall"],
)
def test_a_callable_can_not_outlive_the_deadline(serve, call):
    release = threading.Event()
    with serve(lambda _: release.wait(TIMEOUT)) as (_, port):
        result = serve.make(port, check=call, timeout=1.5).check()
        release.set()
    assert result.phase == "timeout"
    assert result.timeout_phase == "check"
    assert result.latency_ms < 20_000


def test_a_missing_client_certificate_is_seen_though_nothing_is_read(authority, serve, tmp_path):
    ca, _ = authority
    context = tls_context(ca.issue_cert("localhost"), ca)
    pem = tmp_path / "client.pem"
    ca.issue_cert("me@client.test").private_key_and_cert_chain_pem.write_to_path(pem)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.maximum_version = version
        with serve(hold, context=context) as (_, port):
            refused = serve.make(port).check()
            assert serve.make(port, client_cert=str(pem)).check().ok
        assert refused.phase == "tls"
        assert "the target sent the alert" in refused.detail
        assert not JARGON.search(refused.detail)


def test_no_protocol_is_offered_and_the_end_is_orderly(authority, serve):
    ca, _ = authority
    seen = []

    def note(sock):
        seen.append((sock.selected_alpn_protocol(), sock.recv(1)))

    context = tls_context(ca.issue_cert("localhost"))
    context.set_alpn_protocols(["http/1.1", "postgresql"])
    with serve(note, context=context) as (_, port):
        assert serve.make(port).check().ok
        # recv() raises where the end comes without a goodbye.
        wait_until(lambda: seen)
    assert seen == [(None, b"")]


def test_plain_text_is_quoted():
    with talker(lambda sock: sock.sendall(b"220 mail.test ESMTP\r\n")) as (host, port):
        result = TLSProbe(host, port).check()
    assert result.detail == "tls: the target speaks no TLS, it said '220 mail.test ESMTP\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}'"  # fmt: skip


# -- starttls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCRIPTS)
def test_tls_begins_where_the_protocol_says(authority, name):
    ca, path = authority
    inside = []

    def answer(sock):
        inside.append(sock.recv(100))
        sock.sendall(b"250 hello\r\n")

    with upgrading(SCRIPTS[name], tls_context(ca.issue_cert("localhost")), answer) as (_, port):
        result = probe(
            "tls", "localhost", port, starttls=name.partition(" ")[0], ca_file=path, timeout=TIMEOUT,
            send=b"EHLO x\r\n", check="banner_contains:250",
        ).check()  # fmt: skip
    assert result.ok, result.detail
    assert inside == [b"EHLO x\r\n"]
    assert result.trace.certificate is not None


def test_a_certificate_after_starttls_is_told_though_it_is_not_accepted(authority):
    ca, _ = authority
    with upgrading(SCRIPTS["smtp"], tls_context(ca.issue_cert("localhost")), hold) as (_, port):
        result = probe("tls", "localhost", port, starttls="smtp", timeout=TIMEOUT).check()
    assert result.phase == "tls"
    assert "certificate was not accepted" in result.detail
    assert result.trace.certificate.subject


def test_a_server_without_starttls_is_down_in_the_phase_tls():
    for starttls, script, words in (
        ("smtp", [*SCRIPTS["smtp"][:2], b"250 ok\r\n"], "offers no STARTTLS"),
        ("postgres", [*SCRIPTS["postgres"][:2], b"N"], "offers no TLS"),
        ("ldap", [*SCRIPTS["ldap"][:2], LDAP_OK + b"x"], "more in plain text"),
    ):
        with scripted(script) as (host, port):
            result = probe("tls", host, port, starttls=starttls, timeout=TIMEOUT).check()
        assert result.phase == "tls"
        assert words in result.detail
        assert result.trace.certificate is None


def test_silence_before_tls_is_a_timeout_that_says_what_was_awaited():
    with scripted([b""]) as (host, port):
        result = probe("tls", host, port, starttls="imap", timeout=1).check()
    assert (result.phase, result.timeout_phase) == ("timeout", "tls")
    assert "the greeting has not come" in result.detail


def test_a_check_of_tls_imports_nothing_of_http():
    code = (
        "import sys\n"
        "from pingstate import probe\n"
        "probe('tls', '127.0.0.1', 1, starttls='ldap').check()\n"
        "print({'requests', 'urllib3', 'http.client', 'flask', 'pingstate.probes.http'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_target_that_says_more_inside_tls_sees_an_orderly_end(authority, serve, monkeypatch):
    monkeypatch.setattr("pingstate.net.sockets.MAX_REST_SECONDS", 4.0)
    monkeypatch.setattr("pingstate.probes.tls.MAX_REST_SECONDS", 4.0)
    ca, _ = authority
    seen = []

    def talk(sock):
        try:
            sock.sendall(b"220 mail\r\n")
            for _ in range(4):
                sock.sendall(b"x" * 10_000)
            sock.settimeout(TIMEOUT)
            seen.append(sock.recv(1))
        except OSError as exc:
            seen.append(type(exc).__name__)

    with serve(talk, context=tls_context(ca.issue_cert("localhost"))) as (_, port):
        assert serve.make(port, check="banner_contains:220").check().ok
        wait_until(lambda: seen)
    assert seen == [b""]


def test_refusal_of_a_target_that_is_far_away_is_waited_for(authority):
    ca, path = authority
    context = tls_context(ca.issue_cert("127.0.0.1"), ca)

    def refuse_late(sock):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            incoming.write(sock.recv(65536))
            try:
                inside.do_handshake()
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
            except ssl.SSLError:
                threading.Event().wait(0.5)
                sock.sendall(outgoing.read())
                return

    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),  # all that there is room for
    ):

        def make_room():
            listener.accept()[0].close()

        # Linux sends a SYN again after 1 s, which is what the connect takes then.
        room = threading.Timer(0.5, make_room)
        room.start()

        def serve_one():
            room.join()
            with listener.accept()[0] as sock:
                refuse_late(sock)

        server = threading.Thread(target=serve_one)
        server.start()
        result = probe("tls", *listener.getsockname(), ca_file=path, timeout=TIMEOUT).check()
        server.join()
    assert "certificate required" in result.detail
