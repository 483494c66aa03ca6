"""Starts inside Django's own transactions."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, connections, transaction

from backroom import Backroom, Run, errors
from backroom.flows.flow import AsyncFlow
from tests.flows.house import result


class ChangedTheirMind(Exception):
    pass


@pytest.fixture
def greet(app: Backroom) -> AsyncFlow[[str], str]:
    @app.flow
    async def greet(name: str) -> str:
        return f"hello, {name}"

    return greet


def write() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO note (text) VALUES ('mine')")


def notes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM note")
        row: tuple[int] = cursor.fetchone()
    return row[0]


def exists(run: Run[str]) -> bool:
    try:
        return bool(run.status().wait())
    except errors.RunNotFound:
        return False


def test_the_run_comes_with_the_commit(app: Backroom, greet: AsyncFlow[[str], str]) -> None:
    with transaction.atomic():
        write()
        run = greet.using(on=connection).start("you")
        assert not exists(run)
    assert notes() == 1
    with app.working():
        assert result(run) == "hello, you"


def test_the_run_goes_with_the_rollback(app: Backroom, greet: AsyncFlow[[str], str]) -> None:
    with suppress(ChangedTheirMind), transaction.atomic():
        write()
        run = greet.using(on=connections["default"], key="k").start("you")
        raise ChangedTheirMind
    assert notes() == 0
    assert not exists(run)
    assert greet.using(key="k").start("you").created


def test_the_run_goes_with_its_savepoint(app: Backroom, greet: AsyncFlow[[str], str]) -> None:
    with transaction.atomic():
        kept = greet.using(on=connection).start("ann")
        with suppress(ChangedTheirMind), transaction.atomic():
            lost = greet.using(on=connection).start("bob")
            raise ChangedTheirMind
    assert (exists(kept), exists(lost)) == (True, False)


def test_a_refusal_does_not_break_the_transaction(
    app: Backroom, greet: AsyncFlow[[str], str]
) -> None:
    with transaction.atomic():
        with pytest.raises(errors.RunNotFound):
            app.run("01900000-0000-7000-8000-000000000001").emit("go", on=connection)
        write()
    assert notes() == 1


def test_outside_of_atomic_a_start_is_refused(app: Backroom, greet: AsyncFlow[[str], str]) -> None:
    with pytest.raises(errors.Refused, match=r"transaction\.atomic\(\)"):
        greet.using(on=connection).start("you")


def test_a_transaction_that_has_failed_is_refused_in_djangos_words(
    app: Backroom, greet: AsyncFlow[[str], str]
) -> None:
    with suppress(DatabaseError), transaction.atomic():
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
        transaction.set_rollback(True)
        with pytest.raises(transaction.TransactionManagementError):
            greet.using(on=connection).start("you")


def test_another_database_starts_its_run_after_the_commit(project: str, tmp_path: Path) -> None:
    other = Backroom(tmp_path / "other.db", poll=0.02)

    @other.flow
    async def greet(name: str) -> str:
        return f"hello, {name}"

    with pytest.raises(errors.Refused), transaction.atomic():
        greet.using(on=connection).start("you")
    started: list[Run[str]] = []
    with transaction.atomic():
        write()
        transaction.on_commit(lambda: started.append(greet.start("you")))
        assert not started
    with suppress(ChangedTheirMind), transaction.atomic():
        transaction.on_commit(partial(greet.start, "nobody"))
        raise ChangedTheirMind
    with other.working():
        assert [result(run) for run in started] == ["hello, you"]
    assert len(other.office.read(lambda reader: reader.runs()).result()) == 1
    other.close()
