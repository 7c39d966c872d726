"""README's recipes, each run as printed against a server that it is for; only the address is ours."""

from __future__ import annotations

import re
import shlex
import socket
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.support.client import free_port
from tests.support.documents import Document
from tests.support.process import run_pingstate
from tests.support.servers import answering, talker

README = Document("README.md")
COMMANDS = README.commands("Recipes")


def recipe(word):
    """The arguments of the one recipe that has this word in it."""
    (line,) = [line for line in COMMANDS if word in line]
    program, *arguments = shlex.split(line)
    assert program == "pingstate"
    return arguments


def run_recipe(word, port, *more, **environ):
    """Its verdict on a server at this port of the loopback, and the line that it prints."""
    arguments = recipe(word)
    arguments[arguments.index("--address") + 1] = "127.0.0.1"
    if "--port" in arguments:
        arguments[arguments.index("--port") + 1] = str(port)
    else:
        arguments += ["--port", str(port)]
    mode = [] if "--wait" in arguments else ["--once"]
    ended = run_pingstate(*arguments, *mode, *more, **environ)
    assert ended.returncode in (0, 1, 124), ended.stderr
    return ended.returncode == 0, ended.stdout


def answer(status="200 OK", body=b"", *fields):
    head = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


def test_every_recipe_has_a_test_here():
    words = [
        "--no-follow-redirects",
        "--wait",
        "jsonrpc",
        "header_matches",
        "body_matches",
        "open:",
    ]
    assert len(COMMANDS) == len(words)
    assert all(recipe(word) for word in words)


@pytest.mark.parametrize(
    ("status", "up"), [("200 OK", True), ("302 Found", True), ("404 Not Found", False)]
)
def test_like_a_kubelet(status, up):
    with answering(answer(status, b"", "Location: /elsewhere")) as (port, asked):
        assert run_recipe("--no-follow-redirects", port)[0] is up
    assert len(asked) == 1
    assert asked[0].startswith(b"GET /ready ")


def test_wait_until_something_is_gone():
    gone, said = run_recipe("--wait", free_port())
    assert gone
    assert "is down: connect: connection refused" in said


def test_wait_ends_when_it_is_not_gone():
    arguments = recipe("--wait")
    arguments[arguments.index("--wait") + 1] = "1"
    arguments[arguments.index("--address") + 1] = "127.0.0.1"
    with talker(lambda sock: sock.recv(1)) as (_, port):
        arguments[arguments.index("--port") + 1] = str(port)
        assert run_pingstate(*arguments).returncode == 124


@pytest.mark.parametrize(("result", "up"), [("false", True), ('{"currentBlock": "0x1"}', False)])
def test_json_rpc_by_post(result, up):
    body = f'{{"jsonrpc":"2.0","id":1,"result":{result}}}'.encode()
    with answering(answer("200 OK", body, "Content-Type: application/json")) as (port, asked):
        assert run_recipe("jsonrpc", port)[0] is up
    head, _, sent = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST / ")
    assert b"content-type: application/json" in head.lower()
    assert sent == b'{"jsonrpc":"2.0","id":1,"method":"eth_syncing"}'


@pytest.mark.parametrize(
    ("kind", "up"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/json ;charset=utf-8", True),
        ("application/json-seq", False),
        ("text/html", False),
    ],
)
def test_media_type_whatever_its_charset(kind, up):
    with answering(answer("200 OK", b"{}", f"Content-Type: {kind}")) as (port, _):
        assert run_recipe("header_matches", port)[0] is up


@pytest.mark.parametrize(
    ("text", "up"),
    [
        (b"a: b\nqueue: ok\nc: d\n", True),
        (b"a: b\r\nqueue: ok\r\n", True),
        (b"old queue: ok\n", False),
    ],
)
def test_line_of_its_own_in_a_text(text, up):
    with answering(answer("200 OK", text)) as (port, _):
        assert run_recipe("body_matches", port)[0] is up


def test_port_that_is_accepted_and_closed_at_once_is_not_open():
    with talker(lambda _: None) as (_, port):
        up, said = run_recipe("open:", port)
    assert not up
    assert "closed" in said


def test_port_that_stays_open_is_open():
    with talker(lambda sock: sock.recv(1)) as (_, port):
        assert run_recipe("open:", port)[0]


@pytest.fixture
def probes(tmp_path):
    """The folder `probes` with the files that the recipes print."""
    for text in README.code("python", "Recipes"):
        name = re.match(r"# probes/(\w+\.py)\n", text)[1]
        (tmp_path / name).write_text(text)
    assert len(list(tmp_path.iterdir())) == 2
    return str(tmp_path)


@pytest.mark.parametrize(
    ("greeting", "up", "said"),
    [
        (b"220-one moment\r\n220 mail.example ESMTP\r\n", True, "takes mail"),
        (b"554 no service\r\n", False, "greeting: b'554 no service"),
    ],
)
def test_dialogue_by_a_callable(probes, greeting, up, said):
    (check,) = re.findall(r"`--check (call:\S+)`", README.text)
    asked = []

    def talk(sock):
        sock.sendall(greeting)
        while command := sock.recv(512):
            asked.append(command)
            sock.sendall(b"250-mail.example\r\n250 OK\r\n")

    with talker(talk) as (_, port):
        ended = run_pingstate(
            "--address", "127.0.0.1", "--port", str(port), "--check", check, "--once",
            PYTHONPATH=probes,
        )  # fmt: skip
    assert (ended.returncode == 0) is up, ended.stdout + ended.stderr
    assert said in ended.stdout
    assert asked == ([b"EHLO pingstate\r\n", b"RSET\r\n"] if up else [])


@pytest.mark.parametrize(
    ("status", "up"),
    [
        (health_pb2.HealthCheckResponse.SERVING, True),
        (health_pb2.HealthCheckResponse.NOT_SERVING, False),
    ],
    ids=["SERVING", "NOT_SERVING"],
)
def test_grpc_health_by_a_probe_of_ones_own(probes, status, up):
    (path,) = re.findall(r"`PINGSTATE_PROBE=(grpc\S+)`", README.text)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    servicer.set("", status)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        ended = run_pingstate(
            "--once", PINGSTATE_PROBE=path, GRPC_TARGET=f"127.0.0.1:{port}", PYTHONPATH=probes
        )
    finally:
        server.stop(None).wait()
    assert (ended.returncode == 0) is up, ended.stdout + ended.stderr
    assert health_pb2.HealthCheckResponse.ServingStatus.Name(status) in ended.stdout


def test_grpc_server_that_is_not_there_is_down(probes):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ended = run_pingstate(
            "--once", PINGSTATE_PROBE="grpc_health_probe:GRPCHealth", PYTHONPATH=probes,
            GRPC_TARGET=f"127.0.0.1:{taken.getsockname()[1]}",
        )  # fmt: skip
    assert ended.returncode == 1
    assert "UNAVAILABLE" in ended.stdout
