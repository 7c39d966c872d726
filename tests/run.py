#!/usr/bin/env python3
"""Set everything up, then run it: `run.py demo`, `run.py test [pytest arguments]`, `run.py setup`.

Needs Python 3.10 and nothing else. What is there is used: a Docker engine that answers, its compose
plugin, images that are present or can be pulled. Only root on Debian gets a missing engine
installed; where no image registry answers, images are made there from Debian packages.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
COMPOSE_ENV = ROOT / ".env"
ENV_NOTE = "# Written by tests/run.py, where no image registry answered."

# By role: the official image, and the folder of the stand-in for it.
OFFICIAL = {
    "python": "python:3.15-slim",
    "debian": "debian:trixie-slim",
    "nginx": "nginx:1.29-alpine",
    "redis": "redis:8.2-alpine",
    "postgres": "postgres:17-alpine",
}
TARGETS = ("nginx", "redis", "postgres", "openssh")
IMAGES = ROOT / "tests/images"
STAND_IN = "pingstate-stand-in"
# What a stand-in for an official base is made of: Debian's release, and packages beside the minimum.
BASES = {
    "debian": ("trixie", ("ca-certificates",)),
    "python": ("forky", ("python3.15", "python3.15-venv", "ca-certificates")),
}


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


# --- Debian ---------------------------------------------------------------------------------


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


# --- the engine -----------------------------------------------------------------------------


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


# --- images ---------------------------------------------------------------------------------


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


# --- Python ---------------------------------------------------------------------------------


def ensure_venv() -> None:
    """Keep the environment for development in .venv, made again only when its needs change."""
    needs = (ROOT / "pyproject.toml").read_bytes() + platform.python_version().encode()
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
    run(*pip, "--editable", ".", "--group", "dev", cwd=ROOT)
    stamp.write_text(digest)


def ensure_tools() -> None:
    """Programs that the tests run, where a Debian so small that it has not got them allows it."""
    packages = {"systemd-analyze": "systemd", "unshare": "util-linux"}
    missing = [package for tool, package in packages.items() if shutil.which(tool) is None]
    if missing and may_install():
        apt_install(*missing)


def build_arguments() -> dict[str, str]:
    """What an image build must be told about this machine: its base image and package index."""
    arguments = {"PYTHON_IMAGE": os.environ.get("PYTHON_IMAGE") or ensure_image("python")}
    # Without one of its own, a build asks PyPI; a file:// index is of no use to it.
    index = output(PYTHON, "-m", "pip", "config", "get", "global.index-url")
    index = os.environ.get("PIP_INDEX_URL") or index or ""
    if index.startswith("http"):
        arguments["PIP_INDEX_URL"] = index
    if authority := os.environ.get("EXTRA_CA"):
        arguments["EXTRA_CA"] = authority
    return arguments


# --- all of it ------------------------------------------------------------------------------


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two set-ups at once would tread on each other."""
    with Path(__file__).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def setup(targets: Iterable[str]) -> None:
    """Make ready what is missing, and let builds and compose know which images to use."""
    if sys.version_info < (3, 10):  # noqa: UP036  # nothing has checked it before this
        raise SetupError("Python 3.10 or later is needed")
    with one_at_a_time():
        ensure_engine()
        ensure_compose()
        ensure_venv()
        images = {role: ensure_image(role) for role in ("python", *targets)}
    # The Docker library for Python knows this variable, but not the client's contexts.
    endpoint = output("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    if endpoint and endpoint.startswith("unix://"):
        os.environ.setdefault("DOCKER_HOST", endpoint)
    chosen = {"PYTHON_IMAGE": images["python"], "NGINX_IMAGE": images["nginx"]}
    for name, image in chosen.items():
        os.environ.setdefault(name, image)
    os.environ.update(build_arguments())
    stand_ins = [f"{name}={image}" for name, image in chosen.items() if image.startswith(STAND_IN)]
    if stand_ins and (not COMPOSE_ENV.exists() or COMPOSE_ENV.read_text().startswith(ENV_NOTE)):
        # So that `docker compose`, called without this script, finds them too.
        COMPOSE_ENV.write_text("\n".join([ENV_NOTE, *stand_ins, ""]))


# --- what to run ----------------------------------------------------------------------------


def compose(*arguments: str) -> None:
    run("docker", "compose", *arguments, cwd=ROOT)


def demo() -> None:
    """Watch nginx through a stop and a start, as compose.yaml lays it out; leave it running."""
    url = f"http://127.0.0.1:{os.environ.get('API_PORT', '8787')}"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    seen = [""]

    def is_now(goal: str) -> bool:
        with contextlib.suppress(OSError), direct.open(f"{url}/state", timeout=2) as answer:
            state = answer.read().decode().strip()
            if state != seen[-1]:
                say(f"{url}/state is {state}")
                seen.append(state)
        return seen[-1] == goal

    def follow(goal: str) -> None:
        wait_until(f"the state becomes {goal}", lambda: is_now(goal), 60)

    compose("up", "--build", "--wait")
    follow("up")
    say("stopping the target")
    compose("stop", "target")
    follow("down")
    say("starting it again")
    compose("start", "target")
    follow("up")
    say(f"it goes on: `curl {url}/` asks it, `docker compose down` ends it")


def needs_engine(pytest_arguments: list[str]) -> bool:
    """Tell whether -m lets in tests that run containers here; a cluster brings its own engine."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m", default="")
    expression: str = parser.parse_known_args(pytest_arguments)[0].m
    return expression.strip() != "kubernetes" and "not container" not in expression


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("demo", "test", "setup"))
    arguments, rest = parser.parse_known_args()
    if rest and arguments.command != "test":
        parser.error(f"unknown: {' '.join(rest)}")
    try:
        if needs_engine(rest):
            setup(("nginx",) if arguments.command == "demo" else TARGETS)
        else:
            with one_at_a_time():
                ensure_venv()
        if arguments.command == "demo":
            demo()
        elif arguments.command == "test":
            ensure_tools()
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    if arguments.command == "test":
        return subprocess.run([PYTHON, "-m", "pytest", *rest], cwd=ROOT, check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
