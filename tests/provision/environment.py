"""The virtual environment that the tests run in, and the programs that they call."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys

from tests.provision.commands import ROOT, output, run, say
from tests.provision.debian import apt_install, may_install

# What browsers of the kind are called, Debian's first.
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")

VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
# Which versions of the tools, and of what they need.
TOOLS_LOCK = ROOT / "tests/requirements.txt"


def ensure_venv() -> None:
    """Keep the environment for development in .venv, made again only when its needs change."""
    needs = (ROOT / "pyproject.toml").read_bytes() + TOOLS_LOCK.read_bytes()
    needs += platform.python_version().encode()
    stamp = VENV / ".made-from"
    digest = hashlib.sha256(needs).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    say("installing the package and its tools into .venv")
    if output(sys.executable, "-c", "import ensurepip") is None and may_install():
        apt_install("python3-venv")
    same_python = (VENV / f"lib/python3.{sys.version_info.minor}").exists()
    run(sys.executable, "-m", "venv", *(() if same_python else ("--clear",)), VENV)
    pip = (PYTHON, "-m", "pip", "install", "-qq")
    run(*pip, "pip>=25.1")  # the first that knows dependency groups
    run(*pip, "--editable", ".", "--group", "dev", "--constraint", TOOLS_LOCK, cwd=ROOT)
    stamp.write_text(digest)


def ensure_tools() -> None:
    """Programs that the tests run, where a Debian so small that it has not got them allows it."""
    packages = {"systemd-analyze": "systemd", "unshare": "util-linux"}
    missing = [package for tool, package in packages.items() if shutil.which(tool) is None]
    if not any(map(shutil.which, CHROMIUMS)):
        missing.append("chromium")
    if missing and may_install():
        apt_install(*missing)
