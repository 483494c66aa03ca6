"""A batch of verbs as statements, in the order in which they have to take effect.

    locks      the lines of locks, if this batch changes them (holding.py)
    fence      every hot row that is about to be written, ascending (fence.py)
    queues     Declare, Pause, Resume
    doors      Start, Emit, Cancel, Revive, Reschedule
    schedules  PutSchedule, RetireSchedules, RemoveSchedule, PauseSchedule, ResumeSchedule, Decide
    attempts   Progress, SaveStep, Lock, SaveWaits, then Settle, Park, Again, HandBack, Attention
    workers    Register, Renew, Retire, Rescue, Reconcile
    sweeps     Expire, Prune, Erase
    changes    Fire
    claims     Claim, which sees all that the ones before it freed
    ───────    commit
    afterwards the claims' preload, and the look whether a late verb is a repeated one

One statement for all verbs of a kind, whatever their number. Nothing between the first statement
and the commit is decided in Python, so that all of it is one round trip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from backroom.store.postgres.breaking import close_breaker, count, probe
from backroom.store.postgres.checkpoints import save_progress, save_steps, save_waits
from backroom.store.postgres.claims import claim, complete
from backroom.store.postgres.doors import cancel, emit, reschedule
from backroom.store.postgres.endings import again, hand_back, late, park, set_aside, settle
from backroom.store.postgres.erasing import erase
from backroom.store.postgres.fence import ENDS, Fence
from backroom.store.postgres.firing import fire, pause_triggers
from backroom.store.postgres.holding import alone, lock
from backroom.store.postgres.leases import lease
from backroom.store.postgres.queues import rule, sweep
from backroom.store.postgres.reviving import revive
from backroom.store.postgres.schedules import schedule
from backroom.store.postgres.starts import start
from backroom.store.postgres.statement import Answers, Sql, Statement
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
    Fenced,
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

__all__ = ["Batch"]

V = TypeVar("V", bound=Verb)
F = TypeVar("F", bound=Fenced)

QUEUES: tuple[type[Verb], ...] = (Declare, AsDeclared, Pause, Resume)
SCHEDULES: tuple[type[Verb], ...] = (
    PutSchedule, RetireSchedules, RemoveSchedule, PauseSchedule, ResumeSchedule, Decide,
)  # fmt: skip
WORKERS: tuple[type[Verb], ...] = (Register, Renew, Retire, Rescue, Reconcile)
SWEEPS: tuple[type[Verb], ...] = (Expire, Prune)


class Batch:
    """The statements of one transaction, and the answers that their rows fill in.

    To be used once: a second try of the same verbs is a new batch.
    """

    def __init__(self, sql: Sql, verbs: Sequence[Verb]) -> None:
        self.sql = sql
        self.answers: Answers = [None] * len(verbs)
        self.fence = Fence()
        self.verbs = verbs
        self.kinds: dict[type[Verb], list[tuple[int, Verb]]] = {}
        for place, verb in enumerate(verbs):
            self.kinds.setdefault(type(verb), []).append((place, verb))
        self.ends = {kind: self.fence.first_ends(self.of(kind)) for kind in ENDS}

    def of(self, kind: type[V]) -> list[tuple[int, V]]:
        found = self.kinds.get(kind, [])
        return found  # type: ignore[return-value]  # sorted by type above

    def ending(self, kind: type[F]) -> list[tuple[int, F]]:
        """The verbs of a kind that end attempts, without those that come second."""
        found = self.ends[kind]
        return found  # type: ignore[return-value]  # sorted by type above

    def before_commit(self) -> Iterator[Statement]:
        sql, answers = self.sql, self.answers
        yield from alone(sql, self.verbs)
        yield from self.fence.lock(sql, self.verbs)
        for kind in QUEUES:
            for place, verb in self.kinds.get(kind, ()):
                yield from rule(sql, place, verb, answers)
        yield from start(sql, self.of(Start), self.of(SaveStep), answers)
        yield from emit(sql, self.of(Emit), answers)
        yield from cancel(sql, self.of(Cancel), answers)
        yield from revive(sql, self.of(Revive), answers)
        yield from reschedule(sql, self.of(Reschedule), answers)
        yield from close_breaker(sql, self.of(CloseBreaker), answers)
        yield from pause_triggers(sql, self.of(PauseTrigger), answers)
        for kind in SCHEDULES:
            yield from schedule(sql, self.kinds.get(kind, ()), answers)
        yield from save_progress(sql, self.of(Progress))
        yield from count(sql, self.of(SaveStep))
        yield from save_steps(sql, self.of(SaveStep), self.ending(Park))
        yield from lock(sql, self.of(Lock), answers)
        yield from probe(sql, self.of(Probe), answers)
        yield from save_waits(sql, self.of(SaveWaits), self.fence, answers)
        yield from settle(sql, self.ending(Settle))
        yield from park(sql, self.ending(Park))
        yield from again(sql, self.ending(Again))
        yield from hand_back(sql, self.ending(HandBack))
        yield from set_aside(sql, self.ending(Attention))
        for kind in WORKERS:
            for place, verb in self.kinds.get(kind, ()):
                yield from lease(sql, place, verb, answers)
        for kind in SWEEPS:
            for place, verb in self.kinds.get(kind, ()):
                yield from sweep(sql, place, verb, answers)
        for place, verb in self.of(Erase):
            yield from erase(sql, place, verb, answers)
        yield from fire(sql, self.of(Fire), answers)
        yield from claim(sql, self.of(Claim), answers)

    def after_commit(self) -> Iterator[Statement]:
        fenced = [(place, v) for place, v in enumerate(self.verbs) if isinstance(v, Fenced)]
        for place, verb in fenced:
            lost = self.fence.answer(place, verb)
            if lost is not None:
                self.answers[place] = lost
        yield from late(self.sql, self.answers, fenced)
        yield from complete(self.sql, self.of(Claim), self.answers)
