"""The project's documents as their readers see them: sections, and blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.support import ROOT


@dataclass(frozen=True)
class Block:
    """A fenced block: the title of its section, its language ("" where none is said), its text."""

    section: str
    language: str
    text: str


class Document:
    """A Markdown file of the project."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder = (ROOT / path).parent
        self.text = (ROOT / path).read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in order."""
        found: list[Block] = []
        section = ""
        fence: tuple[str, list[str]] | None = None
        for line in self.text.splitlines():
            if line.startswith("```"):
                if fence is None:
                    fence = line[3:].strip(), []
                else:
                    text = "".join(f"{one}\n" for one in fence[1])
                    found.append(Block(section, fence[0], text))
                    fence = None
            elif fence is not None:
                fence[1].append(line)
            elif heading := re.fullmatch("#+ (.*)", line):
                section = heading[1]
        return found

    def code(self, language: str, section: str | None = None) -> list[str]:
        """The texts of the blocks in a language, of one section or of all."""
        return [
            block.text
            for block in self.blocks
            if block.language == language and section in (None, block.section)
        ]

    def commands(self, section: str) -> list[str]:
        """The lines of a section's bash blocks, without their comments."""
        lines = [
            line.partition("  #")[0].strip()
            for text in self.code("bash", section)
            for line in text.splitlines()
        ]
        return [line for line in lines if line]

    @property
    def headings(self) -> list[str]:
        """The titles of the sections, code left out."""
        text = re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)
        return re.findall(r"^#+ (.*)$", text, re.MULTILINE)

    def links(self) -> list[str]:
        """Where its links lead."""
        return re.findall(r"\]\(([^)\s]+)\)", self.text)


PATHS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("", "k8s", ".github", "tests/hostile", "tests/bench")
    for path in Path(ROOT, folder).glob("*.md")
    if path.name != "pull_request_template.md"
)
