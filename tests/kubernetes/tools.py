"""kubectl, promtool and the like: from PATH, else from the system's packages in a cache folder.

Nothing is installed: a package is fetched with apt-get as this machine's apt is configured and
unpacked below ``$XDG_CACHE_HOME/pingstate``. Standard library only, so that a bootstrap may call
``fetch()`` before any environment exists; ``python3 tests/kubernetes/tools.py`` does just that.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What the archive calls itself, and where in it all that is wanted here is.
ARCHIVES = {"debian": ("Debian", "main"), "ubuntu": ("Ubuntu", "main universe")}


class ToolMissingError(Exception):
    """A tool is neither here nor to be had; says what to install."""


def cache_folder() -> Path:
    """Where fetched and built tools are kept from run to run."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "pingstate")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Return the command's output; a failure carries all that it said."""
    result = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        line = " ".join(map(str, command))
        message = f"exit code {result.returncode} from {line}:\n{result.stdout}"
        raise ToolMissingError(message)
    return result.stdout


@contextmanager
def locked(name: str) -> Iterator[Path]:
    """The cache's folder `name`, held against other processes; its content is the caller's."""
    folder = cache_folder()
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / name


class Apt:
    """Packages of one suite of this machine's distribution, from the mirror that its apt uses."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        self._folder = cache_folder() / f"apt-{suite}"
        (self._folder / "lists/partial").mkdir(parents=True, exist_ok=True)
        system = platform.freedesktop_os_release()
        origin, components = ARCHIVES[system["ID"]]
        mirror = self._mirror(origin, system["VERSION_CODENAME"])
        keyring = f"/usr/share/keyrings/{system['ID']}-archive-keyring.gpg"
        signed = f"[signed-by={keyring}] {mirror} {suite} {components}"
        sources = self._folder / "sources.list"
        sources.write_text(f"deb {signed}\ndeb-src {signed}\n")
        self._options = (
            "-qq",
            *("-o", f"Dir::Etc::SourceList={sources}"),
            *("-o", "Dir::Etc::SourceParts=/dev/null"),
            *("-o", f"Dir::State::Lists={self._folder / 'lists'}"),
            *("-o", f"Dir::Cache={self._folder}"),
            *("-o", "Acquire::Languages=none"),
            *("-o", "APT::Sandbox::User="),
            *("-o", "Debug::NoLocking=1"),
        )
        run("apt-get", *self._options, "update")

    @staticmethod
    def _mirror(origin: str, release: str) -> str:
        # $(ORIGIN) comes from fetched lists; before the first `apt-get update` it stays as it is.
        form = "$(ORIGIN) $(RELEASE) $(REPO_URI)"
        targets = run("apt-get", "indextargets", "--format", form, "Created-By: Packages")
        for known in (origin, "$(ORIGIN)"):
            for line in targets.splitlines():
                seen, suite, uri = line.split(maxsplit=2)
                if (seen, suite) == (known, release) and "security" not in uri:
                    return uri
        message = f"apt on this machine knows no mirror of {origin}"
        raise ToolMissingError(message)

    def unpack(self, folder: Path, *packages: str) -> None:
        """Unpack the packages, without what they depend on, into `folder`."""
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            wanted = [f"{package}/{self.suite}" for package in packages]
            run("apt-get", *self._options, "download", *wanted, cwd=Path(name))
            for package in Path(name).glob("*.deb"):
                run("dpkg-deb", "-x", package, folder)

    def source(self, folder: Path, package: str) -> None:
        """Fetch and check the package's source archives into `folder`, not unpacked."""
        command = ("source", "--download-only", f"{package}/{self.suite}")
        run("apt-get", *self._options, *command, cwd=folder)


def codename() -> str | None:
    """The suite of this machine's own distribution; None where packages can't be unpacked."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        return None
    return system.get("VERSION_CODENAME") if system["ID"] in ARCHIVES else None


def unpacked(name: str, suite: str | None, *packages: str) -> Path:
    """The folder that holds the unpacked packages; fetched the first time."""
    with locked(name) as folder:
        if not folder.exists():
            if suite is None:
                message = f"{name} is not on PATH: install it (it can't be fetched on this system)"
                raise ToolMissingError(message)
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            Apt(suite).unpack(partial, *packages)
            partial.rename(folder)
        return folder


def from_debian(name: str, suite: str, *packages: str) -> Path:
    """The same of a suite of Debian's, which only Debian's apt can check."""
    on_debian = codename() and platform.freedesktop_os_release()["ID"] == "debian"
    return unpacked(name, suite if on_debian else None, *packages)


def kubectl() -> str:
    """A kubectl that can render kustomizations: $KUBECTL, PATH's, or Debian's."""
    found = os.environ.get("KUBECTL") or shutil.which("kubectl")
    # Older suites have one that knows half of what the kustomizations use.
    return found or str(from_debian("kubectl", "trixie", "kubectl") / "usr/bin/kubectl")


def promtool() -> str:
    """PATH's promtool, or the distribution's."""
    return of_prometheus("promtool")


def prometheus() -> str:
    """PATH's Prometheus server, or the distribution's; no service is installed or started."""
    return of_prometheus("prometheus")


def of_prometheus(program: str) -> str:
    found = shutil.which(program)
    return found or str(unpacked("prometheus", codename(), "prometheus") / "usr/bin" / program)


def fetch() -> None:
    """Have the tools that the tests need without a cluster; seconds once, then nothing."""
    for tool in (kubectl, promtool, prometheus):
        tool()


if __name__ == "__main__":
    fetch()
    print(kubectl(), promtool(), prometheus(), sep="\n")
