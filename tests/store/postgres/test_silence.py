"""Half-open connections: the other end takes what we send, and says nothing any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from backroom.records.errors import OutcomeUnknown, StoreUnavailable
from backroom.records.runs import NewRun, Started
from backroom.store.postgres import PostgresStore
from backroom.store.verbs import Start
from tests.torture.proxy import Proxy, proxy

RUN = NewRun("01900000-0000-7000-8000-000000000001", "flow")


@contextmanager
def half_open(dsn: str) -> Iterator[tuple[PostgresStore, Proxy]]:
    with proxy(dsn, Random(0)) as between:
        store = PostgresStore(between.dsn, silence_seconds=0.1)
        yield store, between
        store.close()


def test_a_commit_that_is_never_answered_is_of_unknown_outcome(postgres_dsn: str) -> None:
    with half_open(postgres_dsn) as (store, between):
        session = store.session()
        between.odds["hang"] = 1.0
        with pytest.raises(OutcomeUnknown, match="same id"):
            session.apply([Start(RUN)])
        between.odds["hang"] = 0.0
        assert session.apply([Start(RUN)]) == [Started(RUN.id, True)]
        reader = store.reader()
        assert [row.id for row in reader.runs()] == [RUN.id]
        reader.close()
        session.close()


def test_a_look_that_is_never_answered_is_given_up(postgres_dsn: str) -> None:
    with half_open(postgres_dsn) as (store, between):
        reader = store.reader()
        assert reader.now()
        between.odds["mute"] = 1.0
        with pytest.raises(StoreUnavailable, match="said nothing"):
            reader.now()
        between.odds["mute"] = 0.0
        assert reader.now()
        reader.close()
