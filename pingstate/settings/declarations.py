"""Every setting, declared once: its name, type, default, unit, range and help.

A setting `some_name` is the flag `--some-name`, the variable `PINGSTATE_SOME_NAME`, and
`PINGSTATE_SOME_NAME_FILE`, whose file holds the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from pingstate.imports import load
from pingstate.monitor.fsm import STATES
from pingstate.probes.conditions import parse_check
from pingstate.values import (
    PROTOCOLS,
    InvalidValueError,
    normalize_address,
    normalize_host,
    validate_basic_auth,
    validate_choice,
    validate_fraction,
    validate_header,
    validate_history,
    validate_interval,
    validate_max_body_bytes,
    validate_method,
    validate_milliseconds,
    validate_path,
    validate_port,
    validate_threshold,
    validate_timeout,
)

PREFIX = "PINGSTATE_"
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class ConfigurationError(ValueError):
    """Settings that can't be used: `problems` has one line for each of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class _Meta:
    parse: Callable[[str], Any]
    help: str
    metavar: str
    shown: str | None
    mask: Callable[[str], str]


def _open(text: str) -> str:
    return text


def _hidden(_: str) -> str:
    return "***"


def _setting(
    default: Any,
    parse: Callable[[str], Any],
    help: str,  # noqa: A002  # click's word
    *,
    metavar: str = "TEXT",
    shown: str | None = None,
    mask: Callable[[str], str] = _open,
) -> Any:
    """A field whose `parse` raises ValueError with what was expected.

    `shown` is how its default reads; `mask` makes of a value what anyone may read.
    """
    return field(default=default, metadata={"": _Meta(parse, help, metavar, shown, mask)})


# -- what a value may be ---------------------------------------------------------------------------


def _one_of(*words: str) -> Callable[[str], str]:
    return lambda text: validate_choice(text, words, "")


def _number(rule: Callable[[float], float]) -> Callable[[str], float]:
    """A parser for the text of a number; what is none is handed on, for the rule to refuse."""

    def parse(text: str) -> float:
        try:
            number: Any = float(text)
        except ValueError:
            number = text
        return rule(number)

    return parse


def _whole(rule: Callable[[int], int]) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.strip()
        number: Any = int(digits) if re.fullmatch("-?[0-9]{1,9}", digits) else text
        return rule(number)

    return parse


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in (*_YES, *_NO):
        raise ValueError(f"one of {', '.join(_YES)} or {', '.join(_NO)}")
    return word in _YES


def _without_userinfo(text: str) -> str:
    return f"***@{text.rpartition('@')[2]}" if "@" in text else text


def _without_query(text: str) -> str:
    path, mark, _ = text.partition("?")
    return f"{path}?***" if mark else path


def _lines(text: str) -> tuple[str, ...]:
    lines = (line.lstrip().removesuffix("\r") for line in text.split("\n"))
    return tuple(line for line in lines if line.strip())


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for number, line in enumerate(_lines(text), 1):
        name, colon, value = line.strip().partition(":")
        try:
            pairs.append(validate_header(name.rstrip(" \t") if colon else "", value))
        except InvalidValueError as exc:
            raise ValueError(
                f"'Name: value', one to a line (line {number} is not {exc.expected})"
            ) from None
    return tuple(pairs)


def _user_password(text: str) -> tuple[str, str]:
    pair: Any = tuple(text.split(":", 1))
    return validate_basic_auth(pair)


def _file(text: str) -> str:
    try:
        with Path(text).open("rb"):
            return text
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "no such path"
        raise ValueError(f"a file that can be read ({reason})") from None


def _authorities(text: str) -> str:
    import ssl  # noqa: PLC0415  # few configurations need it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(_file(text))
    except ssl.SSLError as exc:
        raise ValueError(f"a PEM file of certificates ({exc.reason or exc})") from None
    return text


def _key_pair(certificate: str, key: str | None) -> str | None:
    """What is wrong with a client certificate and its key, if anything."""
    import ssl  # noqa: PLC0415  # few configurations need it

    try:
        # Without a password OpenSSL would ask a terminal for the one of an encrypted key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "reason", None) or exc
        return f"not a PEM file of a certificate whose key, not encrypted, is there ({reason})"
    return None


def _states(text: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    if not set(words) <= set(STATES):
        raise ValueError(f"states with commas between, of {', '.join(STATES)}")
    return words


_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "e": 27}


def _escaped(text: str) -> bytes:
    def byte(found: re.Match[bytes]) -> bytes:
        escape = found[1].decode("utf-8", "replace")
        if escape[:1] == "x" and len(escape) > 1:
            return bytes([int(escape[1:], 16)])
        if re.fullmatch("[0-7]{1,3}", escape) and int(escape, 8) < 256:
            return bytes([int(escape, 8)])
        if escape in _ESCAPES:
            return bytes([_ESCAPES[escape]])
        if escape in ("\\", "'", '"', "?"):
            return escape.encode()
        raise ValueError("text with escapes as in C, such as \\r\\n, \\t, \\x00 or \\\\")

    return re.sub(
        rb"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.|\Z)",
        byte,
        text.encode("utf-8", "surrogateescape"),
        flags=re.DOTALL,
    )


def _object(text: str) -> str:
    try:
        load(text)
    except ValueError as exc:
        said = str(exc).partition(" can't be loaded: ")[2]
        raise ValueError(f"module:attribute of an object on the path ({said or exc})") from None
    return text


# -- the settings ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What one sidecar does. Every field is a flag and a variable."""

    protocol: str = _setting(
        "tcp", _one_of(*PROTOCOLS), "one of `tcp`, `http`, `https`", metavar="WORD"
    )
    address: str = _setting(
        "1.1.1.1", normalize_address, "host, IP or `unix:/path` to probe", mask=_without_userinfo
    )
    port: int | None = _setting(
        None, _whole(validate_port), "port to probe, 1 to 65535",
        metavar="NUMBER", shown="`443` for tcp/https, `80` for http",
    )  # fmt: skip
    path: str = _setting("/", validate_path, "URL path for http/https", mask=_without_query)
    check: tuple[str, ...] = _setting(
        (), _lines,
        "what counts as up; repeatable (in the variable one to a line), and all must hold. "
        "http/https: `status:200-299,404`, `body_contains:OK`, `body_matches:REGEX`, "
        "`json:/pointer=value`, `header:Name=value`; tcp: `banner_contains:SSH-`, "
        "`banner_matches:REGEX`; any: `call:module:function`",
        shown='none ("connect ok" or "any 2xx")',
    )  # fmt: skip
    timeout: float | None = _setting(
        None, _number(validate_timeout), "seconds for one whole check, above 0",
        metavar="SECONDS", shown="`2` for tcp, `5` for http/https",
    )  # fmt: skip
    no_verify_tls: bool = _setting(False, _flag, "skip TLS verification (https only)", metavar="")
    interval: float = _setting(
        5.0, _number(validate_interval), "seconds between checks, above 0", metavar="SECONDS"
    )
    api_host: str = _setting("127.0.0.1", normalize_host, "bind address of the HTTP API")
    api_port: int = _setting(8787, _whole(validate_port), "port of the HTTP API", metavar="NUMBER")
    method: str = _setting("GET", validate_method, "HTTP method of the request")
    header: tuple[tuple[str, str], ...] = _setting(
        (), _headers,
        "a header of the request, `Name: value`, `Host` included; repeatable (in the variable "
        "one to a line)",
        shown="none", mask=_hidden,
    )  # fmt: skip
    basic_auth: tuple[str, str] | None = _setting(
        None, _user_password, "`user:password` of HTTP basic authentication",
        shown="none", mask=_hidden,
    )  # fmt: skip
    ca_file: str | None = _setting(
        None, _authorities, "PEM file of the authorities to trust for https", shown="the system's"
    )
    client_cert: str | None = _setting(
        None, _file, "PEM file with the client certificate for https", shown="none"
    )
    client_key: str | None = _setting(
        None, _file, "PEM file with its key", shown="in the certificate's file"
    )
    server_name: str | None = _setting(
        None, normalize_host, "name for SNI and verification, to probe https by an IP",
        shown="the address",
    )  # fmt: skip
    no_follow_redirects: bool = _setting(
        False, _flag, "judge a redirect itself instead of following it", metavar=""
    )
    max_body_bytes: int = _setting(
        65536, _whole(validate_max_body_bytes),
        "most of a decoded body that is read, in bytes, and only where a check needs it",
        metavar="BYTES",
    )  # fmt: skip
    send: bytes = _setting(
        b"", _escaped,
        "text to send before a TCP banner is read, with escapes as in C: `PING\\r\\n`",
        shown="none", mask=_hidden,
    )  # fmt: skip
    probe: str | None = _setting(
        None, _object,
        "`module:attribute` of a probe in Python (a class or factory without arguments, or an "
        "object) instead of a protocol",
        shown="none",
    )  # fmt: skip
    failure_threshold: int = _setting(
        2, _whole(validate_threshold),
        "failures in a row from `up` to `down`; 1 means no `degraded` on the way",
        metavar="NUMBER",
    )  # fmt: skip
    success_threshold: int = _setting(
        1, _whole(validate_threshold),
        "successes in a row to be `up` again; the first check after the start counts at once",
        metavar="NUMBER",
    )  # fmt: skip
    ready_states: tuple[str, ...] = _setting(
        ("up",), _states, "states in which `/healthz` is 200, with commas between", shown="`up`"
    )
    slow: float | None = _setting(
        None, _number(validate_milliseconds),
        "milliseconds from which a check that is ok means `degraded`",
        metavar="MS", shown="never",
    )  # fmt: skip
    fast_interval: float | None = _setting(
        None, _number(validate_interval), "seconds between checks while the state is not settled",
        metavar="SECONDS", shown="`--interval`",
    )  # fmt: skip
    jitter: float = _setting(
        0.1, _number(validate_fraction),
        "fraction of the interval that a check may come later than its slot",
        metavar="FRACTION",
    )  # fmt: skip
    history: int = _setting(
        20, _whole(validate_history), "checks that `recent` keeps", metavar="NUMBER"
    )
    once: bool = _setting(
        False, _flag, "check once, print one line, exit 0 or 1; no server", metavar=""
    )
    wait: float | None = _setting(
        None, _number(validate_timeout),
        "check until the state is ready and exit 0, or 124 after so many seconds; no server",
        metavar="SECONDS", shown="none",
    )  # fmt: skip
    healthcheck: str = _setting(
        "healthz", _one_of("healthz", "livez"),
        "what `pingstate healthcheck` asks: `healthz` or `livez`", metavar="WORD",
    )  # fmt: skip
    log_format: str = _setting(
        "text", _one_of("text", "json"), "`text`, or `json` for one object a line", metavar="WORD"
    )
    log_level: str = _setting(
        "info", _one_of("debug", "info", "warning", "error"),
        "least level that is logged: `debug`, `info`, `warning`, `error`", metavar="WORD",
    )  # fmt: skip
    print_config: bool = _setting(
        False, _flag, "print every setting, its value and where it came from, and exit", metavar=""
    )


@dataclass(frozen=True)
class Setting:
    """One declaration, as the command line, the documentation and the tests need it."""

    name: str
    default: Any
    parse: Callable[[str], Any]
    help: str
    metavar: str
    shown: str
    masked: Callable[[str], str]

    @property
    def flag(self) -> str:
        """The command line's word for it."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment's word for it."""
        return PREFIX + self.name.upper()

    @property
    def is_flag(self) -> bool:
        """Whether it is on or off."""
        return isinstance(self.default, bool)

    @property
    def repeatable(self) -> bool:
        """Whether it may be given more than once, and stands one to a line in the variable."""
        return self.name in ("check", "header")


def _declared(one: Field[Any]) -> Setting:
    meta: _Meta = one.metadata[""]
    default = None if one.default is MISSING else one.default
    shown = meta.shown or ("off" if default is False else f"`{default}`")
    return Setting(one.name, default, meta.parse, meta.help, meta.metavar, shown, meta.mask)


SETTINGS: tuple[Setting, ...] = tuple(_declared(one) for one in fields(Settings))


@dataclass(frozen=True)
class Loaded:
    """Settings that can be used; where each came from, by name; warnings and notes, a line each."""

    settings: Settings
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def load_settings(
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, str] | None = None,
    *,
    only: Container[str] | None = None,
) -> Loaded:
    """Settings from flags (text by setting name), else variables, else defaults.

    Those that are not in `only` (None: all are) are left at their defaults, unread. Raises
    ConfigurationError with a line for each bad setting, all at once.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    injected = {name for name, value in environ.items() if _is_injected(name, value)}
    for setting in SETTINGS:
        try:
            if only is not None and setting.name not in only:
                continue
            where, text = _text_of(setting, environ, flags or {}, injected)
            sources[setting.name] = where
            if text is not None:
                values[setting.name] = _parsed(setting, where, text)
        except ConfigurationError as exc:
            problems += exc.problems
    problems += _conflicts(values, sources)
    if problems:
        raise ConfigurationError(problems)
    notes: tuple[str, ...] = ()
    if injected:
        notes = (
            "ignored variables that Kubernetes injects for a Service: "
            + ", ".join(sorted(injected)),
        )
    return Loaded(Settings(**values), sources, tuple(_strangers(environ, injected)), notes)


def _text_of(
    setting: Setting, environ: Mapping[str, str], flags: Mapping[str, str], injected: set[str]
) -> tuple[str, str | None]:
    """Where a setting's text is from, and the text; None for the default."""
    if setting.name in flags:
        return setting.flag, flags[setting.name]
    variable = setting.variable
    filed = f"{variable}_FILE"
    given = variable in environ and variable not in injected
    if filed in environ:
        if given:
            raise ConfigurationError(
                [f"{variable}: {filed} is set as well; expected one of the two"]
            )
        try:
            text = _content(environ[filed])
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or "not a path"
            raise ConfigurationError(
                [f"{filed}: {environ[filed]!r} is not a file that can be read ({reason})"]
            ) from None
        return filed, text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
    return (variable, environ[variable]) if given else ("default", None)


def _content(path: str) -> str:
    return _read(path) if Path(path).is_file() else _drained(path)


@cache
def _drained(path: str) -> str:
    # A pipe gives its content once, and the settings are read by the command line and the app.
    return _read(path)


def _read(path: str) -> str:
    return Path(path).read_bytes().decode("utf-8", "surrogateescape")


def _parsed(setting: Setting, where: str, text: str) -> Any:
    # An empty variable is how compose files and templates spell "not set".
    if not text and not setting.default:
        return setting.default
    try:
        return setting.parse(text)
    except ValueError as exc:
        masked = setting.masked(text)
        shown = repr(masked) if masked != "***" else masked
        expected = exc.expected if isinstance(exc, InvalidValueError) else exc
        raise ConfigurationError([f"{where}: {shown} is not {expected}"]) from None


def _conflicts(values: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """What is wrong between settings that are right each for itself."""
    problems = []
    protocol = values.get("protocol", "tcp" if sources.get("protocol") == "default" else None)
    if "probe" not in values and protocol is not None:
        for check in values.get("check", ()):
            try:
                parse_check(protocol, check)
            except ValueError as exc:
                problems.append(f"{sources['check']}: {exc}")
    if values.get("client_key") and not values.get("client_cert"):
        problems.append(f"{sources['client_key']}: it needs a {PREFIX}CLIENT_CERT as well")
    elif values.get("client_cert"):
        wrong = _key_pair(values["client_cert"], values.get("client_key"))
        if wrong:
            given = [sources[name] for name in ("client_cert", "client_key") if values.get(name)]
            problems.append(f"{', '.join(given)}: {values['client_cert']!r} is {wrong}")
    return problems


# A Service named `pingstate` (or `pingstate-...`) puts these into every Pod of its namespace.
_INJECTED_NAME = re.compile(
    PREFIX + r"(?:.+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_.+)?)"
)
_INJECTED_VALUE = re.compile(r"(?:tcp|udp|sctp)://.+:[0-9]+")


def _is_injected(name: str, value: str) -> bool:
    if not name.startswith(PREFIX):
        return False
    by_value = name.endswith("_PORT") and _INJECTED_VALUE.fullmatch(value)
    return bool(by_value or _INJECTED_NAME.fullmatch(name))


def _strangers(environ: Mapping[str, str], injected: set[str]) -> list[str]:
    import difflib  # noqa: PLC0415  # only for a word that is unknown

    known = [setting.variable for setting in SETTINGS]
    known += [f"{name}_FILE" for name in known]
    allowed = {*known, *injected}
    words = [name.removeprefix(PREFIX) for name in known]
    found = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in allowed:
            near = difflib.get_close_matches(name.removeprefix(PREFIX), words, 1)
            found.append(
                f"{name} is not a setting" + (f"; did you mean {PREFIX}{near[0]}?" if near else "")
            )
    return found
