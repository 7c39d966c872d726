from __future__ import annotations

import errno
import re
import socket
import ssl
import subprocess
import sys

import pytest

from pingstate.net.errors import CheckFailedError, describe_failure
from pingstate.net.tls_errors import describe_tls_error

# What no one on call should read: a class, an errno tuple, a line of a C source.
JARGON = re.compile(r"Error|Errno|\[SSL|_ssl\.c|\(\d+, '")


def chained(outer, inner):
    outer.__cause__ = inner
    return outer


def ssl_error(reason, text):
    exc = ssl.SSLError(1, f"[SSL: {reason}] {text} (_ssl.c:1006)" if reason else f"[SSL] {text} (_ssl.c:1006)")  # fmt: skip
    exc.reason = reason
    return exc


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (CheckFailedError("more than 10 redirects"), "more than 10 redirects"),
        (TimeoutError("timed out"), ""),
        (TimeoutError(errno.ETIMEDOUT, "No answer"), "no answer"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, None), "connection reset by peer"),
        (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
        (OSError("just words"), "just words"),
        (OSError(), "no reason is known"),
        (ValueError("not the size of a chunk"), "not the size of a chunk"),
        (MemoryError(), "it takes too much memory or depth to read"),
        (RecursionError(), "it takes too much memory or depth to read"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:1)"), "TLS failed: the target closed the connection"),
        (ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed (EOF) (_ssl.c:1)"), "TLS failed: the target closed the connection"),
        (ssl_error("UNEXPECTED_EOF_WHILE_READING", "unexpected eof while reading"), "TLS failed: the target closed the connection"),
        (ssl_error("SSLV3_ALERT_HANDSHAKE_FAILURE", "sslv3 alert handshake failure"), "TLS failed: the target sent the alert 'handshake failure'"),
        (ssl_error("TLSV1_ALERT_PROTOCOL_VERSION", "tlsv1 alert protocol version"), "TLS failed: the target sent the alert 'protocol version'"),
        (ssl_error(None, "tlsv1 alert no application protocol"), "TLS failed: the target sent the alert 'no application protocol'"),
        (ssl_error(None, "ssl/tls alert bad certificate"), "TLS failed: the target sent the alert 'bad certificate'"),
        (ssl_error("UNSUPPORTED_PROTOCOL", "unsupported protocol"), "TLS failed: unsupported protocol"),
        (ssl_error(None, "unknown error"), "TLS failed: OpenSSL has no word for it"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_failure_is_said_in_words(exc, words):
    assert describe_failure(exc) == words
    assert not JARGON.search(words)


@pytest.mark.parametrize("setting", ["CLIENT_CERT", "SERVER_NAME"])
def test_an_alert_that_a_setting_answers_names_it(setting):
    reason = {"CLIENT_CERT": "TLSV13_ALERT_CERTIFICATE_REQUIRED", "SERVER_NAME": "TLSV1_UNRECOGNIZED_NAME"}[setting]  # fmt: skip
    words = describe_tls_error(ssl_error(reason, "x"))
    assert f"PINGSTATE_{setting}" in words
    assert reason.split("_", 1)[1].removeprefix("ALERT_").replace("_", " ").lower() in words


def test_the_innermost_reason_is_told_however_it_was_wrapped():
    refused = ConnectionRefusedError(111, "Connection refused")
    assert describe_failure(chained(OSError("outer"), refused)) == "connection refused"
    assert describe_failure(OSError(ValueError(refused))) == "connection refused"
    assert describe_failure(chained(CheckFailedError("ours"), refused)) == "ours"
    hidden = chained(OSError("shown"), refused)
    hidden.__cause__, hidden.__suppress_context__ = None, True
    assert describe_failure(hidden) == "shown"


def test_words_of_foreign_code_are_one_short_line():
    words = describe_failure(ValueError("a\nb\x1b[2J" + "x" * 500))
    assert words.isprintable()
    assert len(words) <= 160


def test_a_failure_without_tls_imports_no_ssl():
    code = (
        "import sys\n"
        "from pingstate import probe\n"
        "print(probe('tcp', '127.0.0.1', 1).check().phase, 'ssl' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "connect False\n"
