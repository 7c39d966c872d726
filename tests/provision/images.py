"""Images to build on and to test against: the official ones, or stand-ins of Debian packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.provision.commands import ROOT, output, run, say
from tests.provision.debian import apt_install, debian_mirror, may_install
from tests.provision.environment import package_index

# By role: the official image, and the folder of the stand-in for it.
OFFICIAL = {
    "python": "python:3.15-slim",
    "debian": "debian:trixie-slim",
    "nginx": "nginx:1.29-alpine",
    "redis": "redis:8.2-alpine",
    "postgres": "postgres:17-alpine",
}
TARGETS = ("nginx", "redis", "postgres", "openssh", "postfix", "dovecot", "slapd")
IMAGES = ROOT / "tests/images"
STAND_IN = "pingstate-stand-in"
# What a stand-in for an official base is made of: Debian's release, and packages beside the minimum.
BASES = {
    "debian": ("trixie", ("ca-certificates",)),
    "python": ("forky", ("python3.15", "python3.15-venv", "ca-certificates")),
}


def present(image: str) -> bool:
    return output("docker", "image", "inspect", "--format", "{{.Id}}", image) is not None


def ensure_image(role: str) -> str:
    """Return the image to use for a role: the official one, or a stand-in where it can't be had."""
    official, stand_in = OFFICIAL.get(role), stand_in_name(role)
    for image in (official, stand_in):
        if image and present(image):
            return image
    if official:
        say(f"pulling {official}")
        pull = ("docker", "pull", "--quiet", official)
        if output(*pull) is not None:
            return official
        if not may_install():
            run(*pull)  # once more, for its message
    if role in TARGETS:
        debian = ensure_image("debian")
        say(f"building {stand_in}")
        base = f"DEBIAN_IMAGE={debian}"
        run("docker", "build", "--quiet", "--build-arg", base, "-t", stand_in, IMAGES / role)
    else:
        make_base(stand_in, *BASES[role])
    return stand_in


def stand_in_name(role: str) -> str:
    """Name a stand-in after what it is made from, so that a change makes a new one."""
    digest = hashlib.sha256()
    if role in TARGETS:
        for path in sorted((IMAGES / role).iterdir()):
            digest.update(path.read_bytes())
        return f"{STAND_IN}/{role}:{digest.hexdigest()[:12]}"
    digest.update(repr(BASES[role]).encode())
    if authorities().exists():
        digest.update(authorities().read_bytes())
    return f"{STAND_IN}/{role}:{digest.hexdigest()[:12]}"


def authorities() -> Path:
    """The certificate authorities that this machine trusts, a firewall's own among them."""
    return Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")


def make_base(name: str, release: str, packages: Iterable[str]) -> None:
    """Make a small Debian of a release with some packages."""
    say(f"making {name} from Debian packages, half a minute's work")
    if shutil.which("mmdebstrap") is None:
        apt_install("mmdebstrap")
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "base.tar")
        bundle = "/etc/ssl/certs/ca-certificates.crt"
        trust = f"--customize-hook=upload {authorities()} {bundle}"
        run(
            "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}",
            # A mirror may be a snapshot of a testing release, past its date.
            '--aptopt=Acquire::Check-Valid-Until "false"',
            *((trust,) if authorities().exists() else ()),
            release, archive, debian_mirror(),
        )  # fmt: skip
        known = f"ENV SSL_CERT_FILE={bundle}"
        run("docker", "import", "--change", known, archive, name, stdout=subprocess.DEVNULL)


def build_arguments() -> dict[str, str]:
    """What an image build must be told about this machine: its base image and package index."""
    arguments = {"PYTHON_IMAGE": os.environ.get("PYTHON_IMAGE") or ensure_image("python")}
    # Without one of its own, a build asks PyPI; a file:// index is of no use to it.
    index = package_index()
    if index and index.startswith("http"):
        arguments["PIP_INDEX_URL"] = index
    if authority := os.environ.get("EXTRA_CA"):
        arguments["EXTRA_CA"] = authority
    return arguments
