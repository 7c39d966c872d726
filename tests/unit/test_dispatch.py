from __future__ import annotations

import pytest
from flask import signals

from tests.unit.test_app import PATHS, client_after


def hook_before(app, seen):
    app.before_request(lambda: seen.append("asked"))


def hook_after(app, seen):
    app.after_request(lambda response: seen.append("asked") or response)


def hook_teardown(app, seen):
    app.teardown_request(lambda _error: seen.append("asked"))


def hook_context(app, seen):
    app.teardown_appcontext(lambda _error: seen.append("asked"))


def hook_values(app, seen):
    app.url_value_preprocessor(lambda *_: seen.append("asked"))


HOOKS = [hook_before, hook_after, hook_teardown, hook_context, hook_values]
PLAIN_PATHS = PATHS[1:]


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_of_a_program_are_called_for_each_request(hook):
    app, seen = client_after(True).application, []
    hook(app, seen)
    for path in PATHS:
        assert app.test_client().get(path).status_code == 200
        assert seen.pop() == "asked"


@pytest.mark.parametrize(
    "signal",
    [
        signals.request_started,
        signals.request_finished,
        signals.request_tearing_down,
        signals.appcontext_pushed,
        signals.appcontext_popped,
        signals.appcontext_tearing_down,
    ],
    ids=lambda signal: signal.name,
)
def test_signals_are_sent_for_each_request_while_a_program_listens(signal):
    client, seen = client_after(True), []
    with signal.connected_to(lambda app, **_: seen.append(app), client.application):
        for path in PATHS:
            client.get(path)
            assert seen.pop() is client.application
    client.get("/healthz")
    assert seen == []


@pytest.mark.parametrize("path", PLAIN_PATHS)
@pytest.mark.parametrize("oks", [(), (True,), (True, False, False)])
def test_a_view_answers_the_same_with_and_without_a_hook(path, oks):
    client = client_after(*oks)
    plain = client.get(path)
    client.application.before_request(lambda: None)
    hooked = client.get(path)
    assert plain.status == hooked.status
    assert [name for name, _ in plain.headers] == [name for name, _ in hooked.headers]
    if path == "/status":
        assert list(plain.json) == list(hooked.json)  # times differ
    else:
        assert (plain.data, list(plain.headers)) == (hooked.data, list(hooked.headers))


def test_a_view_that_a_program_replaces_is_the_one_that_answers():
    client = client_after(True)
    client.application.view_functions["/healthz"] = lambda: ("mine", 418)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (418, "mine")


def test_trusted_hosts_hold_for_each_view():
    client = client_after(True)
    client.application.config["TRUSTED_HOSTS"] = ["sidecar.example"]
    for path in PATHS:
        assert client.get(path, headers={"Host": "other.example"}).status_code == 400
        assert client.get(path, headers={"Host": "sidecar.example"}).status_code == 200
