"""gunicorn's configuration: `gunicorn -c python:pingstate.gunicorn_conf`."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
from typing import Any

from gunicorn.glogging import Logger
from werkzeug.test import create_environ, run_wsgi_app

from pingstate import lazy_imports, logs
from pingstate.output import protect_standard_streams
from pingstate.queued_output import create_queued_output
from pingstate.settings import ConfigurationError, load_settings

# Where gunicorn itself was started, with this as its configuration.
lazy_imports.enable()
protect_standard_streams(create_queued_output)

try:
    _loaded = load_settings()
except ConfigurationError as exc:
    for _problem in exc.problems:
        print(f"pingstate: {_problem}", file=sys.stderr)
    raise SystemExit(2) from None
_settings = _loaded.settings
_host = _settings.api_host.strip("[]")
_host = f"[{_host}]" if ":" in _host else _host


class _Logger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's log lines in the form of ours."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.create_formatter(_settings))


wsgi_app = "pingstate:create_app()"
bind = f"{_host}:{_settings.api_port}"
proc_name = "pingstate"
# The arbiter's memory is then the worker's as well, and a worker is there at once.
preload_app = True
worker_class = "pingstate.worker.Worker"
worker_connections = 1000
# For a root file system that is read-only and a user that has no home.
_memory = "/dev/shm"  # noqa: S108  # gunicorn unlinks its file there as soon as it is open
worker_tmp_dir = _memory if os.access(_memory, os.W_OK) else None
control_socket_disable = True
graceful_timeout = 2
# No proxy stands before a sidecar, and a client is none.
forwarder_headers = ""
logger_class = _Logger
loglevel = "warning"


def on_starting(server: Any) -> None:
    """End the process with one line where gunicorn would try to bind again and again."""
    if {"LISTEN_FDS", "GUNICORN_FD"} & set(os.environ):
        return
    for address in server.cfg.address:
        if isinstance(address, tuple):
            _try_to_bind(*address)


def _try_to_bind(host: str, port: int) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, proto, _, address = found[0]
        with socket.socket(family, kind, proto) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        print(f"pingstate: the API can't listen on {host} port {port}: {reason}", file=sys.stderr)
        raise SystemExit(1) from None


def when_ready(server: Any) -> None:
    """Say once what is probed, how often, and where the API is."""
    app = server.app.wsgi()
    # What a first request leaves behind in Flask is then shared with the workers as well.
    run_wsgi_app(app, create_environ("/healthz"))
    lazy_imports.load_first_uses()
    monitor = app.extensions["pingstate"]
    line = f"probing {monitor.name} every {_settings.interval:g} s; API on http://{bind}"
    if _loaded.sources["address"] == "default" and _settings.probe is None:
        line += f"; the address is the default, {_settings.address}: set PINGSTATE_ADDRESS"
    if server.num_workers != 1:
        line += f"; {server.num_workers} workers, each with a verdict of its own"
    logging.getLogger("pingstate").info("%s", line)


def pre_fork(_server: Any, _worker: Any) -> None:
    """Keep the collector's hands, and so copies, off what the processes share."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """Answer nobody before there is a verdict to tell, unless it takes long."""
    worker.wsgi.extensions["pingstate"].wait_for_verdict(1.0)


def worker_exit(_server: Any, worker: Any) -> None:
    """Leave no check's result behind that nobody reads."""
    monitor = getattr(worker.wsgi, "extensions", {}).get("pingstate")
    if monitor is not None:
        monitor.stop(0)
