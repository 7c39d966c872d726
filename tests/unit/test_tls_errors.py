from __future__ import annotations

import ssl

import pytest

from pingstate.net.errors import describe_failure
from pingstate.net.tls_errors import describe_tls_error
from tests.support.details import JARGON


def ssl_error(reason, text):
    exc = ssl.SSLError(1, f"[SSL: {reason}] {text} (_ssl.c:1006)" if reason else f"[SSL] {text} (_ssl.c:1006)")  # fmt: skip
    exc.reason = reason
    return exc


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:1)"), "TLS failed: the target closed the connection"),
        (ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed (EOF) (_ssl.c:1)"), "TLS failed: the target closed the connection"),
        (ssl_error("UNEXPECTED_EOF_WHILE_READING", "unexpected eof while reading"), "TLS failed: the target closed the connection"),
        (ssl_error("SSLV3_ALERT_HANDSHAKE_FAILURE", "sslv3 alert handshake failure"), "TLS failed: the target sent the alert 'handshake failure'"),
        (ssl_error("TLSV1_ALERT_PROTOCOL_VERSION", "tlsv1 alert protocol version"), "TLS failed: the target sent the alert 'protocol version'"),
        (ssl_error(None, "tlsv1 alert no application protocol"), "TLS failed: the target sent the alert 'no application protocol': it wants another one than HTTP/1.1 (ALPN)"),
        (ssl_error(None, "ssl/tls alert bad certificate"), "TLS failed: the target sent the alert 'bad certificate'"),
        (ssl_error("UNSUPPORTED_PROTOCOL", "unsupported protocol"), "TLS failed: unsupported protocol"),
        (ssl_error(None, "unknown error"), "TLS failed: OpenSSL has no word for it"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_failure_of_tls_is_said_in_words(exc, words):
    assert describe_failure(exc) == words
    assert not JARGON.search(words)


def test_a_certificate_that_is_not_accepted_says_why():
    exc = ssl.SSLCertVerificationError(1, "certificate verify failed (_ssl.c:1)")
    exc.verify_message = "certificate has expired."
    assert describe_failure(exc) == "the certificate was not accepted: certificate has expired"


@pytest.mark.parametrize("setting", ["CLIENT_CERT", "SERVER_NAME"])
def test_an_alert_that_a_setting_answers_names_it(setting):
    reason = {"CLIENT_CERT": "TLSV13_ALERT_CERTIFICATE_REQUIRED", "SERVER_NAME": "TLSV1_UNRECOGNIZED_NAME"}[setting]  # fmt: skip
    words = describe_tls_error(ssl_error(reason, "x"))
    assert f"PINGSTATE_{setting}" in words
    assert reason.split("_", 1)[1].removeprefix("ALERT_").replace("_", " ").lower() in words
