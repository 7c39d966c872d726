"""Suggest settings for an address that says more than a host."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pingstate.net.urls import DEFAULT_PORTS
from pingstate.settings.setting import PREFIX
from pingstate.text import one_line
from pingstate.values import PROTOCOLS, normalize_host, unix_path

# Schemes that are TLS from the first byte, and their ports.
_TLS_PORTS = {
    "amqps": 5671,
    "imaps": 993,
    "ldaps": 636,
    "mqtts": 8883,
    "pop3s": 995,
    "rediss": 6379,
    "smtps": 465,
    "wss": 443,
}


def suggest_settings(text: str) -> str:
    """The settings that say what a URL, or `host:port/path`, says; empty for neither."""
    if unix_path(text) is not None or re.search(r"[\x00-\x20\x7f]", text):
        return ""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = normalize_host(parts.hostname or ""), parts.port
    except ValueError:
        return ""
    if "@" in parts.path + parts.query + parts.fragment:
        return ""  # what is before it may be a password with a slash in it
    scheme, web = parts.scheme, parts.scheme in ("", "http", "https")
    port = port or DEFAULT_PORTS.get(scheme) or _TLS_PORTS.get(scheme)
    protocol = "tls" if scheme in _TLS_PORTS else "tcp" if scheme else ""
    said = {
        "PROTOCOL": scheme if scheme in PROTOCOLS else protocol,
        "ADDRESS": host,
        "PORT": str(port or ""),
        "PATH": (parts.path or "/" * bool(scheme)) + "?***" * bool(parts.query) if web else "",
        "BASIC_AUTH": "***" if web and parts.username is not None else "",
    }
    return one_line(" ".join(f"{PREFIX}{name}={value}" for name, value in said.items() if value))
