"""Migrations: from nothing, again, by two at once, and by the wrong program."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from backroom.records.errors import SchemaError
from backroom.records.runs import NewRun
from backroom.store.protocol import Store
from backroom.store.verbs import Start
from tests.store.desk import Desk


@pytest.mark.blank
def test_a_fresh_database_gets_everything_once(store: Store) -> None:
    assert store.schema_version() is None
    with pytest.raises(SchemaError, match="backroom migrate"):
        store.check_schema()
    names = store.migrate()
    assert names == sorted(names)
    assert len(names) == store.schema_version()
    store.check_schema()
    assert store.migrate() == []


@pytest.mark.blank
def test_without_our_tables_the_remedy_is_named(store: Store) -> None:
    session, reader = store.session(), store.reader()
    for _ in range(2):
        with pytest.raises(SchemaError, match="backroom migrate"):
            session.apply([Start(NewRun("00000000-0000-0000-0000-000000000001", "flow"))])
        with pytest.raises(SchemaError, match="backroom migrate"):
            reader.runs()
    store.migrate()
    session.apply([Start(NewRun("00000000-0000-0000-0000-000000000001", "flow"))])
    assert len(reader.runs()) == 1
    session.close()
    reader.close()


@pytest.mark.blank
def test_two_that_migrate_at_once_share_the_work(store: Store) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: store.migrate(), range(4)))
    names = [name for names in done for name in names]
    assert len(names) == len(set(names)) == store.schema_version()
    store.check_schema()


def test_a_changed_checksum_is_refused(desk: Desk) -> None:
    desk.query("UPDATE {b}migration SET checksum = 'another' WHERE number = 1")
    with pytest.raises(SchemaError, match="checksum"):
        desk.store.check_schema()
    with pytest.raises(SchemaError, match="checksum"):
        desk.store.migrate()


def test_a_newer_database_is_refused_by_name(desk: Desk) -> None:
    desk.query(
        "INSERT INTO {b}migration (number, name, checksum, applied_at) "
        "SELECT 999, '0999_from_the_future', 'x', applied_at FROM {b}migration WHERE number = 1"
    )
    for check in (desk.store.check_schema, desk.store.migrate):
        with pytest.raises(SchemaError, match="0999_from_the_future"):
            check()


def test_a_database_that_lacks_the_newest_is_told_to_migrate(desk: Desk) -> None:
    newest = desk.store.schema_version()
    desk.query(f"DELETE FROM {{b}}migration WHERE number = {newest}")
    with pytest.raises(SchemaError, match="backroom migrate"):
        desk.store.check_schema()


@pytest.mark.blank
def test_the_tables_of_the_application_are_left_alone(store: Store, database: str) -> None:
    desk = Desk(store, database)
    desk.query("CREATE TABLE invoice (id integer PRIMARY KEY, total integer)")
    desk.query("INSERT INTO invoice VALUES (1, 7)")
    store.migrate()
    assert desk.query("SELECT * FROM invoice") == [(1, 7)]
    desk.close()
