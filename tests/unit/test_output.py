from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import pytest

from pingstate.output import Output, create_stream, write_all
from pingstate.queued_output import QueuedOutput
from tests.support.waiting import TIMEOUT, wait_until


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):  # a test may have closed it
            os.close(descriptor)


def fill(writer):
    """Leave no room in a pipe, without changing its flags for who shares it."""
    again = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
    filled = 0
    for size in (4096, 1):
        try:
            while True:
                filled += os.write(again, b"." * size)
        except BlockingIOError:
            continue
    os.close(again)
    return filled


def read_exactly(reader, size):
    data = b""
    while len(data) < size:
        data += os.read(reader, size - len(data))
    return data


# -- output that loses what can't be written ---------------------------------------------------------


def test_all_is_written_also_through_a_non_blocking_pipe(pipe):
    reader, writer = pipe
    os.set_blocking(writer, False)
    data = os.urandom(1_000_000)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(read_exactly(reader, len(data))))
    thread.start()
    assert write_all(writer, data)
    thread.join(TIMEOUT)
    assert seen == [data]


@pytest.mark.parametrize("mode", ["full", "closed", "no reader"])
def test_what_can_not_be_written_raises_nothing(mode, pipe):
    reader, writer = pipe
    if mode == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), writer)
    os.close(reader)
    if mode == "closed":
        os.close(writer)
    assert not write_all(writer, b"text")
    stream = create_stream(Output(writer))
    print("text", file=stream)
    stream.flush()
    stream.close()


def test_line_that_nobody_reads_is_lost_in_time(pipe):
    _, writer = pipe
    fill(writer)
    assert not write_all(writer, b"text", 0.05)


def test_line_is_one_write_and_what_the_encoding_lacks_is_escaped(pipe):
    reader, writer = pipe
    stream = create_stream(Output(writer))
    print("a", "\udcff", "\N{SNOWMAN}", file=stream)
    assert os.read(reader, 100) == b"a \\udcff \xe2\x98\x83\n"
    assert (stream.isatty(), stream.fileno()) == (False, writer)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_are_taken_before_a_socket_gets_their_number(closed):
    code = (
        "import os, socket, sys; from pingstate.output import protect_standard_streams\n"
        "protect_standard_streams()\n"
        "with socket.socket() as one: os._exit(0 if one.fileno() > 2 else 1)"
    )
    command = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", code]
    assert subprocess.run(command, timeout=TIMEOUT, check=False).returncode == 0


# -- output that nobody can stall ----------------------------------------------------------------------


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
