from __future__ import annotations

import errno
import socket
import subprocess
import sys

import pytest

from pingstate.net.errors import CheckFailedError, describe_failure
from tests.support.details import JARGON


def chained(outer, inner):
    outer.__cause__ = inner
    return outer


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
    ],
    ids=repr,
)  # fmt: skip
def test_a_failure_is_said_in_words(exc, words):
    assert describe_failure(exc) == words
    assert not JARGON.search(words)


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
