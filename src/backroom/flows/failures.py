"""Errors as they are kept: JSON text with kind, message and traceback, cut to size."""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from typing import Any, TypeVar

from backroom.records import limits
from backroom.records.errors import (
    CodeMismatch,
    ProcessDied,
    RunCancelled,
    RunFailed,
    StepFailed,
    UnfitEvent,
    kind_of,
)
from backroom.records.runs import RunRow, StepRow
from backroom.records.states import State

__all__ = ["as_json", "behind", "beside", "ended_badly", "failed_step", "kept_at", "passed", "read"]

E = TypeVar("E", bound=BaseException)


def as_json(error: BaseException, failed: Sequence[str] | None = None) -> str:
    """`failed`: the addresses of the failures that made a run fail, where that is known."""
    trace = "".join(traceback.format_exception(error))
    kept: dict[str, Any] = {
        "kind": kind_of(type(error)),
        "message": cut(_text(error)),
        "traceback": cut(trace),
    }
    if isinstance(error, ProcessDied):
        kept["deaths"] = error.deaths
    if failed is not None:
        kept["failed"] = list(failed)
    if isinstance(error, CodeMismatch | UnfitEvent):
        kept |= {"address": error.address, "what": error.what}
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
    failed = StepFailed(row.name, error["kind"], error["message"], row.tries)
    return kept_at(failed, row.address)


def kept_at(error: E, address: str) -> E:
    """Note where the failure is kept that an error tells of."""
    vars(error)["_kept_at"] = address
    return error


def beside(error: BaseException, others: Sequence[BaseException]) -> None:
    """Note errors that nobody will see, since this one is raised for all of them."""
    vars(error)["_beside"] = others


def passed(error: BaseException, address: str) -> None:
    """Note where a block was left by this error, which is to be entered anew if it is tried
    again."""
    vars(error).setdefault("_passed", []).append(address)


def behind(error: BaseException) -> list[str]:
    """Where the failures are kept that an error comes from.

    A failure that the flow has dealt with isn't among them: it is a result like any other, and
    trying it again could lead the flow down another path than the one it has gone.
    """
    found: dict[str, None] = {}
    seen: set[int] = set()
    left: list[BaseException] = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        left.extend(vars(one).get("_beside", ()))
        found.update(dict.fromkeys(vars(one).get("_passed", ())))
        if isinstance(one, BaseExceptionGroup):
            left.extend(one.exceptions)
        address = vars(one).get("_kept_at")
        if address is not None:
            found[address] = None  # whatever was being handled when it was raised is no cause
        elif one.__cause__ is not None:
            left.append(one.__cause__)
        elif one.__context__ is not None and not one.__suppress_context__:
            left.append(one.__context__)
    return list(found)


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
