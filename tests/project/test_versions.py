"""Every Python that the package is for is tested, here as far as it is there, and in the workflow."""

from __future__ import annotations

import subprocess
import sys

import pytest
import tomllib
import yaml

from tests.provision.commands import SetupError
from tests.provision.versions import interpreter, run_versions, supported
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_workflow_runs_every_version_of_the_classifiers():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    assert workflow["jobs"]["versions"]["strategy"]["matrix"]["python"] == supported()


def test_oldest_version_is_the_one_that_is_required():
    assert PROJECT["requires-python"] == f">={supported()[0]}"


def test_this_interpreter_is_supported_and_found():
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert version in supported()
    found = interpreter(version)
    assert found is not None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith(f"Python {version}.")


def test_version_that_nobody_has_is_not_found():
    assert interpreter("3.99") is None


def test_version_that_is_not_supported_is_an_error():
    with pytest.raises(SetupError, match=r"'2\.7' is none of 3\.10"):
        run_versions(["2.7"])
