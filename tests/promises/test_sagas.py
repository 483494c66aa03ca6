"""The books balance, wherever a saga fails and whatever its undos meet; or a person is told what is
still open, and can finish it.

Six steps, each with an undo, move coins between accounts. Each saga fails at one of its positions,
in each of several ways, and in its undoing one of the undos meets each kind of trouble: every pair
of these is played. The sagas that fail in one way are played side by side.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from backroom import Backroom, Retry, Run, State, current_run, step
from backroom.flows.recovery import Undo
from backroom.records.runs import RunRow
from backroom.testing import eventually
from tests.flows.house import EvenChance
from tests.promises.bank import (
    FULL,
    HASTE_SECONDS,
    Books,
    Trouble,
    linger,
    linger_in_thread,
    meet,
)

LONG = 60.0
STEPS = 6
ONCE = [Trouble.REFUSES, Trouble.BREAKS, Trouble.DIES, Trouble.CANCELLED, Trouble.TOO_LATE]
AGAIN = Retry(attempts=3, delay_seconds=0.001)
RESTING = (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.NEEDS_ATTENTION)


@dataclass
class Saga:
    """One saga: where it fails and how, which of its undos meets what, and what has happened."""

    position: int
    forward: Trouble
    undo: int
    backward: Trouble
    books: Books = field(default_factory=Books)
    met: set[str] = field(default_factory=set)
    mended: bool = False
    run: Run[Any] | None = None

    def __str__(self) -> str:
        return f"step {self.position}: {self.forward}; undo of {self.undo}: {self.backward}"

    def is_hasty(self, number: int) -> bool:
        late = Trouble.TOO_LATE
        return (number, late) in ((self.position, self.forward), (self.undo, self.backward))

    def trouble_of(self, number: int) -> Trouble:
        if number != self.position:
            return Trouble.NONE
        # When its process has died the step is called again, and fails for good.
        return self.forward if self.is_first("forward") else Trouble.REFUSES

    def trouble_of_undo(self, number: int) -> Trouble:
        self.books.asked.append(number)
        if number != self.undo or self.mended:
            return Trouble.NONE
        lasts = self.backward is Trouble.FOR_EVER
        return self.backward if lasts or self.is_first("backward") else Trouble.NONE

    def is_first(self, what: str) -> bool:
        first = what not in self.met
        self.met.add(what)
        return first

    def open(self) -> list[int]:
        """The undos that are still to be done when this saga needs a person."""
        return list(range(self.undo, -1, -1))


def sagas_that(forward: Trouble) -> list[Saga]:
    undos = [(undo, backward) for undo in range(STEPS) for backward in (*ONCE, Trouble.FOR_EVER)]
    return [
        Saga(position, forward, undo, backward)
        for position in range(STEPS)
        for undo, backward in [(-1, Trouble.NONE), *undos]
        if undo <= position
    ]


class House:
    """An application with two flows, one of each colour, that play a saga by its number."""

    def __init__(self, database: str) -> None:
        self.app = Backroom(database, world=EvenChance(), poll=0.02)
        self.sagas: list[Saga] = []
        self.declare_async(self.app)
        self.declare_def(self.app)

    def cancel(self) -> None:
        self.app.run(current_run().id).cancel("stop")

    def meet(self, saga: Saga, number: int) -> Trouble:
        trouble = saga.trouble_of(number)
        meet(trouble, lambda: saga.books.move(number), self.cancel)
        return trouble

    def meet_undo(self, saga: Saga, number: int) -> Trouble:
        trouble = saga.trouble_of_undo(number)
        meet(trouble, lambda: saga.books.move_back(number), self.cancel)
        return trouble

    def declare_async(self, app: Backroom) -> None:
        async def move_back(saga: int, number: int, moved: int | None) -> None:
            assert moved in (None, number)
            await linger(self.meet_undo(self.sagas[saga], number), shielded=True)

        @step(undo=move_back, undo_retry=AGAIN)
        async def move(saga: int, number: int) -> int:
            await linger(self.meet(self.sagas[saga], number), shielded=False)
            return number

        @step(undo=move_back, undo_retry=AGAIN, timeout=HASTE_SECONDS)
        async def move_hastily(saga: int, number: int) -> int:
            await linger(self.meet(self.sagas[saga], number), shielded=False)
            return number

        @app.flow
        async def in_tasks(saga: int) -> None:
            for number in range(STEPS):
                hasty = self.sagas[saga].is_hasty(number)
                await (move_hastily if hasty else move).using(key=str(number))(saga, number)

    def declare_def(self, app: Backroom) -> None:
        def move_back(saga: int, number: int, moved: int | None) -> None:
            assert moved in (None, number)
            linger_in_thread(self.meet_undo(self.sagas[saga], number), shielded=True)

        @step(undo=move_back, undo_retry=AGAIN)
        def move(saga: int, number: int) -> int:
            linger_in_thread(self.meet(self.sagas[saga], number), shielded=False)
            return number

        @step(undo=move_back, undo_retry=AGAIN, timeout=HASTE_SECONDS)
        def move_hastily(saga: int, number: int) -> int:
            linger_in_thread(self.meet(self.sagas[saga], number), shielded=False)
            return number

        @app.flow
        def in_threads(saga: int) -> None:
            for number in range(STEPS):
                hasty = self.sagas[saga].is_hasty(number)
                (move_hastily if hasty else move).using(key=str(number))(saga, number)

    def play(self, flow: str, sagas: list[Saga]) -> None:
        self.sagas = sagas
        prepared = [self.app.handle(flow).prepare(place) for place in range(len(sagas))]
        runs = self.app.start_many(prepared)
        for saga, run in zip(sagas, runs, strict=True):
            saga.run = run

    def at_rest(self) -> None:
        alive = tuple(state for state in State if state not in RESTING)
        eventually(lambda: not self.look(lambda r: r.runs(states=alive, limit=1)), within=LONG)

    def row(self, saga: Saga) -> RunRow:
        assert saga.run is not None
        run_id = saga.run.id
        row = self.look(lambda reader: reader.run(run_id))
        assert isinstance(row, RunRow)
        return row

    def undos(self, saga: Saga) -> list[Undo]:
        assert saga.run is not None
        return saga.run.undos().wait(LONG)

    def look(self, look: Callable[[Any], object]) -> Any:
        return self.app.office.read(look).result(LONG)


@pytest.fixture
def house(database: str) -> Iterator[House]:
    made = House(database)
    yield made
    made.app.close()


@pytest.mark.parametrize("forward", ONCE, ids=lambda trouble: trouble.name.lower())
@pytest.mark.parametrize("flow", ["in_tasks", "in_threads"])
def test_the_books_balance_or_a_person_is_told_what_is_open(
    house: House, flow: str, forward: Trouble
) -> None:
    sagas = sagas_that(forward)
    with house.app.working(concurrency=200):
        house.play(flow, sagas)
        house.at_rest()
        stuck = [saga for saga in sagas if saga.backward is Trouble.FOR_EVER]
        for saga in sagas:
            check_end(house, saga) if saga not in stuck else check_open(house, saga)
        for saga in stuck:
            saga.mended = True
            assert saga.run is not None
            saga.run.retry(by="ann").wait(LONG)
        house.at_rest()
        for saga in stuck:
            check_end(house, saga)


def check_end(house: House, saga: Saga) -> None:
    """All is taken back: each effect once, the last one first."""
    books = saga.books
    cancelled = saga.forward is Trouble.CANCELLED
    hurried = cancelled and saga.is_hasty(saga.position)  # its time-out may be quicker
    ends = [State.CANCELLED if cancelled else State.FAILED, *([State.FAILED] if hurried else [])]
    assert house.row(saga).state in ends, str(saga)
    assert books.accounts == [FULL] * (STEPS + 1), str(saga)
    moved = [number for what, number in books.entries if what == "moved"]
    back = [number for what, number in books.entries if what == "moved back"]
    assert moved == sorted(set(moved)), str(saga)
    assert back == moved[::-1], str(saga)
    assert list(dict.fromkeys(books.asked)) == list(range(saga.position, -1, -1)), str(saga)
    assert books.asked == sorted(books.asked, reverse=True), str(saga)
    assert {undo.state for undo in house.undos(saga)} == {"undone"}, str(saga)


def check_open(house: House, saga: Saga) -> None:
    """Exactly what is open is told, and still stands outside; the rest is taken back."""
    row = house.row(saga)
    assert row.state is State.NEEDS_ATTENTION, str(saga)
    told = [int(address.partition("[")[2][:-1]) for address in json.loads(row.error or "")["open"]]
    assert told == saga.open(), str(saga)
    not_moved = saga.forward is Trouble.REFUSES and saga.undo == saga.position
    standing = [n for n in sorted(saga.open()) if not (not_moved and n == saga.position)]
    assert saga.books.standing() == standing, str(saga)
    assert sum(saga.books.accounts) == FULL * (STEPS + 1), str(saga)
    states = [undo.state for undo in house.undos(saga)]
    done = saga.position - saga.undo
    assert states == ["undone"] * done + ["failed"] + ["open"] * saga.undo, str(saga)
