"""A certificate in a file, for tables that are made as tests are collected."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import trustme


@cache
def create_client_pem() -> str:
    """The path of a certificate and its key in one file that lasts as long as the tests."""
    folder = Path(tempfile.mkdtemp(prefix="pingstate-test-"))
    atexit.register(shutil.rmtree, folder)
    path = folder / "client.pem"
    trustme.CA().issue_cert("client").private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)
