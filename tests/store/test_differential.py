"""SQLite, PostgreSQL and a model of plain dictionaries do the same: random verbs, and every row of
every table after each batch.

`tests/store/deeds.py` says what is done, `tests/store/trio.py` compares, `tests/store/model` is the
third. `tests/torture/test_differential.py` plays for longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from backroom.store.verbs import Claim, SaveStep, Verb
from tests.store.deeds import KINDS, Player, played
from tests.store.trio import Different, Trio, trio

SEEDS = (96, 21, 64)
BATCHES = 80


@pytest.fixture
def three(sqlite_file: Path, postgres_dsn: str) -> Iterator[Trio]:
    with trio(sqlite_file, postgres_dsn) as made:
        yield made


def test_the_same_verbs_leave_the_same_rows_in_all_three(three: Trio) -> None:
    """Every kind of deed has succeeded by the end. If a new kind hasn't, look for other seeds."""
    assert len(KINDS) >= 30
    missing = set(KINDS)
    for seed in SEEDS:
        three.empty()
        missing -= set(played(three, seed, BATCHES).succeeded)
    assert not missing


def forgets_what_failed(verb: Verb) -> Verb:
    """A store that takes a step that is still trying for one that is done."""
    if isinstance(verb, SaveStep) and verb.step.state == "trying":
        step = verb.step
        return SaveStep(
            verb.run_id,
            verb.attempt,
            type(step)(step.address, step.name, step.kind, "done", step.result, step.error),
        )
    return verb


def claims_one_too_many(verb: Verb) -> Verb:
    if isinstance(verb, Claim) and verb.limit > 1:
        return Claim(verb.worker, verb.queues, verb.flows, verb.limit + 1, ruled=verb.ruled)
    return verb


@pytest.mark.parametrize("defect", [forgets_what_failed, claims_one_too_many])
def test_a_store_with_one_defect_is_caught(three: Trio, defect: Callable[[Verb], Verb]) -> None:
    """The twin: without a difference found here the test above would be worth nothing."""
    session: Any = three.sides[2].session  # type: ignore[attr-defined]
    honest: Callable[[Sequence[Verb]], list[object]] = session.apply
    session.apply = lambda verbs: honest([defect(verb) for verb in verbs])
    with pytest.raises(Different):
        Player(three, 1).play(BATCHES)
