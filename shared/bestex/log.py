"""Structured logs: one JSON object a line on stdout, times in UTC. No line holds a key that the process has read:
neither ours, nor a library's, nor a traceback that ends it."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from types import TracebackType
from typing import Any

import structlog

from bestex.keys import hide

ENV_LEVEL = "BESTEX_LOG_LEVEL"


def configure(service: str) -> structlog.stdlib.BoundLogger:
    """Call once per process, from its composition root."""
    level = logging.getLevelNamesMapping().get(os.environ.get(ENV_LEVEL, "INFO").upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            _hidden,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    others = logging.StreamHandler()  # libraries', asyncio's among them, to stderr
    others.setFormatter(_Hiding())
    others.setLevel(logging.WARNING)
    logging.getLogger().handlers[:] = [others]
    sys.excepthook = _last_words
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(service=service)
    return logger


def _hidden(_logger: Any, _method: str, line: Any) -> str:
    return hide(str(line))


class _Hiding(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return hide(super().format(record))


def _last_words(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """What Python says of an exception that nobody caught."""
    print(hide("".join(traceback.format_exception(kind, error, where))), file=sys.stderr, end="", flush=True)
