"""The life of a run as one table. The diagram in docs/concepts.md is generated from it.

The statements in the stores carry these transitions out; this table is what they are tested
against, and what decides whether a person's action makes sense in a given state.
"""

from __future__ import annotations

from dataclasses import dataclass

from backroom.records.states import State

__all__ = ["TRANSITIONS", "Transition", "after", "diagram"]

S = State


@dataclass(frozen=True, slots=True)
class Transition:
    """From one state to another, by one verb. `before` None: the run doesn't exist yet."""

    before: State | None
    by: str
    after: State


TRANSITIONS: tuple[Transition, ...] = (
    Transition(None, "start", S.READY),
    Transition(None, "start later", S.SCHEDULED),
    Transition(S.READY, "claim", S.RUNNING),
    Transition(S.SCHEDULED, "claim, when due", S.RUNNING),
    Transition(S.WAITING, "claim, when due", S.RUNNING),
    Transition(S.WAITING, "event, child's end", S.READY),
    Transition(S.READY, "reschedule", S.SCHEDULED),
    Transition(S.SCHEDULED, "reschedule", S.READY),
    Transition(S.RUNNING, "park", S.WAITING),
    Transition(S.RUNNING, "park, already there", S.READY),
    Transition(S.RUNNING, "hand back, rescue", S.READY),
    Transition(S.RUNNING, "retry of the flow", S.SCHEDULED),
    Transition(S.RUNNING, "return", S.SUCCEEDED),
    Transition(S.RUNNING, "raise", S.FAILED),
    Transition(S.RUNNING, "cancel", S.CANCELLED),
    Transition(S.RUNNING, "poison, code mismatch, failed undo", S.NEEDS_ATTENTION),
    Transition(S.READY, "cancel", S.CANCELLED),
    Transition(S.SCHEDULED, "cancel", S.CANCELLED),
    Transition(S.WAITING, "cancel", S.CANCELLED),
    Transition(S.NEEDS_ATTENTION, "cancel", S.CANCELLED),
    Transition(S.NEEDS_ATTENTION, "retry by a person", S.READY),
    Transition(S.FAILED, "retry by a person", S.READY),
    Transition(S.CANCELLED, "retry by a person", S.READY),
    Transition(S.SUCCEEDED, "rewind by a person", S.READY),
)


def after(before: State | None) -> frozenset[State]:
    """The states that may follow `before`."""
    return frozenset(t.after for t in TRANSITIONS if t.before is before)


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for t in TRANSITIONS:
        lines.append(f"    {t.before or '[*]'} --> {t.after}: {t.by}")
    lines += [f"    {s} --> [*]" for s in (S.SUCCEEDED, S.FAILED, S.CANCELLED)]
    return "\n".join(lines)
