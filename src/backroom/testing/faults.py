"""A store that fails at one chosen call, and tells afterwards what it was asked.

    session.apply ── call 1 ── call 2 ── call 3 ✕ ── call 4 …

`apply` and `transact` are the only ways into a database, so a fault at each of their calls, before
and after the commit, is a fault at every point where a program can stop being understood by its
database.

Counted is every call that changes something for a run. The looks of an idle worker, which differ
from one execution to the next, are not, unless the plan says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from backroom.records.errors import OutcomeUnknown, StoreUnavailable
from backroom.records.runs import Claims
from backroom.store.limit import Limit
from backroom.store.protocol import Reader, Session, Store
from backroom.store.verbs import (
    Claim,
    Expire,
    Fire,
    Reconcile,
    Register,
    Renew,
    Rescue,
    Retire,
    SaveStep,
    Verb,
)

__all__ = ["Call", "Died", "Fault", "FaultyStore", "Plan"]

UPKEEP = (Reconcile, Register, Renew, Rescue, Retire, Expire, Fire)


class Fault(StrEnum):
    """What happens at the chosen call."""

    NONE = "nothing"
    ERROR = "the call fails, nothing is stored"
    UNKNOWN = "the call takes, its answer is lost"
    VANISHED = "the call doesn't take, and nobody can tell"
    KILLED_BEFORE = "the process dies before the call"
    KILLED_AFTER = "the process dies after the commit"
    STALLED = "the process stops before the call, for longer than its lease"


class Died(BaseException):
    """The process that made this call is no more."""


@dataclass(frozen=True)
class Call:
    """One call of a process: which number it had, what it asked, what became of it."""

    number: int
    verbs: tuple[Verb, ...]
    fault: Fault
    answers: tuple[object, ...] = ()


@dataclass
class Plan:
    """At which of its calls one process fails, and what it has done so far."""

    faults: Mapping[int, Fault] = field(default_factory=dict)
    counts_all: bool = False
    calls: int = 0
    fired: bool = False
    dead: bool = False
    closed: bool = False  # the execution is over
    on_kill: Callable[[], None] = lambda: None
    on_stall: Callable[[], None] = lambda: None
    freeze: Callable[[], None] = lambda: None
    on_call: Callable[[Call], None] = lambda call: None
    on_commit: Callable[[Sequence[Verb], Sequence[object]], None] = lambda verbs, answers: None

    def counted(self) -> Fault:
        """Count a call; what happens at it."""
        self.calls += 1
        fault = self.faults.get(self.calls, Fault.NONE)
        self.fired = self.fired or fault is not Fault.NONE
        return fault

    def kill(self) -> None:
        self.dead = True
        self.on_kill()
        raise Died

    def told(
        self, verbs: Sequence[Verb], fault: Fault, answers: Sequence[object] = ()
    ) -> list[object]:
        self.on_call(Call(self.calls, tuple(verbs), fault, tuple(answers)))
        return list(answers)


class FaultyStore:
    """A store whose sessions follow a plan. All else it has of the real one, but no doorbells.

    Its sessions and readers are one connection each, which it shares with the other processes of
    its cluster: one at a time has the turn, and opening a connection costs more than all the rest.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        reader: Reader,
        plan: Plan,
        ring: Callable[[], None],
    ) -> None:
        self._store = store
        self._session = session
        self._reader = _Kept(reader)
        self._plan = plan
        self._ring = ring

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def session(self) -> Session:
        return FaultySession(self._session, self._plan)

    def reader(self) -> Reader:
        return self._reader

    def close(self) -> None:
        """The cluster closes it."""

    def ring(self) -> None:
        self._ring()

    def ring_ends(self) -> None:
        """Whoever waits for results is told by the cluster."""

    def bell(self) -> None:
        return None

    def transact(
        self, body: Callable[[Any], SaveStep], limit: Limit | None = None, *, cause: str = ""
    ) -> None:
        plan = self._plan
        verbs: list[Verb] = []

        def noted(connection: Any) -> SaveStep:
            save = body(connection)
            verbs[:] = [save]
            fault = plan.counted()
            if fault is not Fault.STALLED:  # it would hold its transaction all the while
                before(plan, verbs, fault)
            return save

        try:
            self._store.transact(noted, limit, cause=cause)
            plan.on_commit(verbs, [None])
            after(plan, verbs, plan.faults.get(plan.calls, Fault.NONE), [None])
        except _Unsaid as unsaid:
            raise unsaid.error from None
        except Died:
            plan.freeze()  # the author's code is on this thread's stack: it must not see it


class FaultySession:
    """A session that follows a plan."""

    def __init__(self, session: Session, plan: Plan) -> None:
        self._session = session
        self._plan = plan

    def close(self) -> None:
        """Others use it too."""

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        if self._plan.closed:
            raise StoreUnavailable("This execution is over: nothing reaches its database any more.")
        if self._plan.dead:
            raise Died
        upkeep = all(isinstance(verb, (*UPKEEP, Claim)) for verb in verbs)
        if upkeep and not self._plan.counts_all:
            return self._look(verbs)
        fault = self._plan.counted()
        try:
            before(self._plan, verbs, fault)
        except _Unsaid as unsaid:
            raise unsaid.error from None
        return after(self._plan, verbs, fault, self._perform(verbs))

    def _look(self, verbs: Sequence[Verb]) -> list[object]:
        """A look for work counts if it finds some; its fault can only be one after the commit."""
        answers = self._perform(verbs)
        if not any(isinstance(answer, Claims) and answer.runs for answer in answers):
            return answers
        return after(self._plan, verbs, self._plan.counted(), answers)

    def _perform(self, verbs: Sequence[Verb]) -> list[object]:
        answers = self._session.apply(verbs)
        self._plan.on_commit(verbs, answers)
        return answers


class _Kept:
    """A reader that others use too."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def close(self) -> None:
        """Not yet."""


class _Unsaid(Exception):
    """Carries an error of ours past code that tries the database's own errors again."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def before(plan: Plan, verbs: Sequence[Verb], fault: Fault) -> None:
    match fault:
        case Fault.ERROR:
            plan.told(verbs, fault)
            raise _Unsaid(StoreUnavailable("The connection failed before anything was sent."))
        case Fault.VANISHED:
            plan.told(verbs, fault)
            raise _Unsaid(OutcomeUnknown("The connection broke; nothing had arrived."))
        case Fault.KILLED_BEFORE:
            plan.told(verbs, fault)
            plan.kill()
        case Fault.STALLED:
            plan.told(verbs, fault)
            plan.on_stall()


def after(
    plan: Plan, verbs: Sequence[Verb], fault: Fault, answers: Sequence[object]
) -> list[object]:
    match fault:
        case Fault.UNKNOWN:
            plan.told(verbs, fault, answers)
            raise OutcomeUnknown("The connection broke while the answer was on its way.")
        case Fault.KILLED_AFTER:
            plan.told(verbs, fault, answers)
            plan.kill()
        case Fault.STALLED:
            return list(answers)
    return plan.told(verbs, fault, answers)
