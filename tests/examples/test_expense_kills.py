"""Workers are killed while claims are in flight, and nothing is lost or done twice.

The bounded version of tests/torture/test_expenses_kills.py, which takes the whole file.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.expenses import database as expense_database
from examples.expenses.app import app
from tests.examples.kills import ROOT, kill_and_count

CLAIMS = ROOT / "examples" / "expenses" / "claims.csv"


@pytest.fixture
def expense_database_at(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    app.override(database=database)
    yield database
    expense_database.close()
    app.close()


@pytest.mark.timeout(150)
def test_killed_workers_lose_nothing_and_repeat_nothing(
    expense_database_at: str, tmp_path: Path
) -> None:
    seed = int(os.environ.get("BACKROOM_TEST_SEED") or random.randrange(2**32))
    print(f"seed {seed}")
    lines = CLAIMS.read_bytes().splitlines(keepends=True)
    some = b"".join([lines[0], *lines[20:84]])
    report = kill_and_count(some, kills=3, pauses=(0.0, 0.8), seed=seed, log=tmp_path / "log")
    print(report)
    assert report.set_aside == 0
    assert report.claims >= 50
    assert report.approved >= 30
    assert report.refused >= 5
