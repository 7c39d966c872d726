from __future__ import annotations

import os
import subprocess
import sys
import threading

from pingstate.output import create_stream
from pingstate.queued_output import QueuedOutput
from tests.support.pipes import fill, read_exactly
from tests.support.waiting import TIMEOUT, wait_until


def lines(data):
    return data.decode().splitlines()


def test_lines_come_in_order_and_the_thread_ends_with_them(pipe):
    reader, writer = pipe
    stream = create_stream(QueuedOutput(writer))
    for number in range(100):
        print(number, file=stream)
    wait_until(lambda: "pingstate-log" not in [one.name for one in threading.enumerate()])
    assert lines(os.read(reader, 65536)) == [str(number) for number in range(100)]


def test_reader_that_stalls_holds_nobody_up_and_lost_lines_are_counted(pipe):
    reader, writer = pipe
    filled = fill(writer)
    output = QueuedOutput(writer)
    stream = create_stream(output)
    line = "x" * 999
    for _ in range(200):
        print(line, file=stream)  # returns at once, or this test never ends
    assert read_exactly(reader, filled) == b"." * filled
    kept = lines(read_exactly(reader, 65_000))
    assert kept == [line] * 65
    wait_until(lambda: not output._running)
    print("through again", file=stream)
    wait_until(lambda: not output._running)
    assert lines(os.read(reader, 65536)) == [
        "pingstate: 135 lines could not be written in time and were lost",
        "through again",
    ]


def test_lines_that_a_full_disk_takes_away_are_counted(tmp_path):
    descriptor = os.open("/dev/full", os.O_WRONLY)
    output = QueuedOutput(descriptor)
    for _ in range(3):
        output.write(b"lost\n")
        wait_until(lambda: not output._running)
    with (tmp_path / "log").open("wb") as file:
        os.dup2(file.fileno(), descriptor)
    output.write(b"kept\n")
    wait_until(lambda: not output._running)
    os.close(descriptor)
    # The count itself was lost twice on the way, as a line of its own.
    assert (tmp_path / "log").read_text().splitlines()[-1] == "kept"
    assert " could not be written in time" in (tmp_path / "log").read_text()


def test_line_of_any_length_is_taken_when_nothing_waits(pipe):
    reader, writer = pipe
    output = QueuedOutput(writer)
    output.write(b"y" * 500_000 + b"\n")
    assert read_exactly(reader, 500_001) == b"y" * 500_000 + b"\n"


def test_forked_process_writes_its_own_lines_and_none_of_its_parents(pipe):
    reader, writer = pipe
    output = QueuedOutput(writer)
    filled = fill(writer)
    output.write(b"parent\n")
    pid = os.fork()
    if pid == 0:
        output.write(b"child\n")
        wait_until(lambda: not output._running)
        os._exit(0)
    read_exactly(reader, filled)
    assert os.waitpid(pid, 0)[1] == 0
    wait_until(lambda: not output._running)
    assert sorted(lines(os.read(reader, 65536))) == ["child", "parent"]


def test_process_writes_what_waits_before_it_ends():
    code = (
        "import sys; from pingstate.output import protect_standard_streams\n"
        "from pingstate.queued_output import create_queued_output\n"
        "protect_standard_streams(create_queued_output)\n"
        "for number in range(1000): print(number)\n"
        "print('error', file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    assert ended.stdout.split() == [str(number) for number in range(1000)]
    assert ended.stderr == "error\n"


def test_process_whose_reader_stalls_ends_all_the_same(pipe):
    _, writer = pipe
    fill(writer)
    code = (
        "import sys; from pingstate.output import protect_standard_streams\n"
        "from pingstate.queued_output import create_queued_output\n"
        "protect_standard_streams(create_queued_output)\n"
        "print('never read'); raise SystemExit(7)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, timeout=TIMEOUT, check=False
    )
    assert ended.returncode == 7
