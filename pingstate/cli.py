"""The command line: flags become the environment, and the environment starts gunicorn."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from pingstate.settings import (
    SETTINGS,
    ConfigurationError,
    Loaded,
    Setting,
    load_settings,
)

if TYPE_CHECKING:
    from pingstate.probes.base import ProbeResult


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `pingstate`: ends by SystemExit, with code 2 for what can't be used."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        if given == ["healthcheck"]:
            _healthcheck({})
        elif given[:1] == ["healthcheck"]:
            _command(_healthcheck)(given[1:], prog_name="pingstate healthcheck")
        else:
            _command(_run)(given, prog_name="pingstate")
    except ConfigurationError as exc:
        for problem in exc.problems:
            print(f"pingstate: {problem}", file=sys.stderr)
        raise SystemExit(2) from None


def _command(do: Callable[[Mapping[str, str]], None]) -> Any:
    """A command that hands on the flags that were given, as text by setting name."""
    import click  # noqa: PLC0415  # a health check does without

    def run(**flags: Any) -> None:
        do({name: _text(value) for name, value in flags.items() if value not in (None, ())})

    epilog = (
        "`pingstate healthcheck` asks the running sidecar and exits 0 or 1. Any variable may be "
        "given as NAME_FILE, whose file holds the value."
    )
    return click.Command(
        "pingstate",
        callback=run,
        params=[_option(setting) for setting in SETTINGS],
        help="Probe one target, keep its state, and serve it over HTTP.",
        epilog=epilog,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def _option(setting: Setting) -> Any:
    import click  # noqa: PLC0415  # a health check does without

    shown = setting.help.replace(
        "`", ""
    ) + f"  [{setting.variable}; default: {setting.shown}]".replace("`", "")
    if setting.is_flag:
        # A value of its own would make `--no-verify-tls=false` of it: it is on or it is absent.
        return click.Option([setting.flag], is_flag=True, default=None, help=shown)
    return click.Option(
        [setting.flag],
        type=str,
        default=None,
        multiple=setting.repeatable,
        metavar=setting.metavar,
        help=shown,
    )


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "\n".join(value)
    return "true" if value is True else str(value)


def _run(flags: Mapping[str, str]) -> None:
    problems = []
    workers = os.environ.get("WEB_CONCURRENCY", "1")
    if not re.fullmatch("[1-9][0-9]{0,2}", workers):
        problems.append(f"WEB_CONCURRENCY: {workers!r} is not a number of workers from 1 to 999")
    try:
        loaded = load_settings(os.environ, flags)
    except ConfigurationError as exc:
        raise ConfigurationError(exc.problems + problems) from None
    if problems:
        raise ConfigurationError(problems)
    if loaded.settings.print_config:
        for warning in loaded.warnings:
            print(f"pingstate: {warning}", file=sys.stderr)
        for line in _config_lines(loaded):
            print(line)
    elif loaded.settings.once or loaded.settings.wait is not None:
        raise SystemExit(_check_here(loaded))
    else:
        _serve(flags)


def _serve(flags: Mapping[str, str]) -> None:
    """Become gunicorn's arbiter, in this process."""
    for setting in SETTINGS:
        if setting.name in flags:
            os.environ[setting.variable] = flags[setting.name]
            os.environ.pop(f"{setting.variable}_FILE", None)
    # As PID 1 a process ignores a signal that it has no handler for; gunicorn's comes later.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.argv = ["gunicorn", "-c", "python:pingstate.gunicorn_conf"]
    from gunicorn.app.wsgiapp import run  # noqa: PLC0415  # it reads WEB_CONCURRENCY as it is imported

    run(prog="pingstate")


def _check_here(loaded: Loaded) -> int:
    """The modes without a server: check in this process, and say by the exit code what came."""
    import logging  # noqa: PLC0415  # a health check does without
    import queue  # noqa: PLC0415  # the same

    from pingstate.factory import monitor_of, probe_of  # noqa: PLC0415  # the same

    settings = loaded.settings
    # As PID 1 a process ignores a signal that it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    # What there is to say is printed here, each thing once.
    logging.disable()
    for warning in loaded.warnings:
        print(f"pingstate: {warning}", file=sys.stderr)
    if settings.once:
        monitor = monitor_of(settings)
        result = monitor.check_now()
        print(_line(monitor.name, monitor.state, result))
        return 0 if result.ok else 1

    seconds = settings.wait or 0.0
    if settings.probe is None and getattr(probe_of(settings), "timeout", 0.0) >= seconds:
        # So that the last check ends before the time is over, and its reason can be told.
        settings = replace(settings, timeout=seconds * 0.9)
    changes: queue.SimpleQueue[tuple[str, str, ProbeResult]] = queue.SimpleQueue()
    monitor = monitor_of(settings, on_transition=lambda *change: changes.put(change))
    ready = " or ".join(settings.ready_states)
    if sys.stderr.isatty():
        print(f"waiting {seconds:g} s for {monitor.name} to be {ready}", file=sys.stderr)
    until = time.monotonic() + seconds
    state = monitor.state
    monitor.start()
    while state not in settings.ready_states:
        try:
            _, state, result = changes.get(timeout=max(until - time.monotonic(), 0.0))
        except queue.Empty:
            last = monitor.account().last
            late = f"not {ready} after {seconds:g} s: "
            print(late + _line(monitor.name, monitor.state, last))
            return 124
        print(_line(monitor.name, state, result), flush=True)
    return 0


def _line(name: str, state: str, result: ProbeResult | None) -> str:
    if result is None:
        return f"{name} is {state}: no check has ended"
    took = "" if result.latency_ms is None else f" ({result.latency_ms:g} ms)"
    return f"{name} is {state}: {result.reason}{took}"


def _config_lines(loaded: Loaded) -> list[str]:
    rows = []
    for setting in SETTINGS:
        value = getattr(loaded.settings, setting.name)
        source = loaded.sources[setting.name]
        if isinstance(value, tuple):
            text = (", " if setting.name == "ready_states" else " and ").join(map(str, value))
        elif value is None:
            text = ""
        else:
            text = str(value or "").lower() if isinstance(value, bool) else str(value)
        rows.append((setting.variable, setting.masked(text) if value else text or "-", source))
    width = max(len(name) for name, _, _ in rows)
    return [f"{name:<{width}}  {text}  ({source})" for name, text, source in rows]


def _healthcheck(flags: Mapping[str, str]) -> None:
    """Ask the sidecar that runs with the same settings; say in one line why it exits 0 or 1."""
    try:
        # No more than these: the rest may import the user's code, and is the sidecar's business.
        asked = load_settings(os.environ, flags, only=("api_host", "api_port", "healthcheck"))
    except ConfigurationError as exc:
        print(f"unhealthy: {'; '.join(exc.problems)}")
        raise SystemExit(1) from None
    settings = asked.settings
    host = settings.api_host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    try:
        status, body = _get(host, settings.api_port, f"/{settings.healthcheck}")
        if status == 200:
            print(f"healthy: {body}")
            return
        import json  # noqa: PLC0415  # only for who is not well

        snapshot = json.loads(_get(host, settings.api_port, "/status")[1])
        print(f"unhealthy: {body}: {snapshot['probe']}: {snapshot['last_detail']}")
    except (OSError, ValueError, LookupError) as exc:
        print(f"unhealthy: no answer from the API on {host} port {settings.api_port}: {exc}")
    raise SystemExit(1)


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    """One answer of our own API; http.client would cost more than the rest of a health check."""
    with socket.create_connection((host, port), timeout=3.0) as sock:
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode("ascii"))
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode().strip()
