"""The README's code runs as printed, with its addresses replaced, and its tables are the code's."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading

import pytest
import trustme

from pingstate import TRANSITIONS, Monitor, probe
from pingstate.monitor.fsm import STATES
from tests.project import settings_table
from tests.support import ROOT
from tests.support.client import free_port
from tests.support.dialogues import SCRIPTS, upgrading
from tests.support.documents import Document
from tests.support.process import clean_environ, run_pingstate
from tests.support.servers import tls_context, tls_talker
from tests.support.waiting import wait_until

README = Document("README.md")
TEXT = README.text


def test_settings_table_is_generated_from_the_declarations():
    assert settings_table.update(TEXT) == TEXT


# What stands in a file of its own is run where it is told of.
PYTHON = [code for code in README.code("python") if not code.startswith("# probes/")]
STUBS = """
import threading, sys
ticks = 0
def do_other_work():
    global ticks
    ticks += 1
    if ticks == 3:
        print(fsm.state)
        sys.exit(0)
"""


def local(snippet: str, port: int, banner_port: int, api_port: int) -> str:
    """The snippet with servers of ours in place of its addresses; nothing else is changed."""
    for host, ports in (
        ("api.example.com", 443),
        ("192.168.86.3", 5432),
        ("1.1.1.1", 443),
        ("git.example.com", 22),
    ):
        ours = banner_port if host.startswith("git") else port
        snippet = snippet.replace(f'"{host}", {ports}', f'"127.0.0.1", {ours}')
    return snippet.replace('"https"', '"http"').replace("port=8787", f"port={api_port}")


@pytest.fixture
def banner():
    import socket

    server = socket.create_server(("127.0.0.1", 0))

    def talk():
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            with sock:
                sock.sendall(b"SSH-2.0-test\r\n")

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.mark.parametrize("snippet", PYTHON)
def test_python_of_the_readme_runs_as_printed(snippet, target, banner):
    target.body = b'{"ready": true}'
    api_port = free_port()
    code = local(snippet, target.port, banner, api_port)
    assert "example.com" not in code
    assert "1.1.1.1" not in code
    names = re.findall(r"check=(is_\w+)", code)
    if names:
        code = f"from pingstate import probe\n{code}\nresult = p.check()\nprint(result)\nassert result.ok"
    elif "do_other_work()" in code:
        code = STUBS + code
    elif "monitor.snapshot()" in code:
        code = code.replace("# ...do other work...", "assert monitor.wait_for('up', 20)")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=clean_environ(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if "serve_forever" in code:
        from tests.support.client import get

        def is_up():
            try:
                return get(f"http://127.0.0.1:{api_port}/healthz") == (200, "up")
            except OSError:
                return False

        wait_until(is_up)
        process.terminate()
        process.communicate()
        return
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    if "result.ok, result.latency_ms" in code:
        assert out.startswith("True ")
    if "wait_for" in code and "tell" in code:
        assert "True" in out  # beside what the callback's thread prints
    if "do_other_work" in code:
        assert out == "up\n"


def as_local(line: str, port: int) -> list[str]:
    words = shlex.split(line)
    if "--address" in words:
        words[words.index("--address") + 1] = "127.0.0.1"
    words = ["http" if word == "https" else word for word in words]
    if "--port" in words:
        words[words.index("--port") + 1] = str(port)
    else:
        words += ["--port", str(port)]
    return words[1:]


# What a server of ours is asked and says, for a line that has this in it.
DIALOGUES = {
    "PONG": (b"PING\r\n", b"+PONG\r\n"),
    "ldap": (
        b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\x00\x80\x00",
        b"0\x84\x00\x00\x00\x10\x02\x01\x01a\x84\x00\x00\x00\x07\n\x01\x00\x04\x00\x04\x00",
    ),
}


@pytest.mark.parametrize("line", README.commands("TLS"))
def test_tls_of_the_readme_runs(line, tmp_path):
    ca = trustme.CA()
    client = ca.issue_cert("sidecar@client.test")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    client.private_key_pem.write_to_path(tmp_path / "tls.key")
    shown = []

    def talk(sock):
        shown.append(sock.getpeercert())
        asked, said = DIALOGUES["PONG"]
        if "--send" in line:
            assert sock.recv(100) == asked
            sock.sendall(said)
        sock.recv(1)

    context = tls_context(ca.issue_cert("127.0.0.1"), ca if "--client-cert" in line else None)
    begun = upgrading(SCRIPTS["smtp"], context, talk) if "--starttls" in line else None
    with begun or tls_talker(talk, context) as (_, port):
        words = as_local(line, port)
        files = {"ca.pem", "tls.crt", "tls.key"}
        words = [str(tmp_path / word) if word in files else word for word in words]
        # In place of the system's authorities, where the line trusts these.
        ran = run_pingstate(*words, "--once", PINGSTATE_CA_FILE=str(tmp_path / "ca.pem"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bool(shown[0]) == ("--client-cert" in line)


@pytest.mark.parametrize("line", [x for x in README.commands("The command line") + README.commands("Checks") if x.startswith("pingstate")])  # fmt: skip
def test_command_line_of_the_readme_runs(line, target, banner, sidecar):
    port = target.port
    if "SSH-" in line:
        port = banner
    elif "json:" in line:
        target.body = b'{"queue": {"depth": 99}}'
    for word in DIALOGUES.keys() & set(re.findall(r"\w+", line)):
        import socket

        server = socket.create_server(("127.0.0.1", 0))
        port = server.getsockname()[1]

        def talk(server=server, word=word):
            with server, server.accept()[0] as sock:
                asked, said = DIALOGUES[word]
                assert sock.recv(100) == asked
                sock.sendall(said)
                sock.recv(1)

        threading.Thread(target=talk, daemon=True).start()
    arguments = as_local(line, port)
    if {"--once", "--wait"} & set(arguments):
        assert run_pingstate(*arguments).returncode == 0
    else:
        sidecar(*arguments, "--interval", "30").wait_for_state("up")


def test_snapshot_of_the_readme_has_the_real_ones_keys(target):
    (printed,) = [json.loads(block) for block in README.code("json")]
    monitor = Monitor(probe("http", "127.0.0.1", target.port))
    monitor.check_now()
    real = monitor.snapshot()
    assert list(printed) == list(real)
    assert set(printed["recent"][0]) == set(real["recent"][0])
    assert set(printed["certificate"]) == {"expires", "subject", "issuer"}


def test_endpoints_of_the_readme_exist(target):
    from pingstate import create_app

    app = create_app({"PINGSTATE_ADDRESS": "127.0.0.1"}, start=False)
    listed = set(re.findall(r"^GET (/\S*)", TEXT, re.MULTILINE))
    assert listed == {rule.rule for rule in app.url_map.iter_rules()}


def test_diagram_of_the_readme_is_the_table():
    (drawn,) = README.code("", "State machine")
    words = re.findall(r"[a-z]+", drawn)
    assert set(words) == set(STATES) | {"ok", "fail"}
    assert "unknown ──ok──▶ up ──fail──▶ degraded ──fail──▶ down" in drawn
    for old, event, new in (
        ("unknown", "ok", "up"), ("up", "fail", "degraded"), ("degraded", "fail", "down"),
        ("degraded", "ok", "up"), ("down", "ok", "up"),
    ):  # fmt: skip
        assert TRANSITIONS[old, event] == new
