"""Flask's application, with a short way to the answers that depend on nothing in the request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask, Response

from pingstate.monitor.monitor import Monitor

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_NOT_STORED = {"Cache-Control": "no-store"}

# Those that Flask sends for a request, failed or not.
_SIGNALS = (
    "request_started", "request_finished", "request_tearing_down",
    "appcontext_pushed", "appcontext_popped", "appcontext_tearing_down",
)  # fmt: skip


class Answer(NamedTuple):
    """What a plain view answers."""

    body: str
    content_type: str = "text/plain; charset=utf-8"
    status: str = "200 OK"


class PlainView:
    """A view whose answer to a GET without a query depends on nothing else in the request.

    `view` is Flask's for all that is asked of it, None where there is no more to it.
    """

    def __init__(
        self, answer: Callable[[], Answer], view: Callable[[], Response] | None = None
    ) -> None:
        self.answer = answer
        self._view = view

    def __call__(self) -> Response:
        """Answer within Flask's dispatch."""
        return create_response(*self.answer()) if self._view is None else self._view()


class API(Flask):
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
        """Answer one request (PEP 3333)."""
        # An app that was made before a server forked left its Monitor's thread behind.
        if self._monitor.needs_restart_after_fork:
            self._monitor.start()
        # The name of an endpoint is its path.
        view = self.view_functions.get(environ.get("PATH_INFO", ""))
        if (
            not isinstance(view, PlainView)
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


def create_response(
    body: str | bytes, content_type: str = "text/plain; charset=utf-8", status: str = "200 OK"
) -> Response:
    """A response of Flask's that no cache keeps."""
    response = Response(body, status=status, content_type=content_type)
    response.headers.update(_NOT_STORED)
    return response
