"""Measure pingstate beside its peers: `python3 tests/run.py bench [--short] [--json] [--record]`.

Without an option everything, five rounds in some ten minutes; nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme

from tests.provision.commands import ROOT, SetupError, output, run, say
from tests.provision.images import build_arguments

from . import containers, figures

HERE = Path(__file__).resolve().parent
RECORD = HERE / "record.json"
README = ROOT / "README.md"
BEGIN = "<!-- costs: written by python3 tests/run.py bench --record -->\n"
END = "<!-- end of costs -->"


def build(name: str, folder: Path, **more: str) -> None:
    arguments = {**build_arguments(), **more}
    options = [part for item in arguments.items() for part in ("--build-arg", "=".join(item))]
    run("docker", "build", "--quiet", *options, "-t", name, folder, stdout=subprocess.DEVNULL)


def build_image(name: str) -> None:
    """Build pingstate's image."""
    build(name, ROOT)


def build_bench(image: str) -> str:
    """Build the image that has the peers beside this one of pingstate; return its name."""
    name = f"pingstate-bench:{image.replace('/', '-').replace(':', '-')}"
    build(name, HERE, PINGSTATE_IMAGE=image)
    return name


def measure(bench: str, what: str, rounds: int) -> Iterator[figures.Round]:
    """The rounds that are measured inside a container."""
    with tempfile.TemporaryDirectory() as folder:
        tls = Path(folder)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tls / "ca.pem"))
        server = authority.issue_cert("127.0.0.1")
        server.private_key_and_cert_chain_pem.write_to_path(str(tls / "server.pem"))
        tls.chmod(0o755)
        for path in tls.iterdir():
            path.chmod(0o644)
        command = (
            "docker", "run", "--rm", "--network", "none", "-v", f"{HERE}:/bench:ro",
            "-v", f"{tls}:/tls:ro", bench, "/opt/meter/python", "-m", "inside", what, str(rounds),
        )  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            raise SetupError(f"exit code {process.returncode} from: {' '.join(command)}")


def machine() -> str:
    """What ran it, as a reader can compare it with his own."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    engine = output("docker", "info", "--format", "Docker {{.ServerVersion}}")
    kernel = platform.release().partition("-")[0]
    return f"{os.cpu_count()} cores of {models[0] if models else platform.machine()}, Linux {kernel}, {engine}"


def update(text: str, record: dict[str, Any]) -> str:
    """The README's text with the record's table in its place."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("README.md has lost the comments around its costs")
    return head + begin + figures.report(record) + end + tail


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only what is held in CI")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--record", action="store_true", help="keep it, and write the README")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    image = os.environ.get("PINGSTATE_IMAGE", "pingstate:0.1.0")
    build_image(image)
    bench = build_bench(image)
    rounds: list[figures.Round] = []
    for number in range(1, arguments.rounds + 1):
        if not arguments.json:
            say(f"round {number} of {arguments.rounds}")
        (one,) = measure(bench, "short" if arguments.short else "everything", 1)
        if not arguments.short:
            one |= containers.measure(image, bench)
            figures.add_health_checks(one)
        rounds.append(one)
    record = {
        "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "machine": machine(),
        "python": output("docker", "run", "--rm", "--entrypoint", "python", image, "-VV") or "",
        "rounds": len(rounds),
        "ratios": figures.ratios(rounds),
        "rows": {
            row: {name: float(f"{value:.4g}") for name, value in values.items()}
            for row, values in figures.medians(rounds).items()
        },
    }
    record["python"] = " ".join(str(record["python"]).split()[:2])
    if arguments.record:
        RECORD.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        README.write_text(update(README.read_text(), record))
    print(
        json.dumps(record, indent=2, ensure_ascii=False)
        if arguments.json
        else figures.report(record)
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        sys.exit(1)
