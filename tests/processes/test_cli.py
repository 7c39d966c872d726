from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from pingstate.settings import SETTINGS
from tests.support import ROOT
from tests.support.client import free_port
from tests.support.process import clean_environ, run_pingstate
from tests.support.waiting import wait_until

BAD_INPUT = [
    {"PINGSTATE_INTERVAL": "abc"},
    {"PINGSTATE_INTERVAL": "0"},
    {"PINGSTATE_INTERVAL": "-1"},
    {"PINGSTATE_INTERVAL": "nan"},
    {"PINGSTATE_PORT": "70000"},
    {"PINGSTATE_PROTOCOL": "udp"},
    {"PINGSTATE_PROTOCOL": "http", "PINGSTATE_CHECK": "status:"},
    {"PINGSTATE_PROTOCOL": "http", "PINGSTATE_CHECK": "status:abc"},
    {"PINGSTATE_PROTOCOL": "http", "PINGSTATE_CHECK": "banner_contains:x"},
    {"PINGSTATE_ADDRESS": ""},
    {"PINGSTATE_PROTOCOL": "https", "PINGSTATE_CA_FILE": str(ROOT / "pyproject.toml")},
    {"PINGSTATE_PROBE": "json:loads"},
    {"WEB_CONCURRENCY": "abc"},
]


@pytest.mark.parametrize(
    "environ", BAD_INPUT, ids=lambda e: " ".join(f"{k}={v}" for k, v in e.items())
)
def test_bad_input_is_one_line_and_exit_2(environ):
    ended = run_pingstate(PINGSTATE_API_PORT=str(free_port()), **environ)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    name = list(environ)[-1]
    assert line.startswith(f"pingstate: {name}: ")
    assert ended.stdout == ""


def test_all_bad_input_is_told_at_once_from_flags_and_variables():
    ended = run_pingstate(
        "--interval", "0", "--check", "nope", PINGSTATE_PORT="x", PINGSTATE_INTERVAL="5"
    )
    assert ended.returncode == 2
    told = [line.split(": ")[1] for line in ended.stderr.splitlines()]
    assert sorted(told) == ["--check", "--interval", "PINGSTATE_PORT"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--adress", "x"], "No such option '--adress'. (Did you mean one of: '--address', "),
        (["--prot", "5"], "No such option '--prot'"),
        (["sh"], "Got unexpected extra argument (sh)"),
        (["--port"], "Option '--port' requires an argument; see pingstate --help"),
        (["--once=5"], "Option '--once' does not take a value; see pingstate --help"),
        (["healthcheck", "now"], "Got unexpected extra argument (now); see pingstate healthcheck "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_that_do_not_fit_are_one_line_and_exit_2(arguments, reason):
    ended = run_pingstate(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"pingstate: {reason}")
    assert line.endswith(" --help")


def test_interrupt_of_a_health_check_that_hangs_is_no_traceback():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pingstate",
                "healthcheck",
                "--api-port",
                str(silent.getsockname()[1]),
            ],
            env=clean_environ(),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(30)
        client, _ = silent.accept()
        with client:
            process.send_signal(signal.SIGINT)
            assert "Traceback" not in process.communicate(timeout=30)[1]
    assert process.returncode == 128 + signal.SIGINT


def test_start_line_says_what_how_often_and_where(sidecar, target):
    one = sidecar("--protocol", "http", "--port", str(target.port), "--interval", "0.2")
    one.wait_for_state("up")
    target.status = 500
    one.wait_for_state("down")
    assert one.stop() == 0
    lines = [line.split(" ", 2)[2] for line in one.lines]
    name = f"http://127.0.0.1:{target.port}/"
    assert lines[0] == f"probing {name} every 0.2 s; API on http://127.0.0.1:{one.port}"
    assert [line.partition(": ")[2].partition(":")[0] for line in lines[1:]] == [
        "unknown -> up",
        "up -> degraded",
        "degraded -> down",
    ]


def test_flag_wins_over_variable_and_over_its_file(sidecar, target, tmp_path):
    file = tmp_path / "port"
    file.write_text("1\n")
    one = sidecar(
        "--port", str(target.port), PINGSTATE_PORT_FILE=str(file), PINGSTATE_PROTOCOL="tcp"
    )
    one.wait_for_state("up")


def test_default_address_is_said_on_start_and_never_contacted():
    environ = clean_environ()
    del environ["PINGSTATE_ADDRESS"]
    # A network namespace of its own: no route leads anywhere.
    command = ["unshare", "-rn", sys.executable, "-m", "pingstate", "--interval", "60"]
    process = subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        assert "probing tcp://1.1.1.1:443 every 60 s" in line
        assert "the address is the default, 1.1.1.1: set PINGSTATE_ADDRESS" in line
        assert "network is unreachable" in process.stderr.readline()
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()


def test_unknown_variable_and_injected_ones_are_logged_once(sidecar, target):
    one = sidecar(
        PINGSTATE_TEAM="x",
        PINGSTATE_PORT="tcp://10.0.0.1:8787",
        PINGSTATE_SERVICE_HOST="10.0.0.1",
    )
    wait_until(one.answers)
    one.stop()
    assert one.output.count("PINGSTATE_TEAM is not a setting") == 1
    assert one.output.count("ignored variables that Kubernetes injects") == 1


def test_taken_port_is_one_line_and_an_error():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ended = run_pingstate("--api-port", str(port))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line == (
        f"pingstate: the API can't listen on 127.0.0.1 port {port} (address already in use): "
        "set another PINGSTATE_API_PORT"
    )


def test_address_of_another_machine_is_one_line_and_an_error():
    # Bound, not asked: nothing is sent.
    ended = run_pingstate("--api-host", "192.0.2.1")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line == (
        "pingstate: the API can't listen on 192.0.2.1 port 8787 (cannot assign requested address): "
        "set another PINGSTATE_API_HOST"
    )


def test_json_logs_are_one_object_a_line(sidecar, target):
    one = sidecar("--log-format", "json", "--port", str(target.port), "--interval", "0.1")
    one.wait_for_state("up")
    one.stop()
    records = [json.loads(line) for line in one.lines]
    change = next(record for record in records if record.get("new_state") == "up")
    assert change["old_state"] == "unknown"
    assert change["level"] == "info"
    assert change["latency_ms"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", change["time"])


def test_log_level_leaves_out_what_is_below(sidecar, target):
    one = sidecar("--log-level", "error", "--port", str(target.port))
    one.wait_for_state("up")
    one.stop()
    assert one.lines == []


def test_print_config_shows_values_and_sources_but_no_secret(tmp_path):
    secret = tmp_path / "auth"
    secret.write_text("user:hunter2\n")
    ended = run_pingstate(
        "--print-config",
        "--interval",
        "7",
        PINGSTATE_BASIC_AUTH_FILE=str(secret),
        PINGSTATE_HEADER="Authorization: Bearer t0ken",
        PINGSTATE_PORT="80",
    )
    assert ended.returncode == 0
    rows = {line.split()[0]: line.split(None, 1)[1] for line in ended.stdout.splitlines()}
    assert set(rows) == {setting.variable for setting in SETTINGS}
    assert rows["PINGSTATE_INTERVAL"] == "7.0  (--interval)"
    assert rows["PINGSTATE_PORT"] == "80  (PINGSTATE_PORT)"
    assert rows["PINGSTATE_BASIC_AUTH"] == "***  (PINGSTATE_BASIC_AUTH_FILE)"
    assert rows["PINGSTATE_HEADER"] == "***  (PINGSTATE_HEADER)"
    assert rows["PINGSTATE_PATH"] == "/  (default)"
    assert rows["PINGSTATE_NO_VERIFY_TLS"] == "off  (default)"
    for setting in SETTINGS:
        if rows[setting.variable].endswith("  (default)"):
            text = setting.default_text.replace("`", "")
            assert rows[setting.variable] == f"{text}  (default)"
    assert "hunter2" not in ended.stdout + ended.stderr
    assert "t0ken" not in ended.stdout + ended.stderr


# -- one-shot modes ---------------------------------------------------------------------------------


def test_once_is_one_line_and_0_or_1(target):
    ended = run_pingstate("--once", PINGSTATE_PORT=str(target.port))
    assert ended.returncode == 0
    assert re.fullmatch(
        rf"tcp://127\.0\.0\.1:{target.port} is up: connected \([0-9.e-]+ ms\)\n", ended.stdout
    )
    target.status = 503
    ended = run_pingstate(
        PINGSTATE_ONCE="1", PINGSTATE_PROTOCOL="http", PINGSTATE_PORT=str(target.port)
    )
    assert ended.returncode == 1
    (line,) = ended.stdout.splitlines()
    assert "is down: check: HTTP 503, expected a 2xx" in line
    assert ended.stderr == ""


def test_wait_tells_the_last_reason_of_a_target_that_hangs(target):
    target.hold.clear()
    ended = run_pingstate("--wait", "1", PINGSTATE_PROTOCOL="http", PINGSTATE_PORT=str(target.port))
    assert ended.returncode == 124
    assert "timeout after 0.9 s in response" in ended.stdout.splitlines()[-1]


def test_signal_while_the_one_check_hangs_is_no_verdict(target):
    target.hold.clear()
    process = subprocess.Popen(
        [sys.executable, "-m", "pingstate", "--once"],
        env=clean_environ(PINGSTATE_PROTOCOL="http", PINGSTATE_PORT=str(target.port)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: target.requests)
    process.terminate()
    assert process.communicate(timeout=10)[0] == ""
    assert process.returncode == 128 + signal.SIGTERM


def test_wait_ends_as_soon_as_the_target_is_ready():
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "pingstate", "--wait", "30", "--interval", "0.1"],
        env=clean_environ(PINGSTATE_PORT=str(port)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "is down: connect: connection refused" in process.stdout.readline()
    with socket.create_server(("127.0.0.1", port)):
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert re.fullmatch(r"tcp://\S+ is up: connected \([0-9.]+ ms\)\n", out)
    assert err == ""


def test_wait_is_124_when_the_time_is_over_with_the_last_reason():
    port = free_port()
    began = time.monotonic()
    ended = run_pingstate("--wait", "0.5", "--interval", "0.1", PINGSTATE_PORT=str(port))
    assert ended.returncode == 124
    assert time.monotonic() - began < 10
    change, last = ended.stdout.splitlines()
    assert " is down: connect: connection refused" in change
    assert last.startswith("not up after 0.5 s: tcp://127.0.0.1:")
    assert "connect: connection refused" in last


def test_wait_takes_the_ready_states_and_no_hanging_probe_holds_it(tmp_path):
    (tmp_path / "stuck.py").write_text(
        "import time\nclass Stuck:\n    name = 'stuck'\n    def check(self):\n        time.sleep(60)\n"
    )
    began = time.monotonic()
    ended = run_pingstate("--wait", "0.3", PINGSTATE_PROBE="stuck:Stuck", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 124
    assert time.monotonic() - began < 10
    assert "stuck is unknown: no check has ended" in ended.stdout
    ended = run_pingstate(
        "--wait", "5", "--ready-states", "down,up", PINGSTATE_PORT=str(free_port())
    )
    assert ended.returncode == 0


def test_wait_says_on_a_terminal_what_it_waits_for(target):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pingstate", "--wait", "20"],
        env=clean_environ(PINGSTATE_PORT=str(target.port)),
        cwd=ROOT,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while b"is up" not in shown and select.select([ours], [], [], 20)[0]:
        shown += os.read(ours, 1000)
    assert process.wait(10) == 0
    os.close(ours)
    assert shown.startswith(b"waiting 20 s for tcp://127.0.0.1:%d to be up" % target.port)


def test_wait_ends_on_sigterm():
    process = subprocess.Popen(
        [sys.executable, "-m", "pingstate", "--wait", "30", "--interval", "30"],
        env=clean_environ(PINGSTATE_PORT=str(free_port())),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 128 + signal.SIGTERM
    process.stdout.close()


# -- healthcheck --------------------------------------------------------------------------------------


def test_healthcheck_says_why_and_exits_0_or_1(sidecar, target):
    one = sidecar("--protocol", "http", "--port", str(target.port), "--interval", "0.1")
    one.wait_for_state("up")
    asked = {"PINGSTATE_API_PORT": str(one.port)}
    ended = run_pingstate("healthcheck", **asked)
    assert (ended.returncode, ended.stdout) == (0, "healthy: up\n")
    target.status = 500
    one.wait_for_state("down")
    ended = run_pingstate("healthcheck", **asked)
    assert ended.returncode == 1
    assert ended.stdout.startswith("unhealthy: down: http://127.0.0.1:")
    assert "HTTP 500" in ended.stdout
    ended = run_pingstate("healthcheck", PINGSTATE_HEALTHCHECK="livez", **asked)
    assert (ended.returncode, ended.stdout) == (0, "healthy: alive\n")
    one.stop()
    ended = run_pingstate("healthcheck", **asked)
    assert ended.returncode == 1
    assert len(ended.stdout.splitlines()) == 1
    assert "no answer" in ended.stdout


def test_healthcheck_asks_loopback_when_the_api_listens_everywhere(sidecar, target):
    one = sidecar("--port", str(target.port), PINGSTATE_API_HOST="0.0.0.0")
    one.wait_for_state("up")
    ended = run_pingstate(
        "healthcheck", PINGSTATE_API_PORT=str(one.port), PINGSTATE_API_HOST="0.0.0.0"
    )
    assert ended.returncode == 0
    assert run_pingstate("healthcheck", "--api-port", str(one.port)).returncode == 0
    ended = run_pingstate("healthcheck", "--api-port", "x")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith("unhealthy: --api-port: 'x' is not")


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["healthcheck"], ["flask", "requests", "click", "ssl", "gunicorn", "email"]),
        (["--once"], ["flask", "requests", "gunicorn", "regex", "prometheus_client"]),
    ],
)
def test_a_command_imports_what_it_needs_and_no_more(arguments, unwanted):
    script = (
        "import sys\nfrom pingstate.cli import main\ntry:\n    main()\n"
        "except SystemExit:\n    pass\nprint('loaded', *sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=clean_environ(PINGSTATE_PORT=str(free_port()), PINGSTATE_API_PORT=str(free_port())),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = ended.stdout.splitlines()[-1].split()
    assert "pingstate.settings" in loaded
    assert not set(unwanted) & set(loaded)


def test_help_has_the_sections_of_the_declarations_each_with_its_settings():
    text = run_pingstate("--help", COLUMNS="200").stdout
    titles = list(dict.fromkeys(setting.section for setting in SETTINGS))
    assert titles == [
        "Target", "HTTP request", "TLS", "What counts as up", "States", "Rhythm", "API", "Modes", "Logs"
    ]  # fmt: skip
    assert re.findall(r"^(\S.*):$", text, re.MULTILINE) == [*titles, "Help"]
    for title in titles:
        part = text.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        named = re.findall(r"^  (--\S+)(?: (\S+))? ", part, re.MULTILINE)
        assert named == [(s.flag, s.metavar) for s in SETTINGS if s.section == title]
