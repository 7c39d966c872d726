"""The command line: read the settings once, and do what they say."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from pingstate import stand_ins
from pingstate.healthcheck import healthcheck
from pingstate.output import protect_standard_streams
from pingstate.settings import (
    SETTINGS,
    ConfigurationError,
    LoadedSettings,
    Setting,
    load_settings,
)


def main() -> None:
    """Run `pingstate`: ends by SystemExit, with code 2 for what can't be used."""
    given = sys.argv[1:]
    protect_standard_streams()
    try:
        if given == ["healthcheck"]:
            healthcheck({})
        elif given[:1] == ["healthcheck"]:
            _run_with_flags(healthcheck, given[1:], "pingstate healthcheck")
        elif not given:
            # As in a container: click, which is for flags alone, is a thirtieth of the memory.
            _run({})
        else:
            _run_with_flags(_run, given, "pingstate")
    except ConfigurationError as exc:
        exc.report()
        raise SystemExit(2) from None


def _run_with_flags(do: Callable[[Mapping[str, str]], None], given: list[str], name: str) -> None:
    import click  # a health check does without

    try:
        _command(do).main(given, name, standalone_mode=False)
    except click.UsageError as exc:
        problem = f"{exc.format_message().rstrip('.')}; see {name} --help"
        raise ConfigurationError([problem]) from None
    except click.Abort:
        raise SystemExit(128 + signal.SIGINT) from None


def _command(do: Callable[[Mapping[str, str]], None]) -> Any:
    """A click command that calls `do` with the flags that were given, as text by setting name."""
    import click  # a health check does without

    def run(**flags: Any) -> None:
        do({name: _text(value) for name, value in flags.items() if value not in (None, ())})

    class SectionedCommand(click.Command):
        """A command whose help is in the sections of the settings."""

        def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            records = {param.name: param.get_help_record(ctx) for param in self.get_params(ctx)}
            sections: dict[str, list[tuple[str, str]]] = {}
            for setting in SETTINGS:
                record = records.pop(setting.name)
                if record is not None:
                    sections.setdefault(setting.section, []).append(record)
            sections["Help"] = [record for record in records.values() if record is not None]
            for title, rows in sections.items():
                with formatter.section(title):
                    formatter.write_dl(rows)

    epilog = (
        "`pingstate healthcheck` asks the running sidecar and exits 0 or 1. Any variable may be "
        "given as NAME_FILE, whose file holds the value."
    )
    return SectionedCommand(
        "pingstate",
        callback=run,
        params=[_option(setting) for setting in SETTINGS],
        help="Probe one target, keep its state, and serve it over HTTP.",
        epilog=epilog,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def _option(setting: Setting) -> Any:
    import click  # a health check does without

    text = f"{setting.help}  [{setting.variable}; default: {setting.default_text}]"
    text = text.replace("`", "")
    if setting.is_switch:
        # It takes no value, so that nobody has to read `--no-verify-tls=false`.
        return click.Option([setting.flag], is_flag=True, default=None, help=text)
    return click.Option(
        [setting.flag],
        type=str,
        default=None,
        multiple=setting.repeatable,
        metavar=setting.metavar,
        help=text,
    )


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "\n".join(value)
    return "true" if value is True else str(value)


def _run(flags: Mapping[str, str]) -> None:
    # As PID 1 a process ignores a signal that it has no handler for; and reading the settings may
    # take long, since a probe is imported then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: os._exit(128 + received))
    problems = []
    workers = os.environ.get("WEB_CONCURRENCY") or "1"
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
        from pingstate.oneshot import run_without_server  # the server does without

        raise SystemExit(run_without_server(loaded))
    else:
        _serve(loaded)


def _serve(loaded: LoadedSettings) -> None:
    """Become gunicorn's arbiter, in this process."""
    from pingstate.queued_output import create_queued_output  # only a server goes on after it

    protect_standard_streams(create_queued_output)
    # Until gunicorn's own handler: a server that is stopped exits with 0, also while it starts. A
    # probe that is being created could catch SystemExit.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ignored = _drop_gunicorn_variables()
    stand_ins.install()
    from pingstate.server import serve  # gunicorn reads variables as it is imported

    serve(loaded, ignored)


def _drop_gunicorn_variables() -> list[str]:
    """Remove the variables that gunicorn obeys, or that end it.

    Returns the names of those that would have changed something.
    """
    environ = os.environ
    effective = [name for name in ("GUNICORN_CMD_ARGS", "SCRIPT_NAME") if environ.get(name)]
    if environ.get("LISTEN_PID") == str(os.getpid()):
        effective.append("LISTEN_FDS")
    dropped = [
        "FORWARDED_ALLOW_IPS",
        "GUNICORN_CMD_ARGS",
        "LISTEN_FDS",
        "LISTEN_PID",
        "SCRIPT_NAME",
    ]
    if not environ.get("WEB_CONCURRENCY"):
        dropped.append("WEB_CONCURRENCY")
    # Those of a gunicorn that replaces itself (SIGUSR2) are its own.
    if environ.get("GUNICORN_PID") != str(os.getppid()):
        dropped += ["GUNICORN_FD", "GUNICORN_PID"]
    for name in dropped:
        environ.pop(name, None)
    return effective


def _config_lines(loaded: LoadedSettings) -> list[str]:
    width = max(len(setting.variable) for setting in SETTINGS)
    return [
        f"{setting.variable:<{width}}  {_shown_value(setting, loaded)}  "
        f"({loaded.sources[setting.name]})"
        for setting in SETTINGS
    ]


def _shown_value(setting: Setting, loaded: LoadedSettings) -> str:
    if loaded.sources[setting.name] == "default":
        return setting.default_text.replace("`", "")
    value = getattr(loaded.settings, setting.name)
    if setting.is_switch:
        return "on" if value else "off"
    if setting.repeatable:
        return " and ".join(setting.redact(str(one)) for one in value)
    return setting.redact(", ".join(value) if isinstance(value, tuple) else str(value))
