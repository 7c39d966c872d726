"""Run one check of a probe that may return anything, raise anything, or have a bug."""

from __future__ import annotations

import logging
import math
import threading
from contextlib import suppress
from dataclasses import replace

from pingstate.monitor.clock import now
from pingstate.net.attempt import Trace
from pingstate.probes.base import PHASES, Probe, ProbeResult
from pingstate.text import describe_exception, one_line

log = logging.getLogger(__name__)

_OUR_MODULES = f"{__name__.partition('.')[0]}."


class CheckRunner:
    """Runs checks, and turns whatever comes of one into a `ProbeResult` that can be shown."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_error: str | None = None
        self._reported: set[object] = set()

    def run(self, probe: Probe) -> ProbeResult:
        """Check once; blocks as long as the probe does.

        A probe of the user's that raises, or that returns no `ProbeResult`, has failed its check.
        What a probe of pingstate's raises is a bug there, says nothing about the target, and is
        raised.
        """
        began = now()
        try:
            result = _normalize_result(probe.check())
        # A probe may raise anything, and the next check must come.
        except BaseException as exc:
            in_main = threading.current_thread() is threading.main_thread()
            if isinstance(exc, KeyboardInterrupt) and in_main:
                raise
            if isinstance(exc, Exception) and type(probe).__module__.startswith(_OUR_MODULES):
                raise
            error = describe_exception(exc)
            # Once for a row of the same: a log line for each check helps no one.
            log.log(
                logging.DEBUG if error == self._last_error else logging.WARNING,
                "%s: the probe raised %s",
                self._name,
                error,
            )
            self._last_error = error
            return ProbeResult(
                ok=False,
                latency_ms=round((now() - began) * 1000, 3),
                detail=one_line(f"check: the probe raised {error}"),
                phase="check",
            )
        self._last_error = None
        return result

    def report_error(self, exc: BaseException) -> str:
        """Log an error of our own with its traceback, once for each place; its detail."""
        detail = one_line(f"internal error of pingstate: {describe_exception(exc)}")
        traceback = exc.__traceback__
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        place = traceback and (traceback.tb_frame.f_code, traceback.tb_lineno)
        if place not in self._reported:
            self._reported.add(place)
            with suppress(BaseException):  # a log handler of the user's may be what raised
                log.error("%s: %s", self._name, detail, exc_info=exc)
        return detail


def _normalize_result(result: object) -> ProbeResult:
    if not isinstance(result, ProbeResult):
        raise TypeError(f"check() returned {type(result).__name__}, not ProbeResult")
    return replace(
        result,
        ok=bool(result.ok),
        latency_ms=finite_or_none(result.latency_ms),
        detail=one_line(str(result.detail or "")),
        phase=result.phase if result.phase in PHASES else None if result.ok else "check",
        trace=result.trace if isinstance(result.trace, Trace) else None,
    )


def finite_or_none(value: object) -> float | None:
    """A finite number; None for anything else, which JSON can't say."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return value
    return None
