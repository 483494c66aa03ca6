"""A migrated store on each database, and a desk to work at it."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from backroom.store.protocol import Store
from backroom.store.sqlite import SqliteStore
from tests.store.desk import Desk


def open_store(database: str) -> Store:
    """The store behind an address, as the application would make it."""
    if not database.startswith("postgresql"):
        return SqliteStore(database)
    from backroom.store.postgres import PostgresStore

    return PostgresStore(database)


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """The store of the test's database, which has our tables unless the test is `blank`."""
    store = open_store(database)
    yield store
    store.close()


@pytest.fixture
def desk(store: Store, database: str) -> Iterator[Desk]:
    desk = Desk(store, database)
    yield desk
    desk.close()


assert find_spec("backroom.store.postgres"), "both stores are held to the same promises"
