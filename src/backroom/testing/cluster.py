"""A whole installation in one thread: its processes, its time, its database, and what goes wrong.

    Cluster     the time, the turns of the processes, what lets time pass
     ├── Process    a worker with its own loop, lanes and threads; a plan says where it fails
     └── client     a process without a worker: what the world outside does, at once

Everything is real but the time and the order. The worker is the one that performs runs in
production, with the lanes that commit its writes in groups and try again what failed; the database
is a real one. But nothing goes on by itself: the cluster gives one process after another a turn,
and a turn is one of three things.

    the loop      everything that can go on now, until it is idle
    a commit      of what waits in one of the lanes
    a thread      of a `def` flow or step, until it ends or waits

When nobody can go on, time passes: to the next timer of a loop, or, when no run is being performed,
to when the next one is due. The database's clock stands still in between, so an execution takes
microseconds however long its flows sleep, and goes the same way every time.

A process that dies gets no further turn; no `finally` of it runs, as with a real one. The others
find out when its lease has run out.
"""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from backroom.engine.office import Office
from backroom.engine.settings import WorkerSettings
from backroom.engine.worker import Worker
from backroom.engine.world import World
from backroom.records.runs import FOREVER
from backroom.records.states import FINAL, State
from backroom.store.verbs import Renew, Verb
from backroom.testing.faults import Call, Died, FaultyStore, Plan
from backroom.testing.inline import Inline
from backroom.testing.loop import SteppedLoop
from backroom.testing.turns import TurnFuture, Turns

if TYPE_CHECKING:
    import threading
    from concurrent.futures import Future

    from backroom.app.backroom import Backroom
    from backroom.engine.lane import Lane
    from backroom.store.protocol import Reader, Store

__all__ = ["Cluster", "Process", "Stuck", "quietly"]

LEASE_SECONDS = 3.0
RESCUE_SECONDS = 1.2  # a worker looks for the dead three times a lease
POLL_SECONDS = 1.0
QUIET_SECONDS = 3.0  # every duty of a worker has made its round by then
ROUNDS = 20  # in which what still waits at the end has to leave
PATIENCE_SECONDS = 20.0  # of real time, for one execution

ALIVE = tuple(state for state in State if state not in FINAL)
Body = Callable[..., Any]


class Stuck(AssertionError):
    """An execution that doesn't come to its end."""


class SimulatedWorld(World):
    """Time, ids, chance and threads of one process."""

    simulated = True

    def __init__(self, cluster: Cluster, turns: Turns, process: Process) -> None:
        self._cluster = cluster
        self._turns = turns
        self._process = process

    def monotonic(self) -> float:
        return self._process.clock()

    def sleep(self, seconds: float) -> None:
        self._cluster.pass_time(seconds / self._process.rate)

    def chance(self) -> float:
        return self._cluster.dice.random()

    def new_id(self) -> str:
        return self._cluster.new_id()

    def thread(self, body: Callable[[], None], name: str) -> threading.Thread:
        return self._turns.spawn(body, name)

    def join(self, thread: threading.Thread, timeout: float | None = None) -> None:
        self._turns.join(thread, timeout)

    def wait(self, event: threading.Event) -> None:
        self._turns.wait(event.is_set)

    def future(self) -> Future[Any]:
        return TurnFuture(self._turns)

    def knock(self, lane: Lane) -> None:
        self._process.knocked(lane)

    def asked(self, run_id: str, attempt: int, address: str) -> None:
        self._cluster.asked.setdefault((run_id, attempt), set()).add(address)

    def body(self, run_id: str, address: str, function: Body) -> Body:
        return self._cluster.body(self._process, run_id, address, function)


class Process:
    """A program of the application: a worker, or (`works=False`) only a client.

    `rate`: how fast its clock goes; `ahead`, by how much it is ahead, may grow but never shrink.
    """

    def __init__(
        self, cluster: Cluster, name: str, plan: Plan, *, works: bool = True, rate: float = 1.0
    ) -> None:
        self.name = name
        self.plan = plan
        self.cluster = cluster
        self.rate = rate
        self.ahead = 0.0
        self.stalled = False  # it gets no turn
        self.holds_back = False  # what waits in its lanes isn't committed for now
        self.turns = Turns(self.clock)
        self.world = SimulatedWorld(cluster, self.turns, self)
        plan.on_kill = lambda: cluster.died(self)
        plan.on_stall = lambda: cluster.stall(self)
        plan.on_call = lambda call: cluster.on_call(self, call)
        plan.on_commit = lambda verbs, answers: cluster.on_commit(self, verbs, answers)
        plan.freeze = lambda: self.turns.wait(lambda: False)
        store = FaultyStore(cluster.store, cluster.session, cluster.reader, plan, cluster.ring)
        self.office = Office(store, self.world)
        self.lanes: list[Lane] = []  # with something in them
        self.worker: Worker | None = None
        self.loop: SteppedLoop | None = None
        self.task: asyncio.Task[None] | None = None
        if works:
            self._begin()

    def _begin(self) -> None:
        performer = self.cluster.app.performer(Inline)
        settings = WorkerSettings(
            lease=LEASE_SECONDS, poll=POLL_SECONDS, pulse=POLL_SECONDS, doorbells=False,
            renew=False, name=self.name,
        )  # fmt: skip
        self.worker = Worker(self.office, performer, settings)
        self.loop = SteppedLoop(self.clock, self.turns)
        self.task = self.loop.create_task(self.worker.run())

    def clock(self) -> float:
        """Its own, in seconds: what the engine takes for `time.monotonic()`."""
        return self.cluster.now * self.rate + self.ahead

    # --- turns

    def knocked(self, lane: Lane) -> None:
        """A client is answered at once: it waits for nothing else."""
        if self.worker is None:
            lane.step()
            self.cluster.committed()
        elif lane not in self.lanes:
            self.lanes.append(lane)

    def turns_now(self) -> list[Callable[[], object]]:
        """What it could do now."""
        if self.plan.dead or self.stalled or self.loop is None:
            return []
        found: list[Callable[[], object]] = []
        if self.lanes and not self.holds_back:
            found.append(self._commit)
        if self.loop.can_go_on():
            found.append(self.loop.advance)
        found.append(self.turns.step)
        return found

    def _commit(self) -> bool:
        lane = self.lanes.pop(0)
        try:
            lane.step()
        finally:
            self.cluster.committed()
        return True

    def next_timer(self) -> float | None:
        """When the first of its timers is due, by the cluster's time."""
        if self.plan.dead or self.stalled or self.loop is None:
            return None
        ahead = [t for t in (self.loop.wants_at, self.turns.next_deadline()) if t is not None]
        return min(((at - self.ahead) / self.rate for at in ahead), default=None)

    def is_over(self) -> bool:
        return self.plan.dead or self.task is None or self.task.done()

    # --- its end

    def close(self) -> None:
        """Let go of everything. What still waits leaves now, and reaches nobody."""
        self.plan.closed = True
        for lane in (self.office.doors, self.office.main):
            lane.patience_seconds = 0
        self.turns.end()
        if self.loop is not None:
            for _round in range(ROUNDS):
                tasks = asyncio.all_tasks(self.loop)
                if not tasks:
                    break
                for task in tasks:
                    task.cancel()
                self.loop.advance()
                self.turns.end()
            self.loop.close()
        self.office.close()


class Cluster:
    """See above.

    dice    decides what is left to chance; without it, the first who can go on does and every draw
            is the middle one
    renews  False: nobody's lease is prolonged but by whoever drives the cluster
    """

    def __init__(
        self,
        app: Backroom,
        store: Store,
        *,
        client: Plan | None = None,
        dice: Random | None = None,
        renews: bool = True,
    ) -> None:
        self.app = app
        self._renews = renews
        self.now = 1_000.0
        self.shuffled = dice is not None
        self.dice = dice or _Middle()
        self.processes: list[Process] = []
        self.on_call: Callable[[Process, Call], None] = lambda process, call: None
        self.on_commit: Callable[[Process, Sequence[Verb], Sequence[object]], None] = _ignored
        self.on_death: Callable[[Process], None] = lambda process: None
        self.hears: Callable[[Process], bool] = lambda process: True  # a doorbell
        self.body: Callable[[Process, str, str, Body], Body] = _unchanged
        self.asked: dict[tuple[str, int], set[str]] = {}  # where each attempt has come by
        self._jumps_allowed = True
        self.late_seconds = 0.0  # how long after it was due a timer is seen
        self.jumps = 0  # how often all of them slept
        self._made = 0
        self._turn = 0
        self._clock_behind = 0.0  # seconds that have passed and that the database wasn't told of
        self._renewed_at = self.now
        self._quiet_since = self.now
        self._news = True
        self._widowed = False  # somebody has died whose lease is still valid
        self._rescued_at = 0.0  # by then those who live have noticed
        self.store = store
        app.declare(store)
        self.session = store.session()
        self.reader: Reader = store.reader()
        self.client = Process(self, "client", client or Plan(), works=False)

    def close(self) -> None:
        with quietly(), warnings.catch_warnings():  # what is cut off here has nothing to report
            warnings.simplefilter("ignore")
            for process in (*self.processes, self.client):
                process.close()
        self.reader.close()
        self.session.close()
        self.store.close()

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Within: the application's calls are those of the client."""
        with self.app.seated(self.client.office):
            yield

    def begin(self, plan: Plan | None = None, *, rate: float = 1.0) -> Process:
        """A further worker."""
        process = Process(self, f"worker {len(self.processes) + 1}", plan or Plan(), rate=rate)
        self.processes.append(process)
        return process

    def living(self) -> list[Process]:
        return [process for process in self.processes if not process.is_over()]

    # --- going on

    def run(self, until: Callable[[], object]) -> bool:
        """Go on until it is so. False: nothing happens any more, and it isn't."""
        ends_at = time.monotonic() + PATIENCE_SECONDS
        self._news = True
        while True:
            if self._news:
                self._news = False
                if until():
                    return True
            if not self.step() and not self._let_time_pass():
                return bool(until())
            if time.monotonic() > ends_at:
                runs = [(r.flow, r.state.value, r.attempt) for r in self.reader.runs()]
                raise Stuck(f"After {PATIENCE_SECONDS:g} s it hasn't come to its end: {runs}")

    def step(self) -> bool:
        """Give somebody a turn; False: nobody can go on."""
        able = [(process, turn) for process in self.processes for turn in process.turns_now()]
        if self.shuffled:
            self.dice.shuffle(able)
        elif able:
            self._turn = (self._turn + 1) % len(able)
            able = [*able[self._turn :], *able[: self._turn]]
        return any(self._give(process, turn) for process, turn in able)

    def _give(self, process: Process, turn: Callable[[], object]) -> bool:
        with self.app.seated(process.office):
            try:
                return turn() is not False
            except Died:
                return True

    def _let_time_pass(self) -> bool:
        """To the next timer of a loop while somebody performs a run, else to the next run that is
        due. False: there is nothing to wait for."""
        rows = self.reader.runs(states=ALIVE, limit=1000)
        clock = self.reader.now() + round(self._clock_behind * 1_000_000)
        timers = [t for p in self.processes if (t := p.next_timer()) is not None]
        if timers and self._widowed:
            self._widowed = False  # their leases run out, and somebody sees it
            self._rescued_at = self.now + RESCUE_SECONDS
            self.move_clock(LEASE_SECONDS + 1)
            return True
        running = any(row.state is State.RUNNING for row in rows)
        waits = any(row.available_at is not None and row.available_at <= clock for row in rows)
        busy = running or self.now < self._rescued_at
        if timers and (busy or (waits and self.now < self._quiet_since + QUIET_SECONDS)):
            if any(p.loop is not None and p.loop.has_guests() for p in self.living()):
                time.sleep(0.0005)  # somebody talks with the real world, whose time is real
            self.pass_time(max(0.0, min(timers) - self.now))
            return True
        times = [row.available_at for row in rows if row.available_at is not None]
        due = [at for at in times if clock < at < FOREVER]
        if not due or not timers or not self._jumps_allowed:
            return False
        self.jumps += 1
        self.move_clock((min(due) - clock) / 1_000_000 + self.late_seconds)
        return True

    def pass_time(self, seconds: float) -> None:
        """For the processes and for the database."""
        self.now += seconds
        self._clock_behind += seconds
        self._tell_database()

    def move_clock(self, seconds: float) -> None:
        """The database's only: as if nobody had looked for so long."""
        self._clock_behind += max(0.0, seconds)
        self._tell_database()
        self.committed()
        self.ring()

    def _tell_database(self) -> None:
        if self._clock_behind <= 0:
            return
        self.store.move_clock(round(self._clock_behind * 1_000_000))
        self._clock_behind = 0.0
        if self._renews:
            self._renew()

    def _renew(self) -> None:
        """Renew the leases of those who live, as their supervisor does."""
        living = {p.worker.id: p for p in self.living() if p.worker is not None and not p.stalled}
        if not living:
            return
        (alive,) = self.session.apply([Renew(tuple(living), int(LEASE_SECONDS * 1_000_000))])
        assert isinstance(alive, frozenset)
        for worker_id, process in living.items():
            if worker_id in alive and process.worker is not None:
                process.worker.renewed(process.clock())

    def committed(self) -> None:
        """Something may have changed."""
        self._news = True
        self._quiet_since = self.now
        for process in (self.client, *self.processes):
            if not process.plan.dead:
                process.office.look_for_results()

    def ring(self) -> None:
        for process in self.living():
            if process.worker is not None and self.hears(process):
                process.worker.ring()

    def new_id(self) -> str:
        self._made += 1
        return f"01900000-0000-7{self._made >> 12 & 0xFFF:03x}-8000-{self._made:012x}"

    # --- what goes wrong

    def died(self, process: Process) -> None:
        process.plan.dead = True
        self._news = True
        self._widowed = True
        self.on_death(process)

    def stall(self, process: Process) -> None:
        """Nobody gives it a turn for longer than its lease; the others go on as far as they can."""
        process.stalled = True
        if not [other for other in self.living() if not other.stalled]:
            self.begin()
        jumps_were_allowed, self._jumps_allowed = self._jumps_allowed, False
        try:
            self.move_clock(LEASE_SECONDS + 1)
            self._rescued_at = self.now + RESCUE_SECONDS
            self.run(lambda: False)
        finally:
            self._jumps_allowed = jumps_were_allowed
            process.stalled = False
        held = {row.id for row in self.reader.workers()}
        if process.worker is not None and process.worker.id not in held:
            process.worker.lease_lost()


@contextmanager
def quietly() -> Iterator[None]:
    """Within, backroom logs nothing: what it would report is what was asked for."""
    log = logging.getLogger("backroom")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


class _Middle(Random):
    """No chance: every draw is the middle one."""

    def random(self) -> float:
        return 0.5


def _ignored(process: Process, verbs: Sequence[Verb], answers: Sequence[object]) -> None:
    """Nobody wants to know."""


def _unchanged(process: Process, run_id: str, address: str, function: Body) -> Body:
    return function
