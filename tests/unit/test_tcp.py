from __future__ import annotations

import socket
import threading
import time

from pingstate import probe
from tests.support.servers import talker
from tests.support.waiting import TIMEOUT


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
        with talker(lambda _, hold=hold: hold.wait(TIMEOUT)) as (host, port):
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
