from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from pingstate import probe
from pingstate.net.cookies import MAX_BYTES, MAX_COOKIES, MAX_JAR_BYTES, CookieJar
from pingstate.net.urls import URL
from tests.support.servers import answering

HERE = URL("http", "app.example", 80, "/a/b?q=/c")


def sent(lines, url=HERE, own=None, came_from=HERE):
    jar = CookieJar()
    jar.store(came_from, lines)
    return jar.merge(url, own)


def redirect(*fields, location="/next"):
    lines = "".join(f"{field}\r\n" for field in (*fields, f"Location: {location}"))
    return f"HTTP/1.1 302 Found\r\n{lines}Content-Length: 0\r\n\r\n".encode()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def cookies(request):
    return [
        line.partition(b": ")[2].decode("latin-1")
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"cookie:")
    ]


@pytest.mark.parametrize(
    ("line", "cookie"),
    [
        ("a=1", "a=1"),
        ("a=1; Path=/", "a=1"),
        (" a = 1 ; path = /a ", "a=1"),
        ('a="1 2"', 'a="1 2"'),
        ("a=", "a="),
        ("a=b=c", "a=b=c"),
        ("a=1; HttpOnly; SameSite=Strict; Priority=High", "a=1"),
        ("a=\xc3\xa9", "a=\xc3\xa9"),
        ("a=1;;;=;x", "a=1"),
        # none
        ("a", None),
        ("=1", None),
        ("", None),
        (";a=1", None),
        ("a=\x01", None),
        ("a=1; Domain=other.example", None),
        ("a=1; Domain=p.example", None),
        ("a=1; Domain=b.app.example", None),
        ("a=" + "x" * MAX_BYTES, None),
        ("a=1; x=" + "x" * MAX_BYTES, None),
        ("a=1; Secure", None),
        ("a=1; Path=/b", None),
        ("a=1; Path=/a/b/c", None),
        ("a=1; Path=/a/bc", None),
        ("a=1; Max-Age=0", None),
        ("a=1; Max-Age=-5", None),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("a=1; Expires=Thu, 01-Jan-1970 00:00:01 GMT", None),
        ("a=1; Expires=Sunday, 06-Nov-94 08:49:37 GMT", None),
        ("a=1; Expires=Sun Nov  6 08:49:37 1994", None),
        ("a=1; Expires=" + formatdate(time.time() - 60, usegmt=True), None),
        # kept, though something in it is odd
        ("a=1; Domain=", "a=1"),
        ("a=1; Domain=.app.example", "a=1"),
        ("a=1; Domain=APP.example", "a=1"),
        ("a=1; Domain=example", "a=1"),
        ("a=1; Path=relative", "a=1"),
        ("a=1; Path=", "a=1"),
        ("a=1; Path=/a", "a=1"),
        ("a=1; Path=/a/", "a=1"),
        ("a=1; Path=/a/b", "a=1"),
        ("a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=1"),
        ("a=1; Max-Age=soon", "a=1"),
        ("a=1; Max-Age=" + "9" * 4000, "a=1"),
        ("a=1; Expires=never", "a=1"),
        ("a=1; Expires=Thu, 99 Feb 9999 99:99:99 GMT", "a=1"),
        ("a=1; Expires=" + formatdate(time.time() + 3600, usegmt=True), "a=1"),
    ],
)
def test_cookie_that_was_set_is_sent_back_where_it_holds(line, cookie):
    assert sent([line]) == cookie


@pytest.mark.parametrize(
    ("line", "host", "comes"),
    [
        ("a=1", "app.example", True),
        ("a=1", "sub.app.example", False),
        ("a=1", "other.example", False),
        ("a=1", "example", False),
        ("a=1; Domain=app.example", "sub.app.example", True),
        ("a=1; Domain=app.example", "deep.sub.app.example", True),
        ("a=1; Domain=app.example", "notapp.example", False),
        # What two hosts have in common may be a public suffix.
        ("a=1; Domain=example", "other.example", False),
        ("a=1; Domain=example", "example", False),
        ("a=1; Domain=example", "sub.app.example", False),
    ],
)
def test_cookie_goes_to_its_host_and_never_above_or_beside_it(line, host, comes):
    assert sent([line], HERE._replace(host=host)) == ("a=1" if comes else None)


def test_secure_cookie_goes_over_tls_only_and_ports_do_not_matter():
    https = URL("https", "app.example", 8443, "/a/b")
    assert sent(["a=1; Secure", "b=2"], https) == "a=1; b=2"
    assert sent(["a=1; Secure", "b=2"], https._replace(scheme="http")) == "b=2"


def test_path_of_a_cookie_is_the_folder_of_what_set_it():
    for target, elsewhere in {"/a/b?q=/c": "/b", "/a/b/": "/a", "/": None, "/a": None}.items():
        came_from = HERE._replace(target=target)
        assert sent(["a=1"], came_from, came_from=came_from) == "a=1"
        if elsewhere is not None:
            assert sent(["a=1"], HERE._replace(target=elsewhere), came_from=came_from) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_no_domain_is_above_an_ip_address(host):
    url = HERE._replace(host=host)
    lines = ["a=1; Domain=0.0.1", "b=2; Domain=.1", "c=3; Domain=1"]
    assert sent(lines, url, came_from=url) is None
    assert sent(["a=1", f"b=2; Domain={host}"], url, came_from=url) == "a=1; b=2"


def test_cookie_with_its_own_host_for_a_domain_replaces_one_without():
    assert sent(["a=1", "a=2; Domain=app.example"]) == "a=2"
    assert sent(["a=1; Domain=app.example", "a=2"]) == "a=2"
    assert sent(["a=1", "a=; Domain=app.example; Max-Age=0"]) is None


def test_later_cookie_replaces_an_earlier_one_and_can_delete_it():
    assert sent(["a=1", "b=2", "a=3"]) == "b=2; a=3"
    assert sent(["a=1", "b=2", "a=; Max-Age=0"]) == "b=2"
    assert sent(["a=1; Path=/", "a=2; Path=/a"]) == "a=2; a=1"


def test_own_cookies_are_kept_unless_the_host_sets_them_anew():
    assert sent(["s=new"], own="lang=de; s=old;  x = y ;") == "lang=de; x = y; s=new"
    assert sent(["s=; Max-Age=0"], own="s=old") == "s=old"
    assert sent([], own="s=old") == "s=old"
    assert sent([]) is None


def test_number_and_size_are_bounded():
    many = sent([f"c{number}=1" for number in range(1000)])
    assert many.count("=") == MAX_COOKIES
    large = sent([f"c{number}=" + "x" * 4000 for number in range(50)])
    assert MAX_JAR_BYTES - 4100 < len(large) < MAX_JAR_BYTES + 10
    jar = CookieJar()
    jar.store(HERE, [f"c{number}=1" for number in range(1000)])
    jar.store(HERE, ["late=1", "c0=2", "later=1"])
    assert "c0=2" in jar.merge(HERE, None)
    assert "later" not in jar.merge(HERE, None)


# -- in a check ----------------------------------------------------------------------------------


def test_host_gets_back_what_it_set_on_an_earlier_hop():
    def answer(request):
        return OK if cookies(request) == ["seen=1"] else redirect("Set-Cookie: seen=1", location="/")  # fmt: skip

    with answering(answer) as (port, asked):
        made = probe("http", "127.0.0.1", port, timeout=5)
        assert [made.check().ok for _ in range(3)] == [True] * 3
    assert [cookies(request) for request in asked] == [[], ["seen=1"]] * 3


def test_cookies_add_up_over_the_hops_and_change():
    hops = [
        redirect("Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Path=/", location="/login/"),
        redirect("Set-Cookie: a=3; Path=/", "Set-Cookie: c=4", location="/login/x"),
        redirect("Set-Cookie: b=; Max-Age=0; Path=/", location="/home"),
        OK,
    ]
    with answering(*hops) as (port, asked):
        options = {"headers": {"Cookie": "mine=0; a=0"}}
        assert probe("http", "127.0.0.1", port, timeout=5, **options).check().ok
    assert [cookies(request) for request in asked] == [
        ["mine=0; a=0"],
        ["mine=0; a=1; b=2"],
        ["mine=0; c=4; b=2; a=3"],
        ["mine=0; a=3"],
    ]


def test_cookies_of_one_host_stay_away_from_another():
    with answering(OK) as (port, asked):
        away = redirect("Set-Cookie: a=1", location=f"http://localhost:{port}/")
        with answering(away) as (home, _):
            made = probe("http", "127.0.0.1", home, timeout=5, headers={"Cookie": "mine=0"})
            assert made.check().ok
    assert cookies(asked[0]) == []


def test_another_host_gets_its_own_cookies_back():
    def answer(request):
        if request.startswith(b"GET /back"):
            return OK
        return redirect("Set-Cookie: theirs=2; Path=/", location="/back")

    with answering(answer) as (other, asked):
        away = redirect("Set-Cookie: mine=1; Path=/", location=f"http://localhost:{other}/")
        with answering(away) as (home, _):
            assert probe("http", "127.0.0.1", home, timeout=5).check().ok
    assert [cookies(request) for request in asked] == [[], ["theirs=2"]]


def test_host_that_is_called_by_its_name_gets_its_cookies_back():
    hops = [redirect("Set-Cookie: a=1; Domain=app.example; Path=/", location="http://APP.example./x"), OK]  # fmt: skip
    with answering(*hops) as (port, asked):
        made = probe("http", "127.0.0.1", port, timeout=5, headers={"Host": "app.example"})
        assert made.check().ok
    assert cookies(asked[1]) == ["a=1"]


def test_cookies_are_no_part_of_a_detail():
    def answer(request):
        if not cookies(request):
            return redirect("Set-Cookie: session=s3cr3t-v4lue; Path=/")
        body = b"unknown " + cookies(request)[0].encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    with answering(answer) as (port, _):
        result = probe("http", "127.0.0.1", port, timeout=5, check="body_contains:OK").check()
    assert "unknown session=***" in result.detail


def test_jar_is_imported_only_when_a_redirect_sets_a_cookie(tmp_path):
    import subprocess
    import sys

    script = """
import sys
from pingstate import probe
for port in sys.argv[1:]:
    print(probe("http", "127.0.0.1", int(port), timeout=5).check().ok, "pingstate.net.cookies" in sys.modules)
"""
    plain = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n"
    with (
        answering(plain) as (one, _),
        answering(redirect(), OK) as (two, _),
        answering(redirect("Set-Cookie: a=1"), OK) as (three, _),
    ):
        done = subprocess.run([sys.executable, "-c", script, str(one), str(two), str(three)], capture_output=True, text=True, check=True, timeout=60)  # fmt: skip
    assert done.stdout.split() == ["True", "False", "True", "False", "True", "True"]
