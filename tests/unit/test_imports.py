from __future__ import annotations

import json
import sys
from importlib import import_module

import pytest

from pingstate.imports import import_from_string


@pytest.mark.parametrize(
    ("path", "found"),
    [("json:loads", json.loads), ("json:decoder.JSONDecoder", json.JSONDecoder)],
)
def test_object_is_found_by_its_path(path, found):
    assert import_from_string(path) is found


@pytest.mark.parametrize("path", ["", "json", "json:", ":loads", ":"])
def test_what_is_no_path_says_which_form_was_expected(path):
    with pytest.raises(ValueError, match="is not of the form module:attribute"):
        import_from_string(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_module:x", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("json:no_such", "AttributeError: "),
        ("json:loads.no_such", "AttributeError: "),
        ("json.:x", "ModuleNotFoundError: "),
        (".json:x", "TypeError: "),
        ("raises:x", "RuntimeError: two lines"),
        ("ends:x", "SystemExit: 3"),
    ],
)
def test_what_is_not_there_or_raises_is_one_error_with_the_reason(
    path, reason, tmp_path, monkeypatch
):
    (tmp_path / "raises.py").write_text("raise RuntimeError('two\\nlines')")
    (tmp_path / "ends.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="can't be loaded: ") as caught:
        import_from_string(path)
    message = str(caught.value).replace("\N{REPLACEMENT CHARACTER}", " ")
    assert message.startswith(f"{path!r} can't be loaded: {reason}")
    assert len(message.splitlines()) == 1


def test_interrupt_is_no_error_of_the_module(tmp_path, monkeypatch):
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        import_from_string("interrupted:x")


def test_module_is_imported_once(tmp_path, monkeypatch):
    (tmp_path / "counted.py").write_text(
        "import sys\nsys.counted = getattr(sys, 'counted', 0) + 1\nx = 5"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "counted", 0, raising=False)
    assert import_from_string("counted:x") == import_from_string("counted:x") == 5
    assert sys.counted == 1
    assert import_module("counted").x == 5
