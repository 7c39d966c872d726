from __future__ import annotations

import os

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers import base

from pingstate import worker
from pingstate.heartbeat import Heartbeat


def test_worker_of_gunicorns_has_a_heartbeat_of_ours():
    assert base.WorkerTmp is Heartbeat


class Peer:
    """A connection as far as an answer needs it."""

    def __init__(self, address, server=("127.0.0.1", 8787)):
        self.address = address
        self.server = server


@pytest.fixture
def answer():
    """The answer of a worker to a head, and the environment that the application saw."""
    config = Config()
    config.set("forwarded_allow_ips", "192.0.2.1")
    seen = []

    def application(environ, start_response):
        seen.append(dict(environ))
        environ["HTTP_COOKIE"] = "what an application writes there is its own"
        start_response("200 OK", [("Content-Length", "2")])
        return [b"up"]

    made = worker.Worker(0, os.getpid(), [], application, 30, config, Logger(config))
    made.wsgi = application
    made._known = {}

    def ask(head, peer=None):
        buffer = worker._ResponseBuffer()
        kept = made._answer(head, peer or Peer(("127.0.0.1", 1)), buffer)
        return bytes(buffer.data), kept, seen[-1] if seen else None

    ask.known, ask.worker = made._known, made
    yield ask
    made.tmp.close()


HEAD = b"GET /healthz?a=b HTTP/1.1\r\nHost: localhost\r\nX-One: 1\r\n\r\n"


def test_known_head_is_answered_as_the_first_one(answer):
    first, kept, environ = answer(HEAD)
    again, kept_again, environ_again = answer(HEAD, Peer(("127.0.0.1", 2)))
    assert len(answer.known) == 1
    without_date = [line for line in first.split(b"\r\n") if not line.startswith(b"Date")]
    assert [x for x in again.split(b"\r\n") if not x.startswith(b"Date")] == without_date
    assert kept
    assert kept_again
    assert "HTTP_COOKIE" not in environ_again
    assert environ_again["REMOTE_PORT"] == "2"
    for name in environ.keys() - {"gunicorn.socket", "REMOTE_PORT"}:
        assert environ_again[name] == environ[name], name


def test_head_means_what_its_sender_may_say(answer):
    head = HEAD.replace(b"X-One: 1", b"X-Forwarded-Proto: https")
    assert answer(head, Peer(("192.0.2.1", 1)))[2]["wsgi.url_scheme"] == "https"
    assert answer(head, Peer(("192.0.2.2", 1)))[2]["wsgi.url_scheme"] == "http"
    assert answer(head, Peer(("192.0.2.1", 1)))[2]["wsgi.url_scheme"] == "https"


def test_connection_is_closed_by_who_asks_for_it_each_time(answer):
    head = HEAD.replace(b"X-One: 1", b"Connection: close")
    assert [answer(head)[1] for _ in range(3)] == [False] * 3
    assert [answer(HEAD)[1] for _ in range(3)] == [True] * 3


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue\r\nContent-Length: 5",
        b"X-Long: " + b"x" * 1024,
    ],
)
def test_head_of_another_kind_is_read_each_time(answer, field):
    for _ in range(2):
        assert b" 200 OK\r\n" in answer(HEAD.replace(b"X-One: 1", field))[0]
    assert not answer.known


def test_malformed_head_is_refused_each_time(answer):
    for _ in range(2):
        assert answer(b"GET / HTTP/9.9\r\n\r\n")[0].startswith(b"HTTP/1.1 400 ")
    assert not answer.known


def test_client_of_a_unix_socket_is_read_each_time(answer):
    assert b" 200 OK\r\n" in answer(HEAD, Peer("", "/run/pingstate.sock"))[0]
    assert not answer.known


def test_only_so_many_heads_are_known(answer):
    for number in range(1000):
        answer(HEAD.replace(b"X-One: 1", b"X-One: %d" % number))
    assert 0 < len(answer.known) <= worker._MAX_KNOWN


def fails_at_once(_environ, _start_response):
    raise LookupError("a bug")


def fails_amid_its_answer(_environ, start_response):
    start_response("200 OK", [("Content-Length", "20")])
    yield b"half"
    raise LookupError("a bug")


@pytest.mark.parametrize("application", [fails_at_once, fails_amid_its_answer])
def test_application_that_fails_is_answered_for_and_told_of(answer, application, caplog):
    answer.worker.wsgi = application
    said, kept, _ = answer(HEAD)
    assert said.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert said.endswith(b"\r\n\r\n500 Internal Server Error\n")
    assert not kept
    log = caplog.text
    assert "/healthz: the application failed" in log
    assert "LookupError: a bug" in log
