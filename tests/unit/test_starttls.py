from __future__ import annotations

import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate.net.connect import connect
from pingstate.net.deadline import Deadline
from pingstate.net.errors import CheckFailedError
from pingstate.net.sockets import DeadlineSocket
from pingstate.net.starttls import MAX_DIALOGUE_BYTES, start_tls
from pingstate.values import STARTTLS_PORTS
from tests.support.dialogues import LDAP_OK, SCRIPTS, ldap_response, scripted
from tests.support.servers import talker
from tests.support.waiting import TIMEOUT


def dialogue(name, script, timeout=TIMEOUT, **options):
    with scripted(script, **options) as (host, port):
        deadline = Deadline(timeout)
        with connect(host, port, deadline) as sock:
            start_tls(sock, name.partition(" ")[0], deadline)
            assert deadline.phase == "tls"


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("every_byte", [False, True])
def test_a_server_that_offers_tls_is_led_to_it(name, every_byte):
    dialogue(name, SCRIPTS[name], every_byte=every_byte)


EHLO = SCRIPTS["smtp"][:2]


@pytest.mark.parametrize(
    ("name", "script", "words"),
    [
        ("smtp", [b"554 no service\r\n"], "the greeting is '554 no service', expected 220"),
        ("smtp", [b"+OK POP3\r\n"], "the greeting is no SMTP: '+OK POP3'"),
        ("smtp", [*EHLO, b"250-x\r\n250 STARTTLSNOT\r\n"], "offers no STARTTLS, it said '250 STARTTLSNOT'"),
        ("smtp", [*EHLO, b"502 what?\r\n"], "offers no STARTTLS, it said '502 what?'"),
        ("smtp", [*EHLO, b"250 ok\r\n"], "offers no STARTTLS"),
        ("smtp", [*SCRIPTS["smtp"][:4], b"454 not now\r\n"], "refuses STARTTLS: '454 not now'"),
        ("imap", [b"* BYE go away\r\n"], "the greeting is '* BYE go away', expected OK"),
        ("imap", [b"* PREAUTH hello\r\n"], "the greeting is '* PREAUTH hello', expected OK"),
        ("imap", [b"220 mail\r\n"], "the greeting is no IMAP: '220 mail'"),
        ("imap", [*SCRIPTS["imap"][:2], b"a BAD unknown\r\n"], "offers no STARTTLS, it said 'a BAD unknown'"),
        ("imap", [*SCRIPTS["imap"][:2], b"a NO never\r\n"], "offers no STARTTLS, it said 'a NO never'"),
        ("imap", [*SCRIPTS["imap"][:2], b"b OK\r\n"], "offers no STARTTLS, it said 'b OK'"),
        ("pop3", [b"-ERR busy\r\n"], "the greeting is '-ERR busy', expected +OK"),
        ("pop3", [b"* OK ready\r\n"], "the greeting is no POP3: '* OK ready'"),
        ("pop3", [*SCRIPTS["pop3"][:2], b"-ERR what\r\n"], "offers no STARTTLS, it said '-ERR what'"),
        ("postgres", [*SCRIPTS["postgres"][:2], b"N"], "offers no TLS, it answered SSLRequest with 'N'"),
        ("postgres", [*SCRIPTS["postgres"][:2], b"Efull"], "expected 'S'"),
        ("ldap", [*SCRIPTS["ldap"][:2], ldap_response(2, b"unsupported")], "offers no STARTTLS, it said 'unsupported' (protocol error)"),
        ("ldap", [*SCRIPTS["ldap"][:2], ldap_response(53)], "(result 53)"),
        ("ldap", [*SCRIPTS["ldap"][:2], ldap_response(0, number=0)], "offers no STARTTLS"),
        ("ldap", [*SCRIPTS["ldap"][:2], ldap_response(0, tag=0x61)], "is no LDAP"),
        ("ldap", [*SCRIPTS["ldap"][:2], b"\x30\x80\x00\x00"], "is no LDAP"),
        ("ldap", [*SCRIPTS["ldap"][:2], b"\x30\x84\xff\xff\xff\xff"], "is no LDAP"),
        ("ldap", [*SCRIPTS["ldap"][:2], b"\x30\x03\x02\x01\x01"], "is no LDAP"),
        ("ldap", [*SCRIPTS["ldap"][:2], b"HTTP/1.1 400 Bad Request\r\n\r\n"], "is no LDAP: 'HT"),
    ],
)  # fmt: skip
def test_a_server_that_does_not_is_quoted(name, script, words):
    with pytest.raises(CheckFailedError) as caught:
        dialogue(name, script)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_comes_in_plain_text_after_the_go_ahead_is_refused(name):
    """CVE-2011-0411: a man in the middle adds what would then seem to have come inside TLS."""
    script = [*SCRIPTS[name][:-1], SCRIPTS[name][-1] + b"250 injected\r\n"]
    with pytest.raises(CheckFailedError, match="more in plain text after its go-ahead: '250 inj"):
        dialogue(name, script)


@pytest.mark.parametrize(
    ("name", "turns"),
    [(name, turns) for name, script in SCRIPTS.items() for turns in range(0, len(script) - 1, 2)],
)
@pytest.mark.parametrize("half", [False, True])
def test_a_server_that_leaves_at_any_step_has_closed(name, turns, half):
    script = SCRIPTS[name][:turns]
    whole = SCRIPTS[name][turns]
    with talker(lambda sock: _leave(sock, [*script, whole[: len(whole) // 2] if half else b""])) as (host, port):  # fmt: skip
        deadline = Deadline(TIMEOUT)
        with (
            connect(host, port, deadline) as sock,
            pytest.raises(CheckFailedError, match="closed the connection before"),
        ):
            start_tls(sock, name.partition(" ")[0], deadline)


def _leave(sock, script):
    for turn, text in enumerate(script):
        if turn % 2:
            sock.recv(len(text))
        else:
            sock.sendall(text)
    # The other direction stays open until the probe has seen the end of this one.
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(4096):
        pass


@pytest.mark.parametrize("name", ["smtp", "imap", "pop3", "postgres", "ldap"])
def test_silence_ends_with_the_deadline_and_says_what_was_awaited(name):
    with pytest.raises(CheckFailedError, match=r"^the (greeting|answer to .*) has not come"):
        dialogue(name, [b""], timeout=0.2)


@pytest.mark.parametrize("name", ["smtp", "imap", "pop3"])
@pytest.mark.parametrize("line", [b"x" * 1000, b"* 250-x\r\n", b"250-x\r\n"])
def test_no_more_is_read_than_a_dialogue_has(name, line):
    script = SCRIPTS[name][:2]
    flood = line * (2 * MAX_DIALOGUE_BYTES // len(line))
    started = time.monotonic()
    with pytest.raises((CheckFailedError, OSError)) as caught:
        dialogue(name, [*script, flood])
    assert time.monotonic() - started < TIMEOUT / 2
    assert "has not come" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "address", "literal"),
    [
        (socket.AF_INET, ("127.0.0.1", 0), b"[127.0.0.1]"),
        (socket.AF_INET6, ("::1", 0), b"[IPv6:::1]"),
    ],
)
def test_smtp_is_told_an_address_as_the_rfc_writes_it(family, address, literal):
    heard = []

    def greet(sock):
        sock.sendall(b"220 x\r\n")
        heard.append(sock.recv(100))
        sock.sendall(b"500 no\r\n")

    with talker(greet, family, address) as (host, port, *_):
        deadline = Deadline(TIMEOUT)
        with connect(host, port, deadline) as sock, pytest.raises(CheckFailedError):
            start_tls(sock, "smtp", deadline)
    assert heard == [b"EHLO " + literal + b"\r\n"]


PIECES = st.sampled_from(
    [b"220 x\r\n", b"250-STARTTLS\r\n", b"250 STARTTLS\n", b"* OK\r\n", b"a OK\r\n", b"+OK\r\n", b"S", LDAP_OK, b"\r\n"]
)  # fmt: skip


@given(
    st.sampled_from(sorted(STARTTLS_PORTS)),
    st.lists(PIECES | st.binary(max_size=20), max_size=8).map(b"".join),
)
def test_whatever_a_server_says_it_is_tls_or_a_failure_of_the_check(protocol, said):
    ours, peer = socket.socketpair()
    with DeadlineSocket(ours.family, ours.type, ours.proto, fileno=ours.detach()) as sock, peer:
        deadline = sock.deadline = Deadline(TIMEOUT)
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)
        try:
            start_tls(sock, protocol, deadline)
        except CheckFailedError as exc:
            assert str(exc).isprintable()
        else:
            # Not a byte is left that TLS would not get.
            assert sock.recv(1) == b""
    assert not deadline.expired
