"""Where a sidecar listens, and where its health check asks."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.client import free_port, get
from tests.support.namespace import call_in_namespace
from tests.support.process import clean_environ, run_pingstate
from tests.support.waiting import TIMEOUT, wait_until

HOSTS = {
    "/etc/hosts": "::1 both.test\n127.0.0.1 both.test\n::1 six.test\n",
    "/etc/nsswitch.conf": "hosts: files\n",
}


def observe(host):
    """What a sidecar on `host` says of itself, where it answers, and what its health check says."""
    settings = {"PINGSTATE_API_HOST": host, "PINGSTATE_API_PORT": "8787", "PINGSTATE_PORT": "9"}
    process = subprocess.Popen(
        [sys.executable, "-m", "pingstate"],
        env=clean_environ(**settings, PINGSTATE_HEALTHCHECK="livez"),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stderr.readline()
    answers = []
    for address in ("127.0.0.1", "[::1]"):
        with contextlib.suppress(OSError):
            answers.append([address, get(f"http://{address}:8787/livez")[1]])
    asked = run_pingstate("healthcheck", **settings, PINGSTATE_HEALTHCHECK="livez")
    # Its sockets stay through a reload, and go with it.
    process.send_signal(signal.SIGHUP)
    wait_until(
        lambda: (
            run_pingstate("healthcheck", **settings, PINGSTATE_HEALTHCHECK="livez").returncode == 0
        )
    )
    process.terminate()
    code = process.wait(TIMEOUT)
    process.stderr.close()
    return [line.strip().partition("API on ")[2], answers, asked.stdout.strip(), code]


def with_ipv6():
    return {host: observe(host) for host in ("::", "both.test", "six.test", "[::1]", "127.0.0.1")}


def without_ipv6():
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    return {host: observe(host) for host in ("::", "both.test", "0:0::0.0.0.0")}


def test_sidecar_answers_on_each_address_that_it_names():
    four, six = ["127.0.0.1", "alive"], ["[::1]", "alive"]
    healthy = "healthy: alive"
    on_four, on_six = "http://127.0.0.1:8787", "http://[::1]:8787"
    assert call_in_namespace(with_ipv6, HOSTS) == {
        "::": ["http://[::]:8787", [four, six], healthy, 0],
        "both.test": [f"{on_four}, {on_six}", [four, six], healthy, 0],
        "six.test": [on_six, [six], healthy, 0],
        "[::1]": [on_six, [six], healthy, 0],
        "127.0.0.1": [on_four, [four], healthy, 0],
    }


def test_sidecar_and_its_health_check_need_no_ipv6():
    found = call_in_namespace(without_ipv6, HOSTS)
    assert found["::"][1:] == [[["127.0.0.1", "alive"]], "healthy: alive", 0]
    assert found["both.test"][1:] == [[["127.0.0.1", "alive"]], "healthy: alive", 0]
    assert found["0:0::0.0.0.0"] == found["::"]


def test_port_that_is_taken_on_one_family_is_one_line():
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        ended = run_pingstate("--api-host", "::", "--api-port", str(port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"pingstate: the API can't listen on :: port {port} (address already in use): "
        "set another PINGSTATE_API_PORT\n"
    )


# -- the health check's words ------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--healthcheck", "livez"]])
def test_status_that_was_not_expected_is_told_apart_from_silence(target, flags):
    target.status = 404
    ended = run_pingstate("healthcheck", *flags, PINGSTATE_API_PORT=str(target.port))
    assert ended.returncode == 1
    assert ended.stdout == (
        f"unhealthy: the API on 127.0.0.1 port {target.port} answered with status 404; "
        "expected 200 or 503\n"
    )


def test_silence_is_told():
    port = free_port()
    ended = run_pingstate("healthcheck", PINGSTATE_API_PORT=str(port))
    assert ended.returncode == 1
    assert ended.stdout == (
        f"unhealthy: no answer from the API on 127.0.0.1 port {port}: connection refused\n"
    )


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 503 X\r\n\r\n[]", b"\xff" * 99],
)
def test_answer_that_is_not_pingstates_is_told(answer):
    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, contextlib.suppress(OSError):
                    client.recv(4096)
                    client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        ended = run_pingstate("healthcheck", PINGSTATE_API_PORT=str(port))
        server.shutdown(socket.SHUT_RDWR)
    assert ended.returncode == 1
    assert ended.stdout == (
        f"unhealthy: the API on 127.0.0.1 port {port} gave an answer that is not pingstate's\n"
    )
    assert ended.stderr == ""
