"""One child run for each item, a window of them open at a time."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backroom import Backroom, Retry, State, errors, gather, sleep, step
from backroom.engine.attempt import Attempt
from backroom.records.errors import NotInFlow, Refused
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, EvenChance, checkpoints, outcome, parked, result, state
from tests.flows.test_chunks import AGAIN, Crashes

ROOT = Path(__file__).parents[2]


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    made = Backroom(database, world=EvenChance(), poll=0.02)
    yield made
    made.close()


def test_an_async_flow_maps_a_list(app: Backroom) -> None:
    @app.flow
    async def double(n: int) -> int:
        return 2 * n

    @app.flow
    async def all_doubled(numbers: list[int]) -> list[int]:
        done = await double.map(numbers, window=3)
        assert (done.total, done.succeeded, done.failed) == (len(numbers), len(numbers), 0)
        return [n async for n in done.results()]

    with at_work(app):
        run = all_doubled.start(list(range(10)))
        assert result(run) == [2 * n for n in range(10)]
        assert checkpoints(app, run) == {"map double#1": "done"}
        assert run.status().wait(LONG).progress == 1.0


def test_a_def_flow_maps_a_generator(app: Backroom) -> None:
    @app.flow
    def double(n: int) -> int:
        return 2 * n

    @app.flow
    def all_doubled() -> list[int]:
        return list(double.map((n for n in range(5)), window=2).wait().results())

    with at_work(app):
        assert result(all_doubled.start()) == [0, 2, 4, 6, 8]


def test_nothing_to_map_is_over_at_once(app: Backroom) -> None:
    @app.flow
    async def double(n: int) -> int:
        return 2 * n

    @app.flow
    async def none() -> int:
        return (await double.map([])).total

    with at_work(app):
        assert result(none.start()) == 0


def test_one_that_fails_stops_nobody_and_is_reported(app: Backroom) -> None:
    @app.flow
    async def careful(n: int) -> int:
        if n % 4 == 1:
            raise ValueError(f"not {n}")
        return n

    @app.flow
    async def many() -> Any:
        done = await careful.map(range(10), window=4)
        bad = [(bad.index, bad.error.message) async for bad in done.failures() if bad.error]  # type: ignore[union-attr]
        good = [each.result async for each in done.outcomes() if each.ok]
        with pytest.raises(errors.RunFailed, match="not 1"):
            _ = [n async for n in done.results()]
        return [done.succeeded, done.failed, bad, good]

    with at_work(app):
        succeeded, failed, bad, good = result(many.start())
    assert (succeeded, failed) == (7, 3)
    assert [tuple(each) for each in bad] == [(1, "not 1"), (5, "not 5"), (9, "not 9")]
    assert good == [0, 2, 3, 4, 6, 7, 8]


def test_no_more_than_a_window_is_open(app: Backroom) -> None:
    gates = {n: threading.Event() for n in range(5)}
    begun: list[int] = []

    @app.flow
    def wait_at(n: int) -> None:
        begun.append(n)
        assert gates[n].wait(LONG)

    @app.flow
    async def many() -> None:
        await wait_at.map(range(5), window=2)

    with at_work(app):
        run = many.start()
        for open_now, so_far in (([0, 1], 2), ([2, 3], 4), ([4], 5)):
            eventually(lambda: len(begun) == so_far, within=LONG)  # noqa: B023
            parked(run)
            assert sorted(begun) == list(range(so_far))
            for n in reversed(open_now):
                gates[n].set()
        result(run)


def test_the_parent_is_woken_once_a_window(app: Backroom, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []
    whole = Attempt.__init__

    def noting(self: Attempt, claimed: Any, *rest: Any) -> None:
        if claimed.flow == "many":
            attempts.append(claimed.attempt)
        whole(self, claimed, *rest)

    monkeypatch.setattr(Attempt, "__init__", noting)

    @app.flow
    async def one(n: int) -> int:
        return n

    @app.flow
    async def many() -> int:
        return (await one.map(range(40), window=10)).succeeded

    with at_work(app):
        assert result(many.start()) == 40
    assert attempts == [1, 2, 3, 4, 5]


def test_a_replay_starts_no_child_twice(app: Backroom) -> None:
    crashes = Crashes("before", "between", "after")
    ran: list[int] = []

    @app.flow
    async def one(n: int) -> int:
        ran.append(n)
        return n

    @step
    async def between() -> None: ...

    @app.flow(retry=AGAIN)
    async def many() -> list[int]:
        first = await one.map(range(4), window=2)
        crashes.at("before")
        await between()
        crashes.at("between")
        second = await one.map(range(10, 13), window=2)
        crashes.at("after")
        return [first.total, second.total]

    with at_work(app):
        run = many.start()
        assert result(run) == [4, 3]
        assert sorted(checkpoints(app, run)) == ["between#1", "map one#1", "map one#2"]
    assert sorted(ran) == [0, 1, 2, 3, 10, 11, 12]


def test_a_parent_that_lost_its_worker_goes_on_with_the_window(app: Backroom) -> None:
    @app.flow
    async def one(n: int) -> int:
        return n

    @app.flow(queue="parents")
    async def many() -> int:
        return (await one.map(range(6), window=3)).succeeded

    run = many.start()
    with at_work(app, queues=("parents",)):
        parked(run)
    with at_work(app, queues=("default",)):
        eventually(lambda: state(run) is State.READY, within=LONG)
    with at_work(app):
        assert result(run) == 6


def test_maps_go_on_side_by_side(app: Backroom) -> None:
    @app.flow
    async def one(n: int) -> int:
        return n

    @step
    async def slow() -> str:
        return "slow"

    @app.flow
    async def many() -> list[Any]:
        async def mapped(numbers: range) -> list[int]:
            done = await one.map(numbers, window=2)
            return [n async for n in done.results()]

        async def other() -> str:
            await sleep(0.05)
            return await slow()

        return list(await gather(mapped(range(5)), mapped(range(10, 13)), other()))

    with at_work(app):
        assert result(many.start()) == [[0, 1, 2, 3, 4], [10, 11, 12], "slow"]


def test_a_map_waits_in_memory_while_a_branch_is_busy(app: Backroom) -> None:
    done = asyncio.Event()

    @app.flow
    async def one(n: int) -> int:
        return n

    @step
    async def busy() -> str:
        await asyncio.wait_for(done.wait(), LONG)
        return "busy"

    @app.flow
    async def many() -> list[Any]:
        async def mapped() -> int:
            total = (await one.map(range(5), window=2)).total
            done.set()
            return total

        return list(await gather(mapped(), busy()))

    with at_work(app):
        run = many.start()
        assert result(run) == [5, "busy"]
        assert run.status().wait(LONG).attempt == 1


def test_a_cancel_takes_the_window_along(app: Backroom) -> None:
    @app.flow
    async def sleeper(n: int) -> None:
        await sleep(days=n + 1)

    @app.flow
    async def many() -> None:
        await sleeper.map(range(10), window=4)

    with at_work(app):
        run = many.start()
        parked(run)
        run.cancel("enough").wait(LONG)
        assert outcome(run) is State.CANCELLED
        counts = app.office.read(lambda reader: reader.runs(parent_id=run.id)).result(LONG)
        eventually(
            lambda: (
                {
                    row.state
                    for row in app.office.read(lambda reader: reader.runs(parent_id=run.id)).result(
                        LONG
                    )
                }
                == {State.CANCELLED}
            ),
            within=LONG,
        )
    assert len(counts) == 4


def test_a_key_that_somebody_elses_run_holds_is_waited_for_there(app: Backroom) -> None:
    @app.flow(key="n")
    async def once(n: int) -> str:
        return f"run of {n}"

    @app.flow(key="n", name="other")
    async def unrelated(n: int) -> str:
        return f"unrelated {n}"

    @app.flow
    async def many() -> list[Any]:
        done = await once.map(range(4), window=3)
        return [(o.index, o.key, o.run_id, o.result) async for o in done.outcomes()]

    before = once.start(1)
    late = once.using(delay=3600).start(2)
    with at_work(app) as bench:
        run = many.start()
        parked(run)
        eventually(lambda: state(before) is State.SUCCEEDED, within=LONG)
        bench.move_clock(hours=1)
        found = [tuple(each) for each in result(run)]
    assert [(index, key) for index, key, _, _ in found] == [(n, str(n)) for n in range(4)]
    assert [text for _, _, _, text in found] == [f"run of {n}" for n in range(4)]
    assert found[1][2] == before.id
    assert found[2][2] == late.id


def test_a_failed_child_that_a_person_retries_counts_as_it_ends_then(app: Backroom) -> None:
    fails = [True]

    @app.flow
    async def one(n: int) -> int:
        if n == 1 and fails:
            fails.pop()
            raise OSError("not now")
        if n == 2:
            await sleep(days=1)
        return n

    @app.flow
    async def many() -> list[int]:
        done = await one.map(range(3))
        return [done.succeeded, done.failed]

    with at_work(app) as bench:
        run = many.start()
        parked(run)

        def children() -> list[Any]:
            return app.office.read(lambda reader: reader.runs(parent_id=run.id)).result(LONG)

        eventually(
            lambda: (
                {row.state for row in children()} == {State.SUCCEEDED, State.FAILED, State.WAITING}
            ),
            within=LONG,
        )
        (bad,) = [row for row in children() if row.state is State.FAILED]
        app.run(bad.id).retry().wait(LONG)
        eventually(lambda: state(app.run(bad.id)) is State.SUCCEEDED, within=LONG)
        bench.move_clock(days=1)
        assert result(run) == [3, 0]


def test_an_item_that_does_not_fit_starts_nothing_of_its_window(app: Backroom) -> None:
    @app.flow
    async def double(n: int) -> int:
        return 2 * n

    @app.flow
    async def many() -> None:
        await double.map([1, 2, "three"])  # type: ignore[list-item]

    with at_work(app):
        run = many.start()
        assert outcome(run) is State.FAILED
        assert app.office.read(lambda reader: reader.runs(parent_id=run.id)).result(LONG) == []


def test_a_map_belongs_into_a_flow(app: Backroom) -> None:
    @app.flow
    async def double(n: int) -> int:
        return 2 * n

    with pytest.raises(NotInFlow):
        double.map([1])


@pytest.mark.parametrize("window", [0, 1_001])
def test_a_window_has_a_size(app: Backroom, window: int) -> None:
    @app.flow
    async def double(n: int) -> int:
        return 2 * n

    @app.flow(retry=Retry(attempts=1))
    async def many(window: int) -> str:
        try:
            await double.map([1], window=window)
        except Refused as error:
            return str(error)
        return ""

    with at_work(app):
        assert "Use 1 to 1,000" in result(many.start(window))


PROGRAM = """
import json, resource, sys, time
from backroom import Backroom
from backroom.testing import at_work

app = Backroom(sys.argv[1], poll=0.02)
items = int(sys.argv[2])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

@app.flow
async def one(n: int) -> str:
    return str(n) * 50

@app.flow
async def many(items: int) -> list[int]:
    done = await one.map(range(items), window=500)
    size = 0
    async for text in done.results():
        size += len(text)
    return [done.total, done.succeeded, size]

with at_work(app):
    many.start(500).result().wait(60)
    before, began = peak(), time.monotonic()
    run = many.start(items)
    answer = run.result().wait(120)
    seconds = time.monotonic() - began
    steps = app.office.read(lambda reader: reader.steps(run.id)).result(10)
    attempt = run.status().wait(10).attempt
print(json.dumps([answer, peak() - before, len(steps), attempt, seconds]))
app.close()
"""


def test_ten_thousand_children_in_bounded_memory(database: str) -> None:
    items = 10_000
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database, str(items)],
        capture_output=True, text=True, timeout=150, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer, grown_mb, steps, attempt, seconds = json.loads(done.stdout)
    print(f"{items} children in {seconds:.1f} s, {grown_mb} MB more")
    assert answer == [items, items, 50 * sum(len(str(n)) for n in range(items))]
    assert steps == 1
    assert attempt == items // 500 + 1
    assert grown_mb < 40, "the parent holds a window, not all of them"
