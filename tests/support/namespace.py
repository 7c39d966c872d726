"""A network namespace of its own for what no test may do to the machine's network."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Names are looked up in /etc/hosts alone.
FILES_ONLY = {"/etc/nsswitch.conf": "hosts: files\n"}


def unshare(program: str, timeout: float = 120.0) -> Any:
    """Run Python code in network and mount namespaces of its own; the JSON that it printed.

    Raises OSError or CalledProcessError where there is no making such a namespace.
    """
    command = shutil.which("unshare")
    if command is None:
        raise FileNotFoundError("unshare (util-linux) is needed for a network of one's own")
    flags = "-mn" if os.geteuid() == 0 else "-rmn"
    ran = subprocess.run(
        [command, flags, "--", sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        check=True,
        timeout=timeout,
    )
    return json.loads(ran.stdout)


def call_in_namespace(
    function: Callable[[], Any], files: Mapping[str, str] | None = None, *, loopback: bool = True
) -> Any:
    """What a module's function returns, as JSON has it, where it has a network of its own.

    `files` are texts that stand there in place of the system's files.
    """
    return unshare(
        "import json\n"
        "from tests.support.namespace import raise_loopback, replace\n"
        f"from {function.__module__} import {function.__name__} as function\n"
        f"{loopback} and raise_loopback()\n"
        f"for path, text in {dict(files or {})!r}.items(): replace(path, text)\n"
        "print(json.dumps(function()))\n"
    )


def raise_loopback() -> None:
    """Bring up `lo`, which a new network namespace has down."""
    up_and_running = struct.pack("16sh", b"lo", 0x41)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, up_and_running)  # SIOCSIFFLAGS


def replace(path: str, text: str) -> None:
    """Mount a file of ours over a file of the system, in this mount namespace alone."""
    ours = Path(tempfile.mkdtemp(prefix="hostile-"), "ours")
    ours.write_text(text)
    subprocess.run(["mount", "--bind", ours, Path(path).resolve()], check=True)
    shutil.rmtree(ours.parent)
