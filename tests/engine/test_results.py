"""How the end of a run reaches whoever waits for it in another process."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from backroom.app.settings import Settings
from backroom.app.stores import make_store
from backroom.engine import results
from backroom.engine.office import Office
from backroom.engine.results import Pace, ResultWatch
from backroom.records.errors import RunNotFound
from backroom.records.states import State
from backroom.store.protocol import Store
from backroom.store.verbs import Settle
from tests.store.desk import Desk

SECONDS = 10
NEVER = Pace(1000, 1, 1000)


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = make_store(Settings(database=database))
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def desk(store: Store, database: str) -> Iterator[Desk]:
    desk = Desk(store, database)
    yield desk
    desk.close()


@pytest.fixture
def watch(store: Store) -> Iterator[ResultWatch]:
    """Another process, as far as it can tell."""
    watch = ResultWatch(store)
    yield watch
    watch.close()


def settled(run_id: str) -> Settle:
    return Settle(run_id, 1, State.SUCCEEDED, result="1")


def test_an_end_elsewhere_is_found_by_looking(desk: Desk, watch: ResultWatch) -> None:
    run = desk.started_and_claimed()
    waiting = watch.add(run.id)
    desk.done(settled(run.id))
    assert waiting.result(SECONDS).state is State.SUCCEEDED


def test_the_bell_of_ends_tells_without_a_look(
    desk: Desk, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would look for a quarter of an hour."""
    heard = threading.Event()
    listen = store.bell_of_ends
    bell = listen()
    if bell is None:
        pytest.skip("on this database a look is cheap")
    bell.close()

    def listening() -> object:
        found = listen()
        heard.set()
        return found

    monkeypatch.setattr(store, "bell_of_ends", listening)
    for pace in ("CHEAP", "DEAR", "RUNG"):
        monkeypatch.setattr(results, pace, NEVER)
    run = desk.started_and_claimed()
    watch = ResultWatch(store)
    waiting = watch.add(run.id)
    assert heard.wait(SECONDS)
    office = Office(store)
    assert office.main.future(settled(run.id)).result(SECONDS) is None
    assert waiting.result(SECONDS).state is State.SUCCEEDED
    watch.close()
    office.close()


def test_a_run_that_is_not_there_is_said_to_be_missing(desk: Desk, watch: ResultWatch) -> None:
    with pytest.raises(RunNotFound):
        watch.add(desk.new().id).result(SECONDS)
