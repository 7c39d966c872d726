from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate.net.errors import CheckFailedError
from pingstate.net.urls import URL, canonicalize_host, encode_target, join_location, parse_authority
from pingstate.values import normalize_host

BASE = URL("http", "app.example", 8080, "/a/b/c?d=1")


def join(location, base=BASE):
    raw = location if isinstance(location, bytes) else location.encode()
    return join_location(base, raw.decode("latin-1"))


@pytest.mark.parametrize(
    ("spellings", "canonical"),
    [
        (["app.example", "APP.Example", "app.example.", "App.EXAMPLE."], "app.example"),
        (["bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "XN--BCHER-KVA.example."], "xn--bcher-kva.example"),
        (["::1", "[::1]", "[0:0:0:0:0:0:0:1]", "0::1", "::0001", "::0.0.0.1"], "::1"),
        (["fe80::a", "FE80::A", "[fe80:0::a%eth0]", "fe80::a%1"], "fe80::a"),
        (["2001:db8::", "2001:DB8:0:0::0"], "2001:db8::"),
        (["127.0.0.1", "127.0.0.1.", "127.1", "0x7f.0.0.1", "0X7F000001", "0177.0.0.1", "2130706433"], "127.0.0.1"),
        (["127.0.0.1.example"], "127.0.0.1.example"),
        (["0x7f.example"], "0x7f.example"),
    ],
)  # fmt: skip
def test_spellings_of_one_host_are_one(spellings, canonical):
    assert {canonicalize_host(normalize_host(spelling)) for spelling in spellings} == {canonical}


def test_different_hosts_stay_different():
    hosts = ["a.example", "b.example", "example", "::1", "127.0.0.1", "::ffff:127.0.0.1", "localhost", "127.2"]  # fmt: skip
    assert len({canonicalize_host(normalize_host(host)) for host in hosts}) == len(hosts)


@pytest.mark.parametrize(
    ("location", "origin", "target"),
    [
        # RFC 3986, 5.4
        ("g", "http://app.example:8080", "/a/b/g"),
        ("./g", "http://app.example:8080", "/a/b/g"),
        ("g/", "http://app.example:8080", "/a/b/g/"),
        ("/g", "http://app.example:8080", "/g"),
        ("//g", "http://g:80", "/"),
        ("?y", "http://app.example:8080", "/a/b/c?y"),
        ("?", "http://app.example:8080", "/a/b/c?"),
        ("g?y", "http://app.example:8080", "/a/b/g?y"),
        ("#s", "http://app.example:8080", "/a/b/c?d=1"),
        ("g#s", "http://app.example:8080", "/a/b/g"),
        ("", "http://app.example:8080", "/a/b/c?d=1"),
        (" \t", "http://app.example:8080", "/a/b/c?d=1"),
        (".", "http://app.example:8080", "/a/b/"),
        ("..", "http://app.example:8080", "/a/"),
        ("../..", "http://app.example:8080", "/"),
        ("../../../g", "http://app.example:8080", "/g"),
        ("/../g", "http://app.example:8080", "/g"),
        ("g;x=1/../y", "http://app.example:8080", "/a/b/y"),
        ("g?y/../x", "http://app.example:8080", "/a/b/g?y/../x"),
        (".g", "http://app.example:8080", "/a/b/.g"),
        ("a b:c", "http://app.example:8080", "/a/b/a%20b:c"),
        # elsewhere
        ("http://other.example", "http://other.example:80", "/"),
        ("https://other.example/x", "https://other.example:443", "/x"),
        ("HTTPS://Other.Example:8443?q", "https://Other.Example:8443", "/?q"),
        ("//other.example:81/x", "http://other.example:81", "/x"),
        ("http://other.example:/x", "http://other.example:80", "/x"),
        ("http://other.example:0080/x", "http://other.example:80", "/x"),
        ("http://user:pass@other.example/x", "http://other.example:80", "/x"),
        ("http://user@name:pa:ss@other.example/x", "http://other.example:80", "/x"),
        ("http://[::1]:81/x", "http://[::1]:81", "/x"),
        ("http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]:80", "/"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example:80", "/%C3%BC"),
        ("http://b%C3%BCcher.example/", "http://xn--bcher-kva.example:80", "/"),
        ("http://other.example/../x", "http://other.example:80", "/x"),
        # what has no place in a target
        ("/a b", "http://app.example:8080", "/a%20b"),
        ('/a"b"', "http://app.example:8080", "/a%22b%22"),
        ("/ü?ü=ü", "http://app.example:8080", "/%C3%BC?%C3%BC=%C3%BC"),
        (b"/\xfc", "http://app.example:8080", "/%FC"),
        ("/%C3%BC", "http://app.example:8080", "/%C3%BC"),
        ("/100%", "http://app.example:8080", "/100%25"),
        ("/%zz%20", "http://app.example:8080", "/%25zz%20"),
        ("/a\tb", "http://app.example:8080", "/a%09b"),
        ("/a\\b", "http://app.example:8080", "/a%5Cb"),
        ("\\\\other.example\\x", "http://app.example:8080", "/a/b/%5C%5Cother.example%5Cx"),
        ("/\\other.example/x", "http://app.example:8080", "/%5Cother.example/x"),
        ("/x\x7f\x01", "http://app.example:8080", "/x%7F%01"),
        ("/?u=http://x/", "http://app.example:8080", "/?u=http://x/"),
    ],
)
def test_location_leads_somewhere(location, origin, target):
    url = join(location)
    assert (url.origin, url.target) == (origin, target)


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/s3cret", "javascript:alert('s3cret')", "localhost:80/s3cret", "mailto:s3cret", "x" * 500 + "://s3cret/"])  # fmt: skip
def test_other_schemes_are_named_and_nothing_more(location):
    with pytest.raises(CheckFailedError, match="not http or https") as caught:
        join(location)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 80


@pytest.mark.parametrize("location", ["//", "http:", "http:/x", "http:x", "http://", "http:///x", "http://[", "http://[::1", "http://[::1]x/", "http://[1.2.3.4]/", "http://a b/", "http://a\\b/", "http://x\\@y/", "http://h:99999/", "http://h:0/", "http://h:-1/", "http://h:x/", "http://h:80:80/", "http://:80/", "http://user@/", "http://%/", "http://%00/", b"http://\xff/", "http://a..b/", "http://" + "x" * 64 + "/", "http://h:" + "9" * 5000 + "/"])  # fmt: skip
def test_host_or_port_can_make_a_location_unusable(location):
    with pytest.raises(CheckFailedError, match="redirected to no usable host or port"):
        join(location)


def test_target_is_bounded():
    assert len(join("/" + "x" * 65_535).target) == 65_536
    for location in ("/" + "x" * 65_536, "/" + "\u00ff" * 11_000):
        with pytest.raises(CheckFailedError, match="more than 65536 bytes"):
            join(location)


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_whatever_comes_is_a_url_or_a_failed_check(location):
    try:
        url = join_location(BASE, location)
    except CheckFailedError:
        return
    assert url.scheme in {"http", "https"}
    assert 1 <= url.port <= 65535
    assert url.target[0] == "/"
    assert url.target.isascii()
    assert not set(url.target) & set(" \r\n\t#\0")
    assert encode_target(url.target) == url.target
    assert not {".", ".."} & set(url.target.partition("?")[0].split("/"))


@pytest.mark.parametrize(("text", "pair"), [("h", ("h", None)), ("H:1", ("H", 1)), ("[::1]:80", ("::1", 80)), ("u:p@h:80", ("h", 80))])  # fmt: skip
def test_authority_is_host_and_port(text, pair):
    assert parse_authority(text) == pair


@pytest.mark.parametrize(("url", "authority"), [(URL("http", "h", 80, "/"), "h"), (URL("https", "h", 80, "/"), "h:80"), (URL("https", "h.", 443, "/"), "h"), (URL("http", "fe80::1%eth0", 81, "/"), "[fe80::1]:81")])  # fmt: skip
def test_host_field_has_no_zone_no_final_dot_and_no_default_port(url, authority):
    assert url.authority == authority
