"""What holds for the tree as a whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import pingstate
from pingstate.settings import SETTINGS
from tests.run import needs_engine
from tests.support import ROOT

BIN = Path(sysconfig.get_path("scripts"))
UNIT = ROOT / "pingstate/pingstate.service"


def tool(*command: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def test_public_names_are_sorted_and_importable():
    assert pingstate.__all__ == sorted(pingstate.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))  # fmt: skip
    assert all(getattr(pingstate, name) is not None for name in pingstate.__all__)
    assert set(pingstate._HOMES) == set(pingstate.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        pingstate.nope  # noqa: B018  # the look-up is the test


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lint-imports",),
        ("hadolint", "Dockerfile"),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"),
    ],
    ids=" ".join,
)
def test_linter_is_content(command):
    ended = tool(str(BIN / command[0]), *command[1:])
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_top_level_holds_what_it_may():
    listed = tool("git", "ls-files").stdout.split("\n")
    top = {path.partition("/")[0] for path in listed if path}
    assert {name for name in top if not name.startswith(".")} <= {
        "pyproject.toml", "README.md", "LICENSE", "pingstate", "Dockerfile", "compose.yaml", "k8s", "tests"
    }  # fmt: skip


# Modules whose tests are elsewhere or have another name: two rooms may have a module of one name.
TESTED_AS = {
    "__main__": "processes/test_cli",
    "cli": "processes/test_cli",
    "gunicorn_conf": "processes/test_gunicorn",
    "server": "processes/test_gunicorn",
    "monitor/stats": "unit/test_metrics",
    "probes/factory": "unit/test_probe_factory",
    "probes/suggestions": "unit/test_checks",
    "probes/tls": "unit/test_tls_probe",
    "settings/setting": "unit/test_declarations",
}


def test_every_module_has_a_file_of_tests_and_every_file_of_unit_tests_a_module():
    package, tests = ROOT / "pingstate", ROOT / "tests"
    modules = {str(path.relative_to(package).with_suffix("")) for path in package.rglob("*.py")}
    modules = {name for name in modules if not name.endswith("__init__")}
    wanted = {name: TESTED_AS.get(name, f"unit/test_{Path(name).name}") for name in modules}
    assert set(TESTED_AS) <= modules
    there = {str(path.relative_to(tests).with_suffix("")) for path in tests.rglob("test_*.py")}
    assert set(wanted.values()) <= there, set(wanted.values()) - there
    unit = {name for name in there if name.startswith("unit/")}
    assert unit <= set(wanted.values()), unit - set(wanted.values())
    # Two modules of one name would share a file unseen.
    own = [test for name, test in wanted.items() if name not in TESTED_AS]
    assert len(own) == len(set(own))


@pytest.mark.parametrize("path", ["Dockerfile", "compose.yaml", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "k8s").rglob("*.*") if p.is_file())])  # fmt: skip
def test_only_variables_that_exist_are_used(path):
    known = {setting.variable for setting in SETTINGS}
    known |= {f"{setting.variable}_2" for setting in SETTINGS if setting.repeatable}
    known |= {f"{name}_FILE" for name in known} | {"PINGSTATE_IMAGE"}
    used = set(re.findall(r"\bPINGSTATE_[A-Z_0-9]+", (ROOT / path).read_text()))
    # Spoken of in comments: what Kubernetes injects.
    assert used <= known, used - known


def test_systemd_accepts_the_unit_and_calls_it_safe():
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is not here: the package systemd has it")
    verified = tool("systemd-analyze", "verify", str(UNIT))
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = tool("systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT))
    assert rated.returncode == 0, rated.stdout


def test_wheel_holds_the_unit_the_types_and_nothing_else(tmp_path):
    built = tool(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), ".",
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("METADATA"))
        assert "License-Expression: MIT" in archive.read(metadata).decode()
    assert "pingstate/pingstate.service" in names
    assert {f"pingstate/web/static/page.{kind}" for kind in ("html", "css", "js")} <= set(names)
    assert "pingstate/py.typed" in names
    assert all(name.startswith("pingstate") for name in names)


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ([], True),
        (["-k", "not container"], True),
        (["-m", "kubelet"], True),
        (["-m", "kubernetes"], False),
        (["-m", "not container"], False),
    ],
)
def test_engine_is_set_up_only_for_tests_that_need_it(arguments, needed):
    assert needs_engine(arguments) is needed
