from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingstate import TRANSITIONS, PingFSM, threshold_transitions
from pingstate.monitor import fsm as fsm_module

EVENTS = st.lists(st.sampled_from(["ok", "fail", "slow"]), max_size=60)
WORDS = ["unknown", "up", "degraded", "down"]


def words_after(events, **options):
    fsm = PingFSM(**options)
    return [fsm.fire(event) for event in events]


def test_transitions_are_the_documented_diagram():
    assert TRANSITIONS == {
        ("unknown", "ok"): "up",
        ("unknown", "fail"): "down",
        ("up", "ok"): "up",
        ("up", "fail"): "degraded",
        ("degraded", "ok"): "up",
        ("degraded", "fail"): "down",
        ("down", "ok"): "up",
        ("down", "fail"): "down",
    }


def test_first_failure_after_start_is_down():
    assert words_after(["fail"]) == ["down"]


def test_second_failure_marks_down_and_any_success_is_up():
    assert words_after(["ok", "fail", "fail", "ok", "fail", "ok"]) == [
        "up",
        "degraded",
        "down",
        "up",
        "degraded",
        "up",
    ]


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(WORDS), st.sampled_from(["ok", "fail"])), st.sampled_from(WORDS)
    ),
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(["ok", "fail"]), max_size=60),
)
def test_any_table_is_followed_and_a_missing_pair_keeps_the_state(table, initial, events):
    fsm = PingFSM(initial, table, history=7)
    state, changes, seen = initial, 0, []
    for event in events:
        new = table.get((state, event), state)
        changes += new != state
        state = new
        assert fsm.fire(event, detail=event) == state
        seen.append((event, state))
    snapshot = fsm.snapshot()
    assert snapshot["state"] == state
    assert snapshot["transitions"] == changes
    assert [(entry["event"], entry["state"]) for entry in snapshot["recent"]] == seen[-7:]


class Counting:
    """The thresholds as a person would say them: rows of events, no table."""

    def __init__(self, failures, successes):
        self.failure_threshold, self.success_threshold = failures, successes
        self.word = "unknown"
        self.was_up = False
        self.failures = self.successes = 0

    def fire(self, event):
        first = self.word == "unknown"
        self.failures = self.failures + 1 if event == "fail" else 0
        self.successes = 0 if event == "fail" else self.successes + 1
        if event == "slow" and self.word in ("up", "degraded"):
            self.successes = 0
        enough = self.successes >= self.success_threshold
        recovered = enough or not self.was_up or self.word == "up"
        self.was_up = self.was_up or event != "fail"
        if event == "fail":
            enough = self.failures >= self.failure_threshold
            self.word = "down" if first or enough or self.word == "down" else "degraded"
        elif event == "slow":
            if self.word != "down" or recovered:
                self.word, self.successes = "degraded", 0
        elif recovered:
            self.word = "up"
        return self.word


@given(st.integers(1, 5), st.integers(1, 5), EVENTS)
def test_thresholds_count_rows(failures, successes, events):
    fsm = PingFSM(transitions=threshold_transitions(failures, successes))
    model = Counting(failures, successes)
    for event in events:
        assert fsm.fire(event) == model.fire(event)


@given(st.integers(1, 5), st.integers(1, 5), EVENTS)
def test_slow_never_leads_to_down_and_public_words_are_four(failures, successes, events):
    fsm = PingFSM(transitions=threshold_transitions(failures, successes))
    before = fsm.state
    for event in events:
        after = fsm.fire(event)
        assert after in WORDS
        assert not (event == "slow" and after == "down" and before != "down")
        before = after


def test_default_thresholds_are_the_default_table_and_rows_for_slow():
    table = threshold_transitions()
    assert {pair: state for pair, state in table.items() if pair in TRANSITIONS} == TRANSITIONS


def test_threshold_of_one_has_no_degraded_tier():
    assert words_after(["ok", "fail"], transitions=threshold_transitions(1)) == ["up", "down"]


def test_table_without_slow_takes_it_as_ok_and_remembers_the_event():
    fsm = PingFSM()
    assert fsm.fire("slow") == "up"
    assert fsm.snapshot()["last_event"] == "slow"


@pytest.mark.parametrize("thresholds", [(0, 1), (1, 0), (-1, 1), (1001, 1), (1, 1.5)])
def test_threshold_out_of_range_is_an_error(thresholds):
    with pytest.raises(ValueError, match=r"_threshold: .* is not a whole number from 1 to 1000"):
        threshold_transitions(*thresholds)


def test_settled_means_that_no_count_is_running():
    fsm = PingFSM(transitions=threshold_transitions(3, 2))
    settled = []
    for event in ["ok", "fail", "fail", "fail", "ok", "ok"]:
        fsm.fire(event)
        settled.append(fsm.settled)
    assert settled == [True, False, False, True, False, True]


def test_snapshot_is_the_callers_to_keep():
    fsm = PingFSM()
    fsm.fire("ok", latency_ms=1.5, detail="fine")
    snapshot = fsm.snapshot()
    snapshot["recent"][0]["state"] = "spoiled"
    snapshot["recent"].clear()
    assert fsm.snapshot()["recent"][0]["state"] == "up"
    assert fsm.snapshot()["last_latency_ms"] == 1.5


def test_snapshot_before_any_check_has_no_age():
    snapshot = PingFSM().snapshot()
    assert snapshot["state"] == "unknown"
    assert snapshot["last_check_age_s"] is None
    assert snapshot["recent"] == []


def test_snapshot_keeps_the_last_ten_changes_with_times():
    fsm = PingFSM(history=0)
    for _ in range(6):
        fsm.fire("ok", detail="fine")
        fsm.fire("fail", detail="refused")
    changes = fsm.snapshot()["changes"]
    assert len(changes) == 10
    assert {(c["from"], c["to"], c["detail"], c["event"]) for c in changes} == {
        ("up", "degraded", "refused", "fail"),
        ("degraded", "up", "fine", "ok"),
    }
    assert changes == sorted(changes, key=lambda change: change["ts"])


@pytest.mark.parametrize(
    ("recent", "listed"), [(None, [1, 2, 3]), (0, []), (2, [2, 3]), (3, [1, 2, 3]), (99, [1, 2, 3])]
)
def test_snapshot_lists_no_more_checks_than_are_wanted(recent, listed):
    fsm = PingFSM(history=3)
    for latency in range(4):
        fsm.fire("ok", latency)
    assert [check["latency_ms"] for check in fsm.snapshot(recent)["recent"]] == listed


def test_restored_machine_tells_its_predecessors_changes():
    before = PingFSM()
    before.fire("ok")
    after = PingFSM()
    after.restore(before.save())
    after.fire("fail")
    assert [(c["from"], c["to"]) for c in after.snapshot()["changes"]] == [
        ("unknown", "up"),
        ("up", "degraded"),
    ]


def test_error_is_no_check_and_the_last_one_goes_on_ageing(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(fsm_module, "now", lambda: clock[0])
    fsm = PingFSM()
    fsm.fire("ok")
    clock[0] = 107.0
    assert fsm.fire("error", detail="a bug") == "up"
    snapshot = fsm.snapshot()
    assert (snapshot["last_check_age_s"], snapshot["last_event"]) == (7.0, "error")
    assert snapshot["transitions"] == 1
    fsm.fire("fail")
    assert fsm.snapshot()["last_check_age_s"] == 0.0
