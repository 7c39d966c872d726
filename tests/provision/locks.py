"""The lock files: the image's dependencies with hashes, and the versions of the tools."""

from __future__ import annotations

from pathlib import Path

from tests.provision.commands import ROOT, SetupError, run
from tests.provision.environment import PYTHON, TOOLS_LOCK, package_index

IMAGE_LOCK = ROOT / ".docker/requirements.txt"
IMAGE_PYTHON = "3.15"
OLDEST_PYTHON = "3.10"

_HEADER = "# Written by `python3 tests/run.py lock` from pyproject.toml.\n"


def lock(*, upgrade: bool = True) -> None:
    """Resolve pyproject's dependencies anew, to the newest versions unless `upgrade` is false."""
    uv = PYTHON.with_name("uv")
    if not uv.exists():
        raise SetupError("uv is not in .venv: `python3 tests/run.py setup` first")
    command: list[str | Path] = [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--system-certs",
    ]
    if upgrade:
        command.append("--upgrade")
    # uv does not read pip's configuration.
    if index := package_index():
        command += ["--index-url", index]
    locks: tuple[tuple[Path, tuple[str, ...]], ...] = (
        (IMAGE_LOCK, ("--generate-hashes", "--python-version", IMAGE_PYTHON)),
        (TOOLS_LOCK, ("--universal", "--group", "dev", "--python-version", OLDEST_PYTHON)),
    )
    for path, arguments in locks:
        run(*command, *arguments, "pyproject.toml", "--output-file", path, cwd=ROOT)
        path.write_text(_HEADER + path.read_text())
