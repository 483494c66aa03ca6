"""A run that sleeps is a row and nothing else: the worker keeps no memory for it.

(`tests/torture/test_many_sleepers.py` does it with 100,000.)
"""

from pathlib import Path

from tests.promises.sleepers import put_to_bed

SLEEPERS = 5_000


def test_five_thousand_sleepers_take_no_memory_and_wake(database: str, tmp_path: Path) -> None:
    cost = put_to_bed(database, SLEEPERS, tmp_path, patience=50)
    assert cost.asleep - cost.before < 5, cost
