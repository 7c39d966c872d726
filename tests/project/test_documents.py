"""Every block of code in the project's documents is run, or held against what is real, by a test."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import tomllib

from tests.hostile.measure import CASES
from tests.run import COMMANDS
from tests.support import ROOT
from tests.support.documents import PATHS, Document

README = "README.md"
K8S = "k8s/README.md"
CONTRIBUTING = ".github/CONTRIBUTING.md"
HOSTILE = "tests/hostile/README.md"

# Which test runs the blocks of a section, by document, section and language.
CLAIMS: dict[tuple[str, str, str], str] = {
    (README, "pingstate", "bash"): "project.test_documents:test_commands_call_what_is_there",
    (README, "docker run", "bash"): "container.test_readme:test_docker_run_of_the_readme",
    (README, "docker run", "console"): "container.test_docker_run:test_a_wrong_setting_is_told_as_the_readme_prints_it",
    (README, "A compose sidecar", "bash"): "container.test_readme:test_compose_of_the_readme",
    (README, "A compose sidecar", "yaml"): "container.test_own_compose:test_the_readmes_lines_are_five_and_a_gate",
    (README, "A Kubernetes readiness target", "yaml"): "kubernetes.test_sidecar:test_the_readmes_app_gets_its_sidecar",
    (README, "The command line", "bash"): "project.test_readme:test_command_line_of_the_readme_runs",
    (README, "systemd", "bash"): "project.test_documents:test_commands_call_what_is_there",
    (README, "A library", "bash"): "project.test_project:test_wheel_holds_the_unit_the_types_and_nothing_else",
    (README, "A library", "python"): "project.test_readme:test_python_of_the_readme_runs_as_printed",
    (README, "TLS", "bash"): "project.test_readme:test_tls_of_the_readme_runs",
    (README, "Checks", "bash"): "project.test_readme:test_command_line_of_the_readme_runs",
    (README, "Recipes", "bash"): "project.test_recipes:test_every_recipe_has_a_test_here",
    (README, "Recipes", "python"): "project.test_recipes:test_dialogue_by_a_callable",
    (README, "Probes in Python", "bash"): "container.test_custom_probe:test_the_readmes_postgres_probe_follows_a_real_postgresql",
    (README, "Probes in Python", "python"): "container.test_custom_probe:test_the_readmes_postgres_probe_follows_a_real_postgresql",
    (README, "Probes in Python", "dockerfile"): "container.test_custom_probe:test_the_readmes_postgres_probe_follows_a_real_postgresql",
    (README, "HTTP API", ""): "project.test_readme:test_endpoints_of_the_readme_exist",
    (README, "HTTP API", "json"): "project.test_readme:test_snapshot_of_the_readme_has_the_real_ones_keys",
    (README, "State machine", ""): "project.test_readme:test_diagram_of_the_readme_is_the_table",
    (README, "State machine", "python"): "project.test_readme:test_python_of_the_readme_runs_as_printed",
    (K8S, "Into your own app", "yaml"): "kubernetes.test_sidecar:test_the_readmes_app_gets_its_sidecar",
    (K8S, "Into your own app", "bash"): "kubernetes.test_cluster_sidecar:test_readiness_follows_the_target_of_an_app_that_got_a_sidecar",
    (K8S, "Settings", "yaml"): "kubernetes.test_sidecar:test_the_readmes_annotations_are_what_they_say",
    (K8S, "Changes", "yaml"): "kubernetes.test_sidecar:test_the_readmes_patches_do_what_they_say",
    (K8S, "A monitor of its own", "bash"): "kubernetes.test_sidecar:test_the_readmes_commands_render",
    (K8S, "Monitoring", "bash"): "kubernetes.test_sidecar:test_the_readmes_commands_render",
    (CONTRIBUTING, "Contributing", "bash"): "project.test_documents:test_commands_call_what_is_there",
    (HOSTILE, "What it survives", "bash"): "project.test_documents:test_commands_call_what_is_there",
}  # fmt: skip


def anchors(document: Document) -> set[str]:
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in document.headings}


@pytest.mark.parametrize("path", PATHS)
def test_links_lead_somewhere(path):
    document = Document(path)
    for target in document.links():
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        found = (document.folder / file).resolve() if file else ROOT / path
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(Document(str(found.relative_to(ROOT)))), target


@pytest.mark.parametrize("path", PATHS)
def test_every_block_is_claimed_by_a_test(path):
    unclaimed = {
        (path, block.section, block.language)
        for block in Document(path).blocks
        if (path, block.section, block.language) not in CLAIMS
    }
    assert not unclaimed


def test_every_claim_is_of_a_block_and_names_a_test():
    there = {(path, b.section, b.language) for path in PATHS for b in Document(path).blocks}
    assert set(CLAIMS) <= there, set(CLAIMS) - there
    for claim in CLAIMS.values():
        module, _, name = claim.partition(":")
        assert callable(getattr(importlib.import_module(f"tests.{module}"), name)), claim


def test_commands_call_what_is_there():
    """Lines that a test can't run as they stand: what they call is there and takes the words."""
    lines = [
        line
        for path, section in (
            (README, "pingstate"),
            (README, "systemd"),
            (CONTRIBUTING, "Contributing"),
            (HOSTILE, "What it survives"),
        )
        for block in Document(path).blocks
        if block.section == section and block.language == "bash"
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    assert len(lines) > 15
    for line in lines:
        words = line.partition("  #")[0].split()
        if "tests/run.py" in words:
            assert words[words.index("tests/run.py") + 1] in COMMANDS, line
        for word in words:
            if word.startswith(".venv/bin/"):
                assert Path(
                    sysconfig.get_path("scripts"), word.removeprefix(".venv/bin/")
                ).exists(), line
            elif "/" in word and word.startswith(("tests/", "pingstate/")):
                assert (ROOT / word).exists(), line
        if "-m" in words and "tests.hostile" in words:
            options = words[words.index("tests.hostile") + 1 :]
            told = subprocess.run(
                [sys.executable, "-m", "tests.hostile", "--help"],
                cwd=ROOT, capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            assert all(option in told for option in options), line


def test_figures_of_the_first_screen_are_those_that_were_measured():
    text = Document(README).text.replace("\n", " ")
    rows = json.loads((ROOT / "tests/bench/record.json").read_text())["rows"]
    for claim, measured in (
        (r"an image of (\d+) MB", rows["image"]["pingstate"]),
        (
            r"a check of HTTP takes less than ([\d.]+) ms of CPU",
            rows["check http"]["pingstate"] / 1000,
        ),
    ):
        (said,) = re.findall(claim, text)
        assert 0.5 * float(said) < measured <= float(said), claim


def test_table_of_the_hostile_ways_names_every_family_and_counts_its_ways():
    ways = {}
    for case in CASES:
        ways.setdefault(case.family, set()).add(case.name)
    text = Document(HOSTILE).text
    rows = dict(re.findall(r"^\| ([^|]+) \| (\d+) \|", text, re.MULTILINE))
    assert rows == {family: str(len(names)) for family, names in ways.items()}
    total = str(sum(map(len, ways.values())))
    assert f"{total} ways" in text
    assert f"[{total} hostile" in Document(README).text


def test_rooms_are_the_layers_that_import_linter_holds():
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [re.findall(r"\w+", layer) for layer in linter["contracts"][0]["layers"]]
    rows = re.findall(r"^\| (`[^|]+) \|", Document(CONTRIBUTING).text, re.MULTILINE)
    rooms = [name.rstrip("/") for row in rows for name in re.findall(r"`(\w+/?)`", row)]
    assert sorted(rooms) == sorted(room for layer in layers for room in layer)
    depths = [next(i for i, layer in enumerate(layers) if room in layer) for room in rooms]
    assert depths == sorted(depths), "not from the top"
