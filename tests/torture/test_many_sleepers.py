"""100,000 runs sleep for a day: the worker grows by less than 20 MB, and all of them wake."""

import time
from pathlib import Path

import pytest

from tests.promises.sleepers import put_to_bed

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1200)]

SLEEPERS = 100_000
MEGABYTES = 20


def test_a_hundred_thousand_sleepers(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    cost = put_to_bed(database, SLEEPERS, tmp_path, patience=500)
    with capsys.disabled():
        print(f"\n{SLEEPERS:,} sleepers: {cost}, {time.monotonic() - began:.0f} s in all")
    assert cost.asleep - cost.before < MEGABYTES
