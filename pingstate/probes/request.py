"""A request as it is sent: its fields, its target, and nothing that requests would rewrite."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_plus

import requests
from requests.structures import CaseInsensitiveDict

from pingstate.net.urls import URL
from pingstate.values import validate_basic_auth, validate_headers

# By their standard meaning they are no secrets, and say nothing of the host they were meant for.
HARMLESS = frozenset(
    {
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "user-agent",
    }
)
_PUBLIC = HARMLESS | {"content-type", "host"}


def create_request(
    url: URL, method: str, headers: Mapping[str, str], body: bytes = b""
) -> requests.PreparedRequest:
    """A request for `url`; `headers`, ready to be sent, replace the probe's own fields.

    The length of a body is that of this one, whatever `headers` say.
    """
    # Its own ways to prepare one load what it is not needed for: URLs, cookies, authentication.
    prepared = requests.PreparedRequest()
    prepared.method, prepared.url = method, "http://localhost/"  # where no one looks
    prepared.headers = CaseInsensitiveDict(
        {
            "Host": url.authority,
            "User-Agent": "pingstate",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
    )
    if method not in {"GET", "HEAD"}:
        prepared.headers["Content-Length"] = "0"
    prepared.headers.update(headers)
    if body:
        prepared.body = body
        prepared.headers["Content-Length"] = str(len(body))
    return prepared


def encode_headers(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
) -> CaseInsensitiveDict[str]:
    """Header fields ready to be sent, values as UTF-8. Raises ValueError."""
    ready: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for name, value in validate_headers(headers):
        text = value.encode("utf-8", "surrogateescape").decode("latin-1")
        # One field of several lines is one list (RFC 9110, 5.3; RFC 6265, 5.4).
        again = name.lower() != "host" and name in ready
        comma = ";" if name.lower() == "cookie" else ","
        ready[name] = f"{ready[name]}{comma} {text}" if again else text
    return ready


def encode_basic_auth(pair: tuple[str, str]) -> str:
    """The value of the field Authorization (RFC 7617). Raises ValueError."""
    user_password = ":".join(validate_basic_auth(pair)).encode("utf-8", "surrogateescape")
    return f"Basic {base64.b64encode(user_password).decode('ascii')}"


def split_secrets(
    fields: Mapping[str, str], basic_auth: tuple[str, str] | None, target: str, body: bytes
) -> list[str]:
    """The words of a request that may be secrets: values of fields, password, query, body."""
    # Fields are ready to be sent, as Latin-1; what comes back is read as UTF-8.
    values = [
        value.encode("latin-1").decode("utf-8", "replace")
        for name, value in fields.items()
        if name.lower() not in _PUBLIC
    ]
    text = body.decode("utf-8", "replace")
    parts = _json_values(text) or [text]
    values += [text, *parts, *(quoted for part in parts for quoted in _QUOTED.findall(part))]
    words = [word for value in values for word in (value, *value.split())]
    if basic_auth is not None:
        words.append(basic_auth[1])
    for pairs in (target.partition("?")[2], text):
        words += [pairs, *re.split("[=&]", pairs)]
    return [*words, *map(unquote_plus, words)]


# An attribute or an element of XML, an argument of GraphQL, a string of SQL; not a key of JSON.
_QUOTED = re.compile(r"""(?<=")[^"\\]+(?="(?!\s*:))|(?<=')[^'\\]+(?=')|(?<=>)[^<>]+(?=<)""")


def _json_values(text: str) -> list[str]:
    """The strings and numbers of a JSON text as they are spelled; [] where it is not JSON."""
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return []
    import json  # few requests have a body

    strings: list[str] = []
    try:
        waiting = [json.loads(text, parse_int=str, parse_float=str)]
    except (ValueError, RecursionError):
        return []
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            strings.append(value)
        elif isinstance(value, (dict, list)):
            waiting += value.values() if isinstance(value, dict) else value
    return strings
