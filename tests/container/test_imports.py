"""What the worker of a shipped sidecar has imported, as a check of the user's sees it there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testcontainers.core.network import Network

from tests.support.containers import running_sidecar
from tests.support.waiting import wait_until

# Written by the eighth check, when an API request has been answered as well.
LOOK = b"""
import colorsys, json, os, sys, types
EAGER = type(globals()["colorsys"]) is types.ModuleType
forked = set()
os.register_at_fork(after_in_child=lambda: forked.update(sys.modules))
checks = 0

def look(_):
    global checks
    checks += 1
    if checks == 8:
        now = set(sys.modules)
        report = {"eager": EAGER, "modules": sorted(now), "later": sorted(now - forked)}
        print("LOOK", json.dumps(report), flush=True)
    return True
"""

# Named by what pingstate imports, and used by nothing that it does.
NEVER = {
    "argparse", "asyncio", "blinker", "calendar", "click", "code", "codeop", "concurrent.futures", "ctypes", "decimal", "getpass",
    "gunicorn.asgi", "gunicorn.dirty", "hmac", "html", "http.cookies", "http.server", "idna.core", "importlib.metadata",
    "itsdangerous", "jinja2", "locale", "mimetypes", "multiprocessing", "netrc", "pickle",
    "pingstate.web.metrics", "pingstate.web.page", "prometheus_client", "pydoc", "socketserver",
    "subprocess", "unittest", "urllib.request", "urllib3.util.url", "werkzeug.debug", "werkzeug.serving", "werkzeug.test", "xml", "zipfile",
}  # fmt: skip
NEVER_FOR_TCP = {
    "email.message", "http.client", "http.cookiejar", "idna", "regex", "requests", "ssl", "urllib3",
    "pingstate.net.http1", "pingstate.net.tls", "pingstate.probes.http",
}  # fmt: skip


def look(image: str, network: Network, **settings: str) -> dict[str, Any]:
    environment = {"PINGSTATE_ADDRESS": "127.0.0.1", "PINGSTATE_PORT": "8787", **settings}
    environment |= {"PINGSTATE_CHECK": "call:look:look", "PINGSTATE_PATH": "/livez"}
    with running_sidecar(image, network, environment, {"/probes/look.py": LOOK}) as sidecar:

        def report() -> str:
            sidecar.get("/healthz")
            lines = sidecar.docker.logs().decode().splitlines()
            return next((line[5:] for line in lines if line.startswith("LOOK ")), "")

        found: dict[str, Any] = json.loads(wait_until(report, what="the eighth check"))
    return found


@pytest.mark.parametrize(
    ("protocol", "most", "never"), [("tcp", 235, NEVER | NEVER_FOR_TCP), ("http", 285, NEVER)]
)
def test_a_worker_has_imported_what_it_uses_and_no_more(
    image: str, network: Network, protocol: str, most: int, never: set[str]
) -> None:
    seen = look(image, network, PINGSTATE_PROTOCOL=protocol)
    modules = set(seen["modules"])
    assert modules & never == set()
    assert len(modules) <= most
    assert seen["eager"], "a user's module is imported whole"
    # random's own, when the Monitor seeds it.
    later = set(seen["later"]) - {"_sha2"}
    assert later == set(), "what a check or a request needs is there before the first"


def test_a_health_check_loads_no_settings(image: str, network: Network) -> None:
    with running_sidecar(image, network, {"PINGSTATE_ADDRESS": "127.0.0.1"}, {}) as sidecar:
        told = sidecar.python(
            "import sys; sys.argv = ['pingstate', 'healthcheck']\n"
            "import os; os.environ['PINGSTATE_HEALTHCHECK'] = 'livez'\n"
            "from pingstate.__main__ import main; main(); print(*sys.modules)"
        )
    answer, modules = told.splitlines()
    assert answer == "healthy: alive"
    loaded = set(modules.split())
    assert {"pingstate.healthcheck", "_socket"} <= loaded
    never = {
        "pingstate.settings.declarations",
        "click",
        "dataclasses",
        "enum",
        "re",
        "socket",
        "ssl",
    }
    assert loaded & never == set()
