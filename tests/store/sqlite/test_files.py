"""Files that can't be used: each says what is wrong with it and what to do."""

import ctypes
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from backroom.records.errors import SchemaError, StoreDamaged, StoreFull, StoreUnavailable
from backroom.records.runs import NewRun
from backroom.store.sqlite import SqliteStore
from backroom.store.verbs import Rescue, Start

START = Start(NewRun("run-1", "flow"))

CAPABILITY_VERSION_3 = 0x20080522
MAY_PASS_OVER_MODES = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@pytest.fixture
def store(sqlite_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(sqlite_path, busy_timeout_ms=50)
    store.migrate()
    yield store
    store.close()


def test_a_missing_file_is_not_created_by_using_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new.db")
    with pytest.raises(SchemaError, match="backroom migrate"):
        store.session().apply([START])
    with pytest.raises(SchemaError, match="backroom migrate"):
        store.reader().runs()
    assert store.schema_version() is None
    assert not store.path.exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "nowhere" / "new.db")
    for use in (store.migrate, store.check_schema, store.reader().runs):
        with pytest.raises(StoreUnavailable, match=r"no folder .*nowhere"):
            use()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is a folder"):
        SqliteStore(tmp_path).migrate()


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear database, " * 100)
    store = SqliteStore(path)
    with pytest.raises(StoreDamaged, match="no SQLite database"):
        store.migrate()
    with pytest.raises(StoreDamaged, match="no SQLite database"):
        store.session().apply([START])
    assert path.read_text() == "Dear database, " * 100


def test_a_read_only_file_can_be_read_but_not_written(store: SqliteStore) -> None:
    store.path.chmod(0o400)
    with bound_to_modes(), pytest.raises(StoreUnavailable, match="read-only"):
        store.session().apply([START])
    assert store.reader().runs() == []


def test_a_read_only_folder_is_named(store: SqliteStore) -> None:
    with (
        mode(store.path.parent, 0o500),
        bound_to_modes(),
        pytest.raises(StoreUnavailable, match=r"folder.*read-only"),
    ):
        store.session().apply([START])


@contextmanager
def bound_to_modes() -> Iterator[None]:
    """Even root, in this thread, is bound to a file's mode: it lays the capability down for a
    while."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    held, less = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    # Only what is in force; what is permitted stays, so that it can be taken up again.
    for place in range(6):
        less[place] = held[place] & ~(MAY_PASS_OVER_MODES if place == 0 else 0)
    assert libc.capset(header, less) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


def test_a_lock_that_lasts_too_long_names_the_remedy(store: SqliteStore) -> None:
    session = store.session()
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="short"):
            session.apply([START])
        assert store.reader().runs() == []
        other.execute("ROLLBACK")
    session.apply([START])
    assert len(store.reader().runs()) == 1


def test_a_full_disk_refuses_new_work_and_loses_nothing(store: SqliteStore) -> None:
    session = store.session()
    session.apply([START])
    large = NewRun("run-2", "flow", input='"' + "x" * 100_000 + '"')
    with session._keeper.using() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull, match="full"):
        session.apply([Start(large)])
    assert [row.id for row in store.reader().runs()] == ["run-1"]
    with session._keeper.using() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    session.apply([Start(large)])
    assert len(store.reader().runs()) == 2


def test_the_file_uses_the_write_ahead_log(store: SqliteStore) -> None:
    with closing(sqlite3.connect(store.path)) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_settings_of_the_applications_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as app:
        app.execute("PRAGMA page_size = 8192")
        app.execute("PRAGMA user_version = 7")
        app.execute("PRAGMA application_id = 9")
        app.execute("CREATE TABLE t (x)")
    store = SqliteStore(path)
    store.migrate()
    store.session().apply([START])
    with closing(sqlite3.connect(path)) as app:
        for setting, value in (("page_size", 8192), ("user_version", 7), ("application_id", 9)):
            assert app.execute(f"PRAGMA {setting}").fetchone() == (value,)


def test_commits_are_synced(store: SqliteStore) -> None:
    with store.session()._keeper.using() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_store_that_does_not_checkpoint_never_does(store: SqliteStore) -> None:
    beside = SqliteStore(store.path, checkpoints=False).session()
    with beside._keeper.using() as connection:
        assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_a_kill_in_the_middle_of_a_migration_leaves_nothing_of_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new.db")
    pid = os.fork()
    if pid == 0:
        from backroom.store.sqlite import migrate

        def killed(text: str) -> Iterator[str]:
            yield "CREATE TABLE backroom_half (x)"
            os._exit(9)

        migrate.statements = killed
        store.migrate()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert store.schema_version() is None
    store.migrate()
    store.check_schema()
    with closing(sqlite3.connect(store.path)) as connection:
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'backroom_half'")
        assert found.fetchone() is None


def test_nobody_rescues_after_a_wait_that_kept_everybody_from_renewing(store: SqliteStore) -> None:
    session = store.session()
    session.apply([START])
    store._lock_waits.waited(store._lock_waits.long_seconds)
    with closing(sqlite3.connect(store.path)) as other, other:
        other.execute("UPDATE backroom_live SET state = 'running', worker = 'gone', claimed_at = 1")
    assert session.apply([Rescue()]) == [()]
    store._lock_waits._patient_until = 0.0
    assert session.apply([Rescue()]) == [("run-1",)]


def test_the_doctor_finds_a_healthy_file_healthy(store: SqliteStore) -> None:
    levels = {what: level for level, what, _ in store.diagnose()}
    assert "error" not in levels.values()
    assert any("journal_mode is wal" in what for what in levels)


def test_the_doctor_says_what_is_missing(tmp_path: Path) -> None:
    ((level, what, remedy),) = SqliteStore(tmp_path / "new.db").diagnose()
    assert level == "error"
    assert "no database" in what
    assert "backroom migrate" in remedy
