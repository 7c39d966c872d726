from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from pingstate.output import Output, create_stream, write_all
from tests.support.pipes import fill, read_exactly
from tests.support.waiting import TIMEOUT


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
