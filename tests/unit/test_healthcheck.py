from __future__ import annotations

import pytest

from pingstate import healthcheck
from pingstate.settings import SETTINGS


def test_the_plain_defaults_are_the_settings_own():
    defaults = {setting.variable: str(setting.default) for setting in SETTINGS}
    assert {name: defaults[name] for name in healthcheck.DEFAULTS} == healthcheck.DEFAULTS


@pytest.fixture
def asked(monkeypatch, target):
    """What a health check says with these variables, of a server whose answers are the target's."""
    monkeypatch.setenv("PINGSTATE_API_PORT", str(target.port))

    def ask(**environ: str) -> str | None:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return healthcheck._ask_quickly()

    return ask


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PINGSTATE_API_HOST": "0.0.0.0"},
        {"PINGSTATE_API_HOST": "localhost"},
        {"PINGSTATE_HEALTHCHECK": "livez"},
    ],
)
def test_plain_settings_of_a_healthy_sidecar_are_asked_without_more(asked, target, environ):
    target.body = b"up"
    assert asked(**environ) == "up"


@pytest.mark.parametrize(
    "environ",
    [
        {"PINGSTATE_API_HOST_FILE": "/run/host"},
        {"PINGSTATE_API_PORT": "x"},
        {"PINGSTATE_API_PORT": "tcp://127.0.0.1:80"},
        {"PINGSTATE_HEALTHCHECK": "status"},
        {"PINGSTATE_API_HOST": ""},
    ],
)
def test_anything_else_is_left_to_the_settings(asked, environ):
    assert asked(**environ) is None


def test_a_sidecar_that_is_not_well_is_asked_why(asked, target):
    target.status = 503
    assert asked() is None
