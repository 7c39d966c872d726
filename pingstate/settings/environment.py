"""Read the settings from flags, variables and files; everything wrong is told at once."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pingstate.probes.checks import parse_check
from pingstate.settings.declarations import PREFIX, SETTINGS, Setting, Settings
from pingstate.settings.parsing import key_pair_problem
from pingstate.values import DEFAULT_TIMEOUTS, InvalidValueError, validate_ip_version


class ConfigurationError(ValueError):
    """Settings that can't be used: `problems` has one line for each of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class LoadedSettings:
    """Settings that can be used; where each came from, by name; warnings and notes, a line each."""

    settings: Settings
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _Text(NamedTuple):
    """What was given for a setting, and the flag or variable that gave it."""

    source: str
    text: str


def load_settings(
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, str] | None = None,
    *,
    only: Container[str] | None = None,
) -> LoadedSettings:
    """Settings from flags (text by setting name), else variables, else defaults.

    Those that are not in `only` (None: all are) are left at their defaults, unread. Each file is
    read once. Raises ConfigurationError with a line for each bad setting, all at once.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    links = {name for name, value in environ.items() if _is_service_link(name, value)}
    own = {name: value for name, value in environ.items() if name not in links}
    for setting in SETTINGS:
        if only is not None and setting.name not in only:
            continue
        try:
            given = _find(setting, own, flags or {})
            sources[setting.name] = given.source if given else "default"
            if given is not None:
                values[setting.name] = _parse(setting, given)
        except ConfigurationError as exc:
            problems += exc.problems
    problems += _cross_check(values, sources)
    if problems:
        raise ConfigurationError(problems)
    notes: tuple[str, ...] = ()
    if links:
        names = ", ".join(sorted(links))
        notes = (f"ignored variables that Kubernetes injects for a Service: {names}",)
    return LoadedSettings(Settings(**values), sources, tuple(_unknown_variables(own)), notes)


# -- one setting -----------------------------------------------------------------------------------


def _find(setting: Setting, environ: Mapping[str, str], flags: Mapping[str, str]) -> _Text | None:
    """What was given for a setting, by the flag before the variable; None for the default."""
    if setting.name in flags:
        return _Text(setting.flag, flags[setting.name])
    variable, file_variable = setting.variable, f"{setting.variable}_FILE"
    if file_variable not in environ:
        return _Text(variable, environ[variable]) if variable in environ else None
    if variable in environ:
        raise ConfigurationError(
            [f"{variable}: {file_variable} is set as well; expected one of the two"]
        )
    return _Text(file_variable, _read_file(file_variable, environ[file_variable]))


def _read_file(variable: str, path: str) -> str:
    """A file's text, without one trailing newline."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "not a path"
        raise ConfigurationError(
            [f"{variable}: {path!r} is not a file that can be read ({reason})"]
        ) from None
    text = data.decode("utf-8", "surrogateescape")
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _parse(setting: Setting, given: _Text) -> Any:
    # An empty variable is how compose files and templates spell "not set".
    if not given.text and not setting.default:
        return setting.default
    if not setting.repeatable:
        return _parse_one(setting, given.source, given.text)
    lines = [line.lstrip().removesuffix("\r") for line in given.text.split("\n")]
    values, problems = [], []
    for number, line in enumerate(lines, 1):
        source = given.source if len(lines) == 1 else f"{given.source}: line {number}"
        try:
            if line.strip():
                values.append(_parse_one(setting, source, line))
        except ConfigurationError as exc:
            problems += exc.problems
    if problems:
        raise ConfigurationError(problems)
    return tuple(values)


def _parse_one(setting: Setting, source: str, text: str) -> Any:
    try:
        return setting.parse(text)
    except InvalidValueError as exc:
        shown = setting.redact(text)
        shown = shown if shown == "***" else repr(shown)
        raise ConfigurationError([f"{source}: {shown} is not {exc.expected}"]) from None


# -- several settings ------------------------------------------------------------------------------


def _cross_check(values: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """Problems between individually valid settings."""
    problems = []
    protocol = values.get("protocol", "tcp" if sources.get("protocol") == "default" else None)
    if "probe" not in values and protocol is not None:
        timeout = values.get("timeout") or DEFAULT_TIMEOUTS[protocol]
        for check in values.get("check", ()):
            try:
                parse_check(protocol, check, timeout)
            except ValueError as exc:
                problems.append(f"{sources['check']}: {exc}")
    address = values.get("address", Settings.address if sources.get("address") == "default" else "")
    if "probe" not in values:
        try:
            validate_ip_version(values.get("ip_version"), address)
        except InvalidValueError as exc:
            problems.append(f"{sources['ip_version']}: {exc.value} is not {exc.expected}")
    if values.get("client_key") and not values.get("client_cert"):
        problems.append(f"{sources['client_key']}: requires {PREFIX}CLIENT_CERT")
    elif values.get("client_cert"):
        problem = key_pair_problem(values["client_cert"], values.get("client_key"))
        if problem:
            given = [sources[name] for name in ("client_cert", "client_key") if values.get(name)]
            problems.append(f"{', '.join(given)}: {values['client_cert']!r} is {problem}")
    return problems


# -- variables that are no settings ----------------------------------------------------------------

# A Service named `pingstate` (or `pingstate-...`) puts these into every Pod of its namespace.
_SERVICE_LINK = re.compile(
    PREFIX + r"(?:.+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_.+)?)"
)
_SERVICE_URL = re.compile(r"(?:tcp|udp|sctp)://.+:[0-9]+")


def _is_service_link(name: str, value: str) -> bool:
    if not name.startswith(PREFIX):
        return False
    by_value = name.endswith("_PORT") and _SERVICE_URL.fullmatch(value)
    return bool(by_value or _SERVICE_LINK.fullmatch(name))


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = {setting.variable for setting in SETTINGS}
    known |= {f"{name}_FILE" for name in known}
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    if not unknown:
        return []
    import difflib  # noqa: PLC0415  # only for a word that is unknown

    words = [name.removeprefix(PREFIX) for name in known]
    warnings = []
    for name in unknown:
        near = difflib.get_close_matches(name.removeprefix(PREFIX), words, 1)
        hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
        warnings.append(f"{name} is not a setting{hint}")
    return warnings
