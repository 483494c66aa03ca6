"""A SQLAlchemy session on a transaction step's connection."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backroom import Backroom, State, session_on, step
from backroom.records.errors import Refused
from backroom.testing import at_work
from tests.flows.house import LONG, EvenChance, outcome, result
from tests.flows.side import Side


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "side"

    n: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[str] = mapped_column(default="")


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    made = Backroom(database, world=EvenChance(), poll=0.02)
    yield made
    made.close()


@pytest.fixture
def side(app: Backroom, database: str) -> Side:
    assert app.office.store.schema_version()
    return Side(database)


def test_objects_and_the_checkpoint_are_committed_together(app: Backroom, side: Side) -> None:
    @step(transaction=True)
    def put(connection: Any, n: int, fail: bool = False) -> list[int]:
        with session_on(connection) as session:
            session.add(Row(n=n, who="me"))
            found = list(session.scalars(select(Row.n).order_by(Row.n)))
        if fail:
            raise OSError("no")
        return found

    @app.flow
    def both(fail: bool) -> list[int]:
        put(1 if not fail else 3)
        return put(2 if not fail else 4, fail)

    with at_work(app):
        assert result(both.start(False)) == [1, 2]
        assert outcome(both.start(True)) is State.FAILED
    assert side.numbers() == [1, 2, 3]


@pytest.mark.parametrize("how", ["commit", "rollback"])
def test_a_session_does_not_end_the_transaction(app: Backroom, side: Side, how: str) -> None:
    @step(transaction=True)
    def put(connection: Any, how: str) -> None:
        with session_on(connection) as session:
            session.add(Row(n=1))
            session.flush()
            getattr(session, how)()

    @app.flow
    def once(how: str) -> None:
        put(how)

    with at_work(app):
        run = once.start(how)
        assert outcome(run) is State.FAILED
        assert f"session.{how}() was refused" in (run.status().wait(LONG).error or "")
    assert side.numbers() == []


def test_a_savepoint_can_be_taken_back(app: Backroom, side: Side) -> None:
    @step(transaction=True)
    def put(connection: Any) -> None:
        with session_on(connection) as session:
            session.add(Row(n=1))
            session.flush()
            inner = session.begin_nested()
            session.add(Row(n=2))
            inner.rollback()
            session.add(Row(n=3))

    @app.flow
    def once() -> None:
        put()

    with at_work(app):
        result(once.start())
    assert side.numbers() == [1, 3]


def test_only_a_drivers_connection_will_do() -> None:
    with pytest.raises(Refused, match="not a str"), session_on("sqlite://"):
        pass
