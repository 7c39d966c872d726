"""The README's settings, written from their declarations: `python -m tests.project.settings_table`."""

from __future__ import annotations

from pathlib import Path

from pingstate.settings import SETTINGS

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- settings: written by python -m tests.project.settings_table -->\n"
END = "<!-- end of settings -->"


def tables() -> str:
    """A table for each section."""
    parts = []
    for section in dict.fromkeys(setting.section for setting in SETTINGS):
        rows = [
            f"**{section}**",
            "",
            "| Flag | Variable | Default | What it does |",
            "|---|---|---|---|",
        ]
        for setting in SETTINGS:
            if setting.section == section:
                cells = (
                    f"`{setting.flag}`",
                    f"`{setting.variable}`",
                    setting.default_text,
                    setting.help,
                )
                rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def update(text: str) -> str:
    """The README's text with the tables as they must be."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("README.md has lost the comments around its settings")
    return head + begin + tables() + end + tail


if __name__ == "__main__":
    README.write_text(update(README.read_text()))
