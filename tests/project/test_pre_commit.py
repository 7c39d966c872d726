"""The hooks run what CI runs, with the tools of .venv."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import yaml

from tests.support import ROOT

BIN = Path(sysconfig.get_path("scripts"))
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
HOOKS = [hook for repo in CONFIG["repos"] for hook in repo["hooks"]]


def test_pre_commit_takes_the_configuration():
    ended = subprocess.run(
        [BIN / "pre-commit", "validate-config", ".pre-commit-config.yaml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout


def test_every_hook_calls_a_tool_that_the_environment_has():
    tools = {re.match(r"\.venv/bin/([a-z-]+)", hook["entry"])[1] for hook in HOOKS}
    assert tools == {"ruff", "mypy", "lint-imports", "hadolint", "zizmor"}
    assert all((BIN / tool).exists() for tool in tools)


def test_hooks_apply_to_files_that_are_there():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for hook in HOOKS:
        if "files" in hook:
            assert any(re.search(hook["files"], path) for path in listed), hook["id"]
