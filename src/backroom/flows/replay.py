"""How a step and a wait go, told once for both colours.

    a step   kept? ──yes──▶ same input? ──▶ its result, or its failure again
               │no
               ▼
   undo? register it first
               │
             call it ──▶ ok ──▶ keep, commit, go on (in one transaction with its own SQL,
                     │           if it is a transaction step)
                     └─▶ error ─▶ another try? ──▶ keep the try, wait its backoff, call again
                                └─▶ none left ──▶ the alternative path, or keep the failure and
                                raise

    a wait   kept? ──yes──▶ its value
               │no
               ▼
             there already? ──▶ keep what came (an event is consumed in the same commit), go on
               │no  (an event that doesn't fit is kept beside the wait, and the next one looked at)
               ▼
             block; look again

These are generators of effects; `flows/effects.py` drives them. A result is handed on only after
its commit: what a later step does to the world rests on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from backroom.flows.context import Blocked, RunContext
from backroom.flows.effects import Ask, Block, Effect, InTransaction, Protocol_, Save
from backroom.flows.elsewhere import InvokeElsewhere
from backroom.flows.failures import as_json, failed_step, kept_at, read
from backroom.flows.undo import register_undo
from backroom.records import limits
from backroom.records.errors import (
    InvalidInput,
    ProcessDied,
    Refused,
    TransactionEnded,
    kind_of,
)
from backroom.records.runs import StepRow, WaitRow
from backroom.rules.retry import delay_us
from backroom.store.verbs import Probe, Probed, Strike

if TYPE_CHECKING:
    from backroom.flows.steps import StepSpec
    from backroom.flows.waits import Wait

__all__ = ["kept_row", "one_at_a_time", "perform_step", "perform_wait"]

log = logging.getLogger("backroom")


def kept_row(context: RunContext, address: str, kind: str) -> StepRow | None:
    """What is kept at an address, provided it is of that kind."""
    context.ahead.discard(address)
    row = context.kept.get(address)
    if row is not None and row.kind != kind:
        context.mismatch(address, f"a {row.kind} is kept there, the code asks for a {kind}")
    return row


def perform_step(
    context: RunContext,
    spec: StepSpec,
    address: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    began: int | None = None,
) -> Protocol_[Any]:
    """`began`: when the first call began, if that has been made already (`flows/straight.py`)."""
    protocol = _perform_step(context, spec, address, args, kwargs, began)
    return protocol if spec.undo is None else _at_work(context, protocol)


def _at_work(context: RunContext, protocol: Protocol_[Any]) -> Protocol_[Any]:
    """A step with an undo: nothing is undone before it has come to rest."""
    with context.at_work():
        return (yield from protocol)


def _perform_step(
    context: RunContext,
    spec: StepSpec,
    address: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    began: int | None,
) -> Protocol_[Any]:
    fingerprint = spec.fingerprint(args, kwargs)
    row = kept_row(context, address, "step")
    if row is not None:
        if row.fingerprint != fingerprint and row.fingerprint and fingerprint:
            context.mismatch(
                address,
                "it was made from other arguments than the step now gets. If they may differ "
                "between replays (a time, a random number), make them in a step of their own, or "
                "say check_input=False",
            )
        if row.state == "done":
            return _decoded(context, spec.codec.decode, row.result, address)
        if row.state == "failed":
            raise failed_step(row)
        if row.tries:  # a failed try is kept: its backoff goes on where it was
            yield from _pause(context, spec.name, address, row.tries, delay_us=0)

    elif spec.undo is not None:
        yield Save(register_undo(context, spec, address, args, kwargs))

    tries = row.tries if row is not None else 0
    deaths = read(row.error).get("deaths", 0) if row is not None else 0
    while True:
        tries += 1
        if began is None or tries > 1:
            began = context.clock()

        def row_of(state: str, result: str | None, error: str | None) -> StepRow:
            return StepRow(
                address, spec.name, "step", state, result, error, fingerprint,
                tries, began, context.clock(),  # noqa: B023  called within this round of the loop
            )  # fmt: skip

        def record(state: str, result: str | None, error: str | None) -> Save:
            verdict = verdict_on(spec, failed, mends=mends)  # noqa: B023
            return Save(context.saving(row_of(state, result, error), **verdict))

        def call(function: Callable[..., Any]) -> Effect:
            invoke = spec.invoke(function, args, kwargs, address, tries)  # noqa: B023  likewise
            if spec.executor is not None and function is spec.function:
                return InvokeElsewhere(invoke, spec.executor, deaths)  # noqa: B023
            if not spec.transaction:
                return invoke
            return InTransaction(
                invoke,
                lambda value: row_of("done", spec.codec.encode(value), None),  # noqa: B023
            )

        mends = spec.breaker is not None and (yield from _admitted(context, spec, address))
        failed: Exception | None = None
        try:
            value = yield call(spec.function)
        except Exception as error:
            failed = error
            deaths = deaths + 1 if isinstance(error, ProcessDied) else 0
            if isinstance(error, ProcessDied):
                error.deaths = deaths
            if may_retry(spec, error, tries, deaths):
                yield record("trying", None, as_json(error))
                pause = delay_us(spec.retry, tries, context.desk.world.chance())
                yield from _pause(context, spec.name, address, tries, delay_us=pause)
                continue
            failure: Exception = error
            if spec.otherwise is not None:
                try:
                    value = yield call(spec.otherwise)
                    if spec.transaction:
                        return value
                    result = spec.codec.encode(value)
                except Exception as second:
                    failure = second
                else:
                    yield record("done", result, None)
                    return value
            yield record("failed", None, as_json(failure))
            raise failed_step(context.kept[address]) from failure
        if spec.transaction:
            return value  # kept already, in the transaction
        try:
            result = spec.codec.encode(value)
        except Refused as error:
            # The work is done and can't be kept; doing it again would only do it twice.
            yield record("failed", None, as_json(error))
            raise failed_step(context.kept[address]) from error
        yield record("done", result, None)
        return value


def verdict_on(spec: StepSpec, failed: Exception | None, *, mends: bool) -> dict[str, Any]:
    """What the checkpoint of a call tells its breaker: nothing, if all was well and is."""
    breaker = spec.breaker
    if breaker is None:
        return {}
    if failed is not None and breaker.counts(failed):
        kind = kind_of(type(failed))
        return {"strike": Strike(breaker.name, breaker.failures, breaker.pause_us, kind)}
    return {"mends": breaker.name} if mends else {}


def _admitted(context: RunContext, spec: StepSpec, address: str) -> Protocol_[bool]:
    """Wait until the breaker lets this call through; whether it has failures to forget then, if
    all goes well. Looks, and writes nothing, as long as the breaker isn't open.
    """
    breaker = spec.breaker
    assert breaker is not None
    run = context.run
    while True:
        found = yield Ask(lambda reader: reader.breakers(breaker.name))
        if not found or found[0].open_until is None:
            return bool(found)
        lease_us = max(breaker.pause_us, round((spec.timeout or 0) * 1_000_000))
        answer: Probed = yield Save(Probe(run.id, run.attempt, breaker.name, address, lease_us))
        if answer.go:
            return True
        row = WaitRow(
            f"{address}:breaker{answer.until}", "breaker", breaker.name, None, answer.until
        )
        row = context.waits.get(row.address, row)
        while not context.is_due(row.address):
            yield Block(partial(Blocked, (row,), partial(context.is_due, row.address)))


def one_at_a_time(
    context: RunContext, name: str, address: str, protocol: Protocol_[Any]
) -> Protocol_[Any]:
    """Two calls with one key at once would both do the work, which is to be done once."""
    if address in context.calling:
        raise Refused(
            f"Step {name} is being called with this very key already. Await the first call, or "
            "give the calls different keys."
        )
    context.calling.add(address)
    try:
        return (yield from protocol)
    finally:
        context.calling.discard(address)


def may_retry(spec: StepSpec, error: Exception, tries: int, deaths: int) -> bool:
    """Whatever its retries say, a step isn't tried again once it has killed so many processes."""
    return (
        spec.retry.allows(error, tries)
        and not isinstance(error, TransactionEnded)
        and deaths < limits.DEATHS
    )


def _pause(
    context: RunContext, name: str, address: str, tries: int, *, delay_us: int
) -> Protocol_[None]:
    """A backoff that survives parking. Each has a row of its own, kept with the time it ends at."""
    context.stay_for(address)
    row = WaitRow(f"{address}:retry{tries}", "retry", name, delay_us=delay_us)
    while not context.is_due(row.address):
        kept = context.waits.get(row.address, row)
        yield Block(partial(Blocked, (kept,), partial(context.is_due, row.address)))


def perform_wait(context: RunContext, wait: Wait[Any]) -> Protocol_[Any]:
    row = kept_row(context, wait.address, wait.kind)
    if row is not None:
        if row.state == "failed":
            raise kept_at(wait.failure(row), wait.address)
        return _decoded(context, wait.decode, row.result, wait.address)
    while True:
        found = wait.look(context)
        refusal = wait.refuses(context, found)
        if refusal is not None:
            context.take(refusal.letter)
            log.warning("run %s goes on waiting: %s", context.run.id, refusal.error)
            yield Save(context.saving(refusal.keeps, consumes=refusal.letter.id))
            continue
        if found is not None:
            break
        rows = wait.rows(context)
        yield Block(partial(Blocked, rows, partial(wait.may_be_over, context)))
    if found.keeps is not None:
        if found.consumes is not None:
            context.take(found.consumes)
        yield Save(
            context.saving(
                found.keeps, consumes=found.consumes.id if found.consumes is not None else None
            )
        )
        if found.keeps.state == "failed":
            raise kept_at(wait.failure(found.keeps), wait.address)
        return _decoded(context, wait.decode, found.keeps.result, wait.address)
    context.passed(wait.address)
    return None


def _decoded(
    context: RunContext, decode: Callable[[str], Any], text: str | None, address: str
) -> Any:
    try:
        return decode(text if text is not None else "null")
    except InvalidInput as error:
        context.mismatch(address, f"its type has changed ({error})")
