from __future__ import annotations

import os
import socket
import ssl
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pingstate import probe
from pingstate.values import InvalidValueError
from tests.support.details import JARGON
from tests.support.servers import answer_ok, https_server, read_request, tls_context, tls_talker
from tests.support.waiting import TIMEOUT, wait_until


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


# -- what stands in ca_file is trusted as it stands ------------------------------------------------


def self_signed(path, name, *, expired=False):
    """A certificate by nobody else, which is no authority either; its key is in the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    ends = now - timedelta(days=1) if expired else now + timedelta(days=1)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return SimpleNamespace(configure_cert=lambda context: context.load_cert_chain(path)), pem


def write(path, *pems):
    path.write_bytes(b"".join(pems))
    return str(path)


@pytest.fixture
def chain(tmp_path):
    """A server by an intermediate authority, and files with each certificate of its chain."""
    root = trustme.CA()
    intermediate = root.create_child_ca()
    leaf = intermediate.issue_cert("localhost")
    files = {
        "root": write(tmp_path / "root.pem", root.cert_pem.bytes()),
        "intermediate": write(tmp_path / "intermediate.pem", intermediate.cert_pem.bytes()),
        "leaf": write(tmp_path / "leaf.pem", leaf.cert_chain_pems[0].bytes()),
        "another leaf": write(
            tmp_path / "another.pem",
            intermediate.issue_cert("localhost").cert_chain_pems[0].bytes(),
        ),
        "another root": write(tmp_path / "stranger.pem", trustme.CA().cert_pem.bytes()),
    }
    with tls_talker(answer_ok, tls_context(leaf)) as (_, port):
        yield port, files


@pytest.mark.parametrize(
    ("trusted", "ok"),
    [
        ("root", True),
        ("intermediate", True),
        ("leaf", True),
        ("another leaf", False),
        ("another root", False),
    ],
)
def test_any_certificate_of_the_chain_is_enough(chain, trusted, ok):
    port, files = chain
    result = probe("https", "localhost", port, ca_file=files[trusted]).check()
    assert result.ok is ok, result.detail


@pytest.mark.parametrize("trusted", ["root", "intermediate", "leaf"])
def test_the_name_is_verified_whatever_is_trusted(chain, trusted):
    port, files = chain
    result = probe("https", "127.0.0.1", port, ca_file=files[trusted]).check()
    assert result.phase == "tls"
    assert "127.0.0.1" in result.detail


def test_a_pinned_certificate_that_is_no_authority_is_trusted_for_its_name_and_its_time(tmp_path):
    for name, expired, ok in (("localhost", False, True), ("other.test", False, False), ("localhost", True, False)):  # fmt: skip
        certificate, pem = self_signed(tmp_path / "server.pem", name, expired=expired)
        ca_file = write(tmp_path / "pinned.pem", pem)
        with tls_talker(answer_ok, tls_context(certificate)) as (_, port):
            result = probe("https", "localhost", port, ca_file=ca_file).check()
        assert result.ok is ok, result.detail


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "server_name", "sni"),
    [
        ("localhost", None, "localhost"),
        ("127.0.0.1", "localhost.", "localhost"),
        ("127.0.0.1", "localhost", "localhost"),
        ("127.0.0.1", None, None),
        ("127.1", None, None),
        ("::1", None, None),
        ("::1%1", None, None),
        ("::1", "::1%lo", None),
        ("localhost", "127.0.0.1", None),
    ],
)
def test_a_name_is_sent_without_its_dot_and_an_address_or_a_zone_is_not(authority, address, server_name, sni):  # fmt: skip
    ca, path = authority
    seen = []
    heads = []

    def answer(sock):
        heads.append(read_request(sock))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    context = tls_context(ca.issue_cert("localhost", "127.0.0.1", "::1"))
    context.sni_callback = lambda sock, name, _: seen.append(name)
    where = {"family": socket.AF_INET6, "address": ("::1", 0)} if ":" in address else {}
    with tls_talker(answer, context, **where) as (_, port, *_):
        result = probe("https", address, port, ca_file=path, server_name=server_name).check()
    assert result.ok, result.detail
    assert seen == [sni]
    assert b"%" not in heads[0]


# -- the client's certificate ----------------------------------------------------------------------


def test_client_certificate_is_shown_when_it_is_asked_for_after_the_handshake(authority, tmp_path):
    ca, path = authority
    pem = write(tmp_path / "client.pem", ca.issue_cert("me@client.test").private_key_and_cert_chain_pem.bytes())  # fmt: skip
    shown = []

    def answer(sock):
        read_request(sock)
        sock.verify_client_post_handshake()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        sock.settimeout(0.05)

        def has_certificate():
            # What the client answers with is read by a read of what it does not send.
            with suppress(TimeoutError):
                sock.recv(1)
            return sock.getpeercert()

        wait_until(has_certificate)
        shown.append(sock.getpeercert()["subjectAltName"])
        sock.sendall(b"OK")

    context = tls_context(ca.issue_cert("localhost"))
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.post_handshake_auth = True
    options = {"ca_file": path, "check": "body_contains:OK", "timeout": TIMEOUT}
    with tls_talker(answer, context) as (_, port):
        assert probe("https", "localhost", port, client_cert=pem, **options).check().ok
    assert shown == [(("email", "me@client.test"),)]


def test_a_key_without_a_certificate_is_an_error_at_once():
    with pytest.raises(ValueError, match="client_key requires client_cert"):
        probe("https", "127.0.0.1", 1, client_key="/nonexistent")


def test_files_that_are_none_are_errors_at_once_in_words(tmp_path, authority):
    ca, _ = authority
    garbage = write(tmp_path / "garbage.pem", b"-----BEGIN CERTIFICATE-----\nno\n")
    without_key = write(tmp_path / "cert.pem", ca.issue_cert("x").cert_chain_pems[0].bytes())
    other_key = write(tmp_path / "other.key", ca.issue_cert("y").private_key_pem.bytes())
    locked = write(
        tmp_path / "locked.pem",
        serialization.load_pem_private_key(
            ca.issue_cert("z").private_key_pem.bytes(), None
        ).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        ),
    )
    for options, expected in (
        ({"ca_file": garbage}, "ca_file: .* is not a PEM file of certificates"),
        ({"ca_file": "/nonexistent"}, "ca_file: .* \\(no such file or directory\\)"),
        (
            {"client_cert": without_key},
            "unencrypted key \\(a part is missing, cut off or encrypted\\)",
        ),
        ({"client_cert": without_key, "client_key": other_key}, "\\(key values mismatch\\)"),
        (
            {"client_cert": without_key, "client_key": locked},
            "\\(a part is missing, cut off or encrypted\\)",
        ),
        ({"client_cert": "/nonexistent"}, "client_cert: .* \\(no such file or directory\\)"),
    ):
        with pytest.raises(InvalidValueError, match=expected) as caught:
            probe("https", "127.0.0.1", 1, **options)
        assert not JARGON.search(str(caught.value))


# -- files that are replaced -----------------------------------------------------------------------


@pytest.fixture
def rotating(authority, tmp_path):
    """A server that wants a client's certificate, who was shown, and a set of files to rotate."""
    ca, _ = authority
    shown = []

    def answer(sock):
        shown.append(sock.getpeercert()["subjectAltName"][0][1])
        answer_ok(sock)

    def put(folder, name, trusted=ca):
        folder.mkdir(exist_ok=True)
        client = ca.issue_cert(name)
        write(folder / "ca.crt", trusted.cert_pem.bytes())
        write(folder / "tls.crt", client.cert_chain_pems[0].bytes())
        write(folder / "tls.key", client.private_key_pem.bytes())
        return folder

    def probe_with(folder):
        files = {"ca_file": "ca.crt", "client_cert": "tls.crt", "client_key": "tls.key"}
        options = {option: str(folder / name) for option, name in files.items()}
        return probe("https", "localhost", port, timeout=TIMEOUT, **options)

    with tls_talker(answer, tls_context(ca.issue_cert("localhost"), ca)) as (_, port):
        yield SimpleNamespace(put=put, probe_with=probe_with, shown=shown, folder=tmp_path / "tls")


def test_replaced_files_are_used_from_the_next_check_on(rotating, caplog):
    caplog.set_level("INFO")
    made = rotating.probe_with(rotating.put(rotating.folder, "a@client.test"))
    assert made.check().ok
    assert made.check().ok
    rotating.put(rotating.folder, "bb@client.test")
    assert made.check().ok
    rotating.put(rotating.folder, "ccc@client.test", trusted=trustme.CA())
    stranger = made.check()
    assert "certificate was not accepted" in stranger.detail
    rotating.put(rotating.folder, "dddd@client.test")
    assert made.check().ok
    assert [name[0] for name in rotating.shown] == ["a", "a", "b", "d"]
    assert sum("were replaced" in record.message for record in caplog.records) == 3


def test_files_behind_a_link_that_is_moved_are_replaced_files(rotating, tmp_path):
    """As Kubernetes swaps a Secret: files are links into a folder that is itself a link."""
    for version in ("one", "two"):
        rotating.put(tmp_path / version, f"{version}@client.test")
    data, mounted = tmp_path / "..data", tmp_path / "mounted"
    data.symlink_to("one")
    mounted.mkdir()
    for name in ("ca.crt", "tls.crt", "tls.key"):
        (mounted / name).symlink_to(f"../..data/{name}")
    made = rotating.probe_with(mounted)
    assert made.check().ok
    (tmp_path / "..tmp").symlink_to("two")
    (tmp_path / "..tmp").rename(data)
    assert made.check().ok
    assert rotating.shown == ["one@client.test", "two@client.test"]


@pytest.mark.parametrize("fault", ["half a set", "garbage", "gone"])
def test_a_set_that_can_not_be_loaded_leaves_the_last_good_one_with_one_line(rotating, caplog, fault):  # fmt: skip
    folder = rotating.put(rotating.folder, "a@client.test")
    made = rotating.probe_with(folder)
    assert made.check().ok
    if fault == "half a set":
        write(folder / "tls.key", trustme.CA().issue_cert("x").private_key_pem.bytes())
    elif fault == "garbage":
        write(folder / "ca.crt", b"half a cert")
    else:
        (folder / "tls.crt").unlink()
    assert all(made.check().ok for _ in range(3))
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "the last good ones stay" in line.message
    assert not JARGON.search(line.message)
    rotating.put(folder, "bb@client.test")
    assert made.check().ok
    assert rotating.shown == ["a@client.test"] * 4 + ["bb@client.test"]


def test_a_redirect_elsewhere_is_verified_by_the_replaced_authorities_too(tmp_path):
    old, new = trustme.CA(), trustme.CA()
    ca_file = tmp_path / "ca.pem"
    write(ca_file, old.cert_pem.bytes())
    made = []

    def redirect(sock):
        read_request(sock)
        head = f"HTTP/1.1 302 Found\r\nLocation: https://localhost:{other}/\r\nContent-Length: 0\r\n\r\n"  # fmt: skip
        sock.sendall(head.encode())

    client = write(tmp_path / "client.pem", old.issue_cert("me@client.test").private_key_and_cert_chain_pem.bytes())  # fmt: skip
    with tls_talker(answer_ok, tls_context(new.issue_cert("localhost"))) as (_, other):
        for ca in (old, new):
            with tls_talker(redirect, tls_context(ca.issue_cert("127.0.0.1"))) as (_, port):
                write(ca_file, old.cert_pem.bytes())
                one = probe("https", "127.0.0.1", port, ca_file=str(ca_file), client_cert=client)
                made.append(one.check().ok)
                write(ca_file, new.cert_pem.bytes(), old.cert_pem.bytes())
                made.append(one.check().ok)
    assert made == [False, True, False, True]


def test_forked_process_does_not_wait_for_its_parents_thread(authority):
    ca, path = authority
    with https_server(ca.issue_cert("localhost")) as port:
        made = probe("https", "localhost", port, ca_file=path)
        # A lock that is held as the process forks is held for ever in the child.
        with made._tls._lock:
            pid = os.fork()
            if pid == 0:
                threading.Timer(TIMEOUT, os._exit, [2]).start()
                os._exit(0 if made.check().ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
