"""The HTTP API: views that only read the Monitor, and the factory that gunicorn calls."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, NotFound

from pingstate import logs
from pingstate.factory import create_monitor
from pingstate.monitor.monitor import Monitor
from pingstate.settings import ConfigurationError, LoadedSettings, load_settings
from pingstate.settings.parsing import integer
from pingstate.text import one_line
from pingstate.values import InvalidValueError, normalize_host, validate_history, validate_port
from pingstate.web.listeners import create_listeners
from pingstate.web.process import gunicorn_role, start_in_serving_process

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from werkzeug.serving import BaseWSGIServer

log = logging.getLogger(__name__)

_GUNICORN_BOOT_ERROR = 3
_parse_recent = integer(validate_history)

_NOT_STORED = {"Cache-Control": "no-store"}
_UNAVAILABLE = "503 Service Unavailable"

# Those that Flask sends for a request, failed or not.
_SIGNALS = (
    "request_started", "request_finished", "request_tearing_down",
    "appcontext_pushed", "appcontext_popped", "appcontext_tearing_down",
)  # fmt: skip


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
    """The Flask application over a Monitor; `/healthz` is 200 in `ready_states`. Starts nothing."""
    app = _API(monitor)

    def status() -> _Answer:
        return _Answer(json.dumps(monitor.snapshot()) + "\n", "application/json")

    def state() -> _Answer:
        return _Answer(monitor.state)

    def healthz() -> _Answer:
        if monitor.stale:
            return _Answer("stale", status=_UNAVAILABLE)
        word = monitor.state
        return _Answer(word, status="200 OK" if word in ready_states else _UNAVAILABLE)

    def livez() -> _Answer:
        return _Answer("stale", status=_UNAVAILABLE) if monitor.stale else _Answer("alive")

    def metrics() -> _Answer:
        from pingstate.web.metrics import CONTENT_TYPE, Metrics  # only for a scrape

        return _Answer(Metrics(monitor).text(), CONTENT_TYPE)

    views: dict[str, Callable[..., Response]] = {
        "/": partial(_root, monitor),
        "/status": _PlainView(status, partial(_status, monitor)),
        "/state": _PlainView(state),
        "/healthz": _PlainView(healthz),
        "/livez": _PlainView(livez),
        "/metrics": _PlainView(metrics),
        "/static/<name>": _static,
    }
    for path, view in views.items():
        app.add_url_rule(path, path, view, methods=["GET"], provide_automatic_options=False)
    app.register_error_handler(HTTPException, _error_response)
    return app


class _Answer(NamedTuple):
    """What a plain view answers."""

    body: str
    content_type: str = "text/plain; charset=utf-8"
    status: str = "200 OK"


class _PlainView:
    """A view whose answer to a GET without a query depends on nothing else in the request.

    `view` is Flask's for all that is asked of it, None where there is no more to it.
    """

    def __init__(
        self, answer: Callable[[], _Answer], view: Callable[[], Response] | None = None
    ) -> None:
        self.answer = answer
        self._view = view

    def __call__(self) -> Response:
        return _response(*self.answer()) if self._view is None else self._view()


class _API(Flask):
    """Flask, but for plain views it goes past its dispatch, which is most of what an answer costs.

    A program that hooks into Flask's requests, by a function or a signal, gets each of them.
    """

    def __init__(self, monitor: Monitor) -> None:
        super().__init__("pingstate", static_folder=None)
        self.url_map.merge_slashes = False
        self.extensions["pingstate"] = self._monitor = monitor
        self._hooks = (
            self.before_request_funcs,
            self.after_request_funcs,
            self.teardown_request_funcs,
            self.teardown_appcontext_funcs,
            self.url_value_preprocessors,
        )

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # An app that was made before a server forked left its Monitor's thread behind.
        if self._monitor.needs_restart_after_fork:
            self._monitor.start()
        # The name of an endpoint is its path.
        view = self.view_functions.get(environ.get("PATH_INFO", ""))
        if (
            not isinstance(view, _PlainView)
            or environ["REQUEST_METHOD"] != "GET"
            or environ.get("QUERY_STRING")
            or any(self._hooks)
            or _is_signal_awaited()
            or self.config["TRUSTED_HOSTS"]
        ):
            return super().wsgi_app(environ, start_response)
        try:
            answer = view.answer()
            body = answer.body.encode()
        except Exception:  # noqa: BLE001  # Flask meets it again, logs it and answers 500
            return super().wsgi_app(environ, start_response)
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(body)))]
        start_response(answer.status, [*headers, *_NOT_STORED.items()])
        return [body]


def _is_signal_awaited() -> bool:
    # Code that listens to one has loaded the module.
    signals = sys.modules.get("flask.signals")
    return signals is not None and any(getattr(signals, name).receivers for name in _SIGNALS)


def _response(
    body: str | bytes, content_type: str = "text/plain; charset=utf-8", status: str = "200 OK"
) -> Response:
    response = Response(body, status=status, content_type=content_type)
    response.headers.update(_NOT_STORED)
    return response


def _status(monitor: Monitor) -> Response:
    text = request.args.get("recent") if request.query_string else None
    try:
        recent = None if text is None else _parse_recent(text)
    except InvalidValueError as exc:
        return _response(
            f"recent: {one_line(text or '')!r} is not {exc.expected}\n", status="400 Bad Request"
        )
    return _response(json.dumps(monitor.snapshot(recent)) + "\n", "application/json")


def _root(monitor: Monitor) -> Response:
    if _prefers_html():
        from pingstate.web.page import HEADERS, HTML, ROWS, render_page  # only for a browser

        response = _response(render_page(monitor.snapshot(ROWS)), HTML)
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
    response = _response(read_static(name), CONTENT_TYPES[name])
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _error_response(error: HTTPException) -> Response:
    response = _response(f"{error.code} {error.name}\n", status=f"{error.code} {error.name}")
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
    ValueError for what is no host or port.
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
