"""Errors as they are kept: JSON text with kind, message and traceback, cut to size."""

from __future__ import annotations

import json
import traceback
from typing import Any

from backroom.records import limits
from backroom.records.errors import ProcessDied, RunCancelled, RunFailed, StepFailed, kind_of
from backroom.records.runs import RunRow, StepRow
from backroom.records.states import State

__all__ = ["as_json", "ended_badly", "failed_step", "read"]


def as_json(error: BaseException) -> str:
    trace = "".join(traceback.format_exception(error))
    kept: dict[str, Any] = {
        "kind": kind_of(type(error)),
        "message": cut(_text(error)),
        "traceback": cut(trace),
    }
    if isinstance(error, ProcessDied):
        kept["deaths"] = error.deaths
    return json.dumps(kept)


def read(text: str | None) -> dict[str, Any]:
    """The kept error; never raises, whatever somebody may have put there."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = {}
    error = found if isinstance(found, dict) else {}
    return {"kind": "Error", "message": "", "traceback": ""} | error


def failed_step(row: StepRow) -> StepFailed:
    error = read(row.error)
    return StepFailed(row.name, error["kind"], error["message"], row.tries)


def ended_badly(run: RunRow) -> RunFailed | RunCancelled:
    """What `result()` raises for a run that failed or was cancelled."""
    error = read(run.error)
    if run.state is State.CANCELLED:
        return RunCancelled(run.id, error["message"] or run.cancel_reason or "")
    return RunFailed(run.id, error["kind"], error["message"])


def cut(text: str, chars: int = limits.ERROR_CHARS) -> str:
    """The beginning and the end of a long text: a traceback tells most in its last lines."""
    text = text.encode("utf-8", "replace").decode("utf-8", "replace")
    if len(text) <= chars:
        return text
    head = chars // 4
    return f"{text[:head]}\n… {len(text) - chars:,} characters left out …\n{text[head - chars :]}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an author's __str__ may do anything
        return f"<{type(error).__name__} whose text can't be made>"
