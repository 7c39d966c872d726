from __future__ import annotations

import json
import logging
import re
import subprocess
import sys

import pytest

from pingstate import logs
from pingstate.settings import Settings
from tests.support.waiting import TIMEOUT


def record(message="%s: up", arguments=("x",), exc_info=None, **extra):
    made = logging.LogRecord(
        "pingstate.test", logging.WARNING, __file__, 1, message, arguments, exc_info
    )
    vars(made).update(extra)
    return made


def formatted(kind, made):
    return logs.create_formatter(Settings(log_format=kind)).format(made)


def test_text_is_time_in_utc_level_and_message():
    line = formatted("text", record())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING x: up", line)


def test_json_is_one_object_a_line_with_the_fields_that_there_are():
    line = formatted("json", record(probe="p", old_state="up", latency_ms=None))
    assert "\n" not in line
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert told == {
        "level": "warning",
        "logger": "pingstate.test",
        "message": "x: up",
        "probe": "p",
        "old_state": "up",
        "latency_ms": None,
    }


@pytest.mark.parametrize("text", ["two\nlines", '"', "\\", "\0", "\N{SNOWMAN}", "\u2028"])
def test_json_stays_one_line_whatever_is_told(text):
    line = formatted("json", record("%s", (text,), detail=text))
    assert "\n" not in line
    assert json.loads(line)["message"] == json.loads(line)["detail"] == text


def test_json_has_the_traceback_as_a_field():
    with pytest.raises(ValueError, match="literal") as caught:
        int("x")
    line = formatted("json", record(exc_info=caught._excinfo))
    assert "\n" not in line
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def run(code):
    ended = subprocess.run(
        [sys.executable, "-c", f"import logging, sys\nfrom pingstate import logs\nfrom pingstate.settings import Settings\n{code}"],
        capture_output=True, text=True, timeout=TIMEOUT, check=True,
    )  # fmt: skip
    return ended.stderr.splitlines()


def test_level_is_the_least_that_is_logged():
    told = run(
        "logs.configure(Settings(log_level='warning'), own_process=True)\n"
        "log = logging.getLogger('pingstate.x'); log.info('no'); log.warning('yes')"
    )
    assert [line.split()[1:] for line in told] == [["WARNING", "yes"]]


def test_anothers_logging_is_left_as_it_is():
    told = run(
        "logging.basicConfig(format='theirs %(message)s', level='INFO')\n"
        "logs.configure(Settings(), own_process=False)\n"
        "logging.getLogger('pingstate.x').info('a line')"
    )
    assert told == ["theirs a line"]


def test_probe_that_sets_logging_up_changes_nothing_in_our_process():
    told = run(
        "logging.basicConfig(format='theirs %(message)s', level='INFO')\n"
        "logs.configure(Settings(), own_process=True)\n"
        "logs.configure(Settings(), own_process=True)\n"
        "logging.getLogger('pingstate.x').info('a line')"
    )
    assert [line.split()[1:] for line in told] == [["INFO", "a", "line"]]


def test_stream_that_a_test_or_a_host_put_in_place_of_stderr_is_used(capsys):
    logger = logging.getLogger("pingstate")
    before = list(logger.handlers), logger.propagate, logger.level
    logger.handlers.clear()
    try:
        logs.configure(Settings(), own_process=True)
        logger.info("a line")
    finally:
        logger.handlers[:], logger.propagate = before[0], before[1]
        logger.setLevel(before[2])
    assert capsys.readouterr().err.endswith(" INFO a line\n")
