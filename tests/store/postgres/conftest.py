"""A migrated PostgreSQL store, and a desk to work at it."""

from collections.abc import Iterator

import pytest

from backroom.store.postgres import PostgresStore
from tests.store.desk import Desk


@pytest.fixture
def store(postgres_dsn: str) -> Iterator[PostgresStore]:
    store = PostgresStore(postgres_dsn)
    yield store
    store.close()


@pytest.fixture
def desk(store: PostgresStore, postgres_dsn: str) -> Iterator[Desk]:
    desk = Desk(store, postgres_dsn)
    yield desk
    desk.close()
