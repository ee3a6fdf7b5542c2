"""Structured logs on standard error, one line for each event."""

import logging
import os
import sys

import structlog


def configure_logs() -> None:
    """JSON lines; with CASCADE_LOG=console, lines for people.  CASCADE_LOG_LEVEL, default INFO."""
    level = logging.getLevelName(os.environ.get("CASCADE_LOG_LEVEL", "INFO").upper())
    console = os.environ.get("CASCADE_LOG") == "console"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            level if isinstance(level, int) else logging.INFO
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
