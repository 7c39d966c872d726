from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from pingstate import threshold_transitions
from pingstate.net.attempt import Trace
from pingstate.net.certificate import Certificate
from tests.browser.conftest import DESKTOP, PHONE
from tests.support.waiting import wait_until

STATES = ("unknown", "up", "degraded", "down")
SCREENS = {"desktop": DESKTOP, "phone": PHONE}


def marks(page):
    return page.locator("#strip [role=option]")


def overflows(page):
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


# -- what it says --------------------------------------------------------------------------------


def test_page_follows_the_states_by_itself(desk, look):
    api = desk(slow_ms=100)
    page = look(api.url)
    page.evaluate("window.before = true")
    icons, shapes = set(), set()
    steps = [
        ("unknown", lambda: None, "no check has ended yet"),
        ("up", api.passes, "HTTP 200"),
        ("degraded", lambda: api.fails("refused", "connect"), "connect: refused"),
        ("down", lambda: api.fails("check: status 500", "check"), "check: status 500"),
        ("up", api.passes, "HTTP 200"),
        ("degraded", lambda: api.fails("timeout after 2 s", "timeout"), "timeout after 2 s"),
    ]
    for word, happen, words in steps:
        happen()
        expect(page.locator("#word")).to_have_text(word)
        expect(page.locator("#now")).to_contain_text(words)
        expect(page).to_have_title(f"{word} · https://target.test:443/")
        expect(page.locator("#shape")).to_have_attribute("href", f"#shape-{word}")
        icons.add(page.locator("link[rel=icon]").get_attribute("href"))
        shapes.add(page.locator(f"#shape-{word}").inner_html())
    assert len(icons) == len(shapes) == 4
    assert page.evaluate("window.before"), "the page was loaded again"


def test_all_numbers_of_the_snapshot_are_there(desk, look):
    api = desk(slow_ms=100, interval=3)
    expires = time.time() + 40 * 86400 + 5000
    certificate = Certificate(expires=expires, subject="target.test", issuer="Small Authority")
    api.passes()
    api.fails()
    api.passes(140, trace=Trace(certificate=certificate))
    page = look(api.url)
    expect(page.locator("#target")).to_have_text("https://target.test:443/")
    expect(page.locator("#held")).to_have_text(re.compile(r"for \d+ s"))
    expect(page.locator(".latency")).to_have_text("140ms")
    expect(page.locator("#age")).to_have_text(re.compile(r"checked \d+ s ago"))
    for name, count in (
        ("ok", "1"),
        ("slow", "1"),
        ("fail", "1"),
    ):
        expect(page.locator(f"#count-{name}")).to_have_text(count)
    expect(page.locator("#rhythm")).to_have_text("every 3 s, slow above 100 ms, timeout 600 s")
    expect(page.locator("#transitions")).to_have_text("3")
    changes = page.locator("#changes li")
    expect(changes).to_have_count(3)
    expect(changes.nth(1)).to_contain_text("up → degraded connect: connection refused")
    expect(changes.last).to_contain_text("unknown → up HTTP 200")
    expect(page.locator("#certificate")).to_contain_text("expires in 40 d 1 h")
    expect(page.locator("#certificate")).to_contain_text(
        "target.test by Small Authority", use_inner_text=True
    )


def test_server_and_script_say_the_same(desk, look):
    api = desk(slow_ms=100, interval=30)
    expires = time.time() - 3 * 86400 - 100
    certificate = Certificate(expires=expires, subject="target.test", issuer="Small Authority")
    for latency in (0.0432, 4.26, 1234.6, 1.5e300):
        api.passes(latency, trace=Trace(certificate=certificate), detail=f"HTTP 200 in {latency}")
        pages = [look(api.url), look(api.url, java_script_enabled=False)]
        expect(pages[0].locator("#age")).to_have_attribute("title", re.compile("Z$"))
        for place in (
            "#target",
            "#word",
            ".latency",
            "#detail",
            "dl",
            "#rhythm",
            "#certificate p >> nth=0",
        ):
            said, before = (page.locator(place).inner_text() for page in pages)
            assert said == before, place
        assert pages[0].title() == pages[1].title()


def test_time_in_state_and_age_go_on_between_checks(desk, look):
    api = desk()
    api.passes()
    page = look(api.url)
    # Whatever a busy machine lets the page skip.
    expect(page.locator("#held")).to_have_text(re.compile(r"^for ([3-9]|\d\d) s$"))
    expect(page.locator("#age")).to_have_text(re.compile(r"^checked ([5-9]|\d\d) s ago$"))


def test_times_are_the_readers_own_with_the_exact_one_on_hover(desk, look):
    api = desk()
    api.passes()
    page = look(api.url, timezone_id="Asia/Kathmandu")
    change = api.monitor.snapshot()["changes"][0]
    moment = datetime.fromtimestamp(change["ts"], timezone.utc)
    there = moment + timedelta(hours=5, minutes=45)
    shown = page.locator("#changes time")
    expect(shown).to_have_text(f"{there:%H:%M:%S}")
    exact = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    expect(shown).to_have_attribute("title", exact)
    expect(shown).to_have_attribute("datetime", exact)
    expect(page.locator("#held")).to_have_attribute("title", exact)
    expect(page.locator("#age")).to_have_attribute("title", exact)


def test_stale_verdict_is_called_stale_with_a_banner(desk, look):
    api = desk(timeout=0.0)
    api.passes()
    page = look(api.url)
    expect(page.locator("#word")).to_have_text("stale")
    expect(page.locator("#banner")).to_have_text(
        re.compile(r"No check has ended for \d+ s: the verdict is stale\.")
    )
    expect(page.locator("#held")).to_have_text("last verdict: up")
    expect(page).to_have_title(re.compile("^stale · "))
    with api.monitor:
        expect(page.locator("#banner")).to_be_hidden()
        expect(page.locator("#word")).to_have_text("up")


def test_sidecar_that_is_gone_is_said_since_when_until_it_is_back(desk, look):
    api = desk()
    api.passes()
    page = look(api.url)
    expect(page.locator("#word")).to_have_text("up")
    page.evaluate("window.before = true")
    api.close()
    banner = page.locator("#banner")
    expect(banner).to_be_visible()
    expect(banner).to_have_text(
        re.compile(r"^pingstate can't be reached since \d\d:\d\d:\d\d\. Trying again\.$")
    )
    gone = datetime.fromisoformat(banner.get_attribute("title").replace("Z", "+00:00"))
    assert timedelta(0) <= datetime.now(timezone.utc) - gone < timedelta(minutes=2)
    expect(page.locator("#word")).to_have_text("unreachable")
    expect(page).to_have_title(re.compile("^unreachable · "))
    expect(page.locator("#held")).to_have_text("last verdict: up")
    again = desk(port=api.port)
    again.fails()
    expect(banner).to_be_hidden()
    expect(page.locator("#word")).to_have_text("down")
    assert page.evaluate("window.before")
    # What the one before had checked is not this one's.
    expect(marks(page)).to_have_count(1)


def test_api_that_is_kept_from_the_page_is_not_taken_for_a_state(desk, look, browser):
    api = desk()
    api.passes()
    context = browser.new_context()
    page = context.new_page()
    page.route("**/status?*", lambda route: route.fulfill(status=200, body="<p>Please log in</p>"))
    page.goto(api.url)
    expect(page.locator("#word")).to_have_text("unreachable")
    expect(page.locator("#held")).to_have_text("")
    expect(page.locator("#age")).to_have_text("")
    expect(page.locator("#banner")).to_contain_text("can't be reached since")
    page.unroute("**/status?*")
    expect(page.locator("#word")).to_have_text("up")
    expect(page.locator("#banner")).to_be_hidden()
    context.close()


def test_stale_banner_of_the_server_stays_until_the_first_answer(desk, look, browser):
    api = desk(timeout=0.0)
    api.passes()
    wait_until(lambda: api.monitor.stale, what="the verdict is stale")
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    held = []

    def hold(route):
        held.append(route)

    page.route("**/status?*", hold)
    page.goto(api.url)
    wait_until(lambda: page.clock.run_for(100) or held, what="the page asks")
    page.clock.run_for(3000)
    expect(page.locator("#banner")).to_have_text(re.compile("the verdict is stale"))
    expect(page.locator("#banner")).to_be_visible()
    context.close()


def test_ages_count_the_time_that_a_machine_slept(desk, look):
    api = desk()
    api.passes()
    page = look(api.url)
    expect(marks(page)).to_have_count(1)
    api.close()
    # A sleeping machine's monotonic clock stands still, in most browsers.
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 3 * 3600e3; }")
    expect(page.locator("#word")).to_have_text("unreachable")
    expect(page.locator("#age")).to_have_text(re.compile(r"^checked 3 h \d+ min ago$"))


def test_api_that_hangs_is_given_up_at_its_first_silence(desk, look, browser):
    api = desk()
    api.passes()
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(
        """
        const real = fetch;
        window.asked = 0;
        window.fetch = (...request) => (asked++, real(...request));
        setInterval(() => {
            if (document.title.startsWith("unreachable")) window.atLost ??= asked;
        }, 20);
        """
    )
    held = []

    def hold(route):
        held.append(route)

    page.route("**/status?*", hold)
    page.goto(api.url)
    expect(page.locator("#word")).to_have_text("unreachable")
    wait_until(lambda: page.evaluate("window.atLost"), what="the title says so")
    assert page.evaluate("atLost") == 1
    page.unroute("**/status?*")
    expect(page.locator("#word")).to_have_text("up")
    context.close()


def test_answer_that_comes_late_is_as_old_as_the_question(desk, look, browser):
    api = desk()
    api.passes()
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()
    held = []

    def hold(route):
        held.append((route, route.fetch()))

    page.route("**/status?*", hold)
    page.goto(api.url)
    wait_until(lambda: page.clock.run_for(100) or held, what="the page asks")
    page.clock.run_for(4000)
    route, answer = held[0]
    route.fulfill(response=answer)
    expect(page.locator("#age")).to_have_text(re.compile(r"^checked ([4-9]|\d\d) s ago$"))
    context.close()


def test_certificate_expires_by_the_servers_clock(desk, look, browser):
    api = desk()
    certificate = Certificate(
        expires=time.time() + 40 * 86400 + 5000, subject="target.test", issuer="Small Authority"
    )
    api.passes(trace=Trace(certificate=certificate))
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("{ const now = Date.now; Date.now = () => now() + 366 * 86400e3; }")
    page.goto(api.url)
    expect(marks(page)).to_have_count(1)
    expect(page.locator("#expiry")).to_have_text("expires in 40 d 1 h")
    context.close()


def test_sidecar_that_comes_back_with_other_settings_is_described_anew(desk, look):
    api = desk(interval=3)
    page = look(api.url)
    expect(page.locator("#rhythm")).to_have_text("every 3 s, timeout 600 s")
    api.close()
    desk("tcp://other.test:1", port=api.port, interval=1234.5, slow_ms=0.25)
    expect(page.locator("#rhythm")).to_have_text(
        "every 1,234.5 s, slow above 0.25 ms, timeout 600 s"
    )
    expect(page.locator("#target")).to_have_text("tcp://other.test:1")
    expect(page).to_have_title("unknown · tcp://other.test:1")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_what_is_degraded_since_it_is_slow_says_so(desk, look, script):
    api = desk(slow_ms=100, transitions=threshold_transitions())
    api.passes()
    page = look(api.url, java_script_enabled=script)
    expect(page.locator("#detail")).to_have_text("HTTP 200")
    api.passes(140)
    if not script:
        page.reload()
    expect(page.locator("#word")).to_have_text("degraded")
    expect(page.locator("#detail")).to_have_text("slow: HTTP 200")
    expect(page.locator("#changes li").first).to_contain_text("up → degraded slow: HTTP 200")
    if script:
        expect(page.locator("#spoken")).to_have_text("degraded: slow: HTTP 200")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_reason_of_a_failure_stands_before_its_latency(desk, look, script):
    api = desk()
    api.passes()
    orders = []
    for happen in (api.passes, api.fails):
        happen()
        page = look(api.url, java_script_enabled=script)
        expect(page.locator("#detail")).not_to_be_empty()
        latency, why = (page.locator(place).bounding_box() for place in (".latency", "#why"))
        orders.append(latency["y"] < why["y"])
    assert orders == [True, False]


# -- the strip and the chart ---------------------------------------------------------------------


def test_each_check_has_a_mark_and_old_ones_leave(desk, look):
    api = desk(history=5)
    for turn in range(4):
        api.passes(latency_ms=20.0 + turn)
    page = look(api.url)
    expect(marks(page)).to_have_count(4)
    kept = marks(page).last.element_handle()
    api.fails()
    api.passes(latency_ms=77)
    expect(marks(page).last).to_have_attribute("aria-label", re.compile("ok, 77 ms, HTTP 200$"))
    expect(marks(page)).to_have_count(5)
    labels = [mark.get_attribute("aria-label") for mark in marks(page).all()]
    assert [label.partition(", ")[2] for label in labels] == [
        "ok, 21 ms, HTTP 200",
        "ok, 22 ms, HTTP 200",
        "ok, 23 ms, HTTP 200",
        "failed, 1.5 ms, connect: connection refused",
        "ok, 77 ms, HTTP 200",
    ]
    assert kept.get_attribute("aria-label") == labels[2], "a mark was made again"


def test_marks_stay_in_order_when_the_window_grows_and_shrinks(desk, look):
    api = desk(history=100)
    for turn in range(60):
        api.passes(latency_ms=100 + turn)
    page = look(api.url, viewport=PHONE)
    for width, count in ((390, 31), (1280, 60), (390, 31)):
        page.set_viewport_size({"width": width, "height": 800})
        expect(marks(page)).to_have_count(count)
        labels = [mark.get_attribute("aria-label") for mark in marks(page).all()]
        assert [label.split(", ")[2] for label in labels] == [
            f"{latency} ms" for latency in range(160 - count, 160)
        ]
        assert marks(page).last.bounding_box()["x"] > marks(page).first.bounding_box()["x"]
        focused = marks(page).nth(10)
        focused.focus()
        expect(page.locator("#readout")).to_contain_text(f"{170 - count} ms")


def test_strip_stands_still_whatever_is_told_of_a_check(desk, look):
    api = desk()
    api.passes()
    api.fails("check: " + "long words " * 25)
    api.passes()
    page = look(api.url, viewport=PHONE)
    expect(marks(page)).to_have_count(3)
    places = set()
    for turn in range(3):
        marks(page).nth(turn).hover()
        expect(marks(page).nth(turn)).to_have_attribute("aria-selected", "true")
        places.add(strip_top(page))
    assert len(places) == 1


def strip_top(page):
    return page.evaluate("document.getElementById('strip').getBoundingClientRect().top + scrollY")


def test_kinds_of_checks_differ_by_more_than_colour(desk, look):
    api = desk(slow_ms=100)
    api.passes()
    api.passes(200)
    api.fails()
    page = look(api.url)
    expect(marks(page)).to_have_count(3)
    shapes = (
        marks(page)
        .locator("i")
        .evaluate_all("all => all.map(one => getComputedStyle(one).clipPath)")
    )
    assert len(set(shapes)) == 3


def test_hover_touch_and_keys_tell_of_a_check(desk, look):
    api = desk()
    for turn in range(6):
        api.passes(latency_ms=31 + turn)
    for preferences, point in (({}, "hover"), ({"has_touch": True, "viewport": PHONE}, "tap")):
        page = look(api.url, **preferences)
        readout = page.locator("#readout")
        expect(readout).to_contain_text("36 ms")
        getattr(marks(page).nth(1), point)()
        expect(readout).to_have_text(re.compile(r"\d\d:\d\d:\d\d · ok · 32 ms · HTTP 200"))
        assert marks(page).nth(1).get_attribute("aria-selected") == "true"
    page = look(api.url)
    readout = page.locator("#readout")
    expect(readout).to_contain_text("36 ms")
    marks(page).nth(2).hover()
    expect(readout).to_contain_text("33 ms")
    page.locator("h1").hover()
    expect(readout).to_contain_text("36 ms")


def test_keyboard_walks_the_strip_as_one_stop(desk, look):
    api = desk(history=5)
    for turn in range(5):
        api.passes(latency_ms=31 + turn)
    page = look(api.url)
    readout = page.locator("#readout")
    expect(readout).to_contain_text("35 ms")
    assert page.locator("#strip [tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    expect(marks(page).last).to_be_focused()
    for key, words in (
        ("ArrowLeft", "34 ms"),
        ("Home", "31 ms"),
        ("ArrowLeft", "31 ms"),
        ("ArrowRight", "32 ms"),
        ("End", "35 ms"),
        ("Home", "31 ms"),
    ):
        page.keyboard.press(key)
        expect(readout).to_contain_text(words)
    assert marks(page).first.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    # The focused check is pushed out of the history: the focus stays in the strip.
    api.passes(latency_ms=99)
    expect(readout).to_contain_text("32 ms")
    expect(marks(page).first).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#strip')") is None


def test_chart_has_an_axis_in_ms_and_limits_where_they_fit(desk, look):
    api = desk(slow_ms=100)
    for latency in (60, 70, 140):
        api.passes(latency_ms=latency)
    api.fails()
    page = look(api.url)
    chart = page.locator("#chart")
    expect(chart).to_contain_text("0 ms")
    expect(chart).to_contain_text("slow 100 ms")
    expect(chart).not_to_contain_text("timeout")
    expect(chart).to_have_attribute("aria-label", "Latency of the last 4 checks: 60 to 140 ms")
    expect(chart.locator(".dot")).to_have_count(3)
    # What a failure took compares with nothing: it is a band over the chart.
    bands = marks(page).evaluate_all("all => all.map(one => getComputedStyle(one).backgroundImage)")
    assert [band != "none" for band in bands] == [False, False, False, True]
    band, grid = marks(page).last.bounding_box(), chart.locator(".grid").first.bounding_box()
    assert abs(band["y"] + band["height"] - grid["y"]) < 2, "it ends at the axis"
    line = chart.locator(".limit").bounding_box()
    heights = [dot.bounding_box()["y"] for dot in chart.locator(".dot").all()]
    assert heights[0] > heights[1] > line["y"] > heights[2]
    # Each point stands under its mark.
    for mark, dot in zip(marks(page).all(), chart.locator(".dot").all(), strict=False):
        above, below = mark.bounding_box(), dot.bounding_box()
        assert abs(above["x"] + above["width"] / 2 - below["x"] - below["width"] / 2) < 1.5


def test_timeout_is_drawn_when_the_latency_comes_near_it(desk, look):
    api = desk(timeout=0.2)
    api.passes(latency_ms=150)
    page = look(api.url)
    expect(page.locator("#chart")).to_contain_text("timeout 200 ms")


@pytest.mark.parametrize("history", [0, 1])
def test_short_history_works(desk, look, history):
    api = desk(history=history)
    api.passes()
    api.passes()
    page = look(api.url, wait=False)
    expect(page.locator("#count-ok")).to_have_text("2")
    expect(page.locator("#recent")).to_be_visible(visible=history > 0)
    api.fails()
    expect(page.locator("#word")).to_have_text("degraded")
    expect(page.locator("#changes li")).to_have_count(2)


def test_ten_thousand_checks_leave_the_page_light(desk, look):
    api = desk(history=10_000)
    for turn in range(10_000):
        api.passes(latency_ms=turn % 50)
    page = look(api.url)
    expect(marks(page).first).to_be_attached()
    with page.expect_response("**/status?*") as asked:
        pass
    assert len(asked.value.body()) < 20_000
    assert 50 < marks(page).count() <= 120
    assert page.evaluate("document.querySelectorAll('*').length") < 1500
    api.fails()
    expect(page.locator("#word")).to_have_text("degraded")


def test_old_times_have_a_date_and_do_not_touch(desk, look):
    api = desk()
    api.become("up")
    for entry in (*api.monitor._fsm._recent, *api.monitor._fsm._changes):
        entry["ts"] = 1_700_000_000.0
    page = look(api.url, viewport=PHONE, timezone_id="UTC")
    expect(page.locator("#changes time")).to_have_text("14 Nov 2023, 22:13:20")
    expect(page.locator("#readout time")).to_have_text("14 Nov 2023, 22:13:20")
    words = page.locator("#chart text").filter(has_text="14 Nov 2023, 22:13")
    newest, oldest = (word.bounding_box() for word in words.all())
    assert oldest["x"] + oldest["width"] < newest["x"]
    assert not overflows(page)


# -- how it behaves ------------------------------------------------------------------------------


def test_live_region_speaks_of_changes_of_state_alone(desk, look):
    api = desk()
    api.passes()
    page = look(api.url)
    expect(marks(page)).to_have_count(1)
    page.evaluate(
        """() => {
            window.spoken = [];
            const region = document.getElementById("spoken");
            new MutationObserver(() => spoken.push(region.textContent)).observe(
                region, { childList: true, characterData: true, subtree: true });
        }"""
    )
    assert page.locator("[role=status]").get_attribute("id") == "spoken"
    assert page.locator("[aria-live]").count() == 0
    for _ in range(3):
        api.passes()
    expect(marks(page)).to_have_count(4)
    api.fails("refused", "connect")
    expect(page.locator("#word")).to_have_text("degraded")
    api.passes()
    expect(page.locator("#word")).to_have_text("up")
    assert page.evaluate("spoken") == ["degraded: connect: refused", "up: HTTP 200"]


def test_nothing_is_drawn_again_that_did_not_change(desk, look):
    api = desk()
    for _ in range(3):
        api.passes()
    page = look(api.url)
    expect(marks(page)).to_have_count(3)
    page.evaluate(
        """() => {
            window.touched = [];
            new MutationObserver((records) => {
                for (const { target } of records) {
                    const element = target.nodeType === 1 ? target : target.parentElement;
                    touched.push(element.closest("[id]")?.id);
                }
            }).observe(document.body, { childList: true, characterData: true, attributes: true, subtree: true });
        }"""
    )
    with page.expect_response("**/status?*"), page.expect_response("**/status?*"):
        pass
    expect(page.locator("#age")).to_have_text(re.compile(r"^checked ([3-9]|\d\d) s ago$"))
    assert set(page.evaluate("touched")) <= {"age", "held"}


def test_hidden_tab_rests_and_catches_up_when_it_is_seen(desk, look, browser):
    api = desk()
    api.passes()
    asked = []
    context = browser.new_context()
    page = context.new_page()
    page.on(
        "request", lambda request: asked.append(request.url) if "status" in request.url else None
    )
    page.clock.install()
    page.goto(api.url)
    page.clock.run_for(10_000)
    wait_until(
        lambda: page.clock.run_for(1000) or len(asked) >= 5, what="it polls while it is seen"
    )
    page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true });
            window.away = true;
        }"""
    )

    def polls_in(seconds):
        """Polls while the page's clock runs on, each answered before it runs further."""
        before = len(asked)
        for _ in range(seconds):
            page.clock.run_for(1000)
            page.evaluate("fetch('state').then((answer) => answer.text())")
        return len(asked) - before

    polls_in(5)
    assert polls_in(120) in (1, 2)
    api.fails()
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#word")).to_have_text("degraded")
    assert polls_in(5) >= 3
    context.close()


def test_it_works_under_a_path_prefix(desk, look):
    api = desk()
    api.passes()

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self):
            prefix, path = self.path[:14], self.path[14:]
            if prefix != "/team/sidecar/":
                self.send_error(404)
                return
            accept = {"Accept": self.headers["Accept"]}
            with direct.open(urllib.request.Request(api.url + path, headers=accept)) as answer:
                self.send_response(answer.status)
                for name in ("Content-Type", "Content-Length", "Content-Security-Policy"):
                    if answer.headers[name]:
                        self.send_header(name, answer.headers[name])
                self.end_headers()
                self.wfile.write(answer.read())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        page = look(f"http://127.0.0.1:{proxy.server_port}/team/sidecar/")
        expect(page.locator("#word")).to_have_text("up")
        api.fails()
        expect(page.locator("#word")).to_have_text("degraded")
        assert (
            page.evaluate("getComputedStyle(document.getElementById('verdict')).display") == "flex"
        )
        links = page.locator("footer a").evaluate_all("all => all.map(one => one.pathname)")
        assert links == ["/team/sidecar/status", "/team/sidecar/metrics"]
        page.close()
        proxy.shutdown()
        thread.join()


def test_without_scripts_the_page_has_all_the_words(desk, look):
    api = desk(slow_ms=100)
    api.passes(detail="HTTP 204")
    api.passes(latency_ms=150)
    api.fails()
    page = look(api.url, java_script_enabled=False)
    expect(page.locator("#word")).to_have_text("degraded")
    expect(page.locator("#graph")).to_be_hidden()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_have_text(
        re.compile(r"^([-\d]+ )?[:\d]+failed1\.5 msconnect: connection refused$")
    )
    expect(rows.last).to_contain_text("HTTP 204")
    for words in ("Changes of state: 2", "Times are UTC", "connect: connection refused"):
        assert words in page.inner_text("body")
    assert not overflows(page)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize(
    ("phase", "detail"),
    [
        ("check", "checked: no"),
        ("dns", "dns at https://b.test:443: b.test has no address"),
        ("timeout", "timeout after 1 s in body"),
        ("check", ""),
    ],
)
def test_phase_is_named_as_the_log_names_it(desk, look, phase, detail, script):
    api = desk()
    api.fails(detail=detail, phase=phase)
    page = look(api.url, java_script_enabled=script)
    expect(page.locator("#detail")).to_have_text(api.monitor.stats().last.reason)


# -- hostile text --------------------------------------------------------------------------------

HOSTILE = {
    "tags": "</bdi></title><script>alert(1)</script><img src=x onerror=alert(1)><style>*{display:none}</style>",
    "escapes": "&lt;b&gt; \\u003cscript\\u003e {{ 7 * 7 }} ${7 * 7} %3Cscript%3E \x1b[31m",
    "right to left": "\u202eevil\u2067 \u05d0\u05d1\u05d2 \u200f abc",
    "long": "W" * 1_000_000,
    "many lines": "line\n" * 200_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("screen", SCREENS)
def test_hostile_text_is_text_and_breaks_nothing(desk, look, kind, script, screen):
    text = HOSTILE[kind]
    api = desk()
    # Past what the Monitor itself makes of a name.
    api.monitor.name = text
    certificate = Certificate(expires=time.time(), subject=text, issuer=text)
    api.passes(detail=text, trace=Trace(certificate=certificate))
    api.fails(detail=text, phase="check")
    page = look(api.url, java_script_enabled=script, viewport=SCREENS[screen])
    expect(page.locator("#word")).to_have_text("degraded")
    target = page.locator("#target")
    shown = " ".join(text[:200].split())
    expect(target).to_contain_text(shown)
    assert len(target.text_content()) <= 300
    assert target.evaluate("one => getComputedStyle(one).unicodeBidi") == "isolate"
    assert page.locator("img, main style, main script").count() == 0
    assert not overflows(page)
    assert page.evaluate("document.documentElement.scrollHeight") < 6000
    expect(page.locator("#word")).to_be_in_viewport()
    expect(page.locator("#age")).to_contain_text("ago")


def test_right_to_left_marks_turn_no_words_of_the_page(desk, look):
    api = desk()
    api.monitor.name = "\u202eabc"
    api.passes()
    page = look(api.url)
    expect(page).to_have_title("up · \N{REPLACEMENT CHARACTER}abc")
    assert page.evaluate("getComputedStyle(document.getElementById('age')).direction") == "ltr"


# -- for everybody -------------------------------------------------------------------------------


def violations(page):
    results = Axe().run(page)
    assert len(results.response["passes"]) > 15, "hardly a rule has applied"
    return json.dumps(
        [
            (rule["id"], [node["html"][:200] for node in rule["nodes"]])
            for rule in results.response["violations"]
        ],
        indent=1,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("state", [*STATES, "stale", "unreachable"])
def test_axe_finds_nothing_and_the_word_is_large(desk, look, state, screen, scheme):
    api = desk(slow_ms=100, timeout=0.0 if state == "stale" else 600.0)
    api.become(state if state in STATES else "up")
    page = look(
        api.url,
        viewport=SCREENS[screen],
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    expect(page.locator("#word")).to_have_text(state if state in (*STATES, "stale") else "up")
    if state == "unreachable":
        api.close()
        expect(page.locator("#word")).to_have_text("unreachable")
    assert violations(page) == "[]"
    assert not overflows(page)
    word, size = page.locator("#word"), (60 if screen == "desktop" else 28)
    height, font = word.evaluate(
        "one => [one.offsetHeight, parseFloat(getComputedStyle(one).fontSize)]"
    )
    assert font >= size
    assert height < 1.5 * font, "the word is broken"


@pytest.mark.parametrize("width", [320, 390, 640, 1280, 1920, 2560])
def test_page_fits_any_screen(desk, look, width):
    api = desk(slow_ms=100)
    api.become("degraded")
    page = look(api.url, viewport={"width": width, "height": width * 9 // 16})
    expect(marks(page)).to_have_count(2)
    assert not overflows(page)
    title, legend = (
        page.locator(place).bounding_box() for place in ("#recent h2", ".legend i >> nth=0")
    )
    beside = legend["x"] > title["x"] + page.evaluate(
        """() => {
            const range = document.createRange();
            range.selectNodeContents(document.querySelector("#recent h2"));
            return range.getBoundingClientRect().width;
        }"""
    )
    assert beside or legend["y"] >= title["y"] + title["height"]
    # On a large screen all of it is larger, and still on one screen.
    if width >= 1920:
        assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") > 20
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_times_are_not_torn_without_scripts_on_a_phone(desk, look):
    api = desk()
    api.passes()
    page = look(api.url, java_script_enabled=False, viewport=PHONE)
    heights = [cell.bounding_box()["height"] for cell in page.locator("tbody td").all()]
    assert len(heights) == 4
    assert max(heights) < 40, "each takes one line"


def test_themes_differ_and_follow_the_preference(desk, look):
    api = desk()
    api.passes()
    colours = [
        look(api.url, color_scheme=scheme).evaluate(
            "getComputedStyle(document.body).backgroundColor"
        )
        for scheme in ("light", "dark")
    ]
    assert colours == ["rgb(244, 246, 248)", "rgb(14, 19, 24)"]


def test_reduced_motion_moves_nothing(desk, look):
    api = desk()
    api.passes()
    page = look(api.url, reduced_motion="reduce")
    expect(marks(page)).to_have_count(1)
    api.fails()
    expect(page.locator("#word")).to_have_text("degraded")
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_print_is_dark_on_white_and_keeps_the_shapes(desk, look, scheme):
    api = desk()
    api.become("down")
    page = look(api.url, color_scheme=scheme)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(23, 32, 42)"
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator("footer")).to_be_hidden()
    assert page.pdf(format="A4").startswith(b"%PDF")
