"""A client, a worker that may be killed, its successor, and a side table that knows what ran.

Each of them is a program of its own: an application with its own connections and lanes on one
database. They share nothing but that and, as witnesses from outside, the side table.

A kill stops a program's writes at one exact call (`faults.py`). What still unwinds in its memory
reaches nobody, so for the database, and for everything that promises rest on, the process is gone.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, cast

from backroom import Backroom, Run, current_run
from backroom.app.stores import make_store
from backroom.engine.office import Office
from backroom.engine.world import World
from backroom.records.runs import RunRow
from backroom.records.states import FINAL, State
from backroom.store.protocol import Reader, Store
from tests.promises.faults import FaultyStore, Plan

__all__ = ["Declare", "Hand", "SideTable", "Site"]

LEASE_SECONDS = 30.0
PATIENCE_SECONDS = 20.0

ALIVE = tuple(state for state in State if state not in FINAL)


@dataclass
class SideTable:
    """What happened, in order: ("ran", step key) and ("kept", step key)."""

    entries: list[tuple[str, str]] = field(default_factory=list)
    rounds: dict[str, dict[str, int]] = field(default_factory=dict)  # by run: its rewound addresses
    mended: bool = False  # what was broken in the world outside

    def kept(self, run_id: str, address: str) -> None:
        again = self.rounds.get(run_id, {}).get(address)
        place = address if again is None else f"{address}@{again}"
        key = blake2b(f"{run_id}/{place}".encode(), digest_size=16).hexdigest()
        self.entries.append(("kept", key))

    def rewound(self, run_id: str, rounds: str) -> None:
        self.rounds[run_id] = json.loads(rounds)

    def never_kept(self) -> list[str]:
        kept = {key for what, key in self.entries if what == "kept"}
        return [key for what, key in self.entries if what == "ran" and key not in kept]

    def ran_after_kept(self) -> list[str]:
        """The steps that ran although they had been kept: there must be none, ever."""
        kept: set[str] = set()
        again = []
        for what, key in self.entries:
            if what == "kept":
                kept.add(key)
            elif key in kept:
                again.append(key)
        return again


class Hand:
    """What the bodies of steps do in one program: they work, which leaves a mark outside."""

    def __init__(self, table: SideTable, plan: Plan) -> None:
        self._table = table
        self._plan = plan

    def works(self) -> None:
        if self._plan.dead:
            raise RuntimeError("the dead do no work")
        key = current_run().step_key
        assert key is not None
        self._table.entries.append(("ran", key))

    def works_once_mended(self) -> None:
        self.works()
        if not self._table.mended:
            raise ConnectionError("broken")


class EvenChance(World):
    def chance(self) -> float:
        return 0.5


Play = Callable[["Site"], object]
Declare = Callable[[Backroom, Hand], Play]


class Program(Backroom):
    """An application whose store follows a plan. Its database is migrated already."""

    def __init__(self, database: str, plan: Plan) -> None:
        super().__init__(database, world=EvenChance(), poll=0.02, lease=LEASE_SECONDS)
        self.plan = plan

    def _open(self) -> Office:
        store = cast("Store", FaultyStore(make_store(self.settings), self.plan))
        return Office(store, self._world)


class Life:
    """A worker process, from its start to its end or its death."""

    def __init__(self, app: Program) -> None:
        self.app = app
        self.worker = app.worker()
        app.plan.on_kill = self._die
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self.worker.run()), name="worker", daemon=True
        )
        self.thread.start()

    def _die(self) -> None:
        office = self.app.office
        for lane in (office.main, office.doors):
            lane.patience_seconds = 0
        self.worker.stop(now=True)

    def end(self) -> None:
        self.worker.stop()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive(), "the worker doesn't stop"
        self.app.close()


class Site:
    """Where a scenario is played."""

    def __init__(
        self, database: str, declare: Declare, plans: Iterable[Plan], client: Plan | None = None
    ) -> None:
        """`plans`: of the worker, its successor, and so on; those behind them have no faults."""
        self.database = database
        self.table = SideTable()
        self._plans = iter(plans)
        self._declare = declare
        self.client, self._play = self._program(client or Plan())
        self.reader: Reader = self.client.office.store.reader()
        self.life: Life | None = None

    def play(self) -> object:
        """Play the scenario until every run has come to its end; what the scenario saw."""
        seen = self._play(self)
        self.work()
        self.until(lambda: not self.reader.runs(states=ALIVE, limit=1))
        self._bury_the_dead()
        return seen

    def close(self) -> None:
        if self.life is not None:
            self.life.end()
        self.reader.close()
        self.client.close()

    # --- for scenarios

    def work(self) -> None:
        """Let the worker begin, if it hasn't. Scenarios that act first call it when they have."""
        if self.life is None:
            self._begin_life()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something; a dead worker is replaced meanwhile."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            self._replace_the_dead()
            if time.monotonic() > deadline:
                runs = self.reader.runs()
                raise AssertionError(
                    f"in vain; {[(r.flow, r.state.value, r.attempt) for r in runs]}"
                )
            time.sleep(0.001)

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

    def _program(self, plan: Plan) -> tuple[Program, Play]:
        plan.kept = self.table.kept
        plan.rewound = self.table.rewound
        app = Program(self.database, plan)
        return app, self._declare(app, Hand(self.table, plan))

    def _replace_the_dead(self) -> None:
        if self.life is None or not self.life.app.plan.dead:
            return
        self.life.end()
        self.client.office.store.move_clock(int((LEASE_SECONDS + 1) * 1_000_000))
        self._begin_life()

    def _bury_the_dead(self) -> None:
        """A worker may die of its very last call. Then its successor has to take its row away, and
        is given the time to do so before it is stopped itself."""
        while True:
            self.until(self._only_the_living)
            assert self.life is not None
            self.life.end()
            if not self.life.app.plan.dead:
                return

    def _only_the_living(self) -> bool:
        assert self.life is not None
        left = [worker.id for worker in self.reader.workers()]
        return left == [self.life.worker.id] and not self.life.app.plan.dead

    def _begin_life(self) -> None:
        self.life = Life(self._program(next(self._plans, Plan()))[0])
