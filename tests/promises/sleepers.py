"""Many runs that sleep for a day, and what they cost the worker that put them to bed."""

import re
from dataclasses import dataclass
from pathlib import Path

from backroom import Backroom, State, sleep, step
from backroom.testing import eventually
from tests.engine.processes import program

__all__ = ["Cost", "app", "put_to_bed"]

app = Backroom()

AT_ONCE = 5_000
WARM_UP = 5_000  # until then a new process grows by itself: caches, pools, arenas
DAY_US = 86_400 * 1_000_000


@step
async def lie_down(n: int) -> int:
    return n


@app.flow
async def nap(n: int) -> int:
    await lie_down(n)
    await sleep(days=1)
    return n


@dataclass(frozen=True)
class Cost:
    """Megabytes of the worker's memory: before the sleepers came, once all sleep, at its most."""

    before: float
    asleep: float
    peak: float


def put_to_bed(database: str, number: int, folder: Path, *, patience: float) -> Cost:
    """Let a real worker put that many runs to bed, and wake them by moving the clock a day on."""
    client = Backroom(database)
    client.flow(name="nap")(nap.spec.function)
    store = client.office.store
    handle = client.handle("nap")

    def are_asleep(how_many: int) -> bool:
        return [queue.parked for queue in client.queues().wait()] == [how_many]

    def all_are_up() -> bool:
        badly = [State.FAILED, State.CANCELLED, State.NEEDS_ATTENTION]
        look = client.office.read(lambda reader: reader.runs(states=badly, limit=1))
        return client.queues().wait() == [] and look.result() == []

    def start(how_many: int) -> None:
        for first in range(0, how_many, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, how_many))
            client.start_many(handle.prepare(n) for n in numbers)

    try:
        with program(
            *("worker", "--lease", "3600", "--concurrency", "200"),
            database=database,
            folder=folder,
            app="tests.promises.sleepers:app",
        ) as supervisor:
            supervisor.ready()
            (worker,) = supervisor.children()
            start(WARM_UP)
            eventually(lambda: are_asleep(WARM_UP), within=patience)
            before = memory(worker, "VmRSS")
            start(number)
            eventually(lambda: are_asleep(WARM_UP + number), within=patience)
            asleep, peak = memory(worker, "VmRSS"), memory(worker, "VmHWM")
            store.move_clock(DAY_US)
            eventually(all_are_up, within=patience)
            assert supervisor.children() == [worker], "it is the same process all the time"
    finally:
        client.close()
    return Cost(before, asleep, peak)


def memory(pid: int, what: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024
