"""The SQL triggers on the application's tables that write changes into our inbox.

    CREATE TRIGGER "backroom_review_update" AFTER UPDATE OF "status" ON "expense"
    WHEN (OLD."status" IS NOT NEW."status" COLLATE BINARY) AND (NEW."amount" > 100)
    BEGIN INSERT INTO backroom_change (…) VALUES (…); END

They run in whatever program writes the row, so they are plain SQL of the oldest SQLite we support
and nothing in them can fail: no BLOB meets json_object, no row of ours can be in conflict with
another. SQLite keeps the text of a trigger, so whether it is still the one that is wanted is one
comparison.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from backroom.records.errors import Refused
from backroom.records.triggers import Plan, RowTrigger
from backroom.rules import conditions
from backroom.store.watching import Names, definition_of, one_object, quoted_name

__all__ = ["install", "mark", "plan", "remove"]

OPERATIONS = ("insert", "update", "delete")
WIDTH = 50  # columns to one json_object, which takes 127 arguments at most
GREATEST = "1.7976931348623157e308"


class Column(NamedTuple):
    name: str
    type: str
    generated: bool
    is_rowid: bool


class Table(NamedTuple):
    name: str
    columns: dict[str, Column]
    key: tuple[str, ...]
    names: Names


def plan(connection: sqlite3.Connection, trigger: RowTrigger) -> Plan:
    """What it takes to have this trigger as it is declared. Refused: it can't be had."""
    table = table_of(connection, trigger)
    found, statements = [], []
    row = connection.execute(
        "SELECT id, definition FROM backroom_trigger WHERE name = ?", (trigger.name,)
    ).fetchone()
    definition = definition_of(trigger)
    number = row[0] if row else next_number(connection)
    if row is None:
        found.append("it is not installed")
    elif row[1] != definition:
        found.append("it is declared otherwise now")
    if row is None or row[1] != definition:
        statements.append(row_statement(trigger, number, definition))
    there = dict(
        (name, (where, text))
        for name, where, text in connection.execute(
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"
        )
    )
    for operation in OPERATIONS:
        name = f"backroom_{trigger.name}_{operation}"
        wanted = create(trigger, table, number, operation) if getattr(trigger, operation) else None
        where, text = there.get(name, (None, None))
        if text == wanted:
            continue
        if row is not None:
            found.append(
                f"the SQL trigger {name} is missing" if text is None
                else f"the SQL trigger {name} is not wanted" if wanted is None
                else f"the SQL trigger {name} stands on the table {where}" if where != table.name
                else f"the SQL trigger {name} is not as it was installed"
            )  # fmt: skip
        if text is not None:
            statements.append(f"DROP TRIGGER {quoted_name(name)}")
        if wanted is not None:
            statements.append(wanted)
    return Plan(trigger.name, tuple(found), tuple(statements))


def removal(connection: sqlite3.Connection, name: str) -> Plan:
    """What it takes to have nothing of a trigger any more, declared or not."""
    there = {
        row[0]
        for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    }
    statements = [
        f"DROP TRIGGER {quoted_name(sql_name)}"
        for operation in OPERATIONS
        if (sql_name := f"backroom_{name}_{operation}") in there
    ]
    if connection.execute("SELECT 1 FROM backroom_trigger WHERE name = ?", (name,)).fetchone():
        its = f"trigger_id = (SELECT id FROM backroom_trigger WHERE name = {quoted(name)})"
        statements += [
            f"DELETE FROM {table} WHERE {its}"
            for table in ("backroom_change", "backroom_held", "backroom_firing")
        ]
        statements.append(f"DELETE FROM backroom_trigger WHERE name = {quoted(name)}")
    return Plan(name, (), tuple(statements))


def install(connection: sqlite3.Connection, declared: Sequence[RowTrigger]) -> list[Plan]:
    """Bring the file in line, all in one transaction; answers what was done."""
    plans = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        for trigger in declared:
            found = plan(connection, trigger)
            for statement in found.statements:
                connection.execute(statement)
            plans.append(found)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return plans


def remove(connection: sqlite3.Connection, name: str, *, dry_run: bool) -> Plan:
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = removal(connection, name)
        for statement in () if dry_run else found.statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return found


def mark(connection: sqlite3.Connection, cause: str) -> None:
    """What this transaction changes from here on is the work of a run. Nothing is written where
    there are no triggers that could read it."""
    cursor = sqlite3.Cursor(connection)
    cursor.execute("DELETE FROM backroom_cause")
    if cause:
        cursor.execute(
            "INSERT INTO backroom_cause (run_id) "
            "SELECT ? WHERE EXISTS (SELECT 1 FROM backroom_trigger)", (cause,)
        )  # fmt: skip


def table_of(connection: sqlite3.Connection, trigger: RowTrigger) -> Table:
    """The table as it is now. Refused: it is none whose rows can be watched."""
    if trigger.schema not in (None, "main"):
        raise Refused(
            f"{trigger.name} watches a table in {trigger.schema}, but a trigger of SQLite's that "
            "stays writes in its own file only. Watch a table of the file that backroom is in."
        )
    found = connection.execute(
        "SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view') "
        "AND name = ? COLLATE NOCASE", (trigger.table,)
    ).fetchone()  # fmt: skip
    if found is None:
        raise Refused(
            f"{trigger.name} watches the table {trigger.table!r}, which isn't there. Make it "
            "before triggers are installed, or correct the name."
        )
    name, kind, text = found
    if name.startswith(("backroom_", "sqlite_")):
        raise Refused(f"{name} is no table of the application's. Watch another one.")
    if kind == "view" or text.upper().split()[1:2] == ["VIRTUAL"]:
        what = "a view" if kind == "view" else "a virtual table"
        raise Refused(
            f"{trigger.name} watches {name}, which is {what}; SQLite tells nobody when its rows "
            "change. Watch the tables that are written to."
        )
    rows = connection.execute(
        "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1", (name,)
    ).fetchall()
    key = [row[0] for row in sorted(rows, key=lambda row: row[2]) if row[2]]
    columns = {
        column: Column(
            column, kind.upper(), hidden > 1, [column] == key and kind.upper() == "INTEGER"
        )
        for column, kind, pk, hidden in rows
    }
    names = Names(trigger, columns)
    return Table(name, columns, names.key(name, key), names)


def create(trigger: RowTrigger, table: Table, number: int, operation: str) -> str:
    counted = table.names.counted()
    event = operation.upper()
    if operation == "update" and counted and not any(table.columns[c].generated for c in counted):
        event += f" OF {', '.join(quoted_name(column) for column in counted)}"
    wanted = []
    if operation == "update":
        changed = [
            f"OLD.{quoted_name(c)} IS NOT NEW.{quoted_name(c)} COLLATE BINARY"
            for c in counted or table.columns
        ]
        wanted.append(f"({' OR '.join(changed)})")
    if trigger.when is not None:
        wanted.append(condition(trigger, table, operation))
    carried = table.names.carried(table.key)
    of = {column.name: column for column in table.columns.values()}
    old = "NULL" if operation == "insert" else as_json("OLD", (of[name] for name in carried))
    new = "NULL" if operation == "delete" else as_json("NEW", (of[name] for name in carried))
    key = as_json("OLD" if operation == "delete" else "NEW", (of[name] for name in table.key))
    when = f" WHEN {' AND '.join(wanted)}" if wanted else ""
    return (
        f"CREATE TRIGGER {quoted_name(f'backroom_{trigger.name}_{operation}')} "
        f"AFTER {event} ON {quoted_name(table.name)}{when} BEGIN "
        "INSERT INTO backroom_change (trigger_id, at, key, old, new, cause) VALUES ("
        f"{number}, (SELECT now_us FROM backroom_clock), {key}, {old}, {new}, "
        "(SELECT run_id FROM backroom_cause)); END"
    )


def condition(trigger: RowTrigger, table: Table, operation: str) -> str:
    """A row that isn't there has NULL in every column."""

    def column(side: str, name: str, _: bool) -> str:
        name = table.names.own(name)
        absent = (operation, side) in (("insert", "old"), ("delete", "new"))
        return "NULL" if absent else f"{side.upper()}.{quoted_name(name)}"

    return conditions.render(conditions.parse(trigger.when or "TRUE"), "sqlite", column)


def as_json(side: str, columns: Iterable[Column]) -> str:
    """A row as a JSON object, put together from pieces where it is wide."""
    given = list(columns)
    pieces = [
        "json_object("
        + ", ".join(f"{quoted(c.name)}, {leaf(side, c)}" for c in given[start : start + WIDTH])
        + ")"
        for start in range(0, len(given), WIDTH)
    ]
    return one_object(pieces)


def leaf(side: str, column: Column) -> str:
    """A column's value as JSON has it, tagged (`flows/tagged.py`) where JSON lacks it. Values may
    be of any kind, whatever their column declares; only a row's number is always one."""
    value = f"{side}.{quoted_name(column.name)}"
    if column.is_rowid:
        return value
    document = (
        f" WHEN 'text' THEN CASE WHEN json_valid({value}) THEN "
        f"json_object('$', 'json', 'v', {value}) ELSE {value} END"
        if "JSON" in column.type
        else ""
    )
    return (
        f"CASE typeof({value}) WHEN 'blob' THEN json_object('$', 'hex', 'v', hex({value})) "
        f"WHEN 'real' THEN CASE WHEN abs({value}) > {GREATEST} "
        f"THEN json_object('$', 'float', 'v', CASE WHEN {value} > 0 THEN 'inf' ELSE '-inf' END) "
        f"ELSE json(printf('%!.17g', {value})) END{document} ELSE {value} END"
    )


def row_statement(trigger: RowTrigger, number: int, definition: str) -> str:
    values: dict[str, object] = {
        "id": number, "name": trigger.name, "table_name": trigger.table, "flow": trigger.flow,
        "version": trigger.version, "queue": trigger.queue, "priority": trigger.priority,
        "timeout_us": trigger.timeout_us, "expires_us": trigger.expires_us,
        "parameter": trigger.parameter,
        "subject": json.dumps(trigger.subject) if trigger.subject else None,
        "coalesced": int(trigger.coalesce), "own": int(trigger.own), "definition": definition,
    }  # fmt: skip
    names = list(values)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[2:])
    return (
        f"INSERT INTO backroom_trigger ({', '.join(names)}, installed_at) "
        f"SELECT {', '.join(literals(values.values()))}, now_us FROM backroom_clock WHERE true "
        f"ON CONFLICT (name) DO UPDATE SET {changes}, installed_at = excluded.installed_at"
    )


def next_number(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute(
        "SELECT coalesce(max(id), 0) + 1 FROM backroom_trigger"
    ).fetchone()
    return int(number)


def literals(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        yield (
            "NULL"
            if value is None
            else str(value)
            if isinstance(value, int)
            else quoted(str(value))
        )


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
