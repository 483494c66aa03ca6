"""Forking servers: no open database crosses a fork, and both sides go on."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backroom.records.errors import StoreUnavailable
from backroom.records.runs import NewRun
from backroom.store.sqlite import SqliteStore, forking
from backroom.store.verbs import Start

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork"),
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]


@pytest.fixture
def store(sqlite_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(sqlite_path)
    store.migrate()
    yield store
    store.close()


def start(number: int) -> Start:
    return Start(NewRun(f"run-{number}", "flow"))


def in_child(work: Callable[[], object]) -> int:
    """Fork, do this in the child, and answer its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_parent_and_child_go_on_with_what_they_had(store: SqliteStore) -> None:
    session, reader = store.session(), store.reader()
    session.apply([start(0)])
    assert len(reader.runs()) == 1

    def child() -> None:
        session.apply([start(1)])
        assert len(reader.runs()) == 2

    assert in_child(child) == 0
    session.apply([start(2)])
    assert len(reader.runs()) == 3


def test_a_fresh_session_in_the_child_works(store: SqliteStore) -> None:
    store.session().apply([start(0)])
    assert in_child(lambda: store.session().apply([start(1)])) == 0
    assert len(store.reader().runs()) == 2


def test_a_child_that_outlives_its_parents_handles_keeps_the_log(store: SqliteStore) -> None:
    """Locks of the parent don't protect the child; it has to have its own."""
    session = store.session()
    session.apply([start(0)])
    here, there = os.pipe()

    def child() -> None:
        mine = store.session()
        mine.apply([start(1)])
        os.read(here, 1)
        mine.apply([start(2)])

    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            os._exit(0)
    session.apply([start(3)])
    session.close()
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.write(there, b"x")
    os.waitpid(pid, 0)
    assert len(store.reader().runs()) == 4
    with closing(sqlite3.connect(store.path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_forking_while_threads_write_damages_nothing(store: SqliteStore) -> None:
    stop = threading.Event()
    written: list[int] = [0]

    def write() -> None:
        session = store.session()
        while not stop.is_set():
            session.apply([start(1_000 + written[0])])
            written[0] += 1
        session.close()

    thread = threading.Thread(target=write)
    thread.start()
    codes = [in_child(lambda n=n: store.session().apply([start(n)])) for n in range(30)]  # type: ignore[misc]
    stop.set()
    thread.join()
    assert codes == [0] * 30
    assert store.reader().queues("default")[0].due == 30 + written[0]
    with closing(sqlite3.connect(store.path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_handle_in_use_at_the_fork_is_out_of_bounds_in_the_child(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "PATIENCE_SECONDS", 0.0)
    session = store.session()

    def child() -> None:
        with pytest.raises(StoreUnavailable, match="forked"):
            session.apply([start(0)])
        session.close()
        store.session().apply([start(1)])

    with session._keeper.using():
        assert in_child(child) == 0
    session.apply([start(2)])
    assert len(store.reader().runs()) == 2
