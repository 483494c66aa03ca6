"""A store that fails at one chosen call, and tells afterwards what it was asked.

    session.apply ── call 1 ── call 2 ── call 3 ✕ ── call 4 …

`apply` is the only way into a database, so a fault at each of its calls, before and after the
commit, is a fault at every point where a program can stop being understood by its database.

Counted is every call that changes something for a run. The looks of an idle worker, which differ
from one execution to the next, are not.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from backroom.flows.rewinding import REWIND
from backroom.records.errors import OutcomeUnknown, StoreUnavailable
from backroom.records.runs import Claims
from backroom.store.protocol import Session, Store
from backroom.store.verbs import (
    Claim,
    Reconcile,
    Register,
    Renew,
    Rescue,
    Retire,
    Revive,
    SaveStep,
    Verb,
)

__all__ = ["Fault", "FaultyStore", "Plan"]

UPKEEP = (Reconcile, Register, Renew, Rescue, Retire)


class Fault(StrEnum):
    """What happens at the chosen call."""

    NONE = "nothing"
    ERROR = "the call fails, nothing is stored"
    UNKNOWN = "the call takes, its answer is lost"
    VANISHED = "the call doesn't take, and nobody can tell"
    KILLED_BEFORE = "the process dies before the call"
    KILLED_AFTER = "the process dies after the commit"


@dataclass
class Plan:
    """At which of its calls one process fails, and what it has done so far."""

    faults: Mapping[int, Fault] = field(default_factory=dict)
    forgets_steps: bool = False  # sabotage: says that a step is kept before it is
    on_kill: Callable[[], None] = lambda: None
    calls: int = 0
    fired: bool = False
    dead: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: Callable[[str, str], None] = lambda run_id, address: None
    rewound: Callable[[str, str], None] = lambda run_id, rounds: None

    def counted(self) -> Fault:
        """Count a call; what happens at it."""
        with self.lock:
            self.calls += 1
            fault = self.faults.get(self.calls, Fault.NONE)
            self.fired = self.fired or fault is not Fault.NONE
            return fault

    def kill(self) -> None:
        self.dead = True
        self.on_kill()


class FaultyStore:
    """A store whose sessions follow a plan. All else it has of the real one."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self._store = store
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def session(self) -> Session:
        return FaultySession(self._store.session(), self._plan)


class FaultySession:
    def __init__(self, session: Session, plan: Plan) -> None:
        self._session = session
        self._plan = plan
        self._late: list[Verb] = []

    def close(self) -> None:
        self._session.close()

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        plan = self._plan
        self._die_if_dead()
        if all(isinstance(verb, (*UPKEEP, Claim)) for verb in verbs):
            return self._look(verbs)
        fault = plan.counted()
        match fault:
            case Fault.ERROR:
                raise StoreUnavailable("The connection failed before anything was sent.")
            case Fault.VANISHED:
                raise OutcomeUnknown("The connection broke; nothing had arrived.")
            case Fault.KILLED_BEFORE:
                plan.kill()
                self._die_if_dead()
        return self._after(self._perform(verbs), fault)

    def _look(self, verbs: Sequence[Verb]) -> list[object]:
        """A look for work counts if it finds some; its fault can only be one after the commit."""
        answers = self._session.apply(verbs)
        found = any(isinstance(answer, Claims) and answer.runs for answer in answers)
        return self._after(answers, self._plan.counted()) if found else answers

    def _after(self, answers: list[object], fault: Fault) -> list[object]:
        match fault:
            case Fault.UNKNOWN:
                raise OutcomeUnknown("The connection broke while the answer was on its way.")
            case Fault.KILLED_AFTER:
                self._plan.kill()
                self._die_if_dead()
        return answers

    def _perform(self, verbs: Sequence[Verb]) -> list[object]:
        if self._plan.forgets_steps:
            return self._promise(verbs)
        answers = self._session.apply(verbs)
        for verb, answer in zip(verbs, answers, strict=True):
            if answer is None:
                self._note(verb)
        return answers

    def _promise(self, verbs: Sequence[Verb]) -> list[object]:
        """Sabotage: steps are written with the next call only, but answered now."""
        late, self._late = self._late, [verb for verb in verbs if isinstance(verb, SaveStep)]
        now = [verb for verb in verbs if not isinstance(verb, SaveStep)]
        answers = iter(self._session.apply([*late, *now])[len(late) :] if late or now else [])
        for verb in self._late:
            self._note(verb)
        return [None if isinstance(verb, SaveStep) else next(answers) for verb in verbs]

    def _note(self, verb: Verb) -> None:
        if isinstance(verb, SaveStep) and verb.step.kind == "step" and verb.step.state == "done":
            self._plan.kept(verb.run_id, verb.step.address)
        if isinstance(verb, Revive):
            for row in verb.keeps:
                if row.address == REWIND:
                    self._plan.rewound(verb.run_id, row.result or "{}")
                else:
                    self._plan.kept(verb.run_id, row.address)

    def _die_if_dead(self) -> None:
        if self._plan.dead:
            raise StoreUnavailable("This process is dead: nothing of it reaches the database.")
