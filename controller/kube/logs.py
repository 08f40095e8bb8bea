"""Log lines as JSON objects, one a line, for machines that collect them."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

FIELDS = frozenset({"search", "namespace", "reason", "seconds"})


class JsonFormatter(logging.Formatter):
    """Writes time, level, logger, message and the fields in ``FIELDS`` given as ``extra``; never anything else."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: getattr(record, name) for name in sorted(FIELDS) if hasattr(record, name)}
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


def set_up_logs(level: str) -> None:
    """Send all log lines to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("kopf").setLevel(max(logging.WARNING, root.level))
    # It runs in a thread on purpose, and says at each start that it gets no signals there.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    logging.getLogger("aiohttp").setLevel(max(logging.WARNING, root.level))
