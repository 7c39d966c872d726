from __future__ import annotations

import pytest

from pingstate import HTTPProbe, Probe, TCPProbe, TLSProbe, probe


def test_probes_are_probes():
    for protocol in ("tcp", "tls", "http", "https"):
        assert isinstance(probe(protocol, "127.0.0.1", 1), Probe)


def test_defaults_are_the_seeds():
    tcp, http_, https = (probe(protocol, "127.0.0.1") for protocol in ("tcp", "http", "https"))
    assert isinstance(tcp, TCPProbe)
    assert isinstance(http_, HTTPProbe)
    assert (tcp.port, http_.port, https.port) == (443, 80, 443)
    assert (tcp.timeout, http_.timeout, https.timeout) == (2.0, 5.0, 5.0)
    assert https.name == "https://127.0.0.1:443/"


@pytest.mark.parametrize(
    ("starttls", "port"),
    [(None, 443), ("smtp", 25), ("imap", 143), ("pop3", 110), ("postgres", 5432), ("ldap", 389)],
)
def test_a_tls_check_has_the_port_of_what_it_begins_with(starttls, port):
    made = probe("tls", "127.0.0.1", starttls=starttls)
    assert isinstance(made, TLSProbe)
    assert (made.port, made.timeout) == (port, 5.0)
    assert made.name == f"tls://127.0.0.1:{port}"
    assert probe("tls", "127.0.0.1", 587, starttls=starttls).port == 587


@pytest.mark.parametrize("protocol", ["tcp", "http", "https"])
def test_starttls_is_no_option_of_another_protocol(protocol):
    with pytest.raises(TypeError, match="starttls"):
        probe(protocol, "127.0.0.1", starttls="smtp")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("udp", "127.0.0.1", 1), {}),
        (("tcp", "", 1), {}),
        (("tcp", "http://127.0.0.1", 1), {}),
        (("tcp", "127.0.0.1:80", 1), {}),
        (("tcp", "127.0.0.1/x?", 1), {}),
        (("tcp", "a b", 1), {}),
        (("tcp", "user:pw@host", 1), {}),
        (("tcp", "unix:relative", 1), {}),
        (("tcp", "x" * 64, 1), {}),
        (("tcp", "127.0.0.1", 0), {}),
        (("tcp", "127.0.0.1", 65536), {}),
        (("tcp", "127.0.0.1", True), {}),
        (("tcp", "127.0.0.1", 1), {"timeout": 0}),
        (("tcp", "127.0.0.1", 1), {"timeout": float("nan")}),
        (("tcp", "127.0.0.1", 1), {"check": "status:200"}),
        (("http", "127.0.0.1", 1), {"check": "banner_contains:x"}),
        (("http", "127.0.0.1", 1), {"check": "status:abc"}),
        (("http", "127.0.0.1", 1), {"check": 7}),
        (("http", "127.0.0.1", 1), {"check": [7]}),
        (("http", "127.0.0.1", 1), {"path": "healthz"}),
        (("http", "127.0.0.1", 1), {"path": "/a b"}),
        (("http", "127.0.0.1", 1), {"path": "/\r\nX: y"}),
        (("http", "127.0.0.1", 1), {"method": "GE T"}),
        (("http", "127.0.0.1", 1), {"headers": {"a b": "c"}}),
        (("http", "127.0.0.1", 1), {"headers": {"a": "c\r\nd: e"}}),
    ],
)
def test_what_cannot_be_probed_is_an_error_when_the_probe_is_built(arguments, options):
    with pytest.raises(ValueError, match=r" is not | is neither "):
        probe(*arguments, **options)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("::1", "tcp://[::1]:7"),
        ("[::1]", "tcp://[::1]:7"),
        ("db_1", "tcp://db_1:7"),
        ("bücher.example", "tcp://xn--bcher-kva.example:7"),
        ("example.com.", "tcp://example.com.:7"),
        ("unix:/run/x.sock", "tcp://unix:/run/x.sock"),
    ],
)
def test_address_forms(address, name):
    assert probe("tcp", address, 7).name == name
