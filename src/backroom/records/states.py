"""The states of a run. Which may follow which is decided in `rules/lifecycle.py`."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FINAL", "State"]


class State(StrEnum):
    """Where a run stands. The words are those of the glossary."""

    SCHEDULED = "scheduled"  # to be claimed at a later time: a delay, a retry
    READY = "ready"  # a worker may claim it now
    RUNNING = "running"  # a worker holds it, under one attempt number
    WAITING = "waiting"  # suspended for a time, an event or a child; held by nobody
    NEEDS_ATTENTION = (
        "needs_attention"  # a person has to decide: poison, or code that no longer fits
    )
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
