"""Packages of Debian, where this machine may install them."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.provision.commands import SetupError, output, run, say


def may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(*packages: str) -> None:
    say(f"apt-get install {' '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")
    run(*quiet, "update", env=env)
    install = (*quiet, "install", "-y", "--no-install-recommends", *packages)
    run(*install, env=env, stdout=subprocess.DEVNULL)


def debian_mirror() -> str:
    """The mirror that this machine's apt takes Debian from."""
    uris = output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian") or ""
    for uri in uris.splitlines():
        if "security" not in uri:
            return uri
    raise SetupError("apt on this machine knows no Debian mirror")
