"""`kill -9` of the workers at ten random moments while the whole CSV file is in flight.

What is counted, and how, is told in tests/examples/kills.py. BACKROOM_TEST_SEED repeats a run.
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

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]


@pytest.fixture
def here(database: str) -> Iterator[str]:
    app.override(database=database)
    yield database
    expense_database.close()
    app.close()


def test_three_hundred_claims_survive_ten_kills(
    here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("BACKROOM_TEST_SEED") or random.randrange(2**32))
    print(f"seed {seed}")
    content = (ROOT / "examples" / "expenses" / "claims.csv").read_bytes()
    report = kill_and_count(content, kills=10, pauses=(0.0, 1.5), seed=seed, log=tmp_path / "log")
    with capsys.disabled():
        print(f"\n{report}")
    assert report.set_aside == 0, "innocent runs were suspected of killing their workers"
    assert report.claims >= 270
    assert report.approved >= 150
    assert report.rejected >= 70
    assert report.refused >= 30
