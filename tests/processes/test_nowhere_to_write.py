"""A root file system that is read-only, and no directory for temporary files anywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.client import get
from tests.support.namespace import call_in_namespace
from tests.support.process import clean_environ
from tests.support.waiting import TIMEOUT, wait_until

COMMANDS = {
    "pingstate": [sys.executable, "-m", "pingstate"],
    "gunicorn": [sys.executable, "-m", "gunicorn", "-c", "python:pingstate.gunicorn_conf"],
}


def make_everything_read_only():
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    paths = [line.split()[1].encode().decode("unicode_escape") for line in mounts]
    # One that another hides can't be reached, and the kernel's own hold no files of anybody's.
    for path in sorted(set(paths)):
        if not path.startswith(("/proc", "/sys")):
            for options in ("remount,bind,ro", "remount,ro"):
                if (
                    subprocess.run(
                        ["mount", "-o", options, path], capture_output=True, check=False
                    ).returncode
                    == 0
                ):
                    break
    for path in ("/dev/shm", "/tmp", "/var/tmp", "/"):
        try:
            os.close(os.open(path, os.O_TMPFILE | os.O_WRONLY))
        except OSError:
            continue
        raise AssertionError(f"{path} can be written to")


def lives():
    return get("http://127.0.0.1:8787/livez")


def serve():
    """What sidecars answer there, also once a worker was killed, and how they end."""
    make_everything_read_only()
    seen = {}
    environ = clean_environ(PINGSTATE_PORT="9", HOME="/nonexistent", PYTHONDONTWRITEBYTECODE="1")
    # Coverage would have a file to write in each process.
    environ = {name: text for name, text in environ.items() if not name.startswith("COVERAGE_")}
    for name, command in COMMANDS.items():
        process = subprocess.Popen(
            command,
            env=environ,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        first = wait_until(lives, ignore=OSError)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        os.kill(int(children.split()[0]), signal.SIGKILL)
        second = wait_until(lives, ignore=OSError)
        process.terminate()
        _, errors = process.communicate(timeout=TIMEOUT)
        seen[name] = [first, second, process.returncode, "Traceback" in errors]
    return seen


@pytest.mark.parametrize("command", COMMANDS)
def test_it_runs_with_nowhere_to_write(command, written):
    assert written[command] == [[200, "alive"], [200, "alive"], 0, False]


@pytest.fixture(scope="module")
def written():
    return call_in_namespace(serve)
