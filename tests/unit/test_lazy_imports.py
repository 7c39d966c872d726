from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, requires

import pytest

from pingstate import lazy_imports
from tests.support import ROOT


@pytest.mark.parametrize(
    ("importing", "imported", "lazy"),
    [
        (None, "json", False),
        ("pingstate.cli", "click", True),
        ("pingstate.cli", "pingstate.settings", True),
        ("flask.app", "werkzeug.test", True),
        ("requests", "urllib3.exceptions", True),
        ("json", "json.decoder", True),
        # A user's module, and what it imports.
        ("replica_lag", "json", False),
        ("replica_lag", "pingstate", False),
        ("replica_lag", "pg8000", False),
        ("pg8000.native", "ssl", False),
        ("requests", "chardet", False),
        ("flasks", "click", False),
        ("__main__", "json", False),
        # The first check waits for no import.
        ("pingstate.net.http1", "requests", False),
        ("pingstate.probes.tcp", "pingstate.net.sockets", False),
        ("pingstate.monitor.monitor", "threading", False),
    ],
)
def test_only_known_modules_are_lazy_and_only_for_known_ones(importing, imported, lazy):
    assert lazy_imports.is_lazy(importing, imported, None) is lazy


def installed_dependencies(name: str) -> set[str]:
    """A distribution and what it needs of what is here, without extras, by distribution name."""
    found = {name}
    for line in requires(name) or ():
        needed = re.match(r"[\w.-]+", line)[0].lower().replace("-", "_")
        if "extra ==" not in line:
            with suppress(PackageNotFoundError):
                found |= installed_dependencies(needed)
    return found


def files_of(name: str):
    """The files of an installed distribution."""
    with suppress(PackageNotFoundError):
        return distribution(name).files or ()
    return ()


def test_the_known_modules_are_those_of_the_dependencies():
    # The image's Python needs no backport.
    needed = installed_dependencies("pingstate") - {"typing_extensions", "packaging"}
    files = [file for name in needed for file in files_of(name) if file.suffix == ".py"]
    tops = {file.parts[0].removesuffix(".py") for file in files}
    modules = {top for top in tops if top.isidentifier() and not top.startswith("_")}
    known = lazy_imports._KNOWN - sys.stdlib_module_names - {"_regex"}
    # An editable installation lists no modules.
    assert known == modules | {"pingstate"}


def modes_after(code: str) -> list[str]:
    script = f"import sys\nmode = getattr(sys, 'get_lazy_imports', lambda: 'none')\n{code}"
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ended.stdout.split()


def test_a_program_that_imports_pingstate_keeps_its_own_way_to_import():
    before, after = modes_after(
        "print(mode())\nimport pingstate, pingstate.web.app, pingstate.cli\n"
        "pingstate.create_app, pingstate.HTTPProbe\nprint(mode())"
    )
    assert before == after != "all"


def test_enable_is_for_a_python_that_can():
    (mode,) = modes_after("from pingstate import lazy_imports as l\nl.enable()\nprint(mode())")
    assert mode == ("all" if sys.version_info >= (3, 15) else "none")


def test_what_the_first_uses_need_can_be_imported():
    script = (
        "import sys, requests\nfrom pingstate import lazy_imports as l\nl.load_first_uses()\n"
        "assert {*l._FIRST_CHECK, *l._FIRST_REQUEST} <= set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
