"""Restarts under load with old and new code: nothing is lost, and no attempt is burnt."""

import sys
from pathlib import Path

import pytest

from tests.engine.rolling import roll


@pytest.mark.timeout(240)
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ten_restarts_with_old_and_new_code_burn_no_attempt_and_lose_no_run(
    database: str, tmp_path: Path
) -> None:
    assert roll(database, tmp_path, restarts=10, load=2, processes=1, seconds=0.02) == 142
