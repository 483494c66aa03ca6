"""Workers, callers and supervisors killed or stopped at random moments; then all is counted.

The short runs are part of every run of the suite; the long ones and the twins, of `make torture`. A
twin is made with its protection taken away (`tests/torture/sabotage.py`), and must find that out.
BACKROOM_TEST_SEED repeats the moments and the victims of a run, not what the system makes of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.figures import Figure
from tests.torture.ordeal import Ordeal, seed

LEASE = 0.6
PACE = 0.4  # so that stopped attempts come back while others perform their runs
RUNS_A_STOP = 60  # and have room for them
GAP_SECONDS = 0.2  # between two kills, on average


def kill(
    database: str, folder: Path, *, runs: int, kills: int, seed: int, sabotage: str = ""
) -> Ordeal:
    """Kill somebody again and again while so many runs are started and performed."""
    with Ordeal(database, folder, seed=seed, lease=LEASE, sabotage=sabotage) as ordeal:
        for number in range(1, kills + 1):
            ordeal.allow(runs * number // kills)
            time.sleep(ordeal.chance.uniform(0, 2 * GAP_SECONDS))
            ordeal.kill_one()
            ordeal.catch_up()
        ordeal.end()
    return ordeal


def stop(
    database: str, folder: Path, *, stops: int, seed: int, sabotage: str = ""
) -> Iterator[Ordeal]:
    """Stop a worker beyond its lease, again and again: it goes on with writes under way, while
    others, who have room for them, perform its runs."""
    with Ordeal(database, folder, seed=seed, lease=LEASE, pace=PACE, sabotage=sabotage) as ordeal:
        for number in range(1, stops + 1):
            ordeal.allow(RUNS_A_STOP * number)
            time.sleep(PACE)
            ordeal.stop_one()
            yield ordeal
        ordeal.end()


def test_kills_lose_and_repeat_nothing(database: str, tmp_path: Path) -> None:
    ordeal = kill(database, tmp_path, runs=60, kills=5, seed=seed())
    assert ordeal.found.faults() == {}
    assert ordeal.found.bodies


def test_stopped_workers_write_nothing_late(database: str, tmp_path: Path) -> None:
    (ordeal,) = stop(database, tmp_path, stops=1, seed=seed())
    assert ordeal.found.faults() == {}
    assert ordeal.found.bodies


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("sabotage", "fault"), [("memory", "repeated"), ("receipt", "lost")])
def test_without_its_protection_a_kill_is_found_out(
    database: str, tmp_path: Path, sabotage: str, fault: str
) -> None:
    """Until it happens: chance decides which kill it is."""
    with Ordeal(database, tmp_path, seed=seed(), lease=LEASE, sabotage=sabotage) as ordeal:
        for number in range(1, 101):
            ordeal.allow(60 * number)
            time.sleep(ordeal.chance.uniform(0, 0.1))
            ordeal.kill_one()
            ordeal.catch_up()
            if fault in ordeal.so_far().faults():
                return
    pytest.fail(f"100 kills without {sabotage}, and nothing {fault}")


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_without_a_fence_a_late_write_is_found_out(database: str, tmp_path: Path) -> None:
    for ordeal in stop(database, tmp_path, stops=100, seed=seed(), sabotage="fence"):
        if {"late", "repeated"} & ordeal.so_far().faults().keys():
            return
    pytest.fail("100 stops without a fence, and no late write")


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_thousand_kills_over_a_hundred_thousand_runs(
    database: str, tmp_path: Path, figure: Figure
) -> None:
    chosen = seed()
    ordeal = kill(database, tmp_path, runs=100_000, kills=1_000, seed=chosen)
    found = ordeal.found
    assert found.faults() == {}
    assert ordeal.kills == 1_000
    figure(
        f"{ordeal.kills:,} kills (SIGKILL) over {found.runs:,} runs and {found.bodies:,} bodies of "
        f"steps, {found.taken_over:,} runs taken over: 0 accepted lost, 0 started twice, "
        f"0 checkpointed steps repeated; {ordeal.set_aside} runs set aside as suspects and retried",
        seed=chosen,
    )


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_ten_thousand_runs_over_stopped_workers(
    database: str, tmp_path: Path, figure: Figure
) -> None:
    chosen = seed()
    *_, ordeal = stop(database, tmp_path, stops=10_000 // RUNS_A_STOP + 1, seed=chosen)
    found = ordeal.found
    assert found.faults() == {}
    assert found.taken_over, "nothing was taken over: stop longer"
    figure(
        f"{ordeal.stops} stops (SIGSTOP) beyond the lease over {found.runs:,} runs, "
        f"{found.taken_over:,} of them taken over between two steps: 0 late writes accepted",
        seed=chosen,
    )
