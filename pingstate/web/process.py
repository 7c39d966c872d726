"""Which process of which server this is, and whether its Monitor starts here."""

from __future__ import annotations

import os
import signal
import sys

from pingstate.factory import create_probe
from pingstate.monitor.handover import Handover
from pingstate.monitor.monitor import Monitor
from pingstate.settings import ConfigurationError, Settings

_GEVENT_REFUSED = (
    "gunicorn's gevent worker can't serve a preloaded application, and pingstate.gunicorn_conf "
    "preloads it; expected gevent without --preload, or pingstate's own worker"
)

# What a gunicorn arbiter with a preloaded application hands to the worker that it forks next.
_preloaded: tuple[Monitor, Settings] | None = None


def start_in_serving_process(monitor: Monitor, settings: Settings) -> None:
    """Start the Monitor in the process that serves, once.

    Raises ConfigurationError for a gevent worker of a preloaded application.
    """
    global _preloaded  # noqa: PLW0603  # a hook of os.register_at_fork can't be taken back
    if gunicorn_role() == "arbiter":
        if "gunicorn.workers.ggevent" in sys.modules:
            # Its worker patches sockets and locks under a thread that already uses them.
            raise ConfigurationError([_GEVENT_REFUSED])
        if _preloaded is None:
            os.register_at_fork(after_in_child=_start_after_fork)
        monitor.use_store(Handover())
        _preloaded = monitor, settings
    elif not _starts_elsewhere():
        monitor.start()


def _start_after_fork() -> None:
    global _preloaded
    preloaded, _preloaded = _preloaded, None
    if preloaded is not None:
        monitor, settings = preloaded
        if settings.probe is not None:
            # What a probe of the user's began before the fork, a thread, a connection, is not here.
            monitor.probe = create_probe(settings)
        monitor.start()


def gunicorn_role() -> str | None:
    """Which of gunicorn's processes this is: `worker`, `arbiter`, or None of them."""
    if not os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/"):
        return None
    if "gunicorn.arbiter" not in sys.modules:
        return None
    from gunicorn.workers.base import Worker  # imported already

    # A worker handles SIGTERM itself from before it loads the application.
    handler = signal.getsignal(signal.SIGTERM)
    return "worker" if isinstance(getattr(handler, "__self__", None), Worker) else "arbiter"


def _starts_elsewhere() -> bool:
    """Whether this is a `flask` command that serves no request: a reloader's parent, a shell."""
    if "FLASK_RUN_FROM_CLI" not in os.environ:
        return False
    import click  # imported already
    from flask.cli import run_command  # imported already
    from flask.helpers import get_debug_flag  # imported already
    from werkzeug.serving import is_running_from_reloader  # imported already

    context = click.get_current_context(silent=True)
    if context is None:
        return False
    if context.command is not run_command:
        return True
    reload = context.params.get("reload")
    return (get_debug_flag() if reload is None else reload) and not is_running_from_reloader()
