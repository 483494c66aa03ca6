"""The side table in which the kill tests note every call of a step."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, Table, Text

from examples.expenses.database import engine
from examples.expenses.tables import RunId

__all__ = ["CALLS", "make_table"]

CALLS = Table(
    "step_call", MetaData(),
    Column("id", Integer, primary_key=True),
    Column("step_key", Text, nullable=False),
    Column("run_id", RunId, nullable=False),
    Column("name", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
)  # fmt: skip


def make_table() -> None:
    with engine().execution_options(writes=True).begin() as connection:
        CALLS.create(connection, checkfirst=True)
