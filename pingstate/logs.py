"""How log lines look: text for people, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TextIO

from pingstate.output import Output, create_stream
from pingstate.queued_output import create_queued_output, describe_loss
from pingstate.settings import Settings

_FIELDS = ("probe", "old_state", "new_state", "phase", "detail", "latency_ms")


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")


class _JSONFormatter(_TextFormatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: getattr(record, name) for name in _FIELDS if hasattr(record, name)})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def create_formatter(settings: Settings) -> logging.Formatter:
    """The formatter that the settings ask for."""
    return _JSONFormatter() if settings.log_format == "json" else _TextFormatter()


def configure(settings: Settings, *, own_process: bool) -> None:
    """Log to stderr as the settings say; no log call waits for the reader.

    `own_process` says whether pingstate owns this process. Then logging that a probe of the user's
    has set up does not count; in any other process, logging that is set up is left as it is.
    """
    logger = logging.getLogger("pingstate")
    if not (logger.handlers if own_process else logger.hasHandlers()):
        logger.propagate = not own_process
        formatter = create_formatter(settings)
        handler = logging.StreamHandler(_create_stream(formatter))
        handler.setFormatter(formatter)
        logger.addHandler(handler)
        logger.setLevel(settings.log_level.upper())
        # It warns of each answer whose headers it can't read, and quotes the whole URL.
        logging.getLogger("urllib3").setLevel(logging.ERROR)


def _create_stream(formatter: logging.Formatter) -> TextIO:
    """A stream over stderr that no reader can stall; where the user replaced stderr, theirs."""
    if sys.stderr is not sys.__stderr__ and not isinstance(sys.stderr.buffer, Output):
        return sys.stderr
    output = create_queued_output(2)
    output.format_loss = lambda lines: _format_loss(formatter, lines)
    return create_stream(output, sys.stderr)


def _format_loss(formatter: logging.Formatter, lines: int) -> str:
    record = logging.LogRecord(
        "pingstate", logging.WARNING, "", 0, "%s", (describe_loss(lines),), None
    )
    return f"{formatter.format(record)}\n"
