"""Structured logs: one JSON object a line on stdout, times in UTC."""

from __future__ import annotations

import logging
import os
import sys

import structlog

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
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(service=service)
    return logger
