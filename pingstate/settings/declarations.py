"""Every setting, declared once: its section, default, grammar, metavar and help.

A setting `some_name` is the flag `--some-name`, the variable `PINGSTATE_SOME_NAME`, and
`PINGSTATE_SOME_NAME_FILE`, whose file holds the value. Help, README and tests come from here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from pingstate.monitor.fsm import STATES
from pingstate.settings import parsing
from pingstate.settings.setting import Setting, declare
from pingstate.values import (
    PROTOCOLS,
    normalize_host,
    validate_body,
    validate_fraction,
    validate_history,
    validate_interval,
    validate_ip_version,
    validate_max_body_bytes,
    validate_method,
    validate_milliseconds,
    validate_path,
    validate_port,
    validate_starttls,
    validate_threshold,
    validate_timeout,
)

_TARGET = "Target"
_REQUEST = "HTTP request"
_TLS = "TLS"
_CHECKS = "What counts as up"
_STATES = "States"
_RHYTHM = "Rhythm"
_API = "API"
_MODES = "Modes"
_LOGS = "Logs"


def _declare_switch(section: str, text: str) -> Any:
    """A field that is on or off, and off by default."""
    return declare(section, False, parsing.switch, "", text, default_text="off")


@dataclass(frozen=True)
class Settings:
    """What one sidecar does."""

    protocol: str = declare(
        _TARGET,
        "tcp",
        parsing.choice(PROTOCOLS),
        "PROTOCOL",
        "one of `tcp`, `tls`, `http`, `https`",
    )
    address: str = declare(
        _TARGET,
        "1.1.1.1",
        parsing.address,
        "HOST",
        "host, IP or `unix:/path` to probe",
        redact=parsing.redact_url,
        refuses_empty=True,
    )
    port: int | None = declare(
        _TARGET,
        None,
        parsing.integer(validate_port),
        "PORT",
        "port to probe, 1 to 65535",
        default_text="`443`, `80` for http, that of `--starttls`",
    )
    ip_version: int | None = declare(
        _TARGET,
        None,
        parsing.integer(validate_ip_version),
        "VERSION",
        "`4` or `6`: connect by this IP version alone",
        default_text="both, each address of a name in turn",
    )
    probe: str | None = declare(
        _TARGET,
        None,
        parsing.importable,
        "MODULE:ATTRIBUTE",
        "probe in Python (a class or factory without arguments, or an object) instead of a "
        "protocol",
        default_text="none",
    )

    path: str = declare(
        _REQUEST,
        "/",
        validate_path,
        "PATH",
        "URL path for http/https",
        redact=parsing.redact_query,
    )
    method: str | None = declare(
        _REQUEST,
        None,
        validate_method,
        "METHOD",
        "HTTP method of the request",
        default_text="`GET`, `POST` with `--body`",
    )
    body: bytes = declare(
        _REQUEST,
        b"",
        validate_body,
        "TEXT",
        "body of the request, sent as UTF-8; its type is what `--header` says",
        default_text="none",
        redact=parsing.redact,
    )
    header: tuple[tuple[str, str], ...] = declare(
        _REQUEST,
        (),
        parsing.header,
        "NAME:VALUE",
        "header of the request, `Name: value`, `Host` included; repeatable (in variables one per "
        "line, or as `PINGSTATE_HEADER_2` and so on)",
        default_text="none",
        redact=parsing.redact,
        repeatable=True,
    )
    basic_auth: tuple[str, str] | None = declare(
        _REQUEST,
        None,
        parsing.user_password,
        "USER:PASSWORD",
        "`user:password` of HTTP basic authentication",
        default_text="none",
        redact=parsing.redact,
    )
    no_follow_redirects: bool = _declare_switch(
        _REQUEST,
        "judge a redirect itself instead of following it",
    )

    no_verify_tls: bool = _declare_switch(
        _TLS,
        "skip TLS verification (tls and https)",
    )
    ca_file: str | None = declare(
        _TLS,
        None,
        parsing.ca_file,
        "FILE",
        "PEM file of what to trust: authorities, or the target's own certificate (tls and https)",
        default_text="the system's",
        redact=parsing.redact_content,
    )
    client_cert: str | None = declare(
        _TLS,
        None,
        parsing.readable_file,
        "FILE",
        "PEM file with the client certificate (tls and https)",
        default_text="none",
        redact=parsing.redact_content,
    )
    client_key: str | None = declare(
        _TLS,
        None,
        parsing.readable_file,
        "FILE",
        "PEM file with its key",
        default_text="in the certificate's file",
        redact=parsing.redact_content,
    )
    server_name: str | None = declare(
        _TLS,
        None,
        normalize_host,
        "HOST",
        "name for SNI and verification, to probe tls or https by an IP",
        default_text="the address",
    )

    starttls: str | None = declare(
        _TLS,
        None,
        validate_starttls,
        "PROTOCOL",
        "`smtp`, `imap`, `pop3`, `postgres` or `ldap`: ask for TLS in that first (tls only)",
        default_text="TLS at once",
    )

    check: tuple[str, ...] = declare(
        _CHECKS,
        (),
        str,
        "CHECK",
        "what counts as up; repeatable (in variables one per line, or as `PINGSTATE_CHECK_2` and "
        "so on), and all must hold. "
        "http/https: `status:200-299,404`, `body_contains:OK`, `body_matches:REGEX`, "
        "`json:/pointer` (is there) or with `=`, `!=`, `<`, `<=`, `>`, `>=` and a value, "
        "`json_matches:/pointer=REGEX`, `header:Name` or `header:Name=value`, "
        "`header_matches:Name=REGEX`; tcp/tls: `banner_contains:SSH-`, "
        "`banner_matches:REGEX`, `open:SECONDS`; any: `call:module:function`; `not:` before "
        "a check negates it",
        default_text='none ("connect ok" or "any 2xx")',
        repeatable=True,
    )
    send: bytes = declare(
        _CHECKS,
        b"",
        parsing.escaped,
        "TEXT",
        "text to send before a banner is read (tcp and tls), with escapes as in C: `PING\\r\\n`",
        default_text="none",
        redact=parsing.redact,
    )
    max_body_bytes: int = declare(
        _CHECKS,
        65536,
        parsing.integer(validate_max_body_bytes),
        "BYTES",
        "maximum bytes of decoded body to read, and only where a check needs it",
    )

    failure_threshold: int = declare(
        _STATES,
        2,
        parsing.integer(validate_threshold),
        "NUMBER",
        "consecutive failures from `up` to `down`; 1 means no `degraded` on the way",
    )
    success_threshold: int = declare(
        _STATES,
        1,
        parsing.integer(validate_threshold),
        "NUMBER",
        "consecutive successes to be `up` again; the first check after the start counts at once",
    )
    slow: float | None = declare(
        _STATES,
        None,
        parsing.number(validate_milliseconds),
        "MS",
        "milliseconds above which a check that is ok means `degraded`",
        default_text="never",
    )
    ready_states: tuple[str, ...] = declare(
        _STATES,
        ("up",),
        parsing.choices(STATES, "states"),
        "STATES",
        "states in which `/healthz` is 200, separated by commas",
        default_text="`up`",
    )
    history: int = declare(
        _STATES,
        20,
        parsing.integer(validate_history),
        "NUMBER",
        "number of checks kept in `recent`",
    )

    interval: float = declare(
        _RHYTHM,
        5.0,
        parsing.number(validate_interval),
        "SECONDS",
        "seconds between checks, above 0",
        default_text="`5`",
    )
    timeout: float | None = declare(
        _RHYTHM,
        None,
        parsing.number(validate_timeout),
        "SECONDS",
        "seconds for one whole check, above 0",
        default_text="`2` for tcp, `5` for tls/http/https",
    )
    fast_interval: float | None = declare(
        _RHYTHM,
        None,
        parsing.number(validate_interval),
        "SECONDS",
        "seconds between checks while the state is not settled",
        default_text="`--interval`",
    )
    jitter: float = declare(
        _RHYTHM,
        0.1,
        parsing.number(validate_fraction),
        "FRACTION",
        "random delay added to each check, as a fraction of the interval",
    )

    api_host: str = declare(
        _API,
        "127.0.0.1",
        normalize_host,
        "HOST",
        "bind address of the HTTP API; `::` is every address, IPv6 and IPv4",
    )
    api_port: int = declare(
        _API,
        8787,
        parsing.integer(validate_port),
        "PORT",
        "port of the HTTP API",
    )
    healthcheck: str = declare(
        _API,
        "healthz",
        parsing.choice(("healthz", "livez")),
        "ENDPOINT",
        "what `pingstate healthcheck` asks: `healthz` or `livez`",
    )

    once: bool = _declare_switch(
        _MODES,
        "check once, print one line, exit 0 or 1; no server",
    )
    wait: float | None = declare(
        _MODES,
        None,
        parsing.number(validate_timeout),
        "SECONDS",
        "check until the state is ready and exit 0, or 124 after this many seconds; no server",
        default_text="none",
    )
    print_config: bool = _declare_switch(
        _MODES,
        "print each effective setting and its source, and exit",
    )

    log_format: str = declare(
        _LOGS,
        "text",
        parsing.choice(("text", "json")),
        "FORMAT",
        "`text`, or `json` for one object per line",
    )
    log_level: str = declare(
        _LOGS,
        "info",
        parsing.choice(("debug", "info", "warning", "error")),
        "LEVEL",
        "minimum log level: `debug`, `info`, `warning`, `error`",
    )


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(name=one.name, default=one.default, **one.metadata) for one in fields(Settings)
)
