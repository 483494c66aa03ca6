"""A hundred kills while a thousand chunks are written: each of them stands in the table once."""

from pathlib import Path

import pytest

from tests.flows.kills import CHUNK, fill_and_kill


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_after_a_hundred_kills_the_side_table_holds_each_chunk_once(
    database: str, tmp_path: Path
) -> None:
    numbers = fill_and_kill(database, tmp_path, chunks=1_000, kills=100)
    assert numbers == list(range(1_000 * CHUNK))
