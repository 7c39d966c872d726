"""Read the settings from flags, variables and files; everything wrong is told at once."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pingstate.probes.checks import parse_check
from pingstate.settings.declarations import SETTINGS, Settings
from pingstate.settings.parsing import key_pair_problem
from pingstate.settings.setting import PREFIX, Setting
from pingstate.text import one_line
from pingstate.values import DEFAULT_TIMEOUTS, InvalidValueError, validate_ip_version


class ConfigurationError(ValueError):
    """Settings that can't be used: `problems` has one line for each of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def report(self) -> None:
        """Print the problems to stderr, a line each."""
        for problem in self.problems:
            print(f"pingstate: {problem}", file=sys.stderr)


class LoadedSettings(NamedTuple):
    """Settings that can be used, and what there is to tell of them.

    `sources` has, by setting name, the flag or variables that gave it, or "default"; it lacks what
    was not read. `warnings` and `notes` are lines for the log.
    """

    settings: Settings
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _Text(NamedTuple):
    """What was given for a setting, or a line of it, and the flag or variable that gave it."""

    source: str
    text: str
    number: int | None = None

    @property
    def where(self) -> str:
        """The source as a message names it."""
        return self.source if self.number is None else f"{self.source}: line {self.number}"


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
    if problems := _other_than_text(environ):
        raise ConfigurationError(problems)
    lines: dict[str, list[_Text]] = {}
    values: dict[str, Any] = {}
    links = {name for name, value in environ.items() if _is_service_link(name, value)}
    own = {name: value for name, value in environ.items() if name not in links}
    settings = [setting for setting in SETTINGS if only is None or setting.name in only]
    found = {setting.name: _find(setting, own, flags or {}) for setting in settings}
    for setting in settings:
        given, unread = found[setting.name]
        if setting.refuses_empty and found.get("probe", ([], []))[0]:
            # It takes the address's place.
            given = [one for one in given if one.text]
        if given or not unread:
            lines[setting.name] = given
        parsed, bad = _parse(setting, given)
        if given and not bad:
            values[setting.name] = parsed
        problems += unread + bad
    problems += _cross_check(values, lines)
    has_target = lines.get("address") != [] or bool(lines.get("probe"))
    unknown, warnings = _unknown_variables(own, has_target=has_target) if only is None else ([], [])
    if problems or unknown:
        raise ConfigurationError([one_line(problem, 1000) for problem in problems + unknown])
    warnings += _find_unused(values, lines)
    sources = {name: _join_sources(texts) or "default" for name, texts in lines.items()}
    notes: tuple[str, ...] = ()
    if links:
        names = ", ".join(sorted(links))
        notes = (f"ignored variables that Kubernetes injects for a Service: {names}",)
    return LoadedSettings(Settings(**values), sources, tuple(warnings), notes)


def _other_than_text(environ: Mapping[str, str]) -> list[str]:
    """Problems with a mapping of a program's own, which may hold anything; it may be a secret."""
    if not isinstance(environ, Mapping):
        return [f"environ: {type(environ).__name__} is not a mapping of variables to text"]
    return [
        f"{name}: {type(value if isinstance(name, str) else name).__name__} is not text"
        for name, value in environ.items()
        if not isinstance(name, str) or (name.startswith(PREFIX) and not isinstance(value, str))
    ]


# -- one setting -----------------------------------------------------------------------------------


def _find(
    setting: Setting, environ: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[list[_Text], list[str]]:
    """What was given for a setting, by the flag before the variables, and what could not be read.

    Empty is how compose files and templates spell "not set", and so it is here, but for the
    address: to probe another target than the one that was meant would go unnoticed. It counts as
    given, with an empty text.
    """
    given, problems = [], []
    flag = flags.get(setting.name)
    if flag or (flag is not None and setting.refuses_empty):
        given.append(_Text(setting.flag, flag))
    else:
        for variable in _variables(setting, environ):
            try:
                given += _read_variable(setting, variable, environ)
            except ConfigurationError as exc:
                problems += exc.problems
    if setting.repeatable:
        given = [line for text in given for line in _split(text)]
    return given, problems


def _variables(setting: Setting, environ: Mapping[str, str]) -> list[str]:
    """The variables that may say a setting, in their order: its own, then PINGSTATE_CHECK_2, ..."""
    if not setting.repeatable:
        return [setting.variable]
    numbered = {
        (int(found[2]), found[1])
        for name in environ
        if (found := re.fullmatch(f"({setting.variable}_([0-9]{{1,99}}))(?:_FILE)?", name))
    }
    return [setting.variable, *(variable for _, variable in sorted(numbered))]


def _read_variable(setting: Setting, variable: str, environ: Mapping[str, str]) -> list[_Text]:
    file_variable = f"{variable}_FILE"
    names = [name for name in (variable, file_variable) if environ.get(name)]
    if len(names) == 2:
        raise ConfigurationError(
            [f"{variable}: {file_variable} is set as well; expected one of the two"]
        )
    texts = [
        _Text(name, environ[name] if name == variable else _read_file(setting, variable, environ))
        for name in names
    ]
    if setting.refuses_empty:
        empty = (_Text(name, "") for name in (variable, file_variable) if name in environ)
        return texts or list(empty)[:1]
    return [one for one in texts if one.text]


_MAX_FILE = 16_777_216  # bytes; a device may have no end
_PIECE = 65_536  # bytes; a file of /proc/sys refuses to be read by millions

_FOREIGN_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def _read_file(setting: Setting, variable: str, environ: Mapping[str, str]) -> str:
    """A file's text, without a byte order mark before it and one line break after it."""
    name = f"{variable}_FILE"
    path = environ[name]
    try:
        with Path(path).open("rb") as file:
            data = bytearray()
            while len(data) <= _MAX_FILE and (piece := file.read(_PIECE)):
                data += piece
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "not a path"
        # It may be the value itself, which may be a secret.
        shown = repr(path) if path[0] in "./" else _show(setting, path)
        raise ConfigurationError(
            [f"{name}: {shown} is not a file that can be read ({reason})"]
        ) from None
    if len(data) > _MAX_FILE:
        raise ConfigurationError([f"{name}: {path!r} is not a file of at most 16 MiB"])
    if setting.is_path and b"-----BEGIN" in data:
        expected = f"expected the path of one: set {variable}={path}"
        raise ConfigurationError([f"{name}: {path!r} holds a certificate or a key, {expected}"])
    coding = next((name for mark, name in _FOREIGN_MARKS.items() if data.startswith(mark)), None)
    if coding is None and b"\0" in data:
        coding = "binary or UTF-16: there is NUL in it"
    if coding is not None:
        raise ConfigurationError([f"{name}: {path!r} is not UTF-8 but {coding}"])
    text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _split(given: _Text) -> list[_Text]:
    """The lines of a text that are not blank, each with its number where there are several."""
    lines = [line.lstrip().removesuffix("\r") for line in given.text.split("\n")]
    if len(lines) == 1:
        return [_Text(given.source, line) for line in lines if line]
    return [
        _Text(given.source, line, number) for number, line in enumerate(lines, 1) if line.strip()
    ]


def _parse(setting: Setting, given: list[_Text]) -> tuple[Any, list[str]]:
    """The value of what was given, None for nothing, and what is wrong with it."""
    values, problems = [], []
    for one in given:
        try:
            values.append(setting.parse(one.text))
        except InvalidValueError as exc:
            problems.append(f"{one.where}: {_show(setting, one.text)} is not {exc.expected}")
    if setting.repeatable:
        return tuple(values), problems
    return (values[0] if values else None), problems


def _show(setting: Setting, text: str) -> str:
    """What a message may have of a text."""
    shown = setting.redact(text)
    return shown if shown == "***" else repr(shown)


def _join_sources(given: list[_Text]) -> str:
    return ", ".join(dict.fromkeys(one.source for one in given))


# -- several settings ------------------------------------------------------------------------------


def _cross_check(values: Mapping[str, Any], lines: Mapping[str, list[_Text]]) -> list[str]:
    """Problems between individually valid settings."""
    problems = [] if "probe" in values else _cross_check_target(values, lines)
    certificate, key = values.get("client_cert"), values.get("client_key")
    if key and not certificate:
        problems.append(f"{_join_sources(lines['client_key'])}: requires {PREFIX}CLIENT_CERT")
    elif certificate:
        problem = key_pair_problem(certificate, key)
        if problem:
            sources = _join_sources([*lines["client_cert"], *lines["client_key"]])
            problems.append(f"{sources}: {certificate!r} is {problem}")
    return problems


def _cross_check_target(values: Mapping[str, Any], lines: Mapping[str, list[_Text]]) -> list[str]:
    """Problems with what goes with a protocol or an address."""
    problems = []
    defaults = {
        setting.name: setting.default for setting in SETTINGS if lines.get(setting.name) == []
    }
    # A bad protocol or address is neither among the values nor a default: nothing is checked by it.
    known = {**defaults, **values}
    protocol, address = known.get("protocol"), known.get("address", "")
    if protocol is not None:
        timeout = values.get("timeout") or DEFAULT_TIMEOUTS[protocol]
        for line in lines.get("check", ()):
            try:
                parse_check(protocol, line.text, timeout)
            except ValueError as exc:
                problems.append(f"{line.where}: {exc}")
    try:
        validate_ip_version(values.get("ip_version"), address)
    except InvalidValueError as exc:
        problems.append(f"{lines['ip_version'][0].where}: {exc.value} is not {exc.expected}")
    if values.get("starttls") and protocol not in ("tls", None):
        problems.append(f"{_join_sources(lines['starttls'])}: requires {PREFIX}PROTOCOL=tls")
    framed = any(name.lower() == "transfer-encoding" for name, _ in values.get("header", ()))
    if framed and values.get("body") and protocol in ("http", "https"):
        sources = _join_sources(lines["header"])
        problems.append(f"{sources}: 'Transfer-Encoding' is not a header to send with a body")
    return problems


_OF_HTTP = {"path", "method", "body", "header", "basic_auth", "no_follow_redirects"}
_OF_TLS = {"no_verify_tls", "ca_file", "client_cert", "client_key", "server_name"}
# What plain HTTP has no use for, what it redirects to may have.
_UNUSED = {
    "tcp": {*_OF_HTTP, *_OF_TLS, "max_body_bytes"},
    "tls": {*_OF_HTTP, "max_body_bytes"},
    "http": {"send"},
    "https": {"send"},
}


def _find_unused(values: Mapping[str, Any], lines: Mapping[str, list[_Text]]) -> list[str]:
    """A warning for each setting that the protocol has no use for: another one may be meant."""
    protocol = values.get("protocol", Settings.protocol)
    unused = set() if "probe" in values else _UNUSED[protocol]
    return [
        f"{_join_sources(lines[setting.name])} has no effect with {PREFIX}PROTOCOL={protocol}"
        for setting in SETTINGS
        if setting.name in unused and values.get(setting.name, setting.default) != setting.default
    ]


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


def _unknown_variables(
    environ: Mapping[str, str], *, has_target: bool
) -> tuple[list[str], list[str]]:
    """Errors for variables that are close to a setting, and warnings for others of our prefix.

    Where no target was given, another word for the address is an error too.
    """
    known = {setting.variable for setting in SETTINGS}
    known |= {variable for setting in SETTINGS for variable in _variables(setting, environ)}
    known |= {f"{name}_FILE" for name in known}
    errors, warnings = [], []
    for name in sorted(environ):
        if name in known or not name.upper().replace("-", "_").startswith(PREFIX):
            continue
        from pingstate.settings import suggestions  # only for what is unknown

        meant = suggestions.suggest_variable(name)
        if meant is None and not has_target:
            meant = suggestions.suggest_address(name)
        if meant is not None:
            errors.append(f"{name}: is not a setting; did you mean {meant}?")
        elif name.startswith(PREFIX):
            similar = suggestions.suggest_similar(name)
            hint = f"; did you mean {similar}?" if similar else ""
            warnings.append(f"{name} is not a setting{hint}")
    return errors, warnings
