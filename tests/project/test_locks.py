"""The lock files say what pyproject.toml allows, and all of it."""

from __future__ import annotations

import re

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.provision.environment import TOOLS_LOCK
from tests.provision.locks import IMAGE_LOCK
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(text):
    """The locked versions by name; several where they differ by Python."""
    versions = {}
    for name, version in re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)", text):
        versions.setdefault(canonicalize_name(name), []).append(Version(version))
    return versions


def declared(*groups):
    names = list(PROJECT["project"]["dependencies"])
    for group in groups:
        names += [one for one in PROJECT["dependency-groups"][group] if isinstance(one, str)]
    return [Requirement(name) for name in names]


@pytest.mark.parametrize(
    ("path", "requirement"),
    [
        *((IMAGE_LOCK, requirement) for requirement in declared()),
        *((TOOLS_LOCK, requirement) for requirement in declared("test", "dev")),
    ],
    ids=str,
)
def test_lock_has_a_version_that_is_allowed(path, requirement):
    versions = locked(path.read_text()).get(canonicalize_name(requirement.name))
    assert versions, f"{requirement} is not locked: python3 tests/run.py lock"
    assert all(requirement.specifier.contains(version, prereleases=True) for version in versions)


def test_every_package_of_the_image_has_hashes():
    text = IMAGE_LOCK.read_text()
    packages = re.split(r"(?m)^(?=[a-z0-9])", text)[1:]
    assert len(packages) == len(locked(text))
    assert all("--hash=sha256:" in package for package in packages)


def test_image_and_tools_are_tested_at_the_same_versions():
    tools = locked(TOOLS_LOCK.read_text())
    for name, (version,) in locked(IMAGE_LOCK.read_text()).items():
        assert version in tools[name], f"{name}: python3 tests/run.py lock"


@pytest.mark.parametrize("path", [IMAGE_LOCK, TOOLS_LOCK], ids=lambda path: path.parent.name)
def test_no_index_of_this_machine_is_written_down(path):
    assert not re.search(r"https?://|--index|--find-links|--extra", path.read_text())
