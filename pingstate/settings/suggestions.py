"""Suggest a setting for a variable that is not one.

A misspelt setting would leave a default in force, so what is close to a setting is an error. What
only begins with the same prefix may be anyone's: so words are compared one by one, and the shorter
a word is, the closer it must be.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from pingstate.settings.declarations import SETTINGS
from pingstate.settings.setting import PREFIX

# Other words for what to probe.
_ADDRESS_WORDS = {"DOMAIN", "ENDPOINT", "HOST", "HOSTNAME", "IP", "SERVER", "TARGET", "URI", "URL"}
_UNIT = re.compile("_(?:S|SECS?|SECONDS?|MS|MILLIS|MILLISECONDS?)$")


def suggest_variable(variable: str) -> str | None:
    """The setting's variable that is so close to this one that it must have been meant."""
    meant, likeness = None, 0.0
    for base, number, file in _forms(_normalize(variable)):
        for setting in SETTINGS:
            name = setting.name.upper()
            if _is_close(base, name) and (alike := _likeness(base, name)) > likeness:
                meant = setting.variable + (number if setting.repeatable else "") + file
                likeness = alike
    return meant


def suggest_address(variable: str) -> str | None:
    """The address's variable, if this one is another word for it."""
    words = set(_normalize(variable).split("_"))
    return f"{PREFIX}ADDRESS" if words <= _ADDRESS_WORDS else None


def suggest_similar(variable: str) -> str | None:
    """The setting's variable that is most like this one, for a hint."""
    words = [setting.name.upper() for setting in SETTINGS]
    found = difflib.get_close_matches(_normalize(variable), words, 1)
    return PREFIX + found[0] if found else None


def _likeness(word: str, name: str) -> float:
    return difflib.SequenceMatcher(None, word, name).ratio()


def _normalize(variable: str) -> str:
    word = variable.upper().replace("-", "_").removeprefix(PREFIX)
    return re.sub("(?<![A-Z])SSL(?![A-Z])", "TLS", word)


def _forms(word: str) -> Iterator[tuple[str, str, str]]:
    """The ways to read a word as a setting's name, a line's number and the suffix for a file."""
    yield word, "", ""
    head, _, last = word.rpartition("_")
    file = "_FILE" if head and _is_close_word(last, "FILE") else ""
    rest = head if file else word
    if file:
        yield rest, "", file
    elif word.endswith("FILE"):
        yield word.removesuffix("FILE"), "", "_FILE"
    numbered = re.fullmatch("(.*[^0-9_])_*([0-9]+)", rest)
    if numbered:
        yield numbered[1], f"_{numbered[2]}", file
        if not file and numbered[1].endswith("_FILE"):
            yield numbered[1].removesuffix("_FILE"), f"_{numbered[2]}", "_FILE"


def _is_close(word: str, name: str) -> bool:
    """Whether a word is a setting's name with a slip, without `NO_`, or with a unit after it."""
    return _is_slip(word, name) or _is_slip(
        _UNIT.sub("", word).removeprefix("NO_"), name.removeprefix("NO_")
    )


def _is_slip(word: str, name: str) -> bool:
    parts, wanted = word.split("_"), name.split("_")
    if sorted(parts) == sorted(wanted):
        return True
    if len(parts) == len(wanted):
        pairs = list(zip(parts, wanted, strict=True))
        slips = sum(one != other for one, other in pairs)
        return slips <= 2 and all(_is_close_word(one, other) for one, other in pairs)
    # An underscore too many or too few.
    return _distance("".join(parts), "".join(wanted)) <= (1 if len(name) > 5 else 0)


def _is_close_word(word: str, wanted: str) -> bool:
    if word == wanted:
        return True
    if len(word) >= 4 and 2 * len(word) >= len(wanted) and wanted.startswith(word):
        return True  # ADDR, PROTO
    slips = _distance(word, wanted)
    if len(wanted) <= 4:
        # One letter for another makes a word of its own: POST, SEED, FLOW; so does API of IP.
        more = len(word) > len(wanted) > 2
        fewer = len(word) < len(wanted)
        return slips == 1 and (more or fewer or sorted(word) == sorted(wanted))
    return slips <= (1 if len(wanted) <= 6 else 2)


def _distance(one: str, other: str) -> int:
    """Letters to add, drop, change or swap with their neighbour (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                row[j] = min(row[j], last[j - 2] + 1)
    return row[-1]
