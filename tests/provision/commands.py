"""Commands that are run, and what is said when one fails."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class SetupError(Exception):
    """What is missing and what the reader can do about it."""


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def run(*command: str | Path, **options: Any) -> None:
    """Run a command with its output shown; a failure ends the set-up."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, check=False, **options)
    if result.returncode:
        line = " ".join(map(str, command))
        raise SetupError(f"exit code {result.returncode} from: {line}")


def output(*command: str | Path) -> str | None:
    """Return a command's standard output, or None when it is missing or fails."""
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def wait_until(what: str, condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SetupError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.2)
