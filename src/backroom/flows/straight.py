"""The straight path of a step: nothing is kept, the call succeeds, its result is kept.

Most calls of `async def` steps go like this, and driving `perform_step` (`flows/replay.py`) through
it takes a third longer. Nothing is decided here: as soon as a call goes otherwise, the protocol is
begun, told what became of the call that it asks for first, and driven from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backroom.flows.context import RunContext
from backroom.flows.effects import Save, drive
from backroom.flows.replay import perform_step
from backroom.flows.scope import FlowScope, here
from backroom.records.errors import Refused
from backroom.records.runs import StepRow

if TYPE_CHECKING:
    from backroom.flows.steps import StepSpec

__all__ = ["perform_straight"]


async def perform_straight(
    context: RunContext,
    scope: FlowScope,
    spec: StepSpec,
    address: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if not may_be_straight(context, scope, spec, address):
        return await drive(context, perform_step(context, spec, address, args, kwargs))
    fingerprint = spec.fingerprint(args, kwargs)
    began = context.clock()
    try:
        value = await spec.invoke(spec.function, args, kwargs, address, 1).run(context)
    except Exception as error:
        protocol = perform_step(context, spec, address, args, kwargs, began=began)
        next(protocol)
        return await drive(context, protocol, protocol.throw(error))
    try:
        result = spec.codec.encode(value)
    except Refused:
        protocol = perform_step(context, spec, address, args, kwargs, began=began)
        next(protocol)
        return await drive(context, protocol, protocol.send(value))
    row = StepRow(
        address, spec.name, "step", "done", result, None, fingerprint, 1, began, context.clock()
    )
    await Save(context.saving(row)).run(context)
    return value


def may_be_straight(context: RunContext, scope: FlowScope, spec: StepSpec, address: str) -> bool:
    """Whether the first thing to do is to call the body, here."""
    return (
        address not in context.kept
        and spec.undo is None
        and spec.executor is None
        and not spec.transaction
        and spec.breaker is None
        and scope.owner is here()  # in a task of the author's own it is a leaf, which drive counts
    )
