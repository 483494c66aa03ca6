"""An application for every test: on each database, once with wake-ups and once with none at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backroom import Backroom
from tests.flows.house import EvenChance


@pytest.fixture(params=[True, False], ids=["rung", "deaf"])
def app(request: pytest.FixtureRequest, database: str) -> Iterator[Backroom]:
    """An application on an empty database. Deaf: nobody rings and nobody would hear it."""
    made = Backroom(database, world=EvenChance(), doorbells=request.param, poll=0.02)
    yield made
    made.close()


@pytest.fixture
def sqlite_app(sqlite_file: Path) -> Iterator[Backroom]:
    """An application on an empty SQLite file, for what doesn't depend on the database."""
    made = Backroom(sqlite_file, world=EvenChance(), poll=0.02)
    yield made
    made.close()
