"""What is close to a setting is an error that names it; what only has the prefix is a warning."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate.settings import SETTINGS, ConfigurationError, load_settings

CLOSE = {
    # a letter too many, too few, another, or two that changed places
    "ADRESS": "ADDRESS",
    "ADRES": "ADDRESS",
    "ADDRES": "ADDRESS",
    "ADDERSS": "ADDRESS",
    "ADDRESSS": "ADDRESS",
    "INTERVALL": "INTERVAL",
    "INTERVEL": "INTERVAL",
    "INTREVALL": "INTERVAL",
    "TIMOUT": "TIMEOUT",
    "TIEMOUT": "TIMEOUT",
    "PROTOCAL": "PROTOCOL",
    "METOHD": "METHOD",
    "PROT": "PORT",
    "PORTS": "PORT",
    "PTH": "PATH",
    "PAHT": "PATH",
    "CHCEK": "CHECK",
    "CHECKS": "CHECK",
    "HEADERS": "HEADER",
    "HAEDER": "HEADER",
    "JITER": "JITTER",
    "HSITORY": "HISTORY",
    "FAILURES_THRESHOLD": "FAILURE_THRESHOLD",
    "FAILURE_TRESHOLD": "FAILURE_THRESHOLD",
    "SUCESS_THRESHOLDS": "SUCCESS_THRESHOLD",
    "READY_STATE": "READY_STATES",
    "BASIC_AUHT": "BASIC_AUTH",
    "API_PROT": "API_PORT",
    "API_HOTS": "API_HOST",
    "CA_FIEL": "CA_FILE",
    "NO_VERFIY_TLS": "NO_VERIFY_TLS",
    "LOG_LEVLE": "LOG_LEVEL",
    # underscores, order, case
    "TIME_OUT": "TIMEOUT",
    "CHECK_": "CHECK",
    "_PORT": "PORT",
    "BASICAUTH": "BASIC_AUTH",
    "LOGLEVEL": "LOG_LEVEL",
    "HEALTH_CHECK": "HEALTHCHECK",
    "SERVERNAME": "SERVER_NAME",
    "PORT_API": "API_PORT",
    "TLS_VERIFY": "NO_VERIFY_TLS",
    "interval": "INTERVAL",
    "api-port": "API_PORT",
    # a word left out, a unit, an abbreviation
    "VERIFY_TLS": "NO_VERIFY_TLS",
    "FOLLOW_REDIRECTS": "NO_FOLLOW_REDIRECTS",
    "INTERVAL_SECONDS": "INTERVAL",
    "TIMEOUT_S": "TIMEOUT",
    "SLOW_MS": "SLOW",
    "ADDR": "ADDRESS",
    "PROTO": "PROTOCOL",
    "FAIL_THRESHOLD": "FAILURE_THRESHOLD",
    # near the suffix for a file, and near a number
    "ADRESS_FILE": "ADDRESS_FILE",
    "BASIC_AUTH_FIEL": "BASIC_AUTH_FILE",
    "BASIC_AUTH_FILES": "BASIC_AUTH_FILE",
    "BASIC_AUTHFILE": "BASIC_AUTH_FILE",
    "BASICAUTH_FILE": "BASIC_AUTH_FILE",
    "CHECK2": "CHECK_2",
    "CHEK_2": "CHECK_2",
    "CHECKS_2": "CHECK_2",
    "HEADERS_2_FILE": "HEADER_2_FILE",
    "HEADER_2_FIEL": "HEADER_2_FILE",
    "HEADER2_FILE": "HEADER_2_FILE",
    "PORT_2": "PORT",
    "ADDRESS_2_FILE": "ADDRESS_FILE",
    "BASIC_AUTH_1": "BASIC_AUTH",
    "CHECK_FILE_2": "CHECK_2_FILE",
    "NO_VERIFY_SSL": "NO_VERIFY_TLS",
    "SSL_VERIFY": "NO_VERIFY_TLS",
    "HEADER_FILE_10": "HEADER_10_FILE",
    "CHECKS_FILE_2": "CHECK_2_FILE",
    "CHECK__2": "CHECK_2",
}
FOREIGN = re.findall(
    r"\S+",
    """
    IMAGE VERSION TAG RELEASE COMMIT BUILD REVISION REGISTRY REPO HOME ROOT DIR DATA_DIR TMPDIR
    USER USERNAME PASSWORD TOKEN SECRET KEY UID GID SERVICE
    SERVICE_NAME SERVICE_ACCOUNT NAME APP_NAME APP_VERSION API_VERSION API_URL
    API_KEY API_TOKEN NAMESPACE POD_NAME POD_IP NODE_NAME CONTAINER CONTAINER_NAME CLUSTER REGION
    ZONE TIMEZONE TZ ENV ENVIRONMENT STAGE MODE DEBUG VERBOSE TRACE CONFIG CONFIG_FILE ENV_FILE
    PID_FILE LOG_FILE LOG_DIR LOCK_FILE PASSWORD_FILE OPTS ARGS FLAGS FEATURES ENABLED DISABLED
    REPLICAS WORKERS THREADS MEMORY CPU LIMITS TEAM OWNER CONTACT LABELS CHECKSUM SUM PORTAL POST
    SEED FLOW SHOW PART SORT HOOK PLUGINS EXTRA COLOR COLOUR LANG LOCALE TEST_NGINX_IMAGE TEST FOO
    DB DATABASE REDIS QUEUE TOPIC 2 FILE _ X_2 STATE STATUS INSTANCE SIDECAR METRICS SCRAPE ALERT
""",
)


ADDRESSES = [
    *("HOST", "HOSTNAME", "URL", "URI", "ENDPOINT", "TARGET", "DOMAIN", "SERVER", "IP"),
    *("TARGET_HOST", "TARGET_URL", "SERVER_IP"),
]


@pytest.mark.parametrize(("word", "meant"), CLOSE.items())
def test_close_to_a_setting_is_an_error_with_the_suggestion_and_without_the_value(word, meant):
    prefix = "pingstate_" if word.islower() and "-" not in word else "PINGSTATE_"
    with pytest.raises(ConfigurationError) as caught:
        load_settings({f"{prefix}{word}": "hunter2", "PINGSTATE_JITTER": "x"})
    assert caught.value.problems[1:] == [
        f"{prefix}{word}: is not a setting; did you mean PINGSTATE_{meant}?"
    ]


@pytest.mark.parametrize("word", FOREIGN)
def test_foreign_variable_of_the_same_prefix_is_a_warning(word):
    (warning,) = load_settings({f"PINGSTATE_{word}": "x"}).warnings
    assert warning.startswith(f"PINGSTATE_{word} is not a setting")


@pytest.mark.parametrize("word", ADDRESSES)
def test_another_word_for_the_address_is_an_error_unless_there_is_a_target(word):
    name = f"PINGSTATE_{word}"
    with pytest.raises(ConfigurationError) as caught:
        load_settings({name: "x"})
    assert caught.value.problems == [f"{name}: is not a setting; did you mean PINGSTATE_ADDRESS?"]
    # Beside one it may be anyone's: the API's own URL for instance.
    for loaded in (
        load_settings({name: "x", "PINGSTATE_ADDRESS": "db.internal"}),
        load_settings({name: "x", "PINGSTATE_PROBE": "json:loads"}),
        load_settings({name: "x"}, {"address": "db.internal"}),
    ):
        (warning,) = loaded.warnings
        assert warning.startswith(f"{name} is not a setting")


def test_variable_of_another_prefix_is_nothing():
    for name in ("ADDRESS", "PINGSTATE", "PINGSTATEADDRESS", "XPINGSTATE_ADRESS", "PING_ADDRESS"):
        assert load_settings({name: "x"}).warnings == ()


@given(st.sampled_from(SETTINGS), st.data())
def test_letter_left_out_of_a_long_name_is_noticed(setting, data):
    name = setting.name.upper()
    at = data.draw(st.integers(0, len(name) - 1))
    word = name[:at] + name[at + 1 :]
    if len(name) < 5 or word in {one.name.upper() for one in SETTINGS}:
        return
    with pytest.raises(ConfigurationError, match=f"PINGSTATE_{word}: is not a setting"):
        load_settings({f"PINGSTATE_{word}": "x"})


def test_command_line_is_exit_2_with_every_problem():
    from tests.support.process import run_pingstate

    ended = run_pingstate(PINGSTATE_ADRESS="x", PINGSTATE_INTERVAL="abc", PINGSTATE_TEAM="x")
    assert ended.returncode == 2
    assert [line.split(": ")[1] for line in ended.stderr.splitlines()] == [
        "PINGSTATE_INTERVAL",
        "PINGSTATE_ADRESS",
    ]
