"""A worker that was stopped past its lease and goes on finds that nothing it sends is accepted.

Three workers on one database. The third claims everything and is stopped at some call: its code
and its lease stand still, as under SIGSTOP, with writes on their way. The others take over, and
then it goes on, either while they perform its runs or when those have ended long since.

(`tests/engine/test_supervisor.py` does this to real processes, `tests/torture/` to many.)
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from backroom import Backroom, Run, step
from backroom.app.stores import make_store
from backroom.engine.office import Office
from backroom.records.errors import LeaseLost
from backroom.records.states import State
from backroom.store.protocol import Session, Store
from backroom.store.verbs import Fenced, Verb
from backroom.testing import eventually
from tests.promises.site import Hand, SideTable
from tests.torture.sabotage import unfenced

RUNS = 40
LONG = 30.0


@dataclass
class Stop:
    """When a worker stands still, and what it is answered once it goes on."""

    at: int  # the call with verbs of attempts at which it stops
    fenceless: bool = False  # sabotage: late verbs get the number of the attempt that holds the run
    calls: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    late: list[tuple[Fenced, object]] = field(default_factory=list)


class StoppableStore:
    def __init__(self, store: Store, stop: Stop) -> None:
        self._store = store
        self._stop = stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def session(self) -> Session:
        return StoppableSession(self._store, self._stop)


class StoppableSession:
    def __init__(self, store: Store, stop: Stop) -> None:
        self._store = store
        self._session = store.session()
        self._stop = stop

    def close(self) -> None:
        self._session.close()

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        stop = self._stop
        if any(isinstance(verb, Fenced) for verb in verbs):
            stop.calls += 1
            if stop.calls == stop.at:
                stop.stopped.set()
        if stop.stopped.is_set() and not stop.goes_on.is_set():
            stop.goes_on.wait(LONG)
            if stop.fenceless:
                verbs = [unfenced(self._store, verb) for verb in verbs]
            answers = self._session.apply(verbs)
            pairs = zip(verbs, answers, strict=True)
            stop.late += [(verb, answer) for verb, answer in pairs if isinstance(verb, Fenced)]
            return answers
        return self._session.apply(verbs)


class Program(Backroom):
    def __init__(self, database: str, stop: Stop | None = None) -> None:
        super().__init__(database, poll=0.02)
        self._stop = stop

    def _open(self) -> Office:
        store = make_store(self.settings)
        if self._stop is not None:
            store = cast("Store", StoppableStore(store, self._stop))
        return Office(store, self._world)


class Crew:
    """Three workers with the same flow: a few steps, the last of which waits at a gate."""

    def __init__(self, database: str, stop: Stop) -> None:
        self.database = database
        self.stop = stop
        self.table = SideTable()
        self.gate = threading.Event()
        self.waiting: list[str] = []
        self.client = Program(database)
        assert self.client.office.store.migrate() is not None
        self.declare(self.client, "client")

    def declare(self, app: Backroom, name: str) -> None:
        hand = Hand(self.table)

        @step
        async def count(n: int) -> int:
            hand.works()
            return n + 1

        @step
        def wait_at_the_gate(n: int) -> int:
            hand.works()
            if name != "third":
                self.waiting.append(name)
                self.gate.wait(LONG)
            return n + 1

        @app.flow
        def job(n: int) -> int:
            return wait_at_the_gate(n)

        @app.flow
        async def counting(n: int) -> int:
            for _ in range(3):
                n = await count(n)
            return n

    @contextmanager
    def worker(self, name: str, lease: float) -> Iterator[Backroom]:
        app = Program(self.database, self.stop if name == "third" else None)
        self.declare(app, name)
        with app.working(lease=lease, concurrency=RUNS):
            yield app
        app.close()


def state(run: Run[Any]) -> State:
    return run.status().wait(LONG).state


def take_over(database: str, stop: Stop, *, flow: str, during: bool) -> None:
    """The third worker stops and the others take over; AssertionError if it still counts."""
    crew = Crew(database, stop)
    handle = crew.client.handle(flow)
    runs = crew.client.start_many(handle.prepare(n) for n in range(RUNS))
    steps = 1 if flow == "job" else 3
    with ExitStack() as others:
        with crew.worker("third", lease=1.0) as third:
            assert stop.stopped.wait(LONG)
            crew.client.office.store.move_clock(2_000_000)
            for name in ("first", "second"):
                others.enter_context(crew.worker(name, lease=3600.0))
            if during:
                eventually(lambda: len(crew.waiting) >= RUNS // 2, within=LONG)
            else:
                crew.gate.set()
                for run in runs:
                    run.result().wait(LONG)
            stop.goes_on.set()
            eventually(lambda: stop.late, within=LONG)
            crew.gate.set()
            results = [run.result().wait(LONG) for run in runs]
            last = handle.using(queue="default").start(1000)
            assert last.result().wait(LONG) == 1000 + steps
            assert third.office.store.schema_version(), "it lives on"
        others.close()
    refused = [isinstance(answer, LeaseLost) for _, answer in stop.late]
    crew.client.close()
    assert results == [n + steps for n in range(RUNS)]
    assert not crew.table.ran_after_kept()
    assert refused
    assert all(refused), "a late write was accepted"


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("during", [True, False], ids=["during", "after"])
def test_nothing_of_a_stopped_worker_is_accepted(database: str, at: int, during: bool) -> None:
    take_over(database, Stop(at), flow="job" if during else "counting", during=during)


def test_without_a_fence_it_would_be(database: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="a late write was accepted"):
        take_over(database, Stop(1, fenceless=True), flow="job", during=True)
