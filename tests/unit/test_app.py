from __future__ import annotations

import json
import threading

import pytest

from pingstate import ConfigurationError, Monitor, ProbeResult, Trace, create_app, probe, serve
from pingstate.web.app import create_api
from tests.support.client import get
from tests.support.waiting import wait_until

PATHS = ["/", "/status", "/state", "/healthz", "/livez", "/metrics"]


class Scripted:
    name = "scripted"
    timeout = 1.0

    def __init__(self, *oks):
        self.oks = list(oks)

    def check(self):
        ok = self.oks.pop(0)
        return ProbeResult(ok=ok, latency_ms=1.0, detail="x", phase=None if ok else "check")


def client_after(*oks, **options):
    monitor = Monitor(Scripted(*oks))
    for _ in oks:
        monitor.check_now()
    return create_api(monitor, **options).test_client()


@pytest.mark.parametrize(
    ("oks", "state", "status"),
    [
        ((), "unknown", 503),
        ((True,), "up", 200),
        ((True, False), "degraded", 503),
        ((True, False, False), "down", 503),
        ((True, False, False, True), "up", 200),
    ],
)
def test_healthz_is_200_only_in_up(oks, state, status):
    client = client_after(*oks)
    assert client.get("/state").text == state
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (status, state)


def test_ready_states_say_where_healthz_is_200():
    client = client_after(True, False, ready_states=("up", "degraded"))
    assert client.get("/healthz").status_code == 200


def test_root_and_status_are_the_snapshot():
    client = client_after(True, False)
    root, status = (client.get(path).json for path in ("/", "/status"))
    assert list(root) == list(status)
    assert status["state"] == "degraded"
    assert status["recent"][0]["event"] == "ok"
    assert client.get("/").mimetype == "application/json"


@pytest.mark.parametrize("path", PATHS)
def test_views_take_get_and_head_ignore_the_query_and_are_not_stored(path):
    client = client_after(True)
    answer = client.get(f"{path}?x=1&y")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    head = client.head(path)
    assert head.status_code == 200
    assert head.data == b""
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", ["/", "/status"])
@pytest.mark.parametrize(
    ("query", "kept"),
    [("", 3), ("?recent=2", 2), ("?recent=0", 0), ("?recent=99&x=1", 3), ("?recent=1&recent=2", 1)],
)
def test_status_lists_as_many_of_the_newest_checks_as_are_asked_for(path, query, kept):
    client = client_after(True, False, True)
    whole, part = client.get("/status").json, client.get(f"{path}{query}").json
    assert part["recent"] == whole["recent"][3 - kept :]
    assert list(part) == list(whole)
    assert part["checks"] == {"ok": 2, "slow": 0, "fail": 1, "error": 0}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "''"),
        ("-1", "'-1'"),
        ("1.5", "'1.5'"),
        ("10001", "'10001'"),
        ("%D9%A3", "'\u0663'"),
        ("<b>%0A", "'<b>\ufffd'"),
        ("9" * 5000, f"'{'9' * 199}…'"),
    ],
)
def test_number_of_checks_that_is_none_is_refused_in_one_line(text, shown):
    answer = client_after(True).get(f"/status?recent={text}")
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert answer.text == f"recent: {shown} is not a whole number from 0 to 10000\n"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PING"])
def test_other_methods_are_405_in_plain_text(path, method):
    answer = client_after(True).open(path, method=method)
    assert answer.status_code == 405
    assert answer.text == "405 Method Not Allowed\n"
    assert answer.mimetype == "text/plain"
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/healthz/",
        "/state//x",
        "/state/x",
        "/\0",
        "/static/x",
        "/static/page.html",
        "/static/../page.py",
    ],
)
def test_other_paths_are_404_in_plain_text(path):
    answer = client_after(True).get("/", environ_overrides={"PATH_INFO": path})
    assert (answer.status_code, answer.text) == (404, "404 Not Found\n")
    assert answer.headers["Cache-Control"] == "no-store"


def test_stale_verdict_is_503_everywhere_it_counts(monkeypatch):
    monitor = Monitor(Scripted(True), interval=1)
    monitor.check_now()
    client = create_api(monitor).test_client()
    assert client.get("/livez").status_code == 200
    monkeypatch.setattr("pingstate.monitor.monitor.now", lambda: 1e12)
    for path in ("/healthz", "/livez"):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (503, "stale")
    assert client.get("/status").json["stale"] is True


def test_livez_does_not_care_for_the_targets_state():
    assert client_after(True, False, False).get("/livez").status_code == 200


def test_create_app_can_be_left_unstarted(target):
    app = create_app(
        {"PINGSTATE_ADDRESS": "127.0.0.1", "PINGSTATE_PORT": str(target.port)}, start=False
    )
    monitor = app.extensions["pingstate"]
    assert not monitor.running
    monitor.check_now()
    assert app.test_client().get("/state").text == "up"


def test_create_app_starts_one_monitor_in_a_test_client(target):
    environ = {
        "PINGSTATE_ADDRESS": "127.0.0.1",
        "PINGSTATE_PORT": str(target.port),
        "PINGSTATE_PROTOCOL": "http",
    }
    app = create_app(environ)
    monitor = app.extensions["pingstate"]
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("pingstate-monitor") == 1
    wait_until(lambda: app.test_client().get("/healthz").status_code == 200)
    monitor.stop()


def test_create_app_names_every_bad_setting():
    with pytest.raises(ConfigurationError) as caught:
        create_app({"PINGSTATE_PORT": "x", "PINGSTATE_INTERVAL": "y"})
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"PINGSTATE_PROTOCOL": "https", "PINGSTATE_CA_FILE": __file__}, "PINGSTATE_CA_FILE"),
        (
            {"PINGSTATE_PROTOCOL": "https", "PINGSTATE_CLIENT_CERT": __file__},
            "PINGSTATE_CLIENT_CERT",
        ),
        ({"PINGSTATE_PROBE": "json:loads"}, "PINGSTATE_PROBE"),
        ({"PINGSTATE_PROBE": "collections:OrderedDict"}, "PINGSTATE_PROBE"),
    ],
)
def test_what_only_shows_when_it_is_built_is_named_as_well(environ, word):
    with pytest.raises(ConfigurationError, match=word):
        create_app({"PINGSTATE_ADDRESS": "127.0.0.1"} | environ, start=False)


def test_custom_probe_whose_name_raises_is_named(tmp_path, monkeypatch):
    (tmp_path / "nameless.py").write_text(
        "class Nameless:\n"
        "    def check(self): ...\n"
        "    @property\n"
        "    def name(self): raise ValueError('no name yet')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigurationError, match=r"PINGSTATE_PROBE: 'nameless:Nameless' .*no name yet"
    ):
        create_app({"PINGSTATE_PROBE": "nameless:Nameless"}, start=False)


def test_serve_serves_the_same_app_until_it_is_shut_down(target):
    with Monitor(probe("tcp", "127.0.0.1", target.port), interval=10) as monitor:
        server = serve(monitor, host="127.0.0.1", port=0)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.port}"
        wait_until(lambda: get(f"{base}/healthz") == (200, "up"))
        assert json.loads(get(f"{base}/")[1])["probe"] == f"tcp://127.0.0.1:{target.port}"
        assert get(f"{base}/nope")[0] == 404
        server.shutdown()
        thread.join()
        server.server_close()


def test_serve_takes_the_states_that_are_ready():
    monitor = Monitor(Scripted(False))
    monitor.check_now()
    server = serve(monitor, port=0, ready_states=("up", "down"))
    answer = server.app.test_client().get("/healthz")
    server.server_close()
    assert (answer.status_code, answer.text) == (200, "down")


def test_view_that_fails_is_a_500_and_the_server_goes_on(caplog):
    class Odd:
        name = "odd"

        def check(self):
            return ProbeResult(ok=True, trace=Trace(earliest_expiry="soon"))

    monitor = Monitor(Odd())
    monitor.check_now()
    client = create_api(monitor).test_client()
    assert client.get("/metrics").status_code == 500
    assert "could not convert string to float: 'soon'" in caplog.text
    assert client.get("/healthz").status_code == 200


def test_serve_raises_when_the_address_is_taken(target):
    with pytest.raises(OSError, match="in use"):
        serve(Monitor(Scripted(True)), port=target.port)
