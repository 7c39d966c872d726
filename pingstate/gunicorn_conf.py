"""gunicorn's configuration: `gunicorn -c python:pingstate.gunicorn_conf`."""

from __future__ import annotations

from pingstate import lazy_imports, stand_ins
from pingstate.output import protect_standard_streams
from pingstate.queued_output import create_queued_output
from pingstate.settings import ConfigurationError, Settings, load_settings

lazy_imports.enable()
stand_ins.install()
protect_standard_streams(create_queued_output)

from pingstate.server import gunicorn_settings  # noqa: E402  # lazily, from here on


def _read_settings() -> Settings:
    try:
        # No more than these: the application reads all of them, and a pipe can be read only once.
        return load_settings(only=("api_host", "api_port", "log_format")).settings
    except ConfigurationError:
        # Then for everything that is wrong, not only with these.
        return load_settings().settings


try:
    _settings = _read_settings()
except ConfigurationError as exc:
    exc.report()
    raise SystemExit(2) from None

wsgi_app = "pingstate:create_app()"
globals().update(gunicorn_settings(_settings))
