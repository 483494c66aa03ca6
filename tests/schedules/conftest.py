"""An application on each database."""

from collections.abc import Iterator

import pytest

from backroom import Backroom


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    made = Backroom(database, poll=0.02)
    yield made
    made.close()
