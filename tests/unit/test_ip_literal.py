from __future__ import annotations

import subprocess
import sys

import pytest

from pingstate.ip_literal import literal_ip_version
from tests.support import ROOT


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("127.0.0.1", 4),
        ("127.1", 4),
        ("0x7f000001", 4),
        ("::1", 6),
        ("fe80::1%eth0", 6),
        ("localhost", None),
        ("1.2.3.4.example", None),
        ("256.0.0.1", None),
        ("", None),
    ],
)
def test_an_address_is_told_from_a_name(text, version):
    assert literal_ip_version(text) == version


def test_it_loads_nothing_but_sockets():
    code = (
        "import sys, socket; before = set(sys.modules); import pingstate; import pingstate.ip_literal; "
        "print(*sorted(set(sys.modules) - before))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(ended.stdout.split()) & {"re", "dataclasses", "pingstate.values"} == set()
