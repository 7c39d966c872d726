from __future__ import annotations

import os
import random

import pytest

from pingstate.monitor.fsm import PingFSM
from pingstate.monitor.handover import Handover

VALUES = [{"state": "up", "count": count, "recent": ["x" * count]} for count in range(6)]


def test_empty_memory_has_no_value():
    assert Handover().load() is None


def test_last_value_is_loaded():
    handover = Handover()
    for value in VALUES:
        handover.save(value)
        assert handover.load() == value


def torn_writes(before, after):
    """What the memory holds when the write from one to the other ends early: in order, in the
    opposite order, and with the bytes in any order."""
    changed = [at for at in range(len(before)) if before[at] != after[at]]
    backwards = changed[::-1]
    shuffled = random.Random(1).sample(changed, len(changed))
    for order in (changed, backwards, shuffled):
        memory = bytearray(before)
        for at in order[:-1]:
            memory[at] = after[at]
            yield bytes(memory)


@pytest.mark.parametrize("saves", range(1, len(VALUES)))
def test_write_torn_at_any_byte_leaves_the_last_whole_value(saves):
    writer, reader = Handover(), Handover()
    for value in VALUES[:saves]:
        writer.save(value)
    before = writer._memory[:]
    writer.save(VALUES[saves])
    after = writer._memory[:]
    torn = 0
    for memory in torn_writes(before, after):
        reader._memory[:] = memory
        assert reader.load() == VALUES[saves - 1]
        torn += 1
    assert torn > 10


def test_successor_of_a_torn_write_goes_on_saving():
    writer, successor = Handover(), Handover()
    for value in VALUES[:2]:
        writer.save(value)
    before = writer._memory[:]
    writer.save(VALUES[2])
    half = next(iter(torn_writes(before, writer._memory[:])))
    successor._memory[:] = half
    assert successor.load() == VALUES[1]
    for value in VALUES[3:]:
        successor.save(value)
        assert successor.load() == value


def test_value_saved_in_a_forked_process_is_the_parents_to_load():
    handover = Handover()
    handover.save(VALUES[0])
    pid = os.fork()
    if pid == 0:
        handover.load()
        handover.save(VALUES[1])
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert handover.load() == VALUES[1]


def test_value_that_is_too_long_is_an_error_and_the_last_stays():
    handover = Handover()
    handover.save(VALUES[0])
    with pytest.raises(ValueError, match="too many"):
        handover.save("x" * 65536)
    assert handover.load() == VALUES[0]


def test_longest_history_of_the_longest_details_has_room():
    fsm = PingFSM(history=10_000)
    for check in range(200):
        fsm.fire("ok" if check % 2 else "fail", 1234.567, "\U0001f600" * 200, "response")
    handover = Handover()
    handover.save(fsm.save())
    successor = PingFSM(history=10_000)
    successor.restore(handover.load())
    assert successor.snapshot()["recent"] == fsm.snapshot()["recent"][-40:]
    assert successor.state == fsm.state
