"""Two hundred restarts of two workers under load, with old and new code in turn."""

from pathlib import Path

import pytest

from tests.engine.rolling import roll


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_two_hundred_restarts_burn_no_attempt_and_lose_no_run(
    database: str, tmp_path: Path
) -> None:
    assert roll(database, tmp_path, restarts=200, load=5, processes=2, seconds=0.5) == 7_002
