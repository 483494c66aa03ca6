"""Undo: taking back, in reverse order, what the steps of a failed run have done.

    step charge      ┌ register its undo, with its arguments   (one commit)
                     └ call it, keep its result                (the next)
    the flow fails   ┌ keep why: from now on the run only goes backwards
                     ├ undo ship, undo charge …                each kept, retried, never cancelled
                     └ end as failed (or cancelled)

Registered before, because of the moment in between: a step that was killed while it ran may have
charged the card or not. Its undo is called too, with None for the result, and must accept that the
step never happened.

Nothing is undone while the body of a step with an undo may still be at work: a thread can't be
stopped, and what it does after its undo would stay.

An undo that keeps failing stops the run in needs_attention, with the list of what is still open;
the ones before it wait, since the order is part of the promise. When a person retries the run it
goes on with the failed undo, and what a person has undone by hand is passed over
(`flows/recovery.py`).

This module knows the order and the bookkeeping; that an undo is retried and kept like any step
comes from `flows/replay.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from backroom.flows.failures import cut, read
from backroom.flows.signature import Signature
from backroom.records.errors import InvalidInput
from backroom.records.outcome import Cancelled, Failed, NeedsAttention, Outcome
from backroom.records.runs import StepRow

if TYPE_CHECKING:
    from backroom.flows.context import RunContext
    from backroom.flows.steps import StepSpec
    from backroom.store.verbs import SaveStep

__all__ = [
    "ALTERNATIVE",
    "MARK",
    "done_address",
    "has_undos",
    "in_order",
    "keep_ending",
    "kept_ending",
    "last_number",
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
        "number": next(context.undo_numbers),
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


def last_number(rows: Iterable[StepRow]) -> int:
    """The number of the undo that was registered last; 0: none was."""
    return max((_number(row) for row in rows if row.kind == "undo"), default=0)


def in_order(rows: Iterable[StepRow]) -> list[StepRow]:
    """The registered undos in the order in which they run: last registered, first undone."""
    return sorted((row for row in rows if row.kind == "undo"), key=_number, reverse=True)


def _number(row: StepRow) -> int:
    number: int = json.loads(row.result or "{}").get("number", 0)
    return number


def done_address(step: str) -> str:
    """Where it is kept that a step has been undone."""
    return f"undo {step}:done"


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
    context.begin_undoing()
    if kept_ending(context) is None:
        await keep_ending(context, ending)
    registered = in_order(context.kept.values())
    for place, row in enumerate(registered):
        context.check()
        why = await _undo(context, row)
        if why is not None:
            return _open(registered[place:], why)
    return ending


async def _undo(context: RunContext, row: StepRow) -> str | None:
    """Perform one undo; None, or why it can't be done."""
    from backroom.flows.effects import drive, drive_in_thread, in_own_thread
    from backroom.flows.replay import perform_step
    from backroom.records.errors import StepFailed

    step = row.address.removeprefix("undo ")
    address = done_address(step)
    kept = context.kept.get(address)
    if kept is not None and kept.state == "done":
        return None  # by us, or by a person
    spec = _spec_of(row)
    if spec is None or spec.undo is None:
        return f"this program has no step {row.name} with an undo"
    done = context.kept.get(step)
    outcome = None
    try:
        given = spec.signature.input.decode(json.loads(row.result or "{}")["input"])
        arguments = [
            given[name] if name in given else _default(parameter)
            for name, parameter in spec.signature.parameters.items()
        ]
        if done is not None and done.state == "done":
            outcome = spec.codec.decode(done.result or "null")
    except Exception as error:  # an author's validator may raise anything
        return f"its arguments or result can't be read any more: {error}"
    call = partial(spec.undo, *arguments, outcome)
    is_async = inspect.iscoroutinefunction(spec.undo)
    taking_back = replace(
        spec,
        name=f"undo {spec.name}",
        function=_coroutine(call) if is_async else _plain(call),
        signature=_NOTHING,
        retry=spec.undo_retry,
        otherwise=None,
        transaction=False,
        executor=None,
        undo=None,
        check_input=False,
    )
    protocol = perform_step(context, taking_back, address, (), {})
    try:
        if is_async:
            await drive(context, protocol)
        else:
            task, context.task = context.task, None  # the thread leaves by itself
            try:
                await in_own_thread(
                    context.desk.world,
                    lambda: drive_in_thread(context, protocol),
                    taking_back.name,
                )
            finally:
                context.task = task
    except StepFailed as error:
        return f"{error.kind}: {error.message}"
    return None


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.default is inspect.Parameter.empty:
        raise InvalidInput(f"the step has got a parameter {parameter.name} since")
    return parameter.default


def _nothing() -> None: ...


_NOTHING = Signature(_nothing, "undo", {})
"""What an undo returns is dropped."""


def _coroutine(call: Callable[[], Any]) -> Callable[[], Any]:
    async def undo() -> None:
        await call()

    return undo


def _plain(call: Callable[[], Any]) -> Callable[[], Any]:
    def undo() -> None:
        value = call()
        if inspect.iscoroutine(value):  # of a step that serves as an undo, say
            asyncio.run(value)

    return undo


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
    still = [row.address.removeprefix("undo ") for row in rows]
    return NeedsAttention(
        json.dumps(
            {
                "kind": "UndoFailed",
                "message": cut(
                    f"Undoing {still[0]} failed ({why}). Not undone yet, in this order: "
                    f"{', '.join(still)}. Mend the cause and retry the run, and it goes on with "
                    "this undo; or undo it by hand and say so with `backroom undone`."
                ),
                "open": still,
            },
            ensure_ascii=False,
        )
    )
