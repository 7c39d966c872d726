"""The unit tests on every Python that the package is for and that this machine has."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.provision.commands import ROOT, SetupError, output, say
from tests.provision.engine import engine_answers
from tests.provision.environment import TOOLS_LOCK, install_package, package_index
from tests.provision.images import ensure_image

CACHE = ROOT / ".cache/versions"


def supported() -> list[str]:
    """The versions that pyproject's classifiers name, oldest first."""
    text = (ROOT / "pyproject.toml").read_text()
    found = re.findall(r"Programming Language :: Python :: (3\.\d+)", text)
    return sorted(found, key=lambda version: int(version.partition(".")[2]))


def interpreter(version: str) -> Path | None:
    """This machine's Python of a version: from PATH, or one of pyenv's; None without one."""
    roots = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    roots += sorted(pyenv.glob(f"{version}.*/bin"), reverse=True)
    for root in roots:
        candidate = root / f"python{version}"
        # pyenv's shims are there for versions that are not chosen, and fail then.
        said = output(candidate, "-c", "import sys, venv; print(sys.version)")
        if said and said.startswith(version + "."):
            return candidate
    return None


def run_versions(wanted: Sequence[str]) -> int:
    """Run the unit tests on the versions wanted, else on all that can be had; 0 when all pass.

    The image's own Python, where the machine has not got it, runs in a container.
    """
    failed, missing = [], []
    for version in wanted or supported():
        if version not in supported():
            raise SetupError(f"{version!r} is none of {', '.join(supported())}")
        python = interpreter(version)
        if python is not None:
            code = _on_this_machine(version, python)
        elif version == supported()[-1] and engine_answers():
            code = _in_a_container(version)
        else:
            missing.append(version)
            continue
        say(f"Python {version}: {'passed' if code == 0 else f'exit code {code}'}")
        if code:
            failed.append(version)
    if missing:
        say(f"not on this machine: Python {', '.join(missing)}")
    if missing and wanted:
        raise SetupError(f"Python {', '.join(missing)} is not on this machine")
    return 1 if failed else 0


def _on_this_machine(version: str, python: Path) -> int:
    folder = CACHE / version
    install_package(folder, python, "test")
    pytest = (folder / "bin/python", "-m", "pytest", "-q", "tests/unit")
    return subprocess.run(pytest, cwd=ROOT, check=False).returncode


def _in_a_container(version: str) -> int:
    """The tree is mounted read-only; the container keeps nothing."""
    image = ensure_image("python")
    index = package_index()
    given = ("-e", f"PIP_INDEX_URL={index}") if index and index.startswith("http") else ()
    script = (
        f"python=$(command -v python{version} || command -v python3) && "
        "$python -m venv /venv && cp -r /source /work && cd /work && "
        "/venv/bin/pip install -qq --root-user-action ignore 'pip>=25.1' && "
        f"/venv/bin/pip install -qq -e . --group test -c {TOOLS_LOCK.relative_to(ROOT)} && "
        "/venv/bin/python -m pytest -q -p no:cacheprovider tests/unit"
    )
    listed = output("git", "-C", ROOT, "ls-files", "-z") or ""
    tops = {name.partition("/")[0] for name in listed.split("\0") if name}
    mounts = [part for top in sorted(tops) for part in ("-v", f"{ROOT / top}:/source/{top}:ro")]
    # Tests of networks without IPv6 or a name server make namespaces of their own.
    namespaces = (
        *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"),
        *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
        *("--security-opt", "systempaths=unconfined"),
        *("--sysctl", "net.ipv6.conf.all.disable_ipv6=0"),
    )
    command = (
        "docker",
        "run",
        "--rm",
        *namespaces,
        *given,
        *mounts,
        image,
        "/bin/sh",
        "-c",
        script,
    )
    return subprocess.run(command, check=False).returncode
