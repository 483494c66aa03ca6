"""Two branches that fetch and then charge never get each other's results, in whatever order.

    branch a    fetch a ── charge (what a fetched)
    branch b    fetch b ── charge (what b fetched)

Every order in which the four can end is tried, with a kill after every one of them, and every
order of what is left for the next attempt: in coroutines and in threads. Steps that are numbered
by one count for the whole run, whoever calls first, are shown to swap the customers' receipts.
"""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from backroom import Backroom, gather, step
from backroom.engine.handler import Handler
from backroom.flows.scope import FlowScope
from backroom.records.outcome import Outcome, Succeeded
from tests.promises.memory import Kept, MemoryDesk, attempt, handler_of

Order = tuple[str, ...]
WORK = ("fetch a", "charge a", "fetch b", "charge b")
RECEIPTS = '["a was charged","b was charged"]'


def orders(work: Sequence[str]) -> list[Order]:
    """All orders in which this work can end: a branch fetches before it charges."""
    return [
        order
        for order in itertools.permutations(work)
        if all(
            order.index(f"fetch {name}") < order.index(f"charge {name}")
            for name in "ab"
            if f"fetch {name}" in order and f"charge {name}" in order
        )
    ]


def lives() -> Iterator[tuple[Order, Order]]:
    """What ends before the kill, and after it, in every order."""
    for order in orders(WORK):
        for ended in range(len(WORK) + 1):
            for rest in orders([each for each in WORK if each not in order[:ended]]):
                yield order[:ended], rest


class Stage:
    """Lets the bodies of steps end one by one, in the order it is told."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.killed = False
        self.gates = {work: threading.Event() for work in WORK}
        self.inside: set[str] = set()

    def raise_curtain(self) -> None:
        self.killed = False
        self.inside.clear()
        for gate in self.gates.values():
            gate.clear()

    async def body(self, work: str) -> None:
        self.inside.add(work)
        while not self.gates[work].is_set():  # noqa: ASYNC110  the gate is for threads as well
            await asyncio.sleep(0)
        self.end(work)

    def body_in_thread(self, work: str) -> None:
        self.inside.add(work)
        self.gates[work].wait()
        self.end(work)

    def end(self, work: str) -> None:
        if self.killed:
            raise RuntimeError("killed")
        self.ran.append(work)

    async def let_end(self, work: str) -> None:
        """Let one body end that is (or soon will be) inside, and nothing else."""
        await happens(lambda: work in self.inside)
        self.gates[work].set()
        await happens(lambda: work in self.ran)

    def kill(self) -> None:
        self.killed = True
        self.let_all_end()

    def let_all_end(self) -> None:
        for gate in self.gates.values():
            gate.set()


async def happens(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  threads make it true as well
            await asyncio.sleep(0)


def declare(app: Backroom, stage: Stage) -> None:
    @step(check_input=False)
    async def fetch(name: str) -> str:
        await stage.body(f"fetch {name}")
        return name

    @step(check_input=False)
    async def charge(name: str) -> str:
        await stage.body(f"charge {name}")
        return f"{name} was charged"

    @app.flow
    async def in_tasks() -> tuple[str, str]:
        async def branch(name: str) -> str:
            return await charge(await fetch(name))

        return await gather(branch("a"), branch("b"))

    @step(name="fetch", check_input=False)
    def fetch_plainly(name: str) -> str:
        stage.body_in_thread(f"fetch {name}")
        return name

    @step(name="charge", check_input=False)
    def charge_plainly(name: str) -> str:
        stage.body_in_thread(f"charge {name}")
        return f"{name} was charged"

    @app.flow
    def in_threads() -> tuple[str, str]:
        return gather(
            lambda: charge_plainly(fetch_plainly("a")), lambda: charge_plainly(fetch_plainly("b"))
        ).wait()


async def perform(
    handler: Handler, flow: str, stage: Stage, before: Order, rest: Order | None
) -> Outcome:
    """A run that is killed once `before` has ended and whose rest ends in the order `rest`; None:
    in any."""
    kept: Kept = {}
    for number, ending in enumerate((before, rest or ()), start=1):
        stage.raise_curtain()
        desk = MemoryDesk(kept)
        performing = asyncio.ensure_future(attempt(handler, flow, desk, number).perform())
        if number == 2 and rest is None:
            stage.let_all_end()
        for count, work in enumerate(ending, start=1 if number == 1 else len(before) + 1):
            await stage.let_end(work)
            await happens(lambda: len(kept) >= count)  # noqa: B023
        if number == 1 and len(before) < len(WORK):
            desk.dead = True
            stage.kill()
        outcome = await performing
    return outcome


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def handler(sqlite_path: Path, stage: Stage) -> Iterator[Handler]:
    app = Backroom(sqlite_path)
    declare(app, stage)
    yield handler_of(app)
    app.close()


@pytest.mark.parametrize("flow", ["in_tasks", "in_threads"])
def test_no_order_of_events_swaps_two_branches(flow: str, handler: Handler, stage: Stage) -> None:
    async def all_lives() -> int:
        number = 0
        for before, rest in lives():
            stage.ran.clear()
            outcome = await perform(handler, flow, stage, before, rest)
            assert outcome == Succeeded(RECEIPTS), (before, rest)
            assert sorted(stage.ran) == sorted(WORK), (before, rest)
            number += 1
        return number

    assert asyncio.run(all_lives()) > 70


def test_one_count_for_all_branches_swaps_them(
    handler: Handler, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shared(self: FlowScope, name: str) -> str:
        counts: dict[str, int] = self.context.__dict__.setdefault("counts", {})
        counts[name] = counts.get(name, 0) + 1
        return f"{name}#{counts[name]}"

    monkeypatch.setattr(FlowScope, "_numbered", shared)

    async def outcome_after_a_kill() -> Outcome:
        before = ("fetch b", "fetch a", "charge b")  # b charges first, and then a kill
        return await perform(handler, "in_tasks", stage, before, None)

    outcome = asyncio.run(outcome_after_a_kill())
    assert outcome == Succeeded('["b was charged","b was charged"]')
