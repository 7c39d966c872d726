from __future__ import annotations

import socket

import pytest

from pingstate import probe
from tests.support.client import free_port
from tests.support.servers import answering, read_request, talker

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def redirect(location, status=302):
    raw = location if isinstance(location, bytes) else location.encode()
    return b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, raw)


def http(port, **options):
    return probe("http", "127.0.0.1", port, timeout=5, **options)


def line(request):
    return request.split(b"\r\n")[0].decode("latin-1")


def fields(request):
    lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {name.decode().lower(): value.strip().decode("latin-1") for name, _, value in (one.partition(b":") for one in lines)}  # fmt: skip


# What is sent to another origin, whatever the user has set, and what is not.
HARMLESS = {
    "User-Agent": "me/1",
    "Accept": "application/json",
    "Accept-Language": "de",
    "Accept-Charset": "utf-8",
    "Cache-Control": "no-cache",
}
PRIVATE = {
    "Authorization": "Bearer s3cret",
    "Proxy-Authorization": "Basic s3cret",
    "Cookie": "a=s3cret",
    "X-Api-Key": "s3cret",
    "X-Accept": "s3cret",
    "Referer": "http://app.example/s3cret",
    "Origin": "http://app.example",
    "Host": "app.example",
    "Forwarded": "host=app.example",
    "X-Forwarded-Host": "app.example",
}


def test_another_origin_gets_what_is_harmless_and_nothing_else():
    with answering(OK) as (other, asked):
        place = f"http://localhost:{other}/x"
        with answering(redirect(place)) as (port, _):
            assert http(port, headers=HARMLESS | PRIVATE).check().ok
    got = fields(asked[0])
    assert {name: got[name.lower()] for name in HARMLESS} == HARMLESS
    assert set(got) == {*map(str.lower, HARMLESS), "host", "accept-encoding", "connection"}
    assert got["host"] == f"localhost:{other}"
    assert b"s3cret" not in asked[0]
    assert b"app.example" not in asked[0]


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.1:{port}/x", "//127.0.0.1:{port}/x", "/x", "x", "?x", "http://127.0.0.1.:{port}/", "http://app.example/", "http://APP.EXAMPLE.:80/", "http://app.example:{port}/", "http://user:pw@app.example/"],
)  # fmt: skip
def test_same_origin_keeps_all_in_whatever_way_it_is_spelled(place):
    with answering(lambda request: answers.pop(0)) as (port, asked):
        answers = [redirect(place.format(port=port)), OK]
        assert http(port, headers=HARMLESS | PRIVATE).check().ok
    assert fields(asked[1]) == fields(asked[0])


@pytest.mark.parametrize("spelling", ["[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[0::1%25lo]"])
@pytest.mark.parametrize("address", ["::1", "[0:0::1]", "::1%1"])
def test_spellings_of_an_ipv6_address_are_one_origin(address, spelling):
    answers = []

    def talk(sock):
        asked.append(read_request(sock))
        sock.sendall(answers[len(asked) - 1])

    asked = []
    with talker(talk, socket.AF_INET6, ("::1", 0)) as (_, port, *_rest):
        answers += [redirect(f"http://{spelling}:{port}/x"), OK]
        made = probe("http", address, port, timeout=5, headers={"X-Token": "s3cret"})
        assert made.check().ok
    assert [fields(request)["x-token"] for request in asked] == ["s3cret"] * 2
    assert "%" not in fields(asked[1])["host"]


@pytest.mark.parametrize("place", ["/next", "http://localhost/next", "http://LOCALHOST:80/next"])
def test_redirect_behind_a_unix_socket_stays_there(place, tmp_path):
    asked = []

    def talk(sock):
        asked.append(read_request(sock))
        sock.sendall(redirect(place) if len(asked) == 1 else OK)

    path = str(tmp_path / "target.sock")
    with talker(talk, socket.AF_UNIX, path):
        made = probe("http", f"unix:{path}", timeout=5, headers={"X-Token": "s3cret"})
        assert made.check().ok
    assert line(asked[1]) == "GET /next HTTP/1.1"
    assert fields(asked[1]) == fields(asked[0])


def test_another_port_of_the_same_host_is_another_origin():
    with (
        answering(OK) as (other, asked),
        answering(redirect(f"http://127.0.0.1:{other}/")) as (port, _),
    ):
        assert http(port, headers={"X-Token": "s3cret"}).check().ok
    assert "x-token" not in fields(asked[0])


def test_host_that_is_no_authority_is_sent_and_stands_for_nothing():
    with answering(redirect("/x"), OK) as (port, asked):
        assert http(port, headers={"Host": "not a host"}).check().ok
    assert [fields(request)["host"] for request in asked] == ["not a host"] * 2


def test_first_of_two_locations_is_followed():
    two = b"HTTP/1.1 302 Found\r\nLocation: /one\r\nLocation: /two\r\nContent-Length: 0\r\n\r\n"
    with answering(two, OK) as (port, asked):
        assert http(port).check().ok
    assert line(asked[1]) == "GET /one HTTP/1.1"


def test_what_was_dropped_comes_back_with_the_first_origin():
    with answering(lambda _: answers.pop(0)) as (port, asked):
        answers = [None, OK]
        with answering(redirect(f"http://127.0.0.1:{port}/back")) as (other, away):
            answers[0] = redirect(f"http://127.0.0.1:{other}/sso")
            assert http(port, headers={"X-Token": "s3cret"}).check().ok
    assert "x-token" not in fields(away[0])
    assert [fields(request)["x-token"] for request in asked] == ["s3cret"] * 2
    assert line(asked[1]) == "GET /back HTTP/1.1"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/a b", "/a%20b"),
        ('/"a"<b>', "/%22a%22%3Cb%3E"),
        ("/ü?q=é", "/%C3%BC?q=%C3%A9"),
        (b"/\xfc", "/%FC"),
        ("/a\\b", "/a%5Cb"),
        ("/100%/%20", "/100%25/%20"),
        ("/a|b^c`d{e}", "/a%7Cb%5Ec%60d%7Be%7D"),
        ("?x=y z", "/start?x=y%20z"),
        ("next#part", "/next"),
        ("../next", "/next"),
        ("/a/./b/../c", "/a/c"),
        ("", "/start"),
        ("#top", "/start"),
        ("/x\x01", "/x%01"),
        ("/" + "x" * 20_000, "/" + "x" * 20_000),
    ],
)
def test_location_is_asked_for_as_it_can_be(location, target):
    with answering(redirect(location), OK) as (port, asked):
        assert http(port, path="/start").check().ok
    assert line(asked[1]) == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize(("status", "method", "then"), [(301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (307, "POST", "POST"), (308, "POST", "POST"), (301, "PUT", "PUT"), (302, "PUT", "PUT"), (303, "PUT", "GET"), (303, "HEAD", "HEAD"), (301, "HEAD", "HEAD"), (307, "DELETE", "DELETE")])  # fmt: skip
def test_method_after_a_redirect(status, method, then):
    headers = {"Content-Type": "text/plain", "Content-Language": "de", "X-Kept": "1"}
    with answering(redirect("/x", status), OK) as (port, asked):
        assert http(port, method=method, headers=headers).check().ok
    assert line(asked[1]) == f"{then} /x HTTP/1.1"
    assert fields(asked[1])["x-kept"] == "1"
    assert ("content-type" in fields(asked[1])) is (then == method)
    assert ("content-language" in fields(asked[1])) is (then == method)


def test_answer_without_a_location_is_the_final_one():
    with answering(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n") as (port, _):
        assert http(port).check().detail == "check: HTTP 302, expected a 2xx"


# -- a failure on a later hop --------------------------------------------------------------------


def test_failure_on_a_later_hop_names_it():
    gone = free_port()
    places = {
        f"http://127.0.0.1:{gone}/s3cret": (f"connect at http://127.0.0.1:{gone}: connection refused", "connect"),
        f"https://127.0.0.1:{gone}/s3cret": (f"connect at https://127.0.0.1:{gone}: connection refused", "connect"),
        "http://nosuch.invalid/s3cret": ("dns at http://nosuch.invalid:80: ", "dns"),
    }  # fmt: skip
    for place, (detail, phase) in places.items():
        with answering(redirect(place)) as (port, _):
            result = http(port).check()
        assert result.detail.startswith(detail)
        assert (result.phase, result.trace.redirects) == (phase, 1)
        assert "s3cret" not in result.detail
        assert result.reason == result.detail


def test_query_that_a_redirect_led_to_is_no_part_of_a_detail():
    def answer(request):
        if b"?" not in request.split(b"\r\n")[0]:
            return redirect("/file?sig=s3cr%2Ft-v4lue&key=an0ther")
        body = b"expired: s3cr/t-v4lue of an0ther, s3cr%2Ft-v4lue"
        return b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    with answering(answer) as (port, *_):
        detail = http(port).check().detail
    assert detail.endswith("HTTP 403, expected a 2xx: 'expired: *** of ***, ***'")


def test_failing_answer_of_a_later_hop_names_it():
    with answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") as (other, _):
        for place in (f"http://localhost:{other}/", f"//LOCALHOST:{other}"):
            with answering(redirect(place)) as (port, _):
                detail = http(port).check().detail
            assert detail.lower().startswith(f"check at http://localhost:{other}: http 503")
    with answering(redirect("/loop")) as (port, asked):
        detail = http(port).check().detail
    assert detail == f"response at http://127.0.0.1:{port}: more than 10 redirects"
    assert len(asked) == 11
    with answering(redirect("/x"), redirect("ftp://elsewhere/")) as (port, _):
        detail = http(port).check().detail
    assert detail == f"response at http://127.0.0.1:{port}: redirected to ftp, not http or https"


def test_timeout_on_a_later_hop_names_it():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with answering(redirect(f"{place}/x")) as (port, _):
            result = probe("http", "127.0.0.1", port, timeout=0.5).check()
    assert result.detail == f"timeout after 0.5 s in response at {place}"
    assert (result.phase, result.timeout_phase) == ("timeout", "response")


def test_first_hop_is_not_named():
    with answering(redirect("ftp://elsewhere/")) as (port, _):
        assert http(port).check().detail == "response: redirected to ftp, not http or https"
    assert http(free_port()).check().detail == "connect: connection refused"


# -- a body --------------------------------------------------------------------------------------

BODY = '{"ask": "grüße"}'
TYPE = {"Content-Type": "application/json", "X-Kept": "1"}


def body(request):
    return request.partition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize(("status", "method", "then", "again"), [(301, None, "GET", False), (302, None, "GET", False), (303, None, "GET", False), (303, "PUT", "GET", False), (303, "GET", "GET", False), (303, "HEAD", "HEAD", False), (307, None, "POST", True), (308, None, "POST", True), (301, "PUT", "PUT", True), (302, "PATCH", "PATCH", True), (302, "GET", "GET", True)])  # fmt: skip
def test_body_after_a_redirect(status, method, then, again):
    with answering(redirect("/x", status), OK) as (port, asked):
        assert http(port, method=method, headers=TYPE, body=BODY).check().ok
    assert line(asked[1]) == f"{then} /x HTTP/1.1"
    assert body(asked[1]) == (BODY if again else "")
    assert fields(asked[1])["x-kept"] == "1"
    of_content = {"content-type": "application/json", "content-length": "18"} if again else {}
    assert {n: v for n, v in fields(asked[1]).items() if n.startswith("content-")} == of_content


def test_body_that_was_left_behind_stays_behind():
    with answering(redirect("/x", 303), redirect("/y", 307), OK) as (port, asked):
        assert http(port, headers=TYPE, body=BODY).check().ok
    assert [line(request).split()[0] for request in asked] == ["POST", "GET", "GET"]
    assert [body(request) for request in asked] == [BODY, "", ""]
    assert "content-type" not in fields(asked[2])


@pytest.mark.parametrize("status", [307, 308])
def test_body_never_goes_to_another_origin(status):
    with answering(OK) as (other, asked):
        place = f"http://localhost:{other}"
        with answering(redirect(f"{place}/x", status)) as (port, _):
            result = http(port, headers=TYPE, body=BODY).check()
    assert result.detail == f"response: redirected to {place}, and a body is for one origin only"
    assert (result.phase, asked) == ("response", [])


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirect_that_needs_no_body_leads_to_another_origin(status):
    with (
        answering(OK) as (other, asked),
        answering(redirect(f"http://localhost:{other}/x", status)) as (port, _),
    ):
        assert http(port, headers=TYPE, body=BODY).check().ok
    assert (line(asked[0]), body(asked[0])) == ("GET /x HTTP/1.1", "")
    assert "content-type" not in fields(asked[0])
