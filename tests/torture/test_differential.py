"""200,000 random verbs through SQLite, PostgreSQL and the model, and no difference.

`BACKROOM_TEST_STEPS` is how many, `BACKROOM_TEST_SEED` the first of the seeds: each of them plays
on empty tables for a while.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.store.deeds import KINDS, played
from tests.store.trio import trio

pytestmark = [pytest.mark.torture, pytest.mark.timeout(4 * 3600)]

BATCHES = 150  # on the tables of one seed


def test_two_hundred_thousand_steps_without_a_difference(
    sqlite_file: Path, postgres_dsn: str
) -> None:
    steps = int(os.environ.get("BACKROOM_TEST_STEPS", "200000"))
    seed = first = int(os.environ.get("BACKROOM_TEST_SEED", str(random.randrange(1_000_000))))
    print(f"\nThe first seed is {first}.")
    total: Counter[str] = Counter()
    done, began = 0, time.monotonic()
    with trio(sqlite_file, postgres_dsn) as three:
        while done < steps:
            three.empty()
            total += played(three, seed, BATCHES).succeeded
            done += sum(map(len, three.done))
            seed += 1
    assert not set(KINDS) - set(total)
    minutes = (time.monotonic() - began) / 60
    print(f"{done:,} steps of seeds {first} to {seed - 1}: 0 differences, {minutes:.0f} minutes.")
    print(f"Fewest successes: {min(total.items(), key=lambda item: item[1])}")
