"""The same good and bad values through every door that they may come in by."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from pingstate import (
    HTTPProbe,
    Monitor,
    PingFSM,
    TCPProbe,
    TLSProbe,
    probe,
    serve,
    threshold_transitions,
)
from pingstate.monitor.schedule import Schedule
from pingstate.settings import SETTINGS, ConfigurationError, load_settings
from pingstate.values import InvalidValueError, normalize_host

HOST = "127.0.0.1"
NAN, INF = math.nan, math.inf


class OnlyHere:
    """In place of a text: a value that no variable can say."""


Door = Callable[[Any], Any]


def http(name: str) -> dict[str, Door]:
    return {
        "probe(http)": lambda value: probe("http", HOST, 1, **{name: value}),
        "probe(https)": lambda value: probe("https", HOST, 1, **{name: value}),
        "HTTPProbe": lambda value: HTTPProbe(HOST, 1, **{name: value}),
    }


def tls(name: str) -> dict[str, Door]:
    return {
        "probe(tls)": lambda value: probe("tls", HOST, 1, **{name: value}),
        "TLSProbe": lambda value: TLSProbe(HOST, 1, **{name: value}),
    }


def every(name: str) -> dict[str, Door]:
    return (
        http(name)
        | tls(name)
        | {
            "probe(tcp)": lambda value: probe("tcp", HOST, 1, **{name: value}),
            "TCPProbe": lambda value: TCPProbe(HOST, 1, **{name: value}),
        }
    )


def monitor(name: str) -> dict[str, Door]:
    return {"Monitor": lambda value: Monitor(TCPProbe(HOST), **{name: value})}


def schedule(name: str) -> dict[str, Door]:
    good = {"interval": 1.0, "fast_interval": 1.0, "jitter": 0.0, "start": 0.0}
    return {"Schedule": lambda value: Schedule(**good | {name: value})}


@dataclass
class Row:
    """Values by their text in a variable, and the doors of the library for the value itself."""

    doors: Mapping[str, Door]
    good: Mapping[Any, Any]
    bad: Mapping[Any, Any]


def same(*texts: str) -> dict[str, str]:
    return {text: text for text in texts}


def numbers(*values: float) -> dict[str, float]:
    return {repr(value): value for value in values}


SECONDS = {"x": "x", "": "", OnlyHere(): True, OnlyHere(): [], OnlyHere(): 10**400} | numbers(
    0, -1, NAN, INF, -INF
)
HOSTS = same("db.internal", "127.0.0.1", "::1", "fe80::1%eth0", "db_1", "example.com.") | {
    "[::1]": "[::1]",
    "bücher.example": "bücher.example",
}
NO_HOSTS = same("", "http://x", "x:1", "x/y", "a b", "a\nb", "u@x", "[::1", "::g", "a..b", "x" * 64)
TABLE = {
    "protocol": Row(
        {"probe": lambda value: probe(value, HOST)},
        same("tcp", "tls", "http", "https", "HTTP", "Https", "TLS"),
        same("udp", "", "http ", "tcp4") | {OnlyHere(): 5},
    ),
    "address": Row(
        {
            "probe(tcp)": lambda value: probe("tcp", value),
            "probe(tls)": lambda value: probe("tls", value),
            "probe(http)": lambda value: probe("http", value),
            "TCPProbe": TCPProbe,
            "TLSProbe": TLSProbe,
            "HTTPProbe": HTTPProbe,
        },
        HOSTS | same("unix:/run/x.sock", "unix:/" + "x" * 106),
        NO_HOSTS | same("unix:x", "unix:/" + "x" * 107, "unix:") | {OnlyHere(): None},
    ),
    "port": Row(
        {
            "probe(tcp)": lambda value: probe("tcp", HOST, value),
            "probe(http)": lambda value: probe("http", HOST, value),
            "TCPProbe": lambda value: TCPProbe(HOST, value),
            "TLSProbe": lambda value: TLSProbe(HOST, value),
            "HTTPProbe": lambda value: HTTPProbe(HOST, value),
        },
        numbers(1, 443, 65535),
        same("http", "1e3", "٣") | numbers(0, -1, 65536, 65536 + 80, 5.5) | {OnlyHere(): True},
    ),
    "ip_version": Row(
        {
            "probe(tcp)": lambda value: probe("tcp", "db.internal", 1, ip_version=value),
            "probe(tls)": lambda value: probe("tls", "db.internal", 1, ip_version=value),
            "probe(http)": lambda value: probe("http", "db.internal", 1, ip_version=value),
        },
        numbers(4),  # 6 is none of the default address
        same("x", "IPv4", "٤")
        | numbers(0, 5, 46, -4, 4.5)
        | {OnlyHere(): True, OnlyHere(): 4.0, OnlyHere(): "4"},
    ),
    "path": Row(
        http("path"),
        same("/", "/healthz?full=1&x=%20", "/a/../b", "/ü", "/\udcff"),
        same("", "x", "/a b", "/a\tb", "/a\r\nX: y", "/#x", "http://x/") | {OnlyHere(): "/\ud800", OnlyHere(): 1},
    ),
    "timeout": Row(every("timeout"), numbers(0.001, 1, 86400), SECONDS | numbers(86401)),
    "method": Row(
        http("method"), same("GET", "head", "M-SEARCH"), same("GE T", "G:T", "GÉT") | {OnlyHere(): 1}
    ),
    "body": Row(
        http("body"),
        same("x", '{"a": "ü\\n"}', "a=1&b=2", "line\r\nline", "\udcff"),
        {OnlyHere(): "\ud800", OnlyHere(): None, OnlyHere(): 5, OnlyHere(): ["x"]},
    ),
    "header": Row(
        http("headers"),
        {
            "X-A: 1": {"X-A": "1"},
            "Host:h": (("Host", "h"),),
            "X: ü": {"X": "ü"},
            "X: a\tb": [("X", "a\tb")],
        },
        {
            "X: a\rb": {"X": "a\rb"},
            "X: a\0b": {"X": "a\0b"},
            OnlyHere(): {"X": "\ud800"},
            "a b: c": {"a b": "c"},
            ": c": {"": "c"},
            "X": {"": ""},
            "X(): c": (("X()", "c"),),
            OnlyHere(): {"X": "a\nb"},
            OnlyHere(): {"X": 5},
            OnlyHere(): [("X", "a", "b")],
            OnlyHere(): [("X",)],
            OnlyHere(): "X: a",
            OnlyHere(): ["Xa"],
            OnlyHere(): 5,
            OnlyHere(): None,
        },
    ),
    "basic_auth": Row(
        http("basic_auth"),
        {"u:p": ("u", "p"), "u:": ("u", ""), ":p:q": ("", "p:q"), "ü:\udcff": ("ü", "\udcff")},
        {
            "u": ("u",),
            "u:a\nb": ("u", "a\nb"),
            "u\0:b": ("u\0", "b"),
            OnlyHere(): ("u", "\ud800"),
            OnlyHere(): ("a:b", "c"),
        },
    ),
    "server_name": Row(
        http("server_name") | tls("server_name"),
        HOSTS,
        NO_HOSTS | same("unix:/x") | {OnlyHere(): 5},
    ),
    "starttls": Row(
        tls("starttls"),
        same("smtp", "imap", "pop3", "postgres", "ldap", "SMTP"),
        same("", "http", "smtps", "tls") | {OnlyHere(): True, OnlyHere(): 25},
    ),
    "max_body_bytes": Row(
        http("max_body_bytes"),
        numbers(0, 1, 16_777_216),
        same("x", "1k") | numbers(-1, 16_777_217, 1.5) | {OnlyHere(): True},
    ),
    "interval": Row(
        monitor("interval") | schedule("interval"),
        numbers(0.05, 5, 31_536_000),
        SECONDS | numbers(31_536_001),
    ),
    "fast_interval": Row(
        monitor("fast_interval") | schedule("fast_interval"),
        numbers(0.05, 5, 31_536_000),
        SECONDS | numbers(31_536_001),
    ),
    "jitter": Row(
        monitor("jitter") | schedule("jitter"),
        numbers(0, 0.1, 1),
        same("x", "10%") | numbers(-0.1, 1.1, NAN, INF) | {OnlyHere(): False},
    ),
    "slow": Row(monitor("slow_ms"), numbers(0.5, 250), SECONDS | numbers(86_400_001)),
    "history": Row(
        monitor("history") | {"PingFSM": lambda value: PingFSM(history=value)},
        numbers(0, 20, 10_000),
        same("x") | numbers(-1, 10_001, 1.5) | {OnlyHere(): True},
    ),
    "failure_threshold": Row(
        {"threshold_transitions": lambda value: threshold_transitions(value, 1)},
        numbers(1, 1000),
        same("x") | numbers(0, -1, 1001, 1.5) | {OnlyHere(): True},
    ),
    "success_threshold": Row(
        {"threshold_transitions": lambda value: threshold_transitions(1, value)},
        numbers(1, 1000),
        same("x") | numbers(0, -1, 1001, 1.5) | {OnlyHere(): True},
    ),
}  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}
GOOD = [(name, text, value) for name, row in TABLE.items() for text, value in row.good.items()]
BAD = [(name, text, value) for name, row in TABLE.items() for text, value in row.bad.items()]
# Empty is "not set" for every setting but the address.
BAD_TEXTS = [
    (name, text) for name, text, _ in BAD if isinstance(text, str) and (text or name == "address")
]
FROM = ("variable", "file", "flag")


def load(name: str, text: str, source: str, folder: Any) -> Any:
    setting = BY_NAME[name]
    company = {"PINGSTATE_PROTOCOL": "tls"} if name == "starttls" else {}
    if source == "flag":
        return load_settings(company, {name: text})
    if source == "variable":
        return load_settings(company | {setting.variable: text})
    file = folder / "value"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return load_settings(company | {f"{setting.variable}_FILE": str(file)})


@pytest.mark.parametrize(("name", "text", "value"), GOOD, ids=repr)
def test_a_good_value_is_taken_through_every_door(name, text, value, tmp_path):
    for source in FROM:
        loaded = load(name, text, source, tmp_path)
        assert loaded.sources[name] != "default"
    for door in TABLE[name].doors.values():
        assert door(value) is not None


@pytest.mark.parametrize(("name", "text", "value"), BAD, ids=repr)
def test_a_bad_value_is_refused_by_the_library_with_what_was_expected(name, text, value):
    for title, door in TABLE[name].doors.items():
        with pytest.raises(InvalidValueError) as caught:
            door(value)
        assert str(caught.value).endswith(f" is not {caught.value.expected}"), title
        assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(("name", "text"), BAD_TEXTS, ids=repr)
def test_a_bad_text_is_refused_with_the_words_of_the_library(name, text, tmp_path):
    with pytest.raises(InvalidValueError) as library:
        next(iter(TABLE[name].doors.values()))(TABLE[name].bad[text])
    for source in FROM:
        with pytest.raises(ConfigurationError) as caught:
            load(name, text, source, tmp_path)
        (problem,) = caught.value.problems
        word = BY_NAME[name].flag if source == "flag" else BY_NAME[name].variable
        assert problem.startswith(word)
        # A file with NUL is refused as a whole; of a URL the settings are told that say it.
        expected = {library.value.expected}
        if source == "file" and "\0" in text:
            expected = {"there is NUL in it"}
        elif name == "address":
            expected.add("a host name, an IP address or unix:/path alone; instead set PINGSTATE_")
        assert any(words in problem for words in expected)
        assert "\n" not in problem


@pytest.mark.parametrize("path", [5, b"/x", "/x\0", "/nowhere", "", "/"], ids=repr)
@pytest.mark.parametrize("name", ["ca_file", "client_cert"])
def test_a_file_that_cannot_be_used_is_refused_by_every_probe_that_takes_it(name, path):
    for title, door in (http(name) | tls(name)).items():
        with pytest.raises(InvalidValueError, match=f"^{name}: .* is not ") as caught:
            door(path)
        assert caught.value.value == path, title


@pytest.mark.parametrize("key", [5, b"/x", "/x\0"], ids=repr)
def test_a_key_that_is_no_path_is_refused(key):
    for create in (HTTPProbe, TLSProbe):
        with pytest.raises(InvalidValueError, match=r"^client_key: .* is not the path of a file"):
            create(HOST, client_cert="/nowhere", client_key=key)


@pytest.mark.parametrize(
    "check", [5, 0, False, b"status:200", [5], [None], ["status:200", 5]], ids=repr
)
def test_what_is_neither_text_nor_callable_is_no_check(check):
    for door in every("check").values():
        with pytest.raises(ValueError, match=r"neither a check string nor callable|is not a check"):
            door(check)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("initial_state", "Up"),
        ("initial_state", ""),
        ("initial_state", 5),
        ("initial_state", None),
        ("initial_state", []),
        ("transitions", 5),
        ("transitions", [("up", "ok")]),
        ("transitions", {"up": "down"}),
        ("transitions", {("up",): "down"}),
        ("transitions", {("up", "ok"): 5}),
        ("transitions", {("up", 5): "down"}),
        ("on_transition", 5),
        ("on_transition", "module:function"),
    ],
    ids=repr,
)
def test_a_monitor_refuses_what_it_could_not_follow(name, bad):
    with pytest.raises(InvalidValueError, match=f"^{name}: .* is not "):
        Monitor(TCPProbe(HOST), **{name: bad})


def test_a_state_of_the_table_s_own_is_one_to_begin_in():
    table = {("paused", "ok"): "up"}
    assert PingFSM("paused", table).state == "paused"
    assert PingFSM("up", {}).state == "up"


@pytest.mark.parametrize("port", [-1, 65_536, "8787", 8787.0, True, None], ids=repr)
def test_the_api_of_the_library_refuses_what_is_no_port(port):
    with pytest.raises(InvalidValueError, match=r"^port: .* is not a whole number from 0 to 65535"):
        serve(Monitor(TCPProbe(HOST)), HOST, port)


@pytest.mark.parametrize("host", ["", "a b", "a..b", "http://x", None, 5], ids=repr)
def test_the_api_of_the_library_refuses_what_is_no_host(host):
    with pytest.raises(InvalidValueError, match=r"^host: .* is not a host name or an IP address"):
        serve(Monitor(TCPProbe(HOST)), host, 0)


@pytest.mark.parametrize("states", ["UP", "up,degraded", [], None, 5], ids=repr)
def test_the_api_of_the_library_refuses_states_that_can_not_come(states):
    with pytest.raises(InvalidValueError, match=r"^ready_states: .* is not any of unknown, up"):
        serve(Monitor(TCPProbe(HOST)), HOST, 0, ready_states=states)


def test_the_api_of_the_library_refuses_what_is_no_monitor():
    with pytest.raises(InvalidValueError, match=r"^monitor: .* is not a Monitor"):
        serve(TCPProbe(HOST), HOST, 0)  # type: ignore[arg-type]  # the wrong type is the test


def test_a_message_names_the_argument_and_shows_no_secret():
    for options, message in (
        ({"port": 0}, "port: 0 is not a whole number from 1 to 65535"),
        ({"server_name": "a b"}, "server_name: 'a b' is not a host name or an IP address, without"),
        ({"max_body_bytes": -1}, "max_body_bytes: -1 is not a whole number from 0 to 16777216"),
        ({"headers": {"X": "hunter2\n"}}, r"header X: \*\*\* is not a header value"),
        ({"basic_auth": ("u", "hunter2\n")}, r"basic_auth: \*\*\* is not user:password"),
    ):
        with pytest.raises(InvalidValueError, match=f"^{message}") as caught:
            probe("http", HOST, **options)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(InvalidValueError, match=r"^slow_ms: nan is not a number of milliseconds"):
        Monitor(TCPProbe(HOST), slow_ms=NAN)


def test_numbers_of_other_types_are_numbers():
    assert TCPProbe(HOST, timeout=Decimal("0.5")).timeout == 0.5
    assert Monitor(TCPProbe(HOST), interval=Decimal(3)).snapshot()["interval"] == 3.0


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("[::1]", "::1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("Example.COM", "Example.COM"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_a_host_has_one_spelling(text, normal):
    assert normalize_host(text) == normal


def test_an_error_survives_the_way_back_from_another_process():
    with pytest.raises(InvalidValueError) as caught:
        TCPProbe(HOST, 70_000)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copy, InvalidValueError)
    assert (str(copy), vars(copy)) == (str(caught.value), vars(caught.value))


def test_send_is_bytes():
    with pytest.raises(InvalidValueError, match=r"^send: \*\*\* is not bytes"):
        TCPProbe(HOST, send="PING")  # type: ignore[arg-type]  # the wrong type is the test
