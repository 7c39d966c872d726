from __future__ import annotations

import threading

from pingstate import ProbeResult
from pingstate.monitor.notifier import Notifier
from tests.support.waiting import TIMEOUT, wait_until

OK = ProbeResult(ok=True)


def callback_threads():
    return [thread for thread in threading.enumerate() if thread.name == "pingstate-callback"]


def test_transitions_are_told_in_order_on_another_thread():
    told = []
    notifier = Notifier(lambda *told_: told.append((*told_, threading.current_thread().name)))
    for word in ("a", "b", "c"):
        notifier.notify("x", word, OK)
    wait_until(lambda: len(told) == 3)
    assert told == [("x", word, OK, "pingstate-callback") for word in ("a", "b", "c")]


def test_no_thread_before_the_first_transition_and_none_after_the_last():
    notifier = Notifier(lambda *_: None)
    assert callback_threads() == []
    notifier.notify("x", "y", OK)
    wait_until(lambda: callback_threads() == [])


def test_what_waits_is_told_after_a_callback_that_took_long():
    release, told = threading.Event(), []

    def held(_old, new, _result):
        release.wait(TIMEOUT)
        told.append(new)

    notifier = Notifier(held)
    for word in ("a", "b"):
        notifier.notify("x", word, OK)
    release.set()
    wait_until(lambda: told == ["a", "b"])
    wait_until(lambda: callback_threads() == [])


def test_callback_that_blocks_blocks_nobody_and_what_is_dropped_is_logged(caplog):
    release, told = threading.Event(), []

    def held(_old, new, _result):
        release.wait(TIMEOUT)
        told.append(new)

    notifier = Notifier(held)
    for number in range(150):
        notifier.notify("x", str(number), OK)
    assert "on_transition is blocked; dropped x -> 149" in caplog.text
    release.set()
    wait_until(lambda: callback_threads() == [])
    assert told[:100] == [str(number) for number in range(100)]
    assert len(told) <= 101


def test_callback_that_raises_is_logged_and_called_again(caplog):
    told = []

    def bad(_old, new, _result):
        told.append(new)
        raise SystemExit("no")

    notifier = Notifier(bad)
    for word in ("a", "b"):
        notifier.notify("x", word, OK)
    wait_until(lambda: callback_threads() == [])
    assert told == ["a", "b"]
    assert caplog.text.count("on_transition raised SystemExit: no") == 2


def test_transition_that_gets_no_thread_is_told_with_the_next_one(caplog):
    told = []
    notifier = Notifier(lambda _old, new, _result: told.append(new))
    before = threading.stack_size(1 << 60)  # more than there is room for
    try:
        notifier.notify("x", "a", OK)
    finally:
        threading.stack_size(before)
    assert "on_transition has to wait: can't start new thread" in caplog.text
    notifier.notify("a", "b", OK)
    wait_until(lambda: told == ["a", "b"])


def test_join_waits_for_what_is_to_be_told_and_no_longer_than_asked():
    release, told = threading.Event(), []

    def held(_old, new, _result):
        release.wait(TIMEOUT)
        told.append(new)
        notifier.join(TIMEOUT)  # its own thread's end it does not wait for

    notifier = Notifier(held)
    notifier.join(TIMEOUT)
    for word in ("a", "b"):
        notifier.notify("x", word, OK)
    notifier.join(0.01)
    assert told == []
    threading.Timer(0.2, release.set).start()
    notifier.join(TIMEOUT)
    assert told == ["a", "b"]
