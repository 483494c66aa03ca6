"""Real workers, stopped past their lease and resumed, over and over: no late write counts.

Three workers share the runs of one database. Every second another one is stopped (SIGSTOP) for
longer than its lease, and goes on with writes on their way.

A late write that was accepted would show in two ways: a run's steps would have been done by
attempts that don't rise, since an old attempt came in between; or a checkpoint would differ from
what the attempt that ended the run has seen, since the old one wrote over it.
"""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from operator import methodcaller
from pathlib import Path

import pytest

from backroom import Backroom
from backroom.testing import eventually
from tests.engine.processes import Program, exists, program
from tests.torture.counting import STEPS, counting

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

RUNS = 1_500
LEASE = 0.6
STOPS = 12


@pytest.fixture
def client(database: str) -> Iterator[Backroom]:
    app = Backroom(database)
    app.flow(name="counting")(counting.spec.function)
    yield app
    app.close()


def test_nothing_of_stopped_workers_is_accepted(
    client: Backroom, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("BACKROOM_TEST_SEED") or random.randrange(2**32))
    chance = random.Random(seed)
    handle = client.handle("counting")
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                program(
                    *("worker", "--lease", str(LEASE), "--concurrency", "16"),
                    database=database,
                    folder=tmp_path,
                    app="tests.torture.counting:app",
                )
            )
            for _ in range(3)
        ]
        for worker in workers:
            worker.ready()
        runs = client.start_many(handle.prepare() for _ in range(RUNS))
        stopped = [stop_and_resume(chance.choice(workers), chance) for _ in range(STOPS)]
        results = [run.result().wait(300) for run in runs]
    taken_over = 0
    for run, result in zip(runs, results, strict=True):
        numbers, attempts, processes = zip(*result, strict=True)
        assert numbers == tuple(range(STEPS))
        assert list(attempts) == sorted(attempts), f"an old attempt came in between: {result}"
        taken_over += len(set(attempts)) > 1
        rows = client.office.read(methodcaller("steps", run.id)).result()
        kept = [tuple(json.loads(row.result or "")) for row in rows]
        assert kept == [tuple(each) for each in result], "a checkpoint was written over"
        assert all(processes)
    with capsys.disabled():
        print(f"\nseed {seed}: {sum(stopped)} stops, {taken_over} runs taken over, 0 late writes")
    assert taken_over, "nothing was taken over: stop longer"


def stop_and_resume(worker: Program, chance: random.Random) -> bool:
    """Stop a worker's process beyond its lease; whether there was one to stop."""
    time.sleep(chance.uniform(0.1, 0.4))
    children = eventually(worker.children)
    victim = children[0]
    try:
        os.kill(victim, signal.SIGSTOP)
        time.sleep(LEASE * 2 + 0.3)
        os.kill(victim, signal.SIGCONT)
    except ProcessLookupError:
        return False
    return exists(victim)
