"""The command line: flags become the environment, and the environment starts gunicorn."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pingstate.settings import (
    SETTINGS,
    ConfigurationError,
    Loaded,
    Setting,
    Settings,
    load_settings,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `pingstate`: ends by SystemExit, with code 2 for what can't be used."""
    given = sys.argv[1:] if arguments is None else list(arguments)
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
    loaded = load_settings(os.environ, flags)
    if loaded.settings.print_config:
        for line in _config_lines(loaded):
            print(line)
    elif loaded.settings.once or loaded.settings.wait is not None:
        raise SystemExit(_check_here(loaded))
    else:
        _serve(loaded.settings, flags)


def _serve(settings: Settings, flags: Mapping[str, str]) -> None:
    """Become gunicorn's arbiter, in this process."""
    workers = os.environ.get("WEB_CONCURRENCY", "1")
    if not re.fullmatch("[1-9][0-9]{0,2}", workers):
        raise ConfigurationError(
            [f"WEB_CONCURRENCY: {workers!r} is not a number of workers from 1 to 999"]
        )
    for setting in SETTINGS:
        if setting.name in flags:
            os.environ[setting.variable] = flags[setting.name]
            os.environ.pop(f"{setting.variable}_FILE", None)
    # As PID 1 a process ignores a signal that it has no handler for; gunicorn's comes later.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _try_to_listen(settings.api_host.strip("[]"), settings.api_port)
    sys.argv = ["gunicorn", "-c", "python:pingstate.gunicorn_conf"]
    from gunicorn.app.wsgiapp import run  # noqa: PLC0415  # it reads WEB_CONCURRENCY as it is imported

    run(prog="pingstate")


def _try_to_listen(host: str, port: int) -> None:
    """End the process with one line where gunicorn would try again and again."""
    if "LISTEN_FDS" in os.environ:
        return
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        print(f"pingstate: the API can't listen on {host} port {port}: {reason}", file=sys.stderr)
        raise SystemExit(1) from None


def _check_here(loaded: Loaded) -> int:
    """The modes without a server: check in this process, and say by the exit code what came."""
    import logging  # noqa: PLC0415  # a health check does without

    from pingstate import logs  # noqa: PLC0415  # a health check does without
    from pingstate.wiring import monitor_of  # noqa: PLC0415  # a health check does without

    settings = loaded.settings
    # As PID 1 a process ignores a signal that it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logs.configure(settings)
    for warning in loaded.warnings:
        logging.getLogger(__name__).warning("%s", warning)
    monitor = monitor_of(settings)
    if settings.once:
        result = monitor.check_now()
        print(_line(monitor.snapshot()))
        return 0 if result.ok else 1
    ready = " or ".join(settings.ready_states)
    if sys.stderr.isatty():
        print(f"waiting {settings.wait:g} s for {monitor.name} to be {ready}", file=sys.stderr)
    monitor.start()
    came = monitor.wait_for(settings.ready_states, settings.wait)
    monitor.stop(0.2)
    print(("" if came else f"not {ready} after {settings.wait:g} s: ") + _line(monitor.snapshot()))
    return 0 if came else 124


def _line(snapshot: Mapping[str, Any]) -> str:
    detail = snapshot["last_detail"] or "no check has ended"
    latency = snapshot["last_latency_ms"]
    took = "" if latency is None else f" ({latency:g} ms)"
    return f"{snapshot['probe']} is {snapshot['state']}: {detail}{took}"


def _config_lines(loaded: Loaded) -> list[str]:
    rows = []
    for setting in SETTINGS:
        value = getattr(loaded.settings, setting.name)
        source = loaded.sources[setting.name]
        if setting.secret and value:
            text = "***"
        elif isinstance(value, tuple):
            text = (", " if setting.name == "ready_states" else " and ").join(map(str, value))
        elif isinstance(value, bytes) or value is None:
            text = ""
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
        rows.append((setting.variable, text or "-", source))
    width = max(len(name) for name, _, _ in rows)
    return [f"{name:<{width}}  {text}  ({source})" for name, text, source in rows]


def _healthcheck(flags: Mapping[str, str]) -> None:
    """Ask the sidecar that runs with the same settings; say in one line why it exits 0 or 1."""
    settings = load_settings(os.environ, flags).settings
    host = settings.api_host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    try:
        status, body = _get(host, settings.api_port, f"/{settings.healthcheck}")
        if status == 200:
            print(f"healthy: {body}")
            return
        import json  # noqa: PLC0415  # only for who is not well

        _, snapshot = _get(host, settings.api_port, "/status")
        print(f"unhealthy: {body}: {_line(json.loads(snapshot))}")
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
