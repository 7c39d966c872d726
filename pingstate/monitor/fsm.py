"""The state machine: four states, a table of transitions, and the checks that led there."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from pingstate.monitor.clock import now
from pingstate.values import InvalidValueError, validate_history, validate_threshold

Transitions = Mapping[tuple[str, str], str]

# How many changes of state a snapshot tells of.
_CHANGES = 10
# How many checks are saved for a successor, whatever the history's length.
_SAVED_CHECKS = 40

STATES = ("unknown", "up", "degraded", "down")

TRANSITIONS: dict[tuple[str, str], str] = {
    ("unknown", "ok"): "up",
    ("unknown", "fail"): "down",
    ("up", "ok"): "up",
    ("up", "fail"): "degraded",
    ("degraded", "ok"): "up",
    ("degraded", "fail"): "down",
    ("down", "ok"): "up",
    ("down", "fail"): "down",
}

# Between a state's public word and what else there is to remember.
COUNT_SEPARATOR = "\0"
# The state of a target that was not up since the start: no count of successes holds it back.
_DOWN_SINCE_START = f"down{COUNT_SEPARATOR}first"


def threshold_transitions(
    failure_threshold: int = 2, success_threshold: int = 1
) -> dict[tuple[str, str], str]:
    """A table that counts: N failures in a row are `down`, N successes in a row are `up` again.

    `failure_threshold`: 1 to 1000. 1 means no degraded tier; from 2 on, the failures before the
    last are `degraded`. `success_threshold`: 1 to 1000; until it is reached the state stays what
    it was. The first check after the start decides at once, and so does the first success, as in
    Envoy. The event `slow` leads to `degraded`, from `down` as a success does, and never to `down`.

    A state that carries a count is spelled `word`, NUL, `count`; what the public sees is the word.
    Raises ValueError for a threshold out of range.
    """
    failure_threshold = validate_threshold(failure_threshold, "failure_threshold")
    success_threshold = validate_threshold(success_threshold, "success_threshold")
    slow = f"degraded{COUNT_SEPARATOR}slow"
    never_up = "down" if success_threshold == 1 else _DOWN_SINCE_START

    def degraded(failures: int, successes: int) -> str:
        if successes:
            return f"degraded{COUNT_SEPARATOR}{successes}ok"
        if failures == 0:
            return slow
        return "degraded" if failures == 1 else f"degraded{COUNT_SEPARATOR}{failures}"

    def down(successes: int) -> str:
        return f"down{COUNT_SEPARATOR}{successes}ok" if successes else "down"

    def failed(failures: int) -> str:
        return "down" if failures >= failure_threshold else degraded(failures, 0)

    table = {
        ("unknown", "ok"): "up",
        ("unknown", "slow"): slow,
        ("unknown", "fail"): never_up,
        (never_up, "ok"): "up",
        (never_up, "slow"): slow,
        (never_up, "fail"): never_up,
        ("up", "ok"): "up",
        ("up", "slow"): slow,
        ("up", "fail"): failed(1),
    }
    # (failures in a row, successes in a row): at most one of them is above 0.
    runs = [(failures, 0) for failures in range(failure_threshold)]
    runs += [(0, successes) for successes in range(1, success_threshold)]
    for failures, successes in runs:
        state = degraded(failures, successes)
        recovered = successes + 1 >= success_threshold
        table[state, "ok"] = "up" if recovered else degraded(0, successes + 1)
        table[state, "slow"] = slow
        table[state, "fail"] = failed(failures + 1)
    for successes in range(success_threshold):
        state = down(successes)
        recovered = successes + 1 >= success_threshold
        table[state, "ok"] = "up" if recovered else down(successes + 1)
        table[state, "slow"] = slow if recovered else down(successes + 1)
        table[state, "fail"] = "down"
    return table


class PingFSM:
    """The state machine alone: feed it events, read its state. Not thread-safe: see `Monitor`.

    `initial` is one of the four states or of the table's. `transitions` maps (state, event) to the
    next state (default: `TRANSITIONS`); a pair that is missing keeps the state. A table without a
    row for the event `slow` treats it as `ok`. `history` is how many checks `recent` keeps, 0 to
    10000. Raises ValueError for anything else.
    """

    def __init__(
        self, initial: str = "unknown", transitions: Transitions | None = None, history: int = 20
    ) -> None:
        self._table = _validate_table(TRANSITIONS if transitions is None else transitions)
        self._knows_slow = any(event == "slow" for _, event in self._table)
        self._state = _validate_state(initial, self._table)
        self._since = now()
        self._checked_at: float | None = None
        self._last: dict[str, Any] = {"event": None, "detail": None, "latency": None, "phase": None}
        self._transitions = 0
        self._recent: deque[dict[str, Any]] = deque(maxlen=validate_history(history))
        self._changes: deque[dict[str, Any]] = deque(maxlen=_CHANGES)

    @property
    def state(self) -> str:
        """The state's public word."""
        return self._state.partition(COUNT_SEPARATOR)[0]

    @property
    def settled(self) -> bool:
        """Whether the state is certain: no consecutive failures or successes are being counted."""
        return self._state in ("up", "down", _DOWN_SINCE_START)

    def possible_states(self) -> list[str]:
        """Every public state that there may be."""
        words = (word.partition(COUNT_SEPARATOR)[0] for word in _states(self._table))
        return list(dict.fromkeys(words))

    def possible_transitions(self) -> set[tuple[str, str]]:
        """Every change of the public state that the table allows, as (old, new)."""
        pairs = {
            (old.partition(COUNT_SEPARATOR)[0], new.partition(COUNT_SEPARATOR)[0])
            for (old, _), new in self._table.items()
        }
        return {(old, new) for old, new in pairs if old != new}

    def fire(
        self,
        event: str,
        latency_ms: float | None = None,
        detail: str | None = None,
        phase: str | None = None,
    ) -> str:
        """Take one event (`ok`, `slow`, `fail`) and return the state's public word after it.

        The event `error` says that no check came about: the last check goes on ageing.
        """
        row = "ok" if event == "slow" and not self._knows_slow else event
        before = self.state
        self._state = self._table.get((self._state, row), self._state)
        at = now()
        if event != "error":
            self._checked_at = at
        ts = round(time.time(), 3)
        if self.state != before:
            self._transitions += 1
            self._since = at
            self._changes.append(
                {"ts": ts, "from": before, "to": self.state, "detail": detail, "event": event}
            )
        self._last = {"event": event, "detail": detail, "latency": latency_ms, "phase": phase}
        self._recent.append(
            {
                "ts": ts,
                "event": event,
                "state": self.state,
                "detail": detail,
                "phase": phase,
                "latency_ms": latency_ms,
            }
        )
        return self.state

    def save(self) -> dict[str, Any]:
        """What `restore` takes: plain types, less than 64 KiB, so only the last of `recent`."""
        return {
            "state": self._state,
            "since": self._since,
            "checked_at": self._checked_at,
            "last": self._last,
            "transitions": self._transitions,
            "recent": list(self._recent)[-_SAVED_CHECKS:],
            "changes": list(self._changes),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on where another machine of the same table was when it was saved."""
        self._state = saved["state"]
        self._since = saved["since"]
        self._checked_at = saved["checked_at"]
        self._last = saved["last"]
        self._transitions = saved["transitions"]
        self._recent.extend(saved["recent"])
        self._changes.extend(saved["changes"])

    def snapshot(self, recent: int | None = None) -> dict[str, Any]:
        """Everything at this moment, in a new dict that is the caller's to keep.

        `recent` is how many checks to list at most, the newest ones (None: all that are kept).
        Ages are in seconds, None before the first check. `changes` has the last ten changes of
        state. `probe` and `stale` are the Monitor's to know: None and False here.
        """
        if recent is not None:
            validate_history(recent, "recent")
        at = now()
        return {
            "state": self.state,
            "last_event": self._last["event"],
            "last_detail": self._last["detail"],
            "last_latency_ms": self._last["latency"],
            "last_phase": self._last["phase"],
            "uptime_in_state_s": round(at - self._since, 3),
            "last_check_age_s": (
                None if self._checked_at is None else round(at - self._checked_at, 3)
            ),
            "transitions": self._transitions,
            "recent": [dict(entry) for entry in islice(reversed(self._recent), recent)][::-1],
            "changes": [dict(entry) for entry in self._changes],
            "probe": None,
            "stale": False,
        }


def _validate_table(table: Transitions) -> dict[tuple[str, str], str]:
    """A copy of the table. Raises InvalidValueError for one that is malformed."""
    rows = table.items() if isinstance(table, Mapping) else [((), None)]
    for pair, state in rows:
        words = (*pair, state) if isinstance(pair, tuple) else ()
        if len(words) != 3 or not all(isinstance(word, str) for word in words):
            raise InvalidValueError("transitions", table, "a table from (state, event) to a state")
    return dict(table)


def _states(table: Transitions) -> Sequence[str]:
    return (*STATES, *(old for old, _ in table), *table.values())


def _validate_state(state: str, table: Transitions) -> str:
    known = _states(table)
    if not isinstance(state, str) or state not in known:
        words = dict.fromkeys(word.partition(COUNT_SEPARATOR)[0] for word in known)
        raise InvalidValueError("initial_state", state, f"one of {', '.join(words)}")
    return state
