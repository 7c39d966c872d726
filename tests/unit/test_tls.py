from __future__ import annotations

import ssl
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import trustme

from pingstate import probe
from pingstate.net.connect import connect
from pingstate.net.deadline import Deadline
from pingstate.net.errors import CheckFailedError, describe_failure
from pingstate.net.tls import TLSStream
from tests.support.details import JARGON
from tests.support.servers import talker, tls_context, tls_talker
from tests.support.waiting import TIMEOUT

CA = trustme.CA()


def client_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    return context


@contextmanager
def stream_to(talk, context=None, timeout=TIMEOUT):
    """A stream that has shaken hands with a server that gives its end to `talk`."""
    context = context or tls_context(CA.issue_cert("localhost"))
    with tls_talker(talk, context) as (host, port):
        deadline = Deadline(timeout)
        with connect(host, port, deadline) as sock:
            yield TLSStream(sock, client_context(), "localhost", deadline)


def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)


def hold(sock):
    sock.recv(1)


# -- what its users call ---------------------------------------------------------------------------


def test_what_is_sent_comes_back():
    with stream_to(echo) as stream:
        assert stream.send(b"one") == 3
        assert stream.recv() == b"one"
        stream.sendall(memoryview(b"four"))
        buffer = bytearray(10)
        assert stream.recv_into(buffer, 2) == 2
        assert stream.recv_into(buffer) == 2
        assert buffer[:2] == b"ur"
        assert stream.send(b"") == 0


def test_a_file_over_the_stream_is_as_a_sockets():
    with stream_to(echo) as stream:
        with stream.makefile("rwb") as file:
            file.write(b"line one\nline two\n")
            file.flush()
            assert file.readline() == b"line one\n"
            assert file.read(9) == b"line two\n"
        with stream.makefile("wb", 0) as raw:
            raw.write("grüße\r\n".encode())
        with stream.makefile("r", encoding="utf-8", newline="\r\n") as text:
            assert text.readline() == "grüße\r\n"
        with stream.makefile("w", encoding="utf-8") as text:
            text.write("x\n")
        assert stream.makefile("rb").read(2) == b"x\n"


def test_it_tells_what_a_socket_and_ssl_tell():
    with stream_to(hold) as stream:
        assert stream.getpeername()[0] == stream.getsockname()[0] == "127.0.0.1"
        assert stream.fileno() > 0
        assert stream.version() == "TLSv1.3"
        assert stream.cipher()[1] == "TLSv1.3"
        assert stream.getpeercert()["subjectAltName"] == (("DNS", "localhost"),)
        assert stream.chain[0] == stream.getpeercert(True)


def test_the_end_is_empty_with_a_goodbye_and_without():
    for goodbye in (True, False):

        def leave(sock, goodbye=goodbye):
            sock.sendall(b"x")
            if goodbye:
                with suppress(OSError):
                    sock.unwrap()

        with stream_to(leave) as stream:
            assert stream.recv() == b"x"
            assert not stream.eof
            assert stream.recv() == b""
            assert stream.eof


def test_no_call_outlives_the_deadline_and_a_users_timeout_holds_too():
    for set_timeout in (None, 3600.0, 0.05):
        with stream_to(hold, timeout=2.5) as stream:
            stream.settimeout(set_timeout)
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                stream.recv(1)
            assert time.monotonic() - started < 20


def test_flags_are_refused():
    with stream_to(hold) as stream:
        for call in (lambda: stream.recv(1, 2), lambda: stream.send(b"x", 2)):
            with pytest.raises(ValueError, match="flags"):
                call()


# -- who speaks no TLS -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "quoted"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"<!DOCTYPE HTML>", "<!DOCTYPE HTML>"),
        (b"220 mail.test ESMTP\r\n", "220 mail.test ESMTP"),
        (b"-ERR unknown command\r\n", "-ERR unknown command"),
        (b"SSH-2.0-OpenSSH\r\n", "SSH-2.0-OpenSSH"),
        (b"\x15\x02\0\0\0\0\0\0", ""),
    ],
)
def test_a_target_that_speaks_something_else_is_quoted(said, quoted):
    def speak(sock):
        sock.recv(65536)
        sock.sendall(said)
        sock.recv(65536)

    with talker(speak) as (host, port):
        result = probe("https", host, port).check()
    assert result.phase == "tls"
    assert result.detail.startswith("tls: the target speaks no TLS, it said '")
    assert quoted in result.detail


def test_closed_is_said_only_where_it_was_closed():
    with talker(lambda sock: sock.recv(65536)) as (host, port):
        closed = probe("https", host, port).check()
    assert closed.detail == "tls: TLS failed: the target closed the connection"

    def garble(sock):
        sock.recv(65536)
        sock.sendall(b"\x16\x03\x03\x00\x05hello")
        sock.recv(65536)

    with talker(garble) as (host, port):
        garbled = probe("https", host, port).check()
    assert garbled.phase == "tls"
    assert "closed" not in garbled.detail
    assert not JARGON.search(garbled.detail)


# -- alerts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (10, "unexpected message"),
        (40, "handshake failure"),
        (42, "bad certificate"),
        (43, "unsupported certificate"),
        (44, "certificate revoked"),
        (45, "certificate expired"),
        (46, "certificate unknown"),
        (47, "illegal parameter"),
        (48, "unknown ca"),
        (49, "access denied"),
        (70, "protocol version"),
        (71, "insufficient security"),
        (80, "internal error"),
        (112, "unrecognized name"),
        (116, "certificate required"),
        (120, "no application protocol"),
    ],
)
def test_an_alert_is_named_in_words(code, words):
    def refuse(sock):
        sock.recv(65536)
        sock.sendall(b"\x15\x03\x03\0\x02\x02" + bytes([code]))
        sock.recv(65536)

    with talker(refuse) as (host, port):
        result = probe("https", host, port).check()
    assert result.phase == "tls"
    assert f"the target sent the alert '{words}'" in result.detail
    assert not JARGON.search(result.detail)


def test_an_alert_without_a_name_is_still_no_jargon():
    with talker(lambda sock: (sock.recv(65536), sock.sendall(b"\x15\x03\x03\0\x02\x02\xc8"))) as (host, port):  # fmt: skip
        result = probe("https", host, port).check()
    assert result.phase == "tls"
    assert not JARGON.search(result.detail)


def test_real_refusals_of_a_real_server_are_named():
    old = tls_context(CA.issue_cert("localhost"))
    old.minimum_version = ssl.TLSVersion.TLSv1_3
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls_talker(hold, old) as (host, port):
        deadline = Deadline(TIMEOUT)
        with connect(host, port, deadline) as sock, pytest.raises(ssl.SSLError) as caught:
            TLSStream(sock, context, "localhost", deadline)
    assert "'protocol version'" in describe_failure(caught.value)


# -- an objection after the handshake --------------------------------------------------------------


def test_a_missing_client_certificate_is_told_after_a_handshake_of_tls_1_3():
    context = tls_context(CA.issue_cert("localhost"), CA)
    with stream_to(hold, context) as stream, pytest.raises(ssl.SSLError) as caught:
        stream.wait_for_objection(TIMEOUT / 2)
    assert "'certificate required'" in describe_failure(caught.value)


def test_a_missing_client_certificate_is_told_to_who_only_writes():
    context = tls_context(CA.issue_cert("localhost"), CA)
    with stream_to(hold, context) as stream, pytest.raises(ssl.SSLError) as caught:
        # Until the reset has come, which is all that a write alone would tell of.
        stream.makefile("wb", buffering=0).writelines([bytes(16384)] * 10_000)
    assert "'certificate required'" in describe_failure(caught.value)


def test_a_sign_of_life_ends_the_wait_and_is_not_lost():
    def greet(sock):
        sock.sendall(b"220 hello")
        sock.recv(1)

    with stream_to(greet) as stream:
        stream.wait_for_objection(TIMEOUT / 2)
        stream.wait_for_objection(0.01)
        greeting = stream.recv(4)
        while len(greeting) < 9:
            greeting += stream.recv(9 - len(greeting))
        assert greeting == b"220 hello"


def test_session_tickets_end_the_wait():
    started = time.monotonic()
    with stream_to(hold) as stream:
        stream.wait_for_objection(TIMEOUT / 2)
        assert time.monotonic() - started < TIMEOUT / 2


def test_silence_ends_the_wait_in_time_and_leaves_the_deadline():
    quiet = tls_context(CA.issue_cert("localhost"))
    quiet.num_tickets = 0
    with stream_to(hold, quiet) as stream:
        stream.wait_for_objection(0.05)
        assert stream.gettimeout() is None
        assert stream._sock.gettimeout() > 1
    with stream_to(hold, quiet, timeout=1.0) as stream:
        stream.wait_for_objection(TIMEOUT)
        assert not stream._deadline.expired


def test_silence_after_the_handshake_is_no_part_of_the_latency():
    quiet = tls_context(CA.issue_cert("localhost"))
    quiet.num_tickets = 0
    with stream_to(hold, quiet) as stream:
        deadline = stream._deadline
        began = deadline.started
        stream.wait_for_objection(0.3)
        deadline.stop()
        assert deadline.elapsed() <= time.monotonic() - began - 0.29
        assert sum(deadline.seconds.values()) == pytest.approx(deadline.elapsed())


def test_an_older_tls_is_not_waited_for():
    old = tls_context(CA.issue_cert("localhost"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with stream_to(hold, old) as stream:
        started = time.monotonic()
        stream.wait_for_objection(TIMEOUT)
        assert time.monotonic() - started < TIMEOUT / 2


def test_a_flood_after_the_handshake_is_not_read_for_ever():
    stop = threading.Event()

    def flood(sock):
        while not stop.is_set():
            sock.sendall(bytes(65536))

    with stream_to(flood) as stream:
        stream.wait_for_objection(TIMEOUT)
        assert len(stream.recv(100)) > 0
        stop.set()
        stream.shutdown(2)


def test_who_speaks_no_tls_is_no_ssl_error():
    with talker(lambda sock: sock.sendall(b"hello")) as (host, port):
        deadline = Deadline(TIMEOUT)
        with connect(host, port, deadline) as sock, pytest.raises(CheckFailedError):
            TLSStream(sock, client_context(), "localhost", deadline)


def test_answer_of_a_target_that_leaves_before_all_was_sent_is_kept():
    def refuse(sock):
        sock.recv(1000)
        sock.sendall(b"too large")

    with stream_to(refuse) as stream:
        with suppress(BrokenPipeError, ConnectionResetError):
            stream.sendall(bytes(16 << 20))
        assert stream.recv() == b"too large"
        with suppress(ConnectionResetError):
            assert stream.recv() == b""
