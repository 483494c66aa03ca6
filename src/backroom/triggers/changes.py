"""`on_change`: rows of the application's tables that start flows when they change.

    @app.on_change("expense", update=True, columns=["status"], when="new.amount > 100")
    @app.flow
    async def review(change: Change) -> None: ...

What is declared here becomes SQL triggers on the table once `backroom triggers install` has run
(`store/*/watching.py`). They note each change in the transaction of whoever makes it, and workers
turn what is noted into runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal

from typing_extensions import TypeVar  # one that may be left out, before Python 3.13

from backroom.flows.flow import FlowSpec
from backroom.flows.steps import check_name
from backroom.flows.waits import to_delay_us
from backroom.records.errors import Refused
from backroom.records.triggers import RowTrigger
from backroom.rules import conditions

__all__ = ["Change", "row_trigger"]

T = TypeVar("T", default=dict[str, Any])


@dataclass(frozen=True)
class Change(Generic[T]):
    """What has become of one row.

    table      its table, as the trigger names it
    operation  insert, update or delete
    key        the columns that tell the row, by name; after an update those that it has now
    old, new   the row before and after; None: it wasn't there, or is no more. A mapping of
               columns, or for `Change[Expense]` an Expense
    at         when it was written, on the database's clock
    """

    table: str
    operation: Literal["insert", "update", "delete"]
    key: dict[str, Any]
    old: T | None
    new: T | None
    at: datetime = field(compare=False)


def row_trigger(
    spec: FlowSpec,
    table: Any,
    *,
    name: str | None,
    insert: bool,
    update: bool,
    delete: bool,
    columns: Iterable[Any],
    when: str | None,
    carry: Iterable[Any] | None,
    key: Iterable[Any],
    coalesce: bool,
    own_writes: bool,
) -> RowTrigger:
    """What was declared, checked as far as it can be without the database."""
    name = check_name(name or spec.name, "trigger")
    counted = names_of(columns)
    if not (insert or update or delete):
        update = True
        insert = delete = not counted
    if counted and not update:
        raise Refused(
            f"{name} names columns, but only an update changes a column. Say update=True, or leave "
            "out columns=."
        )
    if when is not None:
        conditions.parse(when)  # refuses what isn't allowed
    schema, table_name = table_named(table)
    return RowTrigger(
        name, table_name, spec.name, parameter_of(spec),
        schema=schema, insert=insert, update=update, delete=delete,
        columns=counted, carry=None if carry is None else names_of(carry), key=names_of(key),
        when=when, coalesce=coalesce, own=own_writes,
        version=spec.version, queue=spec.queue, priority=spec.priority,
        timeout_us=None if spec.timeout is None else to_delay_us(spec.timeout),
        expires_us=None if spec.expires is None else to_delay_us(spec.expires),
        subject=() if spec.subject is None else tuple(spec.subject.split(".")),
    )  # fmt: skip


def parameter_of(spec: FlowSpec) -> str:
    """The flow's one argument."""
    parameters = spec.signature.parameters.values()
    required = [p.name for p in parameters if p.default is p.empty]
    if len(required) != 1:
        raise Refused(
            f"A change is passed to {spec.name} as its one argument, but it needs {len(required)}. "
            "Give it one parameter, and defaults to all others."
        )
    for what, path in (("key", spec.key), ("partition", spec.partition)):
        if path is not None:
            raise Refused(
                f"{spec.name} has a {what}, which is found in arguments before a run is stored; a "
                f"change's run is stored by the database. Leave out {what}=: runs of one row "
                "come one after another by themselves."
            )
    return required[0]


def table_named(table: Any) -> tuple[str | None, str]:
    """Schema and name, of a name or of what SQLAlchemy has for a table."""
    if isinstance(table, str):
        if not table or "\0" in table:
            raise Refused("on_change() needs the name of a table.")
        return None, table
    table = getattr(table, "__table__", table)
    found = getattr(table, "name", None)
    if not isinstance(found, str):
        raise Refused(
            f"{table!r} is no table. Pass a table's name, or a model or table of SQLAlchemy's."
        )
    return getattr(table, "schema", None), found


def names_of(columns: Iterable[Any]) -> tuple[str, ...]:
    """Names of columns, which may be attributes of a model."""
    if isinstance(columns, str):
        columns = [columns]
    return tuple(str(getattr(column, "name", column)) for column in columns)
