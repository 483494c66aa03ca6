"""A walk in chunks goes on in the chunk it was in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from backroom import Backroom, Retry, State, chunks, errors, pages, sleep, step
from backroom.records import limits
from backroom.records.errors import Refused
from backroom.testing import at_work
from tests.flows.house import LONG, EvenChance, checkpoints, outcome, parked, result, state, steps
from tests.flows.side import Side, insert

AGAIN = Retry(attempts=10, delay_seconds=0)


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    made = Backroom(database, world=EvenChance(), poll=0.02)
    yield made
    made.close()


class Crashes:
    """Fails the flow once at each of these places; its next attempt is a replay."""

    def __init__(self, *places: object) -> None:
        self.left = set(places)

    def at(self, place: object) -> None:
        if place in self.left:
            self.left.remove(place)
            raise ConnectionResetError(f"crash at {place}")


def test_an_async_flow_walks_a_list(app: Backroom) -> None:
    seen: list[list[int]] = []

    @step
    async def handle(part: list[int]) -> None:
        seen.append(part)

    @app.flow
    async def walk(numbers: list[int]) -> None:
        async for part in chunks(numbers, size=3):
            await handle(part)

    with at_work(app):
        run = walk.start(list(range(8)))
        result(run)
        assert checkpoints(app, run) == {"chunks#1": "done"}
    assert seen == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_a_def_flow_walks_a_range(app: Backroom) -> None:
    seen: list[list[int]] = []

    @step
    def handle(part: list[int]) -> None:
        seen.append(part)

    @app.flow
    def walk() -> None:
        for part in chunks(range(7), size=3):
            handle(part)

    with at_work(app):
        run = walk.start()
        result(run)
        assert checkpoints(app, run) == {"chunks#1": "done"}
    assert seen == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_replay_repeats_no_more_than_the_chunk_in_flight(app: Backroom) -> None:
    crashes = Crashes((0, "before"), (2, "before"), (2, "after"), (4, "after"))
    bodies: list[int] = []
    handled: list[int] = []

    @step
    async def handle(part: list[int]) -> None:
        handled.extend(part)

    @app.flow(retry=AGAIN)
    async def walk() -> None:
        async for part in chunks(range(5), size=1):
            bodies.extend(part)
            crashes.at((part[0], "before"))
            await handle(part)
            crashes.at((part[0], "after"))

    with at_work(app):
        result(walk.start())
    assert bodies == [0, 0, 1, 2, 2, 2, 3, 4, 4]
    assert handled == [0, 1, 2, 3, 4]


def test_a_transaction_step_in_a_chunk_writes_each_row_once(app: Backroom, database: str) -> None:
    assert app.office.store.schema_version()
    side = Side(database)
    crashes = Crashes(*range(0, 40, 7))

    @step(transaction=True)
    def put(connection: Any, part: list[int]) -> None:
        for n in part:
            insert(connection, n)

    @app.flow(retry=AGAIN)
    def walk() -> None:
        for part in chunks(range(40), size=1):
            put(part)
            crashes.at(part[0])

    with at_work(app):
        result(walk.start())
    assert side.numbers() == list(range(40))


def test_more_chunks_than_a_run_may_have_checkpoints(
    app: Backroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STEPS", 10)

    @step
    async def one(part: list[int]) -> int:
        return part[0]

    @app.flow
    async def walk() -> None:
        async for part in chunks(range(50), size=1):
            await one(part)
            await one(part)

    with at_work(app):
        run = walk.start()
        result(run)
        assert list(checkpoints(app, run)) == ["chunks#1"]


def test_notes_are_kept_with_the_position(app: Backroom) -> None:
    crashes = Crashes(5, 8)

    @app.flow(retry=AGAIN)
    async def add() -> tuple[int, int]:
        walk = chunks(range(10), size=1)
        async for part in walk:
            walk.notes["sum"] = walk.notes.get("sum", 0) + part[0]
            crashes.at(part[0])
        return walk.notes["sum"], walk.done

    with at_work(app):
        assert result(add.start()) == (45, 10)


def test_a_flow_that_parks_inside_a_chunk_comes_back_to_it(app: Backroom) -> None:
    seen: list[int] = []

    @step
    async def handle(n: int) -> None:
        seen.append(n)

    @app.flow
    async def walk() -> None:
        async for part in chunks(range(3), size=1):
            await handle(part[0])
            await sleep(days=1)

    with at_work(app) as bench:
        run = walk.start()
        for n in range(3):
            parked_with(app, run, n)
            bench.move_clock(days=1)
        result(run)
        assert checkpoints(app, run) == {"chunks#1": "done"}
    assert seen == [0, 1, 2]


def parked_with(app: Backroom, run: Any, n: int) -> None:
    from backroom.testing import eventually

    address = f"chunks#1.{n}/handle#1"
    eventually(lambda: address in checkpoints(app, run), within=LONG)
    parked(run)


def test_a_loop_that_is_left_early_is_left_the_same_way_again(app: Backroom) -> None:
    crashes = Crashes("behind")

    @step
    async def check(n: int) -> bool:
        return n == 2

    @step
    async def after() -> str:
        return "after"

    @app.flow(retry=AGAIN)
    async def walk() -> list[Any]:
        found: list[Any] = []
        async for part in chunks(range(5), size=1):
            if await check(part[0]):
                found += part
                break
        found.append(await after())
        crashes.at("behind")
        async for letters in chunks(["a"]):
            found += letters
        return found

    with at_work(app):
        run = walk.start()
        assert result(run) == [2, "after", "a"]
        assert sorted(checkpoints(app, run)) == [
            "after#1", "chunks#1", "chunks#1.2/check#1", "chunks#2",
        ]  # fmt: skip


def test_an_error_inside_a_chunk_leaves_its_path(app: Backroom) -> None:
    @step
    def burst(n: int) -> None:
        raise OSError(str(n))

    @step
    def after() -> str:
        return "after"

    @app.flow
    def walk() -> str:
        try:
            for part in chunks(range(5), size=1):
                burst(part[0])
        except errors.StepFailed:
            return after()
        return "never"

    with at_work(app):
        run = walk.start()
        assert result(run) == "after"
        assert sorted(checkpoints(app, run)) == ["after#1", "chunks#1.0/burst#1"]


def test_loops_stand_inside_each_other(app: Backroom) -> None:
    crashes = Crashes((1, 1), (2, 0))
    seen: list[tuple[int, int]] = []

    @step
    async def handle(outer: int, inner: int) -> None:
        seen.append((outer, inner))

    @app.flow(retry=AGAIN)
    async def walk() -> None:
        async for outer in chunks(range(3), size=1):
            async for inner in chunks(range(2), size=1):
                await handle(outer[0], inner[0])
                crashes.at((outer[0], inner[0]))

    with at_work(app):
        run = walk.start()
        result(run)
        assert checkpoints(app, run) == {"chunks#1": "done"}
    assert seen == [(a, b) for a in range(3) for b in range(2)]


@pytest.mark.parametrize("source", ["generator", "factory", "file", "asynchronous"])
def test_what_can_only_be_read_from_the_beginning_is_read_past(
    app: Backroom, tmp_path: Path, source: str
) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"{n}\n" for n in range(2_500)))
    crashes = Crashes(500, 2_000)
    handled: list[int] = []

    async def coming() -> AsyncIterator[str]:
        for n in range(2_500):
            yield str(n)

    @step
    async def handle(part: list[str]) -> None:
        handled.extend(map(int, part))

    @app.flow(retry=AGAIN)
    async def walk(source: str) -> None:
        items: Any
        match source:
            case "generator":
                items = (str(n) for n in range(2_500))
            case "factory":
                items = lambda: map(str, range(2_500))  # noqa: E731
            case "file":
                items = lines.open
            case _:
                items = coming
        async for part in chunks(items, size=500):
            await handle(part)
            crashes.at(int(part[0]))

    with at_work(app):
        result(walk.start(source))
    assert handled == list(range(2_500))


def test_a_def_flow_walks_a_generator(app: Backroom) -> None:
    crashes = Crashes(2)
    handled: list[int] = []

    @app.flow(retry=AGAIN)
    def walk() -> None:
        for part in chunks((n for n in range(5)), size=1):
            crashes.at(part[0])
            handled.extend(part)

    with at_work(app):
        result(walk.start())
    assert handled == [0, 1, 2, 3, 4]


def test_pages_are_asked_for_by_key_and_the_one_in_flight_is_kept(app: Backroom) -> None:
    crashes = Crashes(3, "second half of 3")
    rows = {n: "new" for n in range(1, 8)}
    asked: list[int | None] = []
    handled: list[int] = []
    booked: list[int] = []

    async def new_rows(after: int | None) -> tuple[list[int], int | None]:
        asked.append(after)
        found = [n for n, kind in rows.items() if kind == "new" and n > (after or 0)][:2]
        return found, found[-1] if found else None

    @step
    async def handle(ids: list[int]) -> None:
        for n in ids:
            rows[n] = "done"  # so the same question has another answer now
        handled.extend(ids)

    @step
    async def book(ids: list[int]) -> None:
        booked.extend(ids)

    @app.flow(retry=AGAIN)
    async def walk() -> None:
        async for ids in pages(new_rows):
            await handle(ids)
            crashes.at(ids[0])
            await book(ids)
            crashes.at(f"second half of {ids[0]}")

    with at_work(app):
        run = walk.start()
        result(run)
        assert checkpoints(app, run) == {"pages#1": "done"}
    assert handled == booked == [1, 2, 3, 4, 5, 6, 7]
    assert asked == [None, 2, 4, 6, 7]


def test_a_def_flow_walks_pages(app: Backroom) -> None:
    handled: list[int] = []

    def page(after: int | None) -> tuple[list[int], int | None]:
        first = 0 if after is None else after
        return [first, first + 1], None if first >= 4 else first + 2

    @app.flow
    def walk() -> None:
        for ids in pages(page):
            handled.extend(ids)

    with at_work(app):
        result(walk.start())
    assert handled == [0, 1, 2, 3, 4, 5]


def test_an_empty_source_has_no_chunks(app: Backroom) -> None:
    @app.flow
    async def walk() -> int:
        rounds = 0
        async for _ in chunks([]):
            rounds += 1
        async for _ in pages(lambda after: ([], None)):
            rounds += 1
        return rounds

    with at_work(app):
        assert result(walk.start()) == 0


def test_the_progress_is_told(app: Backroom) -> None:
    gate = asyncio.Event()

    @step
    async def wait_at(n: int) -> None:
        if n == 3:
            await asyncio.wait_for(gate.wait(), LONG)

    @app.flow
    async def walk() -> None:
        async for part in chunks(range(4), size=1):
            await wait_at(part[0])

    with at_work(app) as bench:
        run = walk.start()
        from backroom.testing import eventually

        eventually(lambda: run.status().wait(LONG).progress == 0.75, within=LONG)
        assert bench.worker._loop is not None
        bench.worker._loop.call_soon_threadsafe(gate.set)
        result(run)
        assert run.status().wait(LONG).progress == 1.0


def test_outside_of_flows_a_walk_is_a_plain_loop() -> None:
    walk = chunks([1, 2, 3], size=2)
    assert list(walk) == [[1, 2], [3]]
    assert walk.done == 3
    assert list(pages(lambda after: ([1], None) if after else ([0], 1))) == [[0], [1]]

    async def collect() -> list[list[int]]:
        return [part async for part in chunks(range(3), size=2)]

    assert asyncio.run(collect()) == [[0, 1], [2]]


def test_a_walk_is_walked_once() -> None:
    walk = chunks([1])
    list(walk)
    with pytest.raises(Refused, match="walked already"):
        list(walk)
    with pytest.raises(Refused, match="1 or more"):
        chunks([1], size=0)


def test_a_page_function_that_answers_otherwise_is_told(app: Backroom) -> None:
    @app.flow
    def walk() -> None:
        for _ in pages(lambda after: [1, 2, 3]):  # type: ignore[arg-type]
            pass

    with at_work(app):
        run = walk.start()
        assert outcome(run) is State.FAILED
        assert "returns (rows, after)" in (run.status().wait(LONG).error or "")


def test_a_chunk_that_is_done_can_still_be_undone(app: Backroom) -> None:
    undone: list[tuple[int, int | None]] = []

    async def unbook(n: int, booked: int | None) -> None:
        undone.append((n, booked))

    @step(undo=unbook)
    async def book(n: int) -> int:
        return 10 * n

    @app.flow
    async def walk() -> None:
        async for part in chunks(range(3), size=1):
            await book(part[0])
        raise OSError("all in vain")

    with at_work(app):
        run = walk.start()
        assert outcome(run) is State.FAILED
    assert undone == [(2, 20), (1, 10), (0, 0)]


def test_a_retry_by_a_person_goes_on_in_the_chunk(app: Backroom) -> None:
    crashes = Crashes(3)
    handled: list[int] = []

    @app.flow
    async def walk() -> None:
        async for part in chunks(range(5), size=1):
            crashes.at(part[0])
            handled.extend(part)

    with at_work(app):
        run = walk.start()
        assert outcome(run) is State.FAILED
        run.retry().wait(LONG)
        result(run)
        assert state(run) is State.SUCCEEDED
        assert [row.kind for row in steps(app, run)] == ["cursor"]
    assert handled == [0, 1, 2, 3, 4]
