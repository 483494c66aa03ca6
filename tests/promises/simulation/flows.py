"""The application of the simulated cluster, and the world outside in which it leaves its marks.

Each flow is called with the number that its run has in the script. Its steps take a little time,
so that they can be cut off in the middle.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from backroom import (
    Backroom,
    Retry,
    Rollback,
    chunks,
    current_run,
    first,
    gather,
    lock,
    sleep,
    step,
    wait_for_event,
)
from backroom.engine.world import World

__all__ = ["EXPECTED", "PER_PARTITION", "RATE_SECONDS", "Exploded", "Town", "app", "world"]

PER_PARTITION = 1
RATE_SECONDS = 0.5  # between two of the queue `paced`
MOMENT = 0.05
SOON = Retry(attempts=3, delay_seconds=0.1)


class Exploded(Exception):
    """What a body raises that kills its process."""


@dataclass
class Town:
    """The world outside of one life of the cluster. A transfer that comes again with its key
    changes nothing."""

    keys: set[str] = field(default_factory=set)
    moved: dict[int, list[tuple[str, int]]] = field(default_factory=dict)  # by run: what, place
    undos_asked: dict[int, list[int]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    kills: Counter[int] = field(default_factory=Counter)
    in_section: list[tuple[str, int]] = field(default_factory=list)  # run and attempt
    mended: bool = False
    enters: Callable[[], None] = lambda: None
    """Called when somebody has entered the section that a lock guards."""

    def move(self, what: str, saga: int, place: int) -> None:
        key = current_run().step_key
        assert key is not None
        if key not in self.keys:
            self.keys.add(key)
            self.moved.setdefault(saga, []).append((what, place))

    def standing(self, saga: int) -> list[int]:
        """The coins of a saga that are where its steps have moved them."""
        done = Counter(self.moved.get(saga, []))
        return [n for n in range(3) if done["moved", n] > done["moved back", n]]


class _SimulatedIds(World):
    """Ids for what callers make: from the cluster that is under way."""

    new: Callable[[], str]

    def new_id(self) -> str:
        return self.new()


class _Now:
    town: Town


now = _Now()
world = _SimulatedIds()
app = Backroom("simulated.db", world=world)

app.queue("shared", concurrency_per_partition=PER_PARTITION)
app.queue("paced", rate=2, per=1, burst=1)


@step
async def work(n: int, place: int) -> int:
    await asyncio.sleep(MOMENT)
    return n * 100 + place


@step(name="work_plainly")
def work_plainly(n: int, place: int) -> int:
    return n * 100 + place


@app.flow
async def line(n: int) -> list[int]:
    return [await work(n, place) for place in range(3)]


@app.flow
def threads(n: int) -> list[int]:
    one = work_plainly(n, 0)
    sleep(1).wait()
    return [one, work_plainly(n, 1)]


@app.flow
async def nap(n: int) -> list[int]:
    one = await work(n, 0)
    await sleep(0.3 + n % 3)
    return [one, await work(n, 1)]


@app.flow
async def collect(n: int) -> list[int]:
    one = await wait_for_event("word", int)
    await work(n, 0)
    return [one, await wait_for_event("word", int)]


@app.flow
async def race(n: int) -> int | None:
    return await first(wait_for_event("word", int), sleep(2))


async def move_back(n: int, place: int, moved: int | None) -> None:
    now.town.undos_asked.setdefault(n, []).append(place)
    await asyncio.sleep(MOMENT)
    if place in now.town.standing(n):  # it may never have happened
        now.town.move("moved back", n, place)


@step(undo=move_back, undo_retry=Retry(attempts=50, delay_seconds=0.1))
async def move(n: int, place: int) -> int:
    now.town.move("moved", n, place)
    await asyncio.sleep(MOMENT)
    return place


@app.flow
async def saga(n: int) -> str:
    await move(n, 0)
    await move(n, 1)
    if n % 3 == 0:
        await wait_for_event("word", int)
    await move(n, 2)
    if n % 2:
        raise Rollback("declined")
    return "moved"


@app.flow
async def square(n: int) -> int:
    return (await work(n, 0) // 100) ** 2


@app.flow
async def family(n: int) -> int:
    one, two = await gather(square(n), square(n + 1))
    return one + two + await square(n + 2)


@app.flow
async def fan(n: int) -> list[int]:
    done = await square.map(range(n, n + 4), window=2)
    return [each async for each in done.results()]


@app.flow(concurrency=1)
async def narrow(n: int) -> int:
    await work(n, 0)
    return await work(n, 1)


@app.flow(queue="shared", partition="customer")
async def shared(n: int, customer: str) -> int:
    return await work(n, 0)


@app.flow(queue="paced")
async def paced(n: int) -> int:
    return await work(n, 0)


@step(transaction=True)
def book(connection: Any, n: int) -> int:
    connection.execute("INSERT INTO ledger VALUES (?)", (n,))
    return n


@app.flow
async def booked(n: int) -> int:
    await work(n, 0)
    return await asyncio.to_thread(book, n)


@step
async def enter(n: int) -> int:
    run = current_run()
    now.town.in_section.append((run.id, run.attempt))
    now.town.enters()
    await asyncio.sleep(0.3)
    now.town.in_section.remove((run.id, run.attempt))
    return n


@app.flow
async def guarded(n: int) -> int:
    async with lock("till"):
        await enter(n)
        await sleep(0.2)
        return await enter(n)


@step(retry=SOON)
async def flaky(n: int) -> int:
    if current_run().tries < 3:
        raise ConnectionError("busy")
    return n


@app.flow
async def trying(n: int) -> int:
    return await flaky(n)


@step
async def at_the_second_call(n: int) -> int:
    now.town.calls[f"again {n}"] += 1
    if now.town.calls[f"again {n}"] == 1:
        raise ConnectionError("busy")
    return n


@app.flow(retry=SOON)
async def again(n: int) -> int:
    await work(n, 0)
    return await at_the_second_call(n)


@step
async def once_mended(n: int) -> int:
    if not now.town.mended:
        raise ConnectionError("broken")
    return n


@app.flow
async def broken(n: int) -> int:
    await work(n, 0)
    return await once_mended(n)


@app.flow
async def walk(n: int) -> int:
    async for chunk in chunks(range(6), size=2):
        await work(n, sum(chunk))
    return n


@app.flow
async def delayed(n: int) -> int:
    return await work(n, 0)


@app.flow(key="n")
async def keyed(n: str) -> int:
    return await work(int(n), 0)


@app.flow(expires=1)
async def expiring(n: int) -> int:
    return await work(n, 0)


@app.flow(timeout=3)
async def hasty(n: int) -> int:
    await work(n, 0)
    await sleep(n % 5)
    return await work(n, 1)


@step
async def explode(n: int) -> None:
    await asyncio.sleep(MOMENT)
    now.town.kills[n] += 1
    raise Exploded


@app.flow
async def poison(n: int) -> None:
    await explode(n)


EXPECTED: dict[str, Callable[[int], object]] = {
    "line": lambda n: [n * 100, n * 100 + 1, n * 100 + 2],
    "threads": lambda n: [n * 100, n * 100 + 1],
    "nap": lambda n: [n * 100, n * 100 + 1],
    "saga": lambda n: "moved",
    "square": lambda n: n**2,
    "family": lambda n: n**2 + (n + 1) ** 2 + (n + 2) ** 2,
    "fan": lambda n: [each**2 for each in range(n, n + 4)],
    "narrow": lambda n: n * 100 + 1,
    "shared": lambda n: n * 100,
    "paced": lambda n: n * 100,
    "booked": lambda n: n,
    "guarded": lambda n: n,
    "trying": lambda n: n,
    "again": lambda n: n,
    "broken": lambda n: n,
    "walk": lambda n: n,
    "delayed": lambda n: n * 100,
    "keyed": lambda n: n * 100,
    "expiring": lambda n: n * 100,
    "hasty": lambda n: n * 100 + 1,
}
"""What a run returns that succeeds; those of the others depend on the words they get."""
