"""gunicorn as the settings say: started by `pingstate`, or for a gunicorn that others start."""

from __future__ import annotations

import errno
import gc
import logging
import sys
from collections.abc import Sequence
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.sock import create_sockets
from gunicorn.systemd import listen_fds

from pingstate import lazy_imports, logs
from pingstate.settings import LoadedSettings, Settings
from pingstate.values import authority
from pingstate.web.app import create_app_from
from pingstate.web.listeners import create_listeners

log = logging.getLogger("pingstate")


def serve(loaded: LoadedSettings, ignored: Sequence[str] = ()) -> None:
    """Become gunicorn's arbiter, in this process; ends by SystemExit.

    `ignored` names variables that gunicorn would have obeyed, for a warning. Raises
    ConfigurationError for a custom probe that can't be created.
    """
    _Application(loaded, ignored).run()


class _Application(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with the settings that were read, and no others: no arguments, file or variables."""

    def __init__(self, loaded: LoadedSettings, ignored: Sequence[str]) -> None:
        self._loaded = loaded
        self._ignored = ignored
        super().__init__(prog="pingstate")

    def load_config(self) -> None:
        for name, value in gunicorn_settings(self._loaded.settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        app = create_app_from(self._loaded)
        # FLASK_DEBUG is for the app next door.
        app.config["DEBUG"] = False
        if self._ignored:
            names = ", ".join(self._ignored)
            log.warning("ignored variables that are gunicorn's, not pingstate's: %s", names)
        return app


def gunicorn_settings(settings: Settings) -> dict[str, Any]:
    """The settings of gunicorn by name; they need the API's address and the form of the log."""

    class ConfiguredLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
        """gunicorn's log lines, formatted as pingstate's."""

        def setup(self, cfg: Any) -> None:
            super().setup(cfg)
            for handler in self.error_log.handlers:
                handler.setFormatter(logs.create_formatter(settings))

    return {
        "bind": authority(settings.api_host, settings.api_port),
        "proc_name": "pingstate",
        # The arbiter's memory is then the worker's as well, and a worker is there at once.
        "preload_app": True,
        "worker_class": "pingstate.worker.Worker",
        "worker_connections": 1000,
        # For a root file system that is read-only and a user that has no home.
        "control_socket_disable": True,
        "graceful_timeout": 2,
        # No proxy stands before a sidecar: what a client forwards is not believed.
        "forwarder_headers": "",
        "logger_class": ConfiguredLogger,
        "loglevel": "warning",
        "on_starting": on_starting,
        "when_ready": when_ready,
        "pre_fork": pre_fork,
        "post_worker_init": post_worker_init,
        "worker_exit": worker_exit,
    }


# -- gunicorn's hooks ------------------------------------------------------------------------------


def on_starting(server: Any) -> None:
    """Listen; end the process with one line where gunicorn would try again and again."""
    addresses = server.cfg.address
    # gunicorn itself takes sockets from systemd or from a previous arbiter, and Unix sockets.
    inherited = server.master_pid or listen_fds(unset_environment=False)
    if inherited or not all(isinstance(address, tuple) for address in addresses):
        return
    descriptors: list[int] = []
    for host, port in addresses:
        try:
            listeners = create_listeners(host, port, server.cfg.backlog)
        except (OSError, UnicodeError) as exc:
            reason = str(getattr(exc, "strerror", None) or exc).lower()
            by_port = getattr(exc, "errno", None) in (errno.EADDRINUSE, errno.EACCES)
            print(
                f"pingstate: the API can't listen on {host} port {port} ({reason}): "
                f"set another PINGSTATE_API_{'PORT' if by_port else 'HOST'}",
                file=sys.stderr,
            )
            raise SystemExit(1) from None
        descriptors += [listener.detach() for listener in listeners]
    server.LISTENERS = create_sockets(server.cfg, server.log, descriptors)


def when_ready(server: Any) -> None:
    """Say once what is probed, how often, and where the API is."""
    lazy_imports.load_first_uses()
    app = server.app.wsgi()
    monitor = app.extensions["pingstate"]
    # A gunicorn that someone else has set up may listen anywhere.
    where = ", ".join(str(listener) for listener in server.LISTENERS) or ", ".join(server.cfg.bind)
    line = f"probing {monitor.name} every {monitor.interval:g} s; API on {where}"
    loaded = app.extensions["pingstate.settings"]
    if loaded.sources["address"] == "default" and loaded.settings.probe is None:
        line += f"; the address is the default, {loaded.settings.address}: set PINGSTATE_ADDRESS"
    if server.num_workers != 1:
        line += f"; {server.num_workers} workers, each with a verdict of its own"
    log.info("%s", line)


def pre_fork(_server: Any, _worker: Any) -> None:
    """Keep the garbage collector from touching, and so copying, memory that processes share."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """Wait up to 1 s for the first check, so that the first answer has a verdict."""
    worker.wsgi.extensions["pingstate"].wait_for_verdict(1.0)


def worker_exit(_server: Any, worker: Any) -> None:
    """Stop the Monitor; a check in flight is discarded."""
    monitor = getattr(worker.wsgi, "extensions", {}).get("pingstate")
    if monitor is not None:
        monitor.stop(0)
