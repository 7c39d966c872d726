from __future__ import annotations

import ssl
from datetime import datetime, timezone

from pingstate import probe
from tests.support.servers import https_server


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
