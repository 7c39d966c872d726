"""A container engine that answers, and its compose plugin."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.provision.commands import SetupError, output, run, say, wait_until
from tests.provision.debian import apt_install, debian_mirror, may_install


def engine_answers() -> bool:
    return bool(output("docker", "info", "--format", "{{.ServerVersion}}"))


def ensure_engine() -> None:
    if engine_answers():
        return
    if not may_install():
        raise SetupError("no Docker engine answers `docker info`: start Docker, then try again")
    if shutil.which("dockerd") is None:
        apt_install("docker.io", "iptables")
    if shutil.which("docker") is None:
        apt_install("docker-cli")
    if Path("/run/systemd/system").exists():
        run("systemctl", "start", "docker")
    elif not engine_answers():
        say("starting dockerd, its log is /var/log/dockerd.log")
        # All three streams away from ours: a pipe that the daemon held open would never end.
        with Path("/var/log/dockerd.log").open("ab") as log:
            subprocess.Popen(
                ["dockerd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    wait_until("the Docker engine answers", engine_answers, 60)


def ensure_compose() -> None:
    """Compose and buildx are plugins of the client; Debian's own packages hold them."""
    if output("docker", "compose", "version"):
        return
    if not may_install():
        raise SetupError("`docker compose` is missing: install Docker's compose plugin")
    say("fetching the plugins compose and buildx")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb {debian_mirror()} trixie main\n")
        apt = (
            "apt-get", "-qq",
            "-o", f"Dir::Etc::SourceList={folder}/sources.list",
            "-o", "Dir::Etc::SourceParts=-",
            "-o", f"Dir::State::Lists={folder}/lists",
            "-o", f"Dir::Cache={folder}",
            "-o", "APT::Sandbox::User=root",
        )  # fmt: skip
        run(*apt, "update")
        run(*apt, "download", "docker-compose", "docker-buildx", cwd=folder)
        for package in folder.glob("*.deb"):
            run("dpkg-deb", "-x", package, folder / "root")
        plugins = Path.home() / ".docker/cli-plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        for plugin in (folder / "root/usr/libexec/docker/cli-plugins").iterdir():
            shutil.copy2(plugin, plugins)
    if not output("docker", "compose", "version"):
        raise SetupError("`docker compose` does not run, though its plugin is in place")
