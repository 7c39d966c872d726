"""The HTTP API: views that only read the Monitor, and the factory that gunicorn calls."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, NotFound

from pingstate import logs
from pingstate.factory import create_monitor
from pingstate.monitor.monitor import Monitor
from pingstate.settings import ConfigurationError, LoadedSettings, load_settings
from pingstate.settings.parsing import integer
from pingstate.text import one_line
from pingstate.values import (
    InvalidValueError,
    normalize_host,
    validate_history,
    validate_port,
    validate_states,
)
from pingstate.web.dispatch import API, Answer, PlainView, create_response
from pingstate.web.listeners import create_listeners
from pingstate.web.process import gunicorn_role, start_in_serving_process

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

log = logging.getLogger(__name__)

_GUNICORN_BOOT_ERROR = 3
_parse_recent = integer(validate_history)

_UNAVAILABLE = "503 Service Unavailable"


def create_app(environ: Mapping[str, str] = os.environ, *, start: bool = True) -> Flask:
    """The application, with one Monitor as the environment says, in `extensions["pingstate"]`.

    The Monitor is started in the process that serves: at once, or in each worker that a gunicorn
    arbiter forks; `start=False` leaves it to the caller. Raises ConfigurationError; under gunicorn
    or `flask run` ends the process with a line for each bad setting instead.
    """
    try:
        return create_app_from(load_settings(environ), start=start)
    except ConfigurationError as exc:
        if gunicorn_role() is None and "FLASK_RUN_FROM_CLI" not in os.environ:
            raise
        exc.report()
        # A worker that ends with any other code is started again and again.
        raise SystemExit(_GUNICORN_BOOT_ERROR if gunicorn_role() == "worker" else 2) from None


def create_app_from(loaded: LoadedSettings, *, start: bool = True) -> Flask:
    """The application of `create_app()` from settings that were read already.

    They are in `extensions["pingstate.settings"]`. Raises ConfigurationError.
    """
    monitor = create_monitor(loaded.settings)
    logs.configure(loaded.settings, own_process=gunicorn_role() is not None)
    for warning in loaded.warnings:
        log.warning("%s", warning)
    for note in loaded.notes:
        log.info("%s", note)
    app = create_api(monitor, loaded.settings.ready_states)
    app.extensions["pingstate.settings"] = loaded
    if start:
        start_in_serving_process(monitor, loaded.settings)
    return app


def create_api(monitor: Monitor, ready_states: Container[str] = ("up",)) -> Flask:
    """The Flask application over a Monitor; `/healthz` is 200 in `ready_states`. Starts nothing.

    Raises ValueError for what is no Monitor, or for no state there may be.
    """
    if not isinstance(monitor, Monitor):
        raise InvalidValueError("monitor", monitor, "a Monitor")
    ready_states = validate_states(ready_states, monitor.possible_states(), "ready_states")
    app = API(monitor)

    def status() -> Answer:
        return Answer(json.dumps(monitor.snapshot()) + "\n", "application/json")

    def state() -> Answer:
        return Answer(monitor.state)

    def healthz() -> Answer:
        if monitor.stale:
            return Answer("stale", status=_UNAVAILABLE)
        word = monitor.state
        return Answer(word, status="200 OK" if word in ready_states else _UNAVAILABLE)

    def livez() -> Answer:
        return Answer("stale", status=_UNAVAILABLE) if monitor.stale else Answer("alive")

    def metrics() -> Answer:
        from pingstate.web.metrics import CONTENT_TYPE, Metrics  # only for a scrape

        return Answer(Metrics(monitor).text(), CONTENT_TYPE)

    views: dict[str, Callable[..., Response]] = {
        "/": partial(_root, monitor),
        "/status": PlainView(status, partial(_status, monitor)),
        "/state": PlainView(state),
        "/healthz": PlainView(healthz),
        "/livez": PlainView(livez),
        "/metrics": PlainView(metrics),
        "/static/<name>": _static,
    }
    for path, view in views.items():
        app.add_url_rule(path, path, view, methods=["GET"], provide_automatic_options=False)
    app.register_error_handler(HTTPException, _error_response)
    return app


def _status(monitor: Monitor) -> Response:
    text = request.args.get("recent") if request.query_string else None
    try:
        recent = None if text is None else _parse_recent(text)
    except InvalidValueError as exc:
        return create_response(
            f"recent: {one_line(text or '')!r} is not {exc.expected}\n", status="400 Bad Request"
        )
    return create_response(json.dumps(monitor.snapshot(recent)) + "\n", "application/json")


def _root(monitor: Monitor) -> Response:
    if _prefers_html():
        from pingstate.web.page import HEADERS, HTML, ROWS, render_page  # only for a browser

        response = create_response(render_page(monitor.snapshot(ROWS)), HTML)
        response.headers.update(HEADERS)
    else:
        response = _status(monitor)
    response.headers["Vary"] = "Accept"
    return response


def _prefers_html() -> bool:
    # Parsing the header costs more than the JSON does, and only browsers ask for text.
    if "text/" not in request.headers.get("Accept", "").lower():
        return False
    accept = request.accept_mimetypes
    return accept.quality("text/html") > accept.quality("application/json")


def _static(name: str) -> Response:
    from pingstate.web.page import CONTENT_TYPES, read_static  # only for a browser

    if name not in CONTENT_TYPES:
        raise NotFound
    response = create_response(read_static(name), CONTENT_TYPES[name])
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _error_response(error: HTTPException) -> Response:
    response = create_response(f"{error.code} {error.name}\n", status=f"{error.code} {error.name}")
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def serve(
    monitor: Monitor,
    host: str = "127.0.0.1",
    port: int = 8787,
    *,
    ready_states: Container[str] = ("up",),
) -> BaseWSGIServer:
    """The API on Werkzeug's threaded server, bound but not serving yet.

    `serve_forever()` of the result blocks until another thread calls `shutdown()`; port 0 takes a
    free one, then to be read from `port`. `::` answers on IPv4 as well; of a name with several
    addresses the first one is taken, IPv4 before IPv6. Raises OSError when it can't be had, and
    ValueError for what is no Monitor, host or port, and for no state there may be.
    """
    from werkzeug.serving import WSGIRequestHandler, make_server  # gunicorn does without

    class Handler(WSGIRequestHandler):
        # Seconds that a client may be silent for, before or between its requests.
        timeout = 10

        def log_request(self, *_: Any) -> None:
            """Nothing: a probe's users ask often."""

    host, port = normalize_host(host), validate_port(port, least=0)
    app = create_api(monitor, ready_states)
    # Werkzeug ends the process when it can't bind; a library must not.
    bound, *others = create_listeners(host, port)
    for other in others:
        other.close()
    with bound:
        address, number, *_ = bound.getsockname()
        return make_server(
            address, number, app, threaded=True, request_handler=Handler, fd=bound.fileno()
        )
