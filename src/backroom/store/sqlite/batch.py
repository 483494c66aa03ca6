"""One batch of verbs in one transaction: which kind comes when.

The order is that of `store/verbs.py`. Registering and renewing come first of all, so that a rescue
in the same batch sees the leases that the batch itself prolongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from backroom.store.sqlite.breaking import close_breaker, probe
from backroom.store.sqlite.checkpoints import save_progress, save_steps, save_waits
from backroom.store.sqlite.claims import claim
from backroom.store.sqlite.doors import cancel, emit, reschedule
from backroom.store.sqlite.endings import end_attempts, settle
from backroom.store.sqlite.erasing import erase
from backroom.store.sqlite.fence import fence_of
from backroom.store.sqlite.firing import fire, pause_trigger
from backroom.store.sqlite.holding import lock
from backroom.store.sqlite.parking import park
from backroom.store.sqlite.queues import as_declared, declare, pause, resume
from backroom.store.sqlite.reviving import revive
from backroom.store.sqlite.schedules import (
    decide,
    pause_schedule,
    put_schedule,
    remove_schedule,
    resume_schedule,
    retire_schedules,
)
from backroom.store.sqlite.starts import start_all
from backroom.store.sqlite.sweeping import expire, prune
from backroom.store.sqlite.transaction import Transaction
from backroom.store.sqlite.workers import reconcile, register, renew, rescue, retire
from backroom.store.verbs import (
    Again,
    AsDeclared,
    Attention,
    Cancel,
    Claim,
    CloseBreaker,
    Decide,
    Declare,
    Emit,
    Erase,
    Expire,
    Fire,
    HandBack,
    Lock,
    Park,
    Pause,
    PauseSchedule,
    PauseTrigger,
    Probe,
    Progress,
    Prune,
    PutSchedule,
    Reconcile,
    Register,
    RemoveSchedule,
    Renew,
    Reschedule,
    Rescue,
    Resume,
    ResumeSchedule,
    Retire,
    RetireSchedules,
    Revive,
    SaveStep,
    SaveWaits,
    Settle,
    Start,
    Verb,
)

__all__ = ["perform"]

V = TypeVar("V", bound=Verb)
Placed = list[tuple[int, V]]

OF_ATTEMPTS = (Progress, SaveStep, Lock, Probe, SaveWaits, Settle, Park, Again, HandBack, Attention)
RULING = (Declare, AsDeclared, Pause, Resume)
PLAIN = (
    Register, Renew, *RULING, Start, *OF_ATTEMPTS, Expire, Prune, Erase, Fire, Claim,
)  # fmt: skip
"""Kinds that have their own place in the order; what is left are doors."""

DOORS = (
    Emit, Cancel, Revive, Reschedule, CloseBreaker, PutSchedule, RetireSchedules, RemoveSchedule,
    PauseSchedule, ResumeSchedule, Decide, PauseTrigger, Retire, Rescue, Reconcile,
)  # fmt: skip
"""In this order among themselves."""


def perform(tx: Transaction, verbs: Sequence[Verb]) -> list[object]:
    """Perform the verbs; one answer each, in the order given. The caller commits."""
    answers: list[object] = [None] * len(verbs)
    kinds: dict[type[Verb], Placed[Verb]] = {}
    doors: Placed[Verb] = []
    for placed in enumerate(verbs):
        kind = type(placed[1])
        if kind in kinds:
            kinds[kind].append(placed)
        elif kind in PLAIN:
            kinds[kind] = [placed]
        else:
            doors.append(placed)

    def of(kind: type[V]) -> Placed[V]:
        return cast("Placed[V]", kinds.get(kind, []))

    for _, register_verb in of(Register):
        register(tx, register_verb)
    for place, renew_verb in of(Renew):
        answers[place] = renew(tx, renew_verb)
    if not kinds.keys().isdisjoint(RULING):
        tx.has_full = tx.has_rules = True  # perhaps, from here on
    for _, declare_verb in of(Declare):
        declare(tx, declare_verb)
    for place, lifted in of(AsDeclared):
        answers[place] = as_declared(tx, lifted)
    for _, pause_verb in of(Pause):
        pause(tx, pause_verb)
    for _, resume_verb in of(Resume):
        resume(tx, resume_verb)
    if started := of(Start):
        for (place, _), answer in zip(
            started, start_all(tx, [verb.run for _, verb in started]), strict=True
        ):
            answers[place] = answer
    if len(doors) > 1:
        doors.sort(key=lambda placed: DOORS.index(type(placed[1])))
    for place, verb in doors:
        answers[place] = open_door(tx, verb)
    speaking = [verb for kind in OF_ATTEMPTS for _, verb in of(kind)]
    if speaking:
        fence = fence_of(tx, speaking)
        save_progress(tx, fence, of(Progress), answers)
        save_steps(tx, fence, of(SaveStep), answers)
        lock(tx, fence, of(Lock), answers)
        probe(tx, fence, of(Probe), answers)
        save_waits(tx, fence, of(SaveWaits), answers)
        settle(tx, fence, of(Settle), answers)
        park(tx, fence, of(Park), answers)
        for ending in (Again, HandBack, Attention):
            end_attempts(tx, fence, of(ending), answers)
    for place, expire_verb in of(Expire):
        answers[place] = expire(tx, expire_verb)
    for place, prune_verb in of(Prune):
        answers[place] = prune(tx, prune_verb)
    for place, erase_verb in of(Erase):
        answers[place] = erase(tx, erase_verb)
    for place, fire_verb in of(Fire):
        answers[place] = fire(tx, fire_verb)
    for place, claim_verb in of(Claim):
        answers[place] = claim(tx, claim_verb)
    return answers


def open_door(tx: Transaction, verb: Verb) -> object:
    match verb:
        case Emit():
            return emit(tx, verb)
        case Cancel():
            return cancel(tx, verb)
        case Revive():
            return revive(tx, verb)
        case Reschedule():
            return reschedule(tx, verb)
        case CloseBreaker():
            return close_breaker(tx, verb)
        case PauseTrigger():
            return pause_trigger(tx, verb)
        case Decide():
            decide(tx, verb)
            return None
        case PutSchedule():
            return put_schedule(tx, verb)
        case RetireSchedules():
            return retire_schedules(tx, verb)
        case RemoveSchedule():
            return remove_schedule(tx, verb)
        case PauseSchedule():
            return pause_schedule(tx, verb)
        case ResumeSchedule():
            return resume_schedule(tx, verb)
        case Retire():
            return retire(tx, verb)
        case Rescue():
            return rescue(tx, verb)
        case Reconcile():
            return reconcile(tx, verb)
        case _:
            raise TypeError(f"{type(verb).__name__} is not a verb this store knows.")
