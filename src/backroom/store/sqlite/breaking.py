"""Probe, CloseBreaker, and what checkpoints tell of calls of outside services.

no row                nothing failed lately; nobody writes here
failures              so many calls in a row have failed
open_until            enough of them: nobody calls before
probe, probe_until    after that one call is made to try, and others wait for its end
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from backroom.store.sqlite.fence import Fence, held_only
from backroom.store.sqlite.transaction import Transaction, sql
from backroom.store.verbs import CloseBreaker, Probe, Probed, SaveStep

__all__ = ["close_breaker", "count", "probe"]

STEP_COUNTED = sql("step_counted")
BREAKER = sql("breaker")
SAVE_BREAKER = sql("save_breaker")
TAKE_PROBE = sql("take_probe")
CLOSE_BREAKER = sql("close_breaker")
WAKE_FOR_BREAKER = sql("wake_for_breaker")


class Stands(NamedTuple):
    failures: int
    open_until: int | None
    probe_until: int | None
    probe: str | None


NEVER_FAILED = Stands(0, None, None, None)


def stands(tx: Transaction, name: str) -> Stands:
    row = tx.one(BREAKER, (name,))
    return NEVER_FAILED if row is None else Stands(*row)


def count(tx: Transaction, verbs: Sequence[SaveStep]) -> None:
    """What these checkpoints' calls say of their services; each once, also if it is repeated."""
    for verb in dict.fromkeys(verbs):
        s = verb.step
        if tx.one(STEP_COUNTED, (verb.run_id, s.address, verb.attempt, s.tries, s.state)) is None:
            judge(tx, verb)


def judge(tx: Transaction, verb: SaveStep) -> None:
    me = f"{verb.run_id}/{verb.step.address}"
    if (strike := verb.strike) is not None:
        found = stands(tx, strike.name)
        if found.open_until is not None and found.probe != me:
            return  # it began before
        failures = found.failures + 1
        opens = failures >= strike.failures or found.open_until is not None
        until = tx.now + strike.pause_us if opens else None
        tx.run(SAVE_BREAKER, (strike.name, failures, tx.now, until, strike.error))
    if (name := verb.mends) is not None:
        found = stands(tx, name)
        if found.open_until is None or found.probe == me:
            close_breaker(tx, CloseBreaker(name))


def probe(
    tx: Transaction,
    fence: Fence,
    verbs: Sequence[tuple[int, Probe]],
    answers: list[object],
) -> None:
    for place, verb in held_only(fence, verbs, answers):
        answers[place] = ask(tx, verb)


def ask(tx: Transaction, verb: Probe) -> Probed:
    me = f"{verb.run_id}/{verb.address}"
    found = stands(tx, verb.name)
    if found.open_until is None:
        return Probed(go=True)
    if found.open_until > tx.now:
        return Probed(go=False, until=found.open_until)
    if found.probe_until is not None and found.probe_until > tx.now and found.probe != me:
        return Probed(go=False, until=found.probe_until)
    tx.run(TAKE_PROBE, (me, tx.now + verb.lease_us, verb.name))
    return Probed(go=True)


def close_breaker(tx: Transaction, verb: CloseBreaker) -> bool:
    if not tx.run(CLOSE_BREAKER, (verb.name,)):
        return False
    tx.run(WAKE_FOR_BREAKER, (tx.now, verb.name))
    return True
