from __future__ import annotations

import pytest

from pingstate.settings import SETTINGS, ConfigurationError, load_settings
from tests.support.certificates import create_client_pem
from tests.support.process import run_pingstate

PEM = create_client_pem()

GOOD = {
    "protocol": ("HTTP", "http"),
    "address": ("db.internal", "db.internal"),
    "port": ("5432", 5432),
    "ip_version": ("4", 4),
    "path": ("/healthz?full=1", "/healthz?full=1"),
    "check": ("banner_contains:a\nbanner_contains:b\n", ("banner_contains:a", "banner_contains:b")),
    "timeout": ("0.5", 0.5),
    "no_verify_tls": ("yes", True),
    "interval": ("0.1", 0.1),
    "api_host": ("::", "::"),
    "api_port": ("80", 80),
    "method": ("head", "HEAD"),
    "body": ('{"a": "ü\\n"}\n  x', '{"a": "ü\\n"}\n  x'.encode()),
    "header": ("X-A: 1\nHost: h", (("X-A", "1"), ("Host", "h"))),
    "basic_auth": ("user:pass:word", ("user", "pass:word")),
    "ca_file": (PEM, PEM),
    "client_cert": (PEM, PEM),
    "client_key": (PEM, PEM),
    "server_name": ("db.internal", "db.internal"),
    "starttls": ("IMAP", "imap"),
    "no_follow_redirects": ("1", True),
    "max_body_bytes": ("1024", 1024),
    "history": ("5", 5),
    "send": (r"PING\r\n\x00\101\\", b"PING\r\n\x00A\\"),
    "probe": ("pingstate.probes.tcp:TCPProbe", "pingstate.probes.tcp:TCPProbe"),
    "failure_threshold": ("3", 3),
    "success_threshold": ("2", 2),
    "ready_states": ("up, degraded", ("up", "degraded")),
    "slow": ("250", 250.0),
    "fast_interval": ("1", 1.0),
    "jitter": ("0", 0.0),
    "once": ("true", True),
    "wait": ("30", 30.0),
    "healthcheck": ("livez", "livez"),
    "log_format": ("json", "json"),
    "log_level": ("Debug", "debug"),
    "print_config": ("on", True),
}

# What a setting can't be without.
HTTPS = {"PINGSTATE_PROTOCOL": "https"}
COMPANY = {
    "client_key": HTTPS | {"PINGSTATE_CLIENT_CERT": PEM},
    "starttls": {"PINGSTATE_PROTOCOL": "tls"},
    **dict.fromkeys(("path", "method", "body", "header", "basic_auth"), HTTPS),
    **dict.fromkeys(("no_follow_redirects", "max_body_bytes"), HTTPS),
    **dict.fromkeys(("no_verify_tls", "ca_file", "client_cert", "server_name"), HTTPS),
}

BAD = {
    "protocol": ["udp", "tcp4"],
    "address": ["", "http://x", "x:1", "x/y", "a b", "x@y", "unix:x", "[::1", "::g"],
    "ip_version": ["5", "46", "ipv6", "-4", "4.0"],
    "port": ["70000", "0", "-1", "5.5", "http", "1e3"],
    "path": ["healthz", "/a b", "/#x", "/\ud800"],
    "check": ["status:", "banner_contains:", "nonsense", "banner_contains:a\nstatus:200"],
    "timeout": ["0", "-1", "nan", "inf", "1s", "86401"],
    "no_verify_tls": ["maybe", "2"],
    "interval": ["abc", "0", "-1", "nan", "inf", "1e400"],
    "api_host": ["a b", "http://x", "0.0.0.0:8787", "unix:/x"],
    "api_port": ["0", "65536", "x"],
    "method": ["GE T"],
    "body": ["secret\ud800"],
    "header": ["nonsense", "X: 1\nbad header: x", "X: a\rb", "X: a\0b"],
    "basic_auth": ["nocolon", "a\r\n:b"],
    "ca_file": ["/no/such/file", "/", __file__],
    "client_cert": ["/no/such/file", __file__],
    "client_key": ["/no/such/file"],
    "server_name": ["a b", "unix:/x"],
    "starttls": ["http", "smtps"],
    "no_follow_redirects": ["x"],
    "max_body_bytes": ["-1", "x", "16777217"],
    "history": ["-1", "x", "10001"],
    "send": [r"secret\q", "secret\\", r"\777"],
    "probe": ["nocolon", "no.such:thing", "json:no_such"],
    "failure_threshold": ["0", "-1", "x", "1.5"],
    "success_threshold": ["0", "x"],
    "ready_states": ["ready", "up,,down", "up;down"],
    "slow": ["0", "-5", "x"],
    "fast_interval": ["0", "x"],
    "jitter": ["1.1", "-0.1", "x", "nan"],
    "once": ["x"],
    "wait": ["0", "x"],
    "healthcheck": ["status"],
    "log_format": ["xml"],
    "log_level": ["loud"],
    "print_config": ["x"],
}


def test_tables_of_good_and_bad_values_leave_no_setting_out():
    names = {setting.name for setting in SETTINGS}
    assert set(GOOD) == names
    assert set(BAD) == names


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_good_value_from_variable_file_and_flag(setting, tmp_path):
    text, value = GOOD[setting.name]
    file = tmp_path / "value"
    file.write_text(text + "\n")
    company = COMPANY.get(setting.name, {})
    for environ, flags, source in (
        ({setting.variable: text}, {}, setting.variable),
        ({f"{setting.variable}_FILE": str(file)}, {}, f"{setting.variable}_FILE"),
        ({setting.variable: "nonsense"}, {setting.name: text}, setting.flag),
    ):
        if setting.name == "check" and source.endswith("_FILE"):
            file.write_text(text)
        loaded = load_settings(company | environ, flags)
        assert getattr(loaded.settings, setting.name) == value
        assert loaded.sources[setting.name] == source
        assert loaded.warnings == ()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_bad_value_is_one_line_that_names_it(setting):
    for text in BAD[setting.name]:
        with pytest.raises(ConfigurationError) as caught:
            load_settings({setting.variable: text})
        (problem,) = caught.value.problems
        assert problem.startswith(f"{setting.variable}: ")
        assert "\n" not in problem
        if setting.redact("x") == "***":
            assert text not in problem
        else:
            shown = setting.redact(text.splitlines()[-1] if text else text)
            assert repr(shown) in problem or shown in problem


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_default_is_what_an_empty_environment_gives(setting):
    loaded = load_settings({})
    assert getattr(loaded.settings, setting.name) == setting.default
    assert loaded.sources[setting.name] == "default"


def test_all_bad_settings_are_told_at_once():
    environ = {setting.variable: BAD[setting.name][0] for setting in SETTINGS}
    # A check is for a protocol, so it is not judged where that is wrong; nor with a probe.
    del environ["PINGSTATE_PROBE"], environ["PINGSTATE_CHECK"]
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    told = {problem.partition(":")[0] for problem in caught.value.problems}
    assert told == set(environ)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_empty_variable_leaves_its_file_and_an_empty_flag_the_variable_in_force(setting, tmp_path):
    if setting.name == "address":
        with pytest.raises(ConfigurationError, match=r"^--address: '' is not a host name"):
            load_settings({"PINGSTATE_ADDRESS": "127.0.0.1"}, {"address": ""})
        return
    text, value = GOOD[setting.name]
    company = COMPANY.get(setting.name, {})
    file = tmp_path / "value"
    file.write_text(text)
    variable, file_variable = setting.variable, f"{setting.variable}_FILE"
    for environ, source in (
        ({variable: "", file_variable: str(file)}, file_variable),
        ({variable: text, file_variable: ""}, variable),
    ):
        loaded = load_settings(company | environ, {setting.name: ""})
        assert getattr(loaded.settings, setting.name) == value
        assert loaded.sources[setting.name] == source


def test_every_setting_has_a_flag_that_help_shows_with_its_variable():
    text = run_pingstate("--help", COLUMNS="200").stdout
    for setting in SETTINGS:
        assert setting.flag in text
        assert setting.variable in text
