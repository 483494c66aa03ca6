"""How the tests talk to a store: verbs with short names, typed answers, rows to compare."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from itertools import count
from typing import Any
from uuid import UUID

import psycopg

from backroom.records.errors import LeaseLost
from backroom.records.runs import (
    AttemptRow,
    Claimed,
    Claims,
    Mail,
    NewRun,
    RunRow,
    Started,
    StepRow,
    WaitRow,
    WorkerRow,
)
from backroom.records.states import State
from backroom.store.protocol import Store
from backroom.store.verbs import (
    Claim,
    Emit,
    HandBack,
    Park,
    Register,
    Retire,
    Revive,
    Settle,
    Start,
    Verb,
)

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


class Desk:
    """One store with a session and a reader, in the test's own thread."""

    def __init__(self, store: Store, database: str) -> None:
        self.store = store
        self.database = database
        self.session = store.session()
        self.reader = store.reader()
        self._numbers = count(1)
        self.ids: list[str] = []

    def close(self) -> None:
        self.session.close()
        self.reader.close()

    def new_id(self) -> str:
        """An id above all ids before."""
        made = str(UUID(int=next(self._numbers)))
        self.ids.append(made)
        return made

    # --- doing

    def do(self, verb: Verb) -> object:
        """Perform one verb in a transaction of its own."""
        (answer,) = self.session.apply([verb])
        return answer

    def done(self, verb: Verb) -> None:
        """Perform a verb that answers None."""
        answer = self.do(verb)
        assert answer is None, answer

    def lost(self, verb: Verb) -> None:
        """Perform a verb that comes too late."""
        answer = self.do(verb)
        assert isinstance(answer, LeaseLost), answer

    def new(self, flow: str = "flow", **fields: Any) -> NewRun:
        return NewRun(self.new_id(), flow, **fields)

    def start(self, flow: str = "flow", **fields: Any) -> str:
        """Start a run; its id."""
        run = self.new(flow, **fields)
        answer = self.do(Start(run))
        assert answer == Started(run.id, True)
        return run.id

    def claims(
        self,
        limit: int = 100,
        *,
        worker: str = "worker",
        queues: tuple[str, ...] = ("default",),
        flows: tuple[str, ...] = ("flow",),
        floors: Mapping[tuple[str, int], int] | None = None,
        suspects: bool = False,
    ) -> Claims:
        """As a worker claims that has learnt already whether these queues have rules."""
        learnt = self.do(Claim(worker, queues, flows, 0))
        assert isinstance(learnt, Claims)
        answer = self.do(Claim(worker, queues, flows, limit, floors or {}, suspects, learnt.ruled))
        assert isinstance(answer, Claims)
        return answer

    def claim(self, **options: Any) -> Claimed:
        """Claim exactly one run."""
        (run,) = self.claims(1, **options).runs
        return run

    def started_and_claimed(self, **fields: Any) -> Claimed:
        """A run that this worker performs now."""
        run_id = self.start(**fields)
        runs = {run.id: run for run in self.claims().runs}
        return runs[run_id]

    def settled(self, state: State = State.SUCCEEDED, **fields: Any) -> str:
        """A run that has been started, performed and ended."""
        run = self.started_and_claimed(**fields)
        error = None if state is State.SUCCEEDED else '{"kind": "E"}'
        self.done(Settle(run.id, run.attempt, state, "1", error))
        return run.id

    def parked(self, *waits: WaitRow, **fields: Any) -> Claimed:
        """A run that is parked; the attempt that parked it."""
        run = self.started_and_claimed(**fields)
        self.done(Park(run.id, run.attempt, waits))
        return run

    def park(self, run: Claimed, *waits: WaitRow) -> None:
        self.done(Park(run.id, run.attempt, waits))

    def hand_back(self, run: Claimed) -> None:
        self.done(HandBack(run.id, run.attempt))

    def lose(self, run: Claimed, *, suspects: bool = False) -> Claimed:
        """The run's worker dies and another takes the run; the new attempt."""
        released = self.do(Retire("worker", lost=True))
        assert released == (run.id,)
        return self.claim(suspects=suspects)

    def emit(self, run_id: str, name: str = "go", payload: str = "{}", event: str = "") -> object:
        return self.do(Emit(run_id, event or self.new_id(), name, payload))

    def register(self, worker: str = "worker", lease_us: int = MINUTE) -> None:
        self.done(Register(WorkerRow(worker, f"name of {worker}"), lease_us))

    def revive(self, run_id: str, **fields: Any) -> None:
        """Take a run up again as it stands now."""
        self.done(Revive(run_id, self.row(run_id).attempt, **fields))

    # --- looking

    def now(self) -> int:
        return self.reader.now()

    def row(self, run_id: str) -> RunRow:
        row = self.reader.run(run_id)
        assert row is not None
        return row

    def state(self, run_id: str) -> State:
        return self.row(run_id).state

    def everything(self) -> list[object]:
        """All rows that a reader shows, to be compared."""
        seen: list[object] = [self.reader.workers(), self.reader.mail(self.ids)]
        seen.append(self.reader.breakers())
        for run_id in self.ids:
            seen.append(self.reader.run(run_id))
            seen.append(self.reader.steps(run_id))
            seen.append(self.reader.waits(run_id))
            seen.append(self.reader.attempts(run_id))
            seen.append(self.reader.locks_of(run_id))
        return seen

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Raw SQL on a connection of its own; `{b}` stands before a table's or a view's name."""
        if self.store.dialect == "sqlite":
            with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
                return connection.execute(text.format(b="backroom_")).fetchall()
        with psycopg.connect(self.database, autocommit=True) as server:
            cursor = server.execute(text.format(b="backroom.").encode())
            return cursor.fetchall() if cursor.description else []


def step(address: str = "work#1", state: str = "done", **fields: Any) -> StepRow:
    """A checkpoint."""
    fields.setdefault("result", "1" if state == "done" else None)
    return StepRow(address, address.split("#")[0], "step", state, **fields)


def event(name: str = "go", **fields: Any) -> WaitRow:
    return WaitRow(f"event:{name}", "event", name, **fields)


def timer(delay_us: int) -> WaitRow:
    return WaitRow("timer", "timer", delay_us=delay_us)


def child(run_id: str) -> WaitRow:
    return WaitRow(f"child:{run_id}", "child", run_id)


__all__ = [
    "HOUR",
    "MINUTE",
    "SECOND",
    "AttemptRow",
    "Desk",
    "Mail",
    "child",
    "event",
    "step",
    "timer",
]
