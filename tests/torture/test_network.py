"""A network that swallows answers, cuts and delays, between PostgreSQL and all who use it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.torture.figures import Figure
from tests.torture.labour import EVERY
from tests.torture.ordeal import Ordeal, seed
from tests.torture.proxy import Proxy, proxy

SWALLOW = 0.2


def through(
    dsn: str, folder: Path, *, runs: int, seed: int, sabotage: str = "", workers: int = 1
) -> tuple[Ordeal, Proxy]:
    """Start and perform so many runs through a bad network."""
    with (
        proxy(dsn, Random(seed), swallow=SWALLOW, cut=0.0005, delay=0.01) as between,
        Ordeal(
            dsn, folder, seed=seed, reach=between.dsn, lease=6.0, sabotage=sabotage,
            workers=workers, supervised=0, at_once=2,
        ) as ordeal,
    ):  # fmt: skip
        ordeal.allow(runs)
        ordeal.end(patience=3_000)
    return ordeal, between


def test_a_swallowed_answer_makes_nothing_twice(postgres_dsn: str, tmp_path: Path) -> None:
    ordeal, between = through(postgres_dsn, tmp_path, runs=100, seed=seed())
    assert ordeal.found.faults() == {}
    assert between.done["swallow"] >= 5


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_with_new_ids_at_every_try_it_is_found_out(postgres_dsn: str, tmp_path: Path) -> None:
    ordeal, _ = through(postgres_dsn, tmp_path, runs=300, seed=seed(), sabotage="names")
    assert "twice" in ordeal.found.faults()


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_fifty_thousand_operations(postgres_dsn: str, tmp_path: Path, figure: Figure) -> None:
    chosen = seed()
    runs = 42_000
    ordeal, between = through(postgres_dsn, tmp_path, runs=runs, seed=chosen, workers=2)
    assert ordeal.found.faults() == {}
    done = between.done
    figure(
        f"{runs + runs // EVERY:,} operations ({runs:,} starts, {runs // EVERY:,} events) and "
        f"{ordeal.found.bodies:,} steps through {done['commits']:,} commits, the answers to "
        f"{done['swallow']:,} of them swallowed, {done['cut']:,} cuts, {done['delay']:,} delays: "
        "0 duplicates, 0 lost, 0 checkpointed steps repeated",
        seed=chosen,
    )
