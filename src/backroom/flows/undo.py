"""Undo: taking back, in reverse order, what the steps of a failed run have done.

    step charge      ┌ register its undo, with its arguments   (one commit)
                     └ call it, keep its result                (the next)
    the flow fails   ┌ keep why: from now on the run only goes backwards
                     ├ undo ship, undo charge …                each kept, retried, never cancelled
                     └ end as failed (or cancelled)

Registered before, because of the moment in between: a step that was killed while it ran may have
charged the card or not. Its undo is called too, with None for the result, and must accept that the
step never happened.

An undo that keeps failing stops the run in needs_attention, with the list of what is still open;
the ones before it wait, since the order is part of the promise. When a person retries the run it
goes on with the failed undo.

This module knows the order and the bookkeeping; that an undo is retried and kept like any step
comes
from `flows/replay.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backroom.flows.failures import read
from backroom.flows.signature import Signature
from backroom.records.outcome import Cancelled, Failed, NeedsAttention, Outcome
from backroom.records.runs import StepRow

if TYPE_CHECKING:
    from backroom.flows.context import RunContext
    from backroom.flows.steps import StepSpec
    from backroom.store.verbs import SaveStep

__all__ = [
    "ALTERNATIVE",
    "has_undos",
    "keep_ending",
    "kept_ending",
    "register_undo",
    "roll_back",
    "undoable",
]

MARK = "rollback"
"""The address that says: the flow has ended badly, and isn't called again."""
ALTERNATIVE = "otherwise"
"""The address that says that the flow's alternative has begun, or how it has ended badly."""

_SPECS: dict[str, dict[str, StepSpec]] = {}
"""Steps with an undo: by name, then by where they were defined. A run that is undone after a
restart doesn't run its flow again, so its steps are found here."""


def undoable(spec: StepSpec) -> None:
    """Remember a step that has an undo."""
    for name in (spec.name, *spec.aliases):
        _SPECS.setdefault(name, {})[_origin(spec)] = spec


def _origin(spec: StepSpec) -> str:
    return f"{spec.function.__module__}:{spec.function.__qualname__}"


def _spec_of(row: StepRow) -> StepSpec | None:
    """The step as the code has it now; one that has moved is known by its name if only one has
    it."""
    found = _SPECS.get(row.name, {})
    origin = json.loads(row.result or "{}").get("origin", "")
    if origin in found:
        return found[origin]
    return next(iter(found.values())) if len(found) == 1 else None


def register_undo(
    context: RunContext,
    spec: StepSpec,
    address: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> SaveStep:
    """The verb that registers a step's undo with the step's arguments."""
    now = context.clock()
    kept = {
        "origin": _origin(spec),
        "number": 1 + sum(row.kind == "undo" for row in context.kept.values()),
        "input": spec.signature.encode(args, kwargs),
    }
    row = StepRow(
        f"undo {address}",
        spec.name,
        "undo",
        "done",
        json.dumps(kept, ensure_ascii=False),
        started_at=now,
        finished_at=now,
    )
    return context.saving(row)


def has_undos(context: RunContext) -> bool:
    return any(row.kind == "undo" for row in context.kept.values())


def kept_ending(context: RunContext, of: str = MARK) -> Failed | Cancelled | None:
    """How the flow (or its alternative) has ended badly, if it has, in this or another attempt."""
    row = context.kept.get(of)
    if row is None or row.name == "begun":
        return None
    if row.name == "cancelled":
        return Cancelled(read(row.error)["message"])
    return Failed(row.error or "{}")


async def roll_back(context: RunContext, ending: Failed | Cancelled) -> Outcome:
    """Undo everything, last first; how the run ends then."""
    from backroom.flows.effects import drive
    from backroom.flows.replay import perform_step
    from backroom.records.errors import StepFailed

    context.begin_undoing()
    if kept_ending(context) is None:
        await keep_ending(context, ending)
    registered = [row for row in context.kept.values() if row.kind == "undo"]
    registered.sort(key=lambda row: json.loads(row.result or "{}").get("number", 0), reverse=True)
    for place, row in enumerate(registered):
        context.check()
        spec = _spec_of(row)
        if spec is None:
            return _open(registered[place:], f"this program has no step {row.name} with an undo")
        arguments = spec.signature.decode(json.loads(row.result or "{}")["input"])
        done = context.kept.get(row.address.removeprefix("undo "))
        outcome = None
        if done is not None and done.state == "done":
            outcome = spec.codec.decode(done.result or "null")
        call = _in_any_colour(spec.undo, list(arguments.values()), outcome)
        taking_back = replace(
            spec,
            name=f"undo {spec.name}",
            function=call,
            signature=Signature(call, f"undo {spec.name}", {}),
            retry=spec.undo_retry,
            otherwise=None,
            transaction=False,
            executor=None,
            undo=None,
            check_input=False,
        )
        protocol = perform_step(context, taking_back, f"{row.address}:done", (), {})
        try:
            await drive(context, protocol)
        except StepFailed as error:
            return _open(registered[place:], f"{error.kind}: {error.message}")
    return ending


def _in_any_colour(
    undo: Callable[..., Any] | None, arguments: list[Any], outcome: Any
) -> Callable[[], Any]:
    """The author's undo as a coroutine function without arguments; what it returns is dropped."""
    assert undo is not None

    async def call() -> None:
        if inspect.iscoroutinefunction(undo):
            await undo(*arguments, outcome)
        else:
            await asyncio.to_thread(undo, *arguments, outcome)

    return call


async def keep_ending(
    context: RunContext, ending: Failed | Cancelled, of: str = MARK, *, begins: bool = False
) -> None:
    """Keep how the flow (or its alternative) has ended. `begins`: that the alternative begins."""
    from backroom.flows.effects import Save

    row = _mark(context, ending, of)
    await Save(context.saving(replace(row, name="begun") if begins else row)).run(context)


def _mark(context: RunContext, ending: Failed | Cancelled, of: str) -> StepRow:
    now = context.clock()
    cancelled = isinstance(ending, Cancelled)
    error = (
        json.dumps({"kind": "Cancelled", "message": ending.reason}, ensure_ascii=False)
        if isinstance(ending, Cancelled)
        else ending.error
    )
    name = "cancelled" if cancelled else "failed"
    return StepRow(of, name, "rollback", "done", None, error, started_at=now, finished_at=now)


def _open(rows: list[StepRow], why: str) -> NeedsAttention:
    """An undo has failed for good: a person has to look."""
    still = ", ".join(row.address.removeprefix("undo ") for row in rows)
    return NeedsAttention(
        json.dumps(
            {
                "kind": "UndoFailed",
                "message": f"Undoing {rows[0].address.removeprefix('undo ')} failed ({why}). Not "
                f"undone yet, in this order: {still}. Mend the cause, then retry the run: it goes "
                "on with this undo.",
                "open": [row.address.removeprefix("undo ") for row in rows],
            },
            ensure_ascii=False,
        )
    )
