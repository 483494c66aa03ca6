"""Twenty schedulers and one slot each time: it is started once, whoever of them dies when.

Time is ours: a round moves the schedules' clock by an hour, and all schedulers wake at once. In
each round one of them is killed at a place of chance: after its look, before its decision; or after
the decision.
"""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from backroom import Backroom, every
from backroom.engine.world import World
from backroom.records.schedules import DueSchedule
from backroom.schedules.scheduler import Scheduler
from backroom.store.protocol import Reader, Store
from tests.store.conftest import open_store

SCHEDULERS = 20
HOUR = 3_600_000_000


class Worker:
    """A scheduler with a connection of its own; killed, another comes in its place."""

    def __init__(self, store: Store, app: Backroom) -> None:
        self._session = store.session()
        self._reader = store.reader()
        self._scheduler = Scheduler(app._specs, {}, World())

    def look(self, now: int) -> list[DueSchedule]:
        """As a worker looks; the time is the test's."""
        rows = [row for row in self._reader.schedules() if (row.next_at or now + 1) <= now]
        return [DueSchedule(row, False, 0) for row in rows]

    def decide(self, due: list[DueSchedule], now: int) -> None:
        for verbs in self._scheduler.decide(due, now):
            self._session.apply(verbs)

    def close(self) -> None:
        self._session.close()
        self._reader.close()


def rounds(database: str, count: int, schedules: int, schedulers: int) -> Counter[tuple[str, int]]:
    """How many runs each slot has had."""
    app = Backroom(database)

    @app.flow
    async def work(name: str, slot: int = 0) -> None: ...

    for number in range(schedules):
        app.schedule(
            every(hours=1), name=f"s{number}", input={"name": f"s{number}"}, overlap="together"
        )(work)
    app.open()
    app.close()
    store = open_store(database)
    chance = random.Random(13)
    workers = [Worker(store, app) for _ in range(schedulers)]
    reader = store.reader()
    now = reader.now()
    barrier = threading.Barrier(schedulers)

    def wake(place: int, at: int, victim: int, late: bool) -> None:
        due = workers[place].look(at)
        barrier.wait()  # all have looked before anybody decides: the worst there is
        if place == victim and not late:
            return  # killed with a decision in its head
        workers[place].decide(due, at)

    with ThreadPoolExecutor(schedulers) as pool:
        for _ in range(count):
            victim, late = chance.randrange(schedulers), chance.random() < 0.5
            now += HOUR
            woken = [pool.submit(wake, place, now, victim, late) for place in range(schedulers)]
            for each in woken:
                each.result()
            workers[victim].close()
            workers[victim] = Worker(store, app)
    for worker in workers:
        worker.close()
    found: Counter[tuple[str, int]] = Counter()
    for number in range(schedules):
        for slot in reader.slots(f"s{number}", count + 10):
            found[(f"s{number}", slot.place)] += slot.decision == "started"
    assert sum(found.values()) == len(runs_of(reader))
    reader.close()
    store.close()
    return found


def runs_of(reader: Reader) -> list[str]:
    found: list[str] = []
    before = None
    while page := reader.runs(before=before, limit=1_000):
        found += [row.id for row in page]
        before = page[-1].id
    return found


def test_twenty_schedulers_start_each_slot_once(database: str) -> None:
    found = rounds(database, 10, 2, SCHEDULERS)
    assert len(found) == 20
    assert set(found.values()) == {1}


@pytest.mark.torture
@pytest.mark.timeout(3_600)
def test_a_hundred_thousand_slots_are_started_once(database: str) -> None:
    found = rounds(database, 1_000, 100, SCHEDULERS)
    assert len(found) == 100_000
    assert set(found.values()) == {1}
