from __future__ import annotations

import re
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest

from pingstate import Monitor, ProbeResult
from pingstate.net.attempt import Trace
from pingstate.net.certificate import Certificate
from pingstate.web import page
from pingstate.web.app import create_api

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


class Scripted:
    timeout = 2.5

    def __init__(self, *results, name="https://target.test:443/"):
        self.name = name
        self.results = list(results)

    def check(self):
        return self.results.pop(0)


def ok(latency_ms=12.3, detail="HTTP 200", trace=None):
    return ProbeResult(ok=True, latency_ms=latency_ms, detail=detail, trace=trace)


def failed(detail="connect: connection refused", phase="connect"):
    return ProbeResult(ok=False, latency_ms=1.5, detail=detail, phase=phase)


def monitor_after(*results, name="https://target.test:443/", **options):
    monitor = Monitor(Scripted(*results, name=name), **options)
    for _ in results:
        monitor.check_now()
    return monitor


def client_after(*results, **options):
    return create_api(monitor_after(*results, **options)).test_client()


class Document(HTMLParser):
    """What a reader without scripts sees, and what a browser would load."""

    def __init__(self, text):
        super().__init__()
        self.words, self.addresses, self.tags, self.hidden = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action")]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page_after(*results, **options):
    return Document(client_after(*results, **options).get("/", headers={"Accept": BROWSER}).text)


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/plain", False),
        ("text/*", True),
        ("text/html", True),
        ("TEXT/HTML", True),
        (BROWSER, True),
        ("text/html;q=0.9, application/json;q=0.8", True),
        ("text/html;q=0.8, application/json;q=0.9", False),
        ("text/html, application/json", False),
        ("text/html, */*", False),
        ("text/html;q=0, */*", False),
        ("application/json, text/html;q=0.5, */*;q=0.1", False),
        ("garbage;;q=x, ,", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_root_is_json_for_all_that_do_not_prefer_html(accept, html, method):
    headers = {} if accept is None else {"Accept": accept}
    answer = client_after(ok()).open("/", method=method, headers=headers)
    assert answer.status_code == 200
    assert answer.mimetype == ("text/html" if html else "application/json")
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Cache-Control"] == "no-store"
    assert ("Content-Security-Policy" in answer.headers) is html
    assert int(answer.headers["Content-Length"]) > 0
    assert bool(answer.data) is (method == "GET")


def test_status_is_json_whatever_is_accepted():
    assert client_after(ok()).get("/status", headers={"Accept": BROWSER}).is_json


def test_security_policy_lets_only_own_files_in_and_nothing_inline():
    answer = client_after(ok()).get("/", headers={"Accept": BROWSER})
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    document = Document(answer.text)
    assert not [tag for tag, attributes in document.tags if tag == "style" or "style" in attributes]
    assert not [name for _, attributes in document.tags for name in attributes if name[:2] == "on"]
    assert all("src" in attributes for tag, attributes in document.tags if tag == "script")


def test_all_addresses_are_relative_and_there():
    client = client_after(ok())
    document = Document(client.get("/", headers={"Accept": BROWSER}).text)
    addresses = [a for a in document.addresses if not a.startswith(("#", "data:image/svg+xml,"))]
    assert set(addresses) == {"static/page.css", "static/page.js", "status", "metrics"}
    for address in addresses:
        assert client.get(f"/{address}").status_code == 200
    script, style = (client.get(f"/static/page.{kind}") for kind in ("js", "css"))
    assert (script.mimetype, style.mimetype) == ("text/javascript", "text/css")
    assert script.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(
        r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", script.text + style.text
    )


@pytest.mark.parametrize("history", [0, 20, 10_000])
def test_all_of_it_is_under_30_kb(history):
    results = [result for _ in range(15) for result in (ok(), failed())]
    certificate = Certificate(expires=time.time(), subject="target.test", issuer="Small Authority")
    results.append(ok(trace=Trace(certificate=certificate)))
    client = client_after(*results, history=history)
    answers = [client.get("/", headers={"Accept": BROWSER})]
    answers += [client.get(f"/static/{name}") for name in page.CONTENT_TYPES]
    assert sum(len(answer.data) for answer in answers) < 30_000, [
        len(answer.data) for answer in answers
    ]


def test_page_is_not_imported_before_a_browser_asks():
    code = f"""
import sys
from pingstate import Monitor, probe
from pingstate.web.app import create_api
client = create_api(Monitor(probe("tcp", "127.0.0.1", 9))).test_client()
for path in ("/", "/status", "/state", "/healthz", "/livez"):
    client.get(path, headers={{"Accept": "*/*"}})
print("pingstate.web.page" in sys.modules)
client.get("/", headers={{"Accept": {BROWSER!r}}})
print("pingstate.web.page" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    ("results", "word"),
    [
        ((), "unknown"),
        ((ok(),), "up"),
        ((ok(), failed()), "degraded"),
        ((ok(), failed(), failed()), "down"),
    ],
)
def test_word_shape_and_title_carry_the_state(results, word):
    document = page_after(*results)
    ids = {attributes.get("id"): attributes for _, attributes in document.tags}
    assert ("body", {"data-face": word}) in document.tags
    assert ids["shape"]["href"] == f"#shape-{word}"
    assert document.text.startswith(f"{word} · https://target.test:443/")
    assert "hidden" in ids["banner"]


def test_each_state_has_an_icon_of_its_own():
    icons = set()
    for results in ((), (ok(),), (ok(), failed()), (ok(), failed(), failed())):
        (icon,) = (a["href"] for tag, a in page_after(*results).tags if a.get("rel") == "icon")
        assert icon.startswith("data:image/svg+xml,%3Csvg")
        icons.add(icon)
    assert len(icons) == 4


def test_server_says_every_word_without_a_script():
    text = page_after(
        ok(latency_ms=5.25),
        failed(),
        ok(latency_ms=1234.5, detail="HTTP 204"),
        interval=7,
        slow_ms=900,
    ).text
    for words in (
        "https://target.test:443/",
        "1,234 ms slow: HTTP 204 checked ",
        "slow 1,234 ms HTTP 204",
        "failed 1.5 ms connect: connection refused",
        "ok 5.2 ms HTTP 200",
        "ok 1 slow 1 failed 1",
        "every 7 s, slow above 900 ms, timeout 2.5 s",
        "Changes of state: 3",
        "up → degraded connect: connection refused",
        "Times are UTC",
    ):
        assert words in text, text
    assert re.search(r"since ([-\d]{10} )?\d\d:\d\d:\d\d every", text)
    assert re.search(r"up for \d+ s 1,234 ms slow: HTTP 204 checked \d+ s ago", text)


@pytest.mark.parametrize(
    ("detail", "phase"),
    [
        ("checked: no", "check"),
        ("check: no", "check"),
        ("dns at https://b.test:443: b.test has no address", "dns"),
        ("timeout after 1 s in body", "timeout"),
        ("", "check"),
    ],
)
def test_page_names_the_phase_as_the_log_does(detail, phase):
    result = failed(detail, phase)
    assert f"failed 1.5 ms {result.reason} " in page_after(result).text + " "


def test_time_of_another_day_has_its_date():
    monitor = monitor_after(ok(), ok())
    monitor._fsm._recent[0]["ts"] = 1_700_000_000.0
    text = Document(page.render_page(monitor.snapshot())).text
    assert "2023-11-14 22:13:20 ok 12 ms HTTP 200" in text
    assert re.search(r"Detail ([-\d]{10} )?\d\d:\d\d:\d\d ok", text)


def test_before_the_first_check_the_page_says_so():
    document = page_after()
    assert "no check has ended yet" in document.text
    assert [a["id"] for _, a in document.tags if "hidden" in a and "id" in a] == [
        "banner",
        "recent",
        "graph",
        "certificate",
    ]


def test_stale_verdict_has_a_banner_and_is_not_called_up(monkeypatch):
    monitor = monitor_after(ok())
    client = create_api(monitor).test_client()
    start = monitor.snapshot()["last_check_age_s"]
    assert start < 60
    clock = page_clock(monkeypatch)
    clock(3 * 3600 + 5 * 60)
    document = Document(client.get("/", headers={"Accept": BROWSER}).text)
    assert ("body", {"data-face": "stale"}) in document.tags
    assert document.text.startswith("stale · ")
    assert "No check has ended for 3 h 5 min: the verdict is stale." in document.text
    assert "stale last verdict: up" in document.text


def page_clock(monkeypatch):
    """Let the Monitor's clock run ahead by some seconds."""
    from pingstate.monitor import fsm, monitor

    now = fsm.now

    def ahead(seconds):
        monkeypatch.setattr(fsm, "now", lambda: now() + seconds)
        monkeypatch.setattr(monitor, "now", lambda: now() + seconds)

    return ahead


HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp; \u202e\u2066\u0007"


def test_hostile_text_of_a_probe_is_text():
    document = page_after(failed(detail=HOSTILE, phase="check"), name=HOSTILE)
    assert not [tag for tag, _ in document.tags if tag == "img"]
    assert [a for tag, a in document.tags if tag == "script"] == [
        {"type": "module", "src": "static/page.js"}
    ]
    assert "</title><script>alert(1)</script>" in document.text
    # In a title no element keeps what turns the text to the target's own words.
    title = "".join(document.words).strip().split("\n")[0]
    assert title.startswith("down · </title><script>alert(1)</script>")
    assert title.endswith("\N{REPLACEMENT CHARACTER}" * 3)


def test_megabyte_of_text_is_cut():
    answer = client_after(ok(detail="d" * 1_000_000), name="n" * 1_000_000).get(
        "/", headers={"Accept": BROWSER}
    )
    assert len(answer.data) < 20_000
    assert f"{'n' * 299}…" in answer.text


@pytest.mark.parametrize("history", [0, 10_000])
def test_any_history_makes_a_page_of_bounded_length(history):
    results = [ok() for _ in range(300)]
    answer = client_after(*results, history=history).get("/", headers={"Accept": BROWSER})
    rows = answer.text.count("<tr><td>")
    assert rows == min(history, 20)
    assert len(answer.data) < 20_000


def test_state_of_a_users_own_is_shown_as_its_word():
    document = page_after(ok(), transitions={("unknown", "ok"): "resting <b>"})
    assert ("body", {"data-face": "unknown"}) in document.tags
    assert "resting <b>" in document.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86399, "23 h 59 min"),
        (86400, "1 d 0 h"),
        (1e9, "11574 d 1 h"),
    ],
)
def test_duration_has_the_two_units_that_matter(seconds, words):
    assert page.describe_duration(seconds) == words


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (None, "\N{EN DASH}"),
        (0.04321, "0.043"),
        (4.26, "4.3"),
        (9.97, "10"),
        (12.6, "13"),
        (5001.2, "5,001"),
        (1e300, "1.0e+300"),
    ],
)
def test_latency_has_two_digits_at_least(ms, words):
    assert page.describe_milliseconds(ms) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (5, "5"),
        (0.25, "0.25"),
        (100.0, "100"),
        (1234.5678, "1,234.568"),
        (31_536_000, "31,536,000"),
    ],
)
def test_setting_is_written_as_people_write_it(number, words):
    assert page.describe_number(number) == words


@pytest.mark.parametrize(
    ("event", "text", "words"),
    [
        ("ok", "HTTP 200", "HTTP 200"),
        ("slow", "HTTP 200", "slow: HTTP 200"),
        ("slow", "", "slow"),
        ("fail", "connect: refused", "connect: refused"),
        (None, "", ""),
    ],
)
def test_outcome_of_a_slow_check_says_that_it_was_slow(event, text, words):
    assert page.describe_outcome(event, text) == words


@pytest.mark.parametrize(("days", "mark"), [(15, ""), (13, "soon"), (-1, "soon")])
def test_certificate_that_expires_soon_is_marked_without_a_script(days, mark):
    certificate = Certificate(expires=time.time() + days * 86400, subject="a", issuer="b")
    tags = page_after(ok(trace=Trace(certificate=certificate))).tags
    assert ("p", {"id": "expiry", "class": mark}) in tags


@pytest.mark.parametrize(
    ("left", "words"), [(90_000, "expires in 1 d 1 h"), (-61, "expired 1 min 1 s ago")]
)
def test_certificate_says_when_it_expires(left, words):
    assert page.describe_expiry(1000.0 + left, 1000.0) == words
