"""A client, a worker that may be killed, its successor, and a side table that knows what ran.

Each of them is a program of its own, with its own lanes on one database; a cluster
(`backroom.testing.cluster`) gives them their turns, so nothing here waits for real. They share
nothing but the database and, as witnesses from outside, the side table.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from backroom import Backroom, Run, current_run
from backroom.flows.rewinding import REWIND
from backroom.records.runs import RunRow
from backroom.records.states import FINAL, State
from backroom.store.postgres import PostgresStore
from backroom.store.protocol import Reader, Store
from backroom.store.sqlite.store import SqliteStore
from backroom.store.verbs import Revive, SaveStep, Verb
from backroom.testing.cluster import ALIVE, Cluster, Process
from backroom.testing.faults import Call, Plan

__all__ = ["Declare", "Hand", "SideTable", "Site"]


@dataclass
class SideTable:
    """What happened, in order: ("ran", step key), ("kept", …) and ("failed", …)."""

    entries: list[tuple[str, str]] = field(default_factory=list)
    rounds: dict[str, dict[str, int]] = field(default_factory=dict)  # by run: its rewound addresses
    mended: bool = False  # what was broken in the world outside

    def kept(self, run_id: str, address: str, as_what: str = "kept") -> None:
        again = self.rounds.get(run_id, {}).get(address)
        place = address if again is None else f"{address}@{again}"
        key = blake2b(f"{run_id}/{place}".encode(), digest_size=16).hexdigest()
        self.entries.append((as_what, key))

    def failed(self, run_id: str, address: str) -> None:
        """For good; but whoever takes the run up again has it called again."""
        self.kept(run_id, address, "failed")

    def rewound(self, run_id: str, rounds: str) -> None:
        self.rounds[run_id] = json.loads(rounds)

    def never_kept(self) -> list[str]:
        kept = {key for what, key in self.entries if what != "ran"}
        return [key for what, key in self.entries if what == "ran" and key not in kept]

    def ran_after_kept(self) -> list[str]:
        """The steps that ran although they had been kept: there must be none, ever."""
        kept: set[str] = set()
        again = []
        for what, key in self.entries:
            if what == "kept":
                kept.add(key)
            elif what == "ran" and key in kept:
                again.append(key)
        return again


class Hand:
    """What the bodies of steps do: they work, which leaves a mark outside."""

    def __init__(self, table: SideTable) -> None:
        self._table = table

    def works(self) -> None:
        key = current_run().step_key
        assert key is not None
        self._table.entries.append(("ran", key))

    def works_once_mended(self) -> None:
        self.works()
        if not self._table.mended:
            raise ConnectionError("broken")


Play = Callable[["Site"], object]
Declare = Callable[[Backroom, Hand], Play]


class Site:
    """Where a scenario is played."""

    def __init__(
        self,
        database: str,
        declare: Declare,
        plans: Iterable[Plan],
        client: Plan | None = None,
        *,
        workers: int = 1,
    ) -> None:
        """`plans`: of the workers, their successors, and so on; further ones have no faults."""
        self.database = database
        self.table = SideTable()
        self._plans = iter(plans)
        self._workers = workers
        self.app = Backroom(database)
        self._play = declare(self.app, Hand(self.table))
        self.cluster = Cluster(self.app, store_at(database), client=client)
        self.cluster.on_call = self._note
        self.reader: Reader = self.cluster.reader

    def play(self) -> object:
        """Play the scenario until every run has come to its end; what the scenario saw."""
        with self.cluster.outside():
            seen = self._play(self)
            self.work()
            self.until(lambda: not self.reader.runs(states=ALIVE, limit=1))
            self._bury_the_dead()
        return seen

    def close(self) -> None:
        self.cluster.close()

    # --- for scenarios

    def work(self) -> None:
        """Let the worker begin, if it hasn't. Scenarios that act first call it when they have."""
        while not self.cluster.processes or len(self.cluster.living()) < self._workers:
            self.cluster.begin(next(self._plans, Plan()))

    def until(self, condition: Callable[[], object]) -> None:
        """Go on until it is so; a dead worker is replaced meanwhile."""
        while not self.cluster.run(lambda: condition() or self._somebody_died()):
            assert self._somebody_died(), self._in_vain()
        while not condition():
            self.work()
            assert self.cluster.run(lambda: condition() or self._somebody_died()), self._in_vain()

    def row(self, run: Run[Any]) -> RunRow:
        row = self.reader.run(run.id)
        assert row is not None, f"the run {run.id} is lost"
        return row

    def parked(self, run: Run[Any]) -> None:
        self.work()
        self.until(lambda: self.row(run).state is State.WAITING)

    def aside(self, run: Run[Any]) -> None:
        self.work()
        self.until(lambda: self.row(run).state is State.NEEDS_ATTENTION)

    def end(self, run: Run[Any]) -> tuple[str, str | None]:
        """How a run ends: its state, its result as JSON."""
        self.work()
        self.until(lambda: self.row(run).state in FINAL)
        row = self.row(run)
        return row.state.value, row.result

    # --- inside

    def _somebody_died(self) -> bool:
        return bool(self.cluster.processes) and len(self.cluster.living()) < self._workers

    def _in_vain(self) -> str:
        runs = self.reader.runs()
        return f"in vain; {[(r.flow, r.state.value, r.attempt) for r in runs]}"

    def _note(self, process: Process, call: Call) -> None:
        for verb, answer in zip(call.verbs, call.answers, strict=False):
            if answer is None:
                self._note_verb(verb)

    def _note_verb(self, verb: Verb) -> None:
        match verb:
            case SaveStep(step=step) if step.kind == "step" and step.state == "done":
                self.table.kept(verb.run_id, step.address)
            case SaveStep(step=step) if step.kind == "step" and step.state == "failed":
                self.table.failed(verb.run_id, step.address)
            case Revive(keeps=rows):
                for row in rows:
                    if row.address == REWIND:
                        self.table.rewound(verb.run_id, row.result or "{}")
                    else:
                        self.table.kept(verb.run_id, row.address)

    def _bury_the_dead(self) -> None:
        """A worker may die of its very last call. Then its successor has to take its row away, and
        is given the time to do so before it is stopped itself."""
        while True:
            self.work()
            self.until(self._only_the_living)
            for process in self.cluster.living():
                assert process.worker is not None
                process.worker.stop()
            self.cluster.run(lambda: all(p.is_over() for p in self.cluster.processes))
            if self._only_the_living():
                return

    def _only_the_living(self) -> bool:
        left = {worker.id for worker in self.reader.workers()}
        return left == {p.worker.id for p in self.cluster.living() if p.worker is not None}


def store_at(database: str) -> Store:
    return PostgresStore(database) if "://" in database else SqliteStore(database)
