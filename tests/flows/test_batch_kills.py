"""After any number of kills each chunk stands in the table once."""

from pathlib import Path

import pytest

from tests.flows.kills import CHUNK, fill_and_kill


@pytest.mark.timeout(300)
def test_after_ten_kills_the_side_table_holds_each_chunk_once(
    database: str, tmp_path: Path
) -> None:
    # A transaction step connects anew, which takes a while on PostgreSQL; all of them in torture.
    chunks = 200 if database.startswith("postgresql") else 1_000
    numbers = fill_and_kill(database, tmp_path, chunks=chunks, kills=10)
    assert numbers == list(range(chunks * CHUNK))
