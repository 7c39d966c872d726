"""The workflows can't run here: they are linted, and held to what a release must not lose."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

GITHUB = Path(__file__).resolve().parents[2] / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").iterdir())
RELEASE = yaml.safe_load((GITHUB / "workflows/release.yml").read_text())


def tool(*command: str | Path) -> None:
    """Run a linter of this environment; what it complains of is the failure's message."""
    path = Path(sys.executable).with_name(str(command[0]))
    result = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_zizmor_finds_nothing_in_the_workflows() -> None:
    tool("zizmor", "--offline", "--no-progress", GITHUB)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        *(("github-workflows", path) for path in WORKFLOWS),
        ("dependabot", GITHUB / "dependabot.yml"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_file_for_github_matches_its_schema(schema: str, path: Path) -> None:
    tool("check-jsonschema", "--builtin-schema", f"vendor.{schema}", path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_a_digest_that_names_its_version(path: Path) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for one in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_has_a_time_limit_and_only_the_permissions_it_names(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"]
        assert job["timeout-minutes"] <= 60


def test_nothing_is_published_before_the_tests_have_passed() -> None:
    jobs = RELEASE["jobs"]
    assert jobs["image"]["needs"] == "test"
    assert jobs["distribution"]["needs"] == "test"
    assert jobs["pypi"]["needs"] == ["image", "distribution"]


def test_the_image_is_for_both_architectures_with_sbom_and_provenance() -> None:
    (build,) = (
        step["with"]
        for step in RELEASE["jobs"]["image"]["steps"]
        if step.get("uses", "").startswith("docker/build-push-action@")
    )
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert build["sbom"] is True
    assert build["provenance"] == "mode=max"


def test_pypi_is_left_alone_until_a_repository_says_otherwise() -> None:
    pypi = RELEASE["jobs"]["pypi"]
    assert pypi["if"] == "vars.PUBLISH_TO_PYPI == 'true'"
    assert pypi["permissions"] == {"id-token": "write"}
    assert pypi["environment"] == "pypi"
    assert not any("secrets." in str(step) for step in pypi["steps"])
