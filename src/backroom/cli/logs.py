"""Log lines of our processes: text for people, or one JSON object a line for machines.

Whatever logs inside a run, the author's own `logging.info` included, carries the run: a filter on
the handler reads the context variable that tells where the code stands. As fields in JSON, as a
short suffix in text:

    12:30:05 INFO    shop.jobs: charged 40 EUR  [fulfil 0197…c3 attempt 2 step charge#1]
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

__all__ = ["RunFilter", "configure"]

FIELDS = ("run_id", "flow", "attempt", "step", "tries")
# What a LogRecord has by itself; anything else was given with `extra=`.
OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", *FIELDS}


class RunFilter(logging.Filter):
    """Adds run_id, flow, attempt, step and tries to every record that is made inside a run.

    Put it on a handler of your own to have them in your own format.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        # A process that performs nothing, the supervisor, never loads what performing needs.
        scopes = sys.modules.get("backroom.flows.scope")
        scope = scopes.current.get() if scopes is not None else None
        if scope is not None:
            run = scope.context.run
            record.run_id = run.id
            record.flow = run.flow
            record.attempt = run.attempt
            if isinstance(scope, scopes.StepScope):  # type: ignore[union-attr]  # it is loaded
                record.step = scope.address
                record.tries = scope.tries
        return True


class TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record)
        run_id = getattr(record, "run_id", None)
        if run_id is None or run_id in record.message:
            return text
        place = f"{record.flow} {run_id} attempt {record.attempt}"  # type: ignore[attr-defined]
        step = getattr(record, "step", None)
        return f"{text}  [{place} step {step}]" if step else f"{text}  [{place}]"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = time.gmtime(record.created)
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', at)}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        line["pid"] = record.process
        line |= {name: value for name, value in vars(record).items() if name not in OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(log_format: str = "text", level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send the process's logs to standard error, unless the application has set up its own."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(RunFilter())
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
    else:  # the application's own handlers; ours stay out, the run's fields go in
        for own in root.handlers:
            if not any(isinstance(found, RunFilter) for found in own.filters):
                own.addFilter(RunFilter())
    root.setLevel(min(root.level or logging.CRITICAL, logging.getLevelName(level)))
