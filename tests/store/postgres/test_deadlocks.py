"""Batches of different sessions never wait for one another in a circle."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from backroom.records.runs import Claimed
from backroom.records.states import State
from backroom.store.postgres import session
from backroom.store.verbs import Cancel, Claim, Emit, Park, SaveStep, Settle, Start, Verb
from tests.store.desk import Desk, child, event, step

SESSIONS = 4
BATCHES = 40


def test_batches_that_touch_the_same_families_never_deadlock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is retried, so the server has never had to break a circle."""
    retries: list[int] = []
    monkeypatch.setattr(session, "pause", retries.append)
    parents = [desk.started_and_claimed() for _ in range(30)]
    children = [
        desk.started_and_claimed(parent_id=parent.id) for parent in parents for _ in range(2)
    ]

    def work(seed: int) -> None:
        chance = random.Random(seed)
        mine = desk.store.session()
        try:
            for number in range(BATCHES):
                mine.apply(batch(chance, f"{seed}.{number}", parents, children))
        finally:
            mine.close()

    with ThreadPoolExecutor(SESSIONS) as threads:
        list(threads.map(work, range(SESSIONS)))
    assert retries == []


def batch(
    chance: random.Random, name: str, parents: Sequence[Claimed], children: Sequence[Claimed]
) -> list[Verb]:
    """Some of everything that locks, in any order of runs."""
    verbs: list[Verb] = [Claim(f"worker of {name}", ("default",), ("flow",), 5)]
    for number, run in enumerate(chance.sample([*parents, *children], 12)):
        verbs.append(SaveStep(run.id, run.attempt, step(f"work#{chance.randrange(9)}")))
        verbs.append(Emit(run.id, f"event {number} of {name}", "go", "{}"))
    for run in chance.sample(parents, 2):
        verbs.append(Park(run.id, run.attempt, (event(), child(chance.choice(children).id))))
    for run in chance.sample(children, 2):
        verbs.append(Settle(run.id, run.attempt, State.SUCCEEDED, "1"))
    if chance.random() < 0.2:
        verbs.append(Cancel(chance.choice(parents).id, "enough"))
    chance.shuffle(verbs)
    return verbs


def test_starts_of_the_same_keys_in_opposite_order_never_deadlock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    retries: list[int] = []
    monkeypatch.setattr(session, "pause", retries.append)
    keys = [f"key {number}" for number in range(200)]
    lanes: list[list[Verb]] = [
        [Start(desk.new(key=key)) for key in order]
        for order in (keys, keys[::-1], random.Random(1).sample(keys, 200))
    ]

    def work(lane: list[Verb]) -> None:
        mine = desk.store.session()
        mine.apply(lane)
        mine.close()

    with ThreadPoolExecutor(len(lanes)) as threads:
        list(threads.map(work, lanes))
    assert retries == []
    assert len(desk.reader.runs(limit=1000)) == 200
