from __future__ import annotations

import threading
import time

import pytest

from pingstate.probes.patterns import Pattern


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [("b", "abc", True), ("^b", "abc", False), (r"\xc3", "é", True), ("é", "é", True)],
)
def test_pattern_is_found_anywhere_in_a_text(source, text, found):
    assert Pattern("x", source).search(text, 5.0) is found


@pytest.mark.parametrize("source", ["(", "[", "*", "(?P<a>x)(?P<", r"\x84(", "a{2,1}"])
def test_what_is_no_pattern_is_named_with_its_check(source):
    with pytest.raises(ValueError, match="'the check' is not a regular expression: "):
        Pattern("the check", source)


@pytest.mark.parametrize(
    ("source", "anchored"),
    [
        ("^a", True), (r"\Aa", True), (r"^a\b", False), (r"^a\\b", True), ("(?i)^a", True), ("^a|^b", True), ("(^a|^b)", False),
        ("a", False), ("^a|b", False), ("(?m)^a", False), ("(?<=x)a", False), (r"\ba", False),
        ("$", False), ("", False), (r"^\x84", True), (r"\x84", False),
        ("(?<!.)a", False), ("^a(?<!b)", False), ("^(?:ab){e<=1}(?<=a)", False), (r"^\(?<!b", True),
    ],
)  # fmt: skip
def test_pattern_is_anchored_only_where_that_is_certain(source, anchored):
    # `(^a|^b)` is anchored too: it waits longer than it must, which is no wrong verdict.
    assert Pattern(source, source).anchored is anchored


def test_time_of_other_threads_is_not_the_patterns():
    stop = threading.Event()

    def work():
        while not stop.is_set():
            hash("x" * 1_000_000)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            Pattern("x", "(a+)+$").search("a" * 10_000 + "b", 1.0)
        assert 1.0 <= time.monotonic() - began < 10.0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
