"""The virtual environment that the tests run in, and the programs that they call."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from tests.provision.commands import ROOT, output, run, say
from tests.provision.debian import apt_install, may_install

# What browsers of the kind are called, Debian's first.
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")

VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
# Which versions of the tools, and of what they need.
TOOLS_LOCK = ROOT / "tests/requirements.txt"


def ensure_venv() -> None:
    """Keep the environment for development in .venv."""
    install_package(VENV, sys.executable, "dev")


def install_package(folder: Path, python: str | Path, group: str) -> None:
    """Keep an environment of this Python with the package and a group of its dependencies.

    It is made again only when the package's needs, the locked versions or the Python change.
    """
    version = output(python, "-c", "import platform; print(platform.python_version())") or ""
    needs = (ROOT / "pyproject.toml").read_bytes() + TOOLS_LOCK.read_bytes() + version.encode()
    stamp = folder / ".made-from"
    digest = hashlib.sha256(needs).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    say(f"installing the package and its tools into {folder.relative_to(ROOT)}")
    if output(python, "-c", "import ensurepip") is None and may_install():
        apt_install("python3-venv")
    same_python = (folder / f"lib/python{version.rpartition('.')[0]}").exists()
    run(python, "-m", "venv", *(() if same_python else ("--clear",)), folder)
    pip = (folder / "bin/python", "-m", "pip", "install", "-qq")
    run(*pip, "pip>=25.1")  # the first that knows dependency groups
    run(*pip, "--editable", ".", "--group", group, "--constraint", TOOLS_LOCK, cwd=ROOT)
    stamp.write_text(digest)


def package_index() -> str | None:
    """The index that pip on this machine installs from; None for PyPI."""
    configured = os.environ.get("PIP_INDEX_URL")
    return configured or output(PYTHON, "-m", "pip", "config", "get", "global.index-url")


def ensure_tools() -> None:
    """Programs that the tests run, where a Debian so small that it has not got them allows it."""
    packages = {"systemd-analyze": "systemd", "unshare": "util-linux"}
    missing = [package for tool, package in packages.items() if shutil.which(tool) is None]
    if not any(map(shutil.which, CHROMIUMS)):
        missing.append("chromium")
    if missing and may_install():
        apt_install(*missing)
