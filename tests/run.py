#!/usr/bin/env python3
"""Set everything up, then run it.

  run.py demo                       watch a real nginx go down and come back
  run.py test [pytest arguments]    all the tests and their coverage, or the tests that are chosen
  run.py setup                      only set up what the tests need
  run.py versions [3.X ...]         the unit tests on other Pythons
  run.py lock                       renew the lock files
  run.py bench [--short] [--json] [--record]    measure what pingstate costs, beside its peers

Needs Python 3.10 and nothing else. What is there is used: a Docker engine that answers, its compose
plugin, images that are present or can be pulled. Only root on Debian gets a missing engine
installed; where no image registry answers, images are made there from Debian packages.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

# Started as a script, the folder `tests` isn't importable by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.provision.commands import ROOT, SetupError, output, run, say, wait_until
from tests.provision.engine import ensure_compose, ensure_engine
from tests.provision.environment import PYTHON, ensure_tools, ensure_venv
from tests.provision.images import STAND_IN, TARGETS, build_arguments, ensure_image
from tests.provision.locks import lock
from tests.provision.versions import run_versions

COMMANDS = ("demo", "test", "setup", "versions", "lock", "bench")
COMPOSE_ENV = ROOT / ".env"
ENV_NOTE = "# Written by tests/run.py, where no image registry answered."


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other set-up of this tree is under way."""
    with Path(__file__).open("rb") as script:
        fcntl.flock(script, fcntl.LOCK_EX)
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
    say(f"it goes on: look at {url}/ in a browser, `docker compose down` ends it")


def needs_engine(pytest_arguments: list[str]) -> bool:
    """Tell whether -m lets in tests that run containers here; a cluster brings its own engine."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-m", default="")
    expression: str = parser.parse_known_args(pytest_arguments)[0].m
    return expression.strip() != "kubernetes" and "not container" not in expression


# A tracer would distort what the others measure.
COVERED = ("tests/unit", "tests/processes", "tests/project")


def test(arguments: list[str]) -> int:
    """Run pytest with these arguments; without any that choose tests, hold the coverage as well."""
    if arguments not in ([], ["-m", "not container"]):
        return subprocess.run(
            [PYTHON, "-m", "pytest", *arguments], cwd=ROOT, check=False
        ).returncode
    coverage = (PYTHON, "-m", "coverage")
    rest = sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").iterdir()
        if path.is_dir() and f"tests/{path.name}" not in COVERED and any(path.glob("test_*.py"))
    )
    commands: list[tuple[str | Path, ...]] = [
        (*coverage, "erase"),
        (*coverage, "run", "-m", "pytest", *arguments, *COVERED),
        (PYTHON, "-m", "pytest", *arguments, *rest),
        (*coverage, "combine", "--quiet"),
        (*coverage, "report", "--skip-covered", "--skip-empty"),
    ]
    codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands]
    return next((code for code in codes if code), 0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    arguments, rest = parser.parse_known_args()
    if rest and arguments.command not in ("test", "versions", "bench"):
        parser.error(f"unknown: {' '.join(rest)}")
    try:
        if arguments.command in ("versions", "lock") or not needs_engine(rest):
            with one_at_a_time():
                ensure_venv()
        else:
            setup(("nginx",) if arguments.command == "demo" else TARGETS)
        if arguments.command == "demo":
            demo()
        elif arguments.command == "lock":
            lock()
        elif arguments.command == "versions":
            return run_versions(rest)
        elif arguments.command == "bench":
            bench: list[str | Path] = [PYTHON, "-m", "tests.bench", *rest]
            return subprocess.run(bench, cwd=ROOT, check=False).returncode
        elif arguments.command == "test":
            ensure_tools()
            return test(rest)
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
