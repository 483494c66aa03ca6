"""The SQL triggers on the application's tables that write changes into our inbox.

    CREATE TRIGGER backroom_review_update AFTER UPDATE ON expense
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION backroom.watch_review_update()

A trigger fires once a statement, however many rows that changes, and its function is one INSERT …
SELECT with the condition as its WHERE. Rows before and after are paired by their order: a statement
puts both into its transition tables in one go, so the order is the same, also where the key
changes.

The function has the rights of the role that installed it, so whoever writes the row needs none of
ours. Partitions and child tables have triggers of their own for writes that name them directly; a
statement fires only those of the table that it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from backroom.records.errors import Refused
from backroom.records.triggers import Plan, RowTrigger
from backroom.rules import conditions
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.statement import Sql
from backroom.store.watching import Names, definition_of, one_object, quoted_name

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["install", "mark", "plan", "remove"]

OPERATIONS = ("insert", "update", "delete", "truncate")
NUMBERS = ("int2", "int4", "int8", "float4", "float8", "numeric")
NAME_BYTES = 63
GENERATED = " (one that is generated when it is read doesn't count)"
OURS = (
    "attempt", "audit", "breaker", "change", "event", "firing", "held", "key", "live", "lock",
    "migration", "progress", "queue", "result", "run", "step", "trigger", "wait", "worker",
)  # fmt: skip
ROWS = {
    "insert": "new_rows AS n",
    "delete": "old_rows AS o",
    "truncate": "ONLY the_table AS o",
    "update": (
        "(SELECT row_number() OVER () AS backroom_place, t.* FROM old_rows AS t) AS o\n"
        "  JOIN (SELECT row_number() OVER () AS backroom_place, t.* FROM new_rows AS t) AS n\n"
        "    ON n.backroom_place = o.backroom_place"
    ),
}


class Column(NamedTuple):
    name: str
    type: str
    element: str | None  # of an array
    full_type: str


class Table(NamedTuple):
    oid: int
    schema: str
    name: str
    columns: dict[str, Column]
    key: tuple[str, ...]
    names: Names
    children: tuple[tuple[str, str], ...]


def plan(connection: Connection[tuple[Any, ...]], sql: Sql, trigger: RowTrigger) -> Plan:
    """What it takes to have this trigger as it is declared. Refused: it can't be had."""
    table = table_of(connection, sql, trigger)
    found: list[str] = []
    statements: list[str] = []
    definition = definition_of(trigger)
    rows = connection.execute(sql["trigger_definition"], {"name": trigger.name}).fetchall()
    number = rows[0][0] if rows else one(connection, sql["next_trigger"])
    if not rows:
        found.append("it is not installed")
    elif rows[0][1] != definition:
        found.append("it is declared otherwise now")
    if not rows or rows[0][1] != definition:
        statements.append(row_statement(sql, trigger, number, definition))
    functions = dict(connection.execute(sql["watch_functions"], {"id": number}).fetchall())
    there = {
        (schema, name, operation): enabled
        for schema, name, operation, enabled in connection.execute(
            sql["watch_triggers"], {"id": number}
        ).fetchall()
    }
    targets = [(table.schema, table.name), *table.children]
    for operation in OPERATIONS:
        function = function_name(sql, number, operation)
        body = (
            function_body(sql, trigger, table, number, operation)
            if wants(trigger, operation)
            else None
        )
        if functions.get(operation) != body and rows:
            found.append(f"the function for {operation} is not as it was installed")
        if body is not None and functions.get(operation) != body:
            statements.append(
                f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql "
                f"SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {dollar(body)}"
            )
            if operation not in functions:
                statements.append(f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC")
        for schema, name in targets if body is not None else ():
            enabled = there.pop((schema, name, operation), None)
            if enabled in ("O", "A"):
                continue
            if rows:
                state = "missing" if enabled is None else "disabled"
                found.append(f"the SQL trigger for {operation} is {state} on {schema}.{name}")
            if enabled is not None:
                statements.append(drop(trigger.name, operation, schema, name))
            statements.append(create(sql, trigger, number, operation, schema, name))
    for schema, name, operation in there:
        if rows:
            found.append(f"the SQL trigger for {operation} on {schema}.{name} is not wanted")
        statements.append(drop(trigger.name, operation, schema, name))
    for operation in functions:
        if not wants(trigger, operation):
            statements.append(f"DROP FUNCTION {function_name(sql, number, operation)}()")
    return Plan(trigger.name, tuple(found), tuple(statements))


def wants(trigger: RowTrigger, operation: str) -> bool:
    """A truncated table has lost its rows."""
    return bool(getattr(trigger, "delete" if operation == "truncate" else operation))


def removal(connection: Connection[tuple[Any, ...]], sql: Sql, name: str) -> Plan:
    """What it takes to have nothing of a trigger any more, declared or not."""
    rows = connection.execute(sql["trigger_definition"], {"name": name}).fetchall()
    if not rows:
        return Plan(name, (), ())
    number = rows[0][0]
    statements = [
        drop(name, operation, schema, table)
        for schema, table, operation, _ in connection.execute(
            sql["watch_triggers"], {"id": number}
        ).fetchall()
    ]
    for operation, _ in connection.execute(sql["watch_functions"], {"id": number}).fetchall():
        statements.append(f"DROP FUNCTION {function_name(sql, number, operation)}()")
    ours = quoted_name(sql.schema)
    for table in ("change", "held", "firing"):
        statements.append(f"DELETE FROM {ours}.{table} WHERE trigger_id = {number}")
    statements.append(f"DELETE FROM {ours}.trigger WHERE id = {number}")
    return Plan(name, (), tuple(statements))


def install(
    connection: Connection[tuple[Any, ...]],
    sql: Sql,
    declared: Sequence[RowTrigger],
    lock_timeout_ms: int,
) -> list[Plan]:
    """Bring the database in line, all in one transaction; answers what was done. Refused: a
    condition doesn't fit the columns' types; nothing was done then."""
    plans = []
    with connection.transaction():
        connection.execute(sql["settings"], {"lock_timeout": str(lock_timeout_ms)})
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('backroom.triggers', 0))")
        for trigger in declared:
            found = plan(connection, sql, trigger)
            try_condition(connection, sql, trigger)
            for statement in found.statements:
                connection.execute(statement.encode(), prepare=False)
            plans.append(found)
    return plans


def remove(
    connection: Connection[tuple[Any, ...]],
    sql: Sql,
    name: str,
    lock_timeout_ms: int,
    *,
    dry_run: bool,
) -> Plan:
    with connection.transaction():
        connection.execute(sql["settings"], {"lock_timeout": str(lock_timeout_ms)})
        found = removal(connection, sql, name)
        for statement in () if dry_run else found.statements:
            connection.execute(statement.encode(), prepare=False)
    return found


def try_condition(connection: Connection[tuple[Any, ...]], sql: Sql, trigger: RowTrigger) -> None:
    """A function's text is read when it is first called, which is somebody's write. So the
    condition is planned once here."""
    if trigger.when is None:
        return
    table = table_of(connection, sql, trigger)
    wanted = condition(trigger, table, conditions.parse(trigger.when), old=True, new=True)
    name = full(table.schema, table.name)
    pg = psycopg()
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
            connection.execute(
                f"EXPLAIN SELECT 1 FROM {name} AS o, {name} AS n WHERE {wanted}".encode(),
                prepare=False,
            )
    except (pg.ProgrammingError, pg.DataError) as error:
        told = error.diag.message_primary or str(error)
        raise Refused(
            f"The condition of {trigger.name}, {trigger.when!r}, doesn't fit the table: {told}. "
            "Compare columns with values of their own types."
        ) from None


def mark(connection: Connection[Any], cause: str) -> None:
    """What this transaction changes from here on is the work of a run."""
    cursor = psycopg().Cursor(connection)
    cursor.execute("SELECT set_config('backroom.cause', %s, true)", (cause,))


def table_of(connection: Connection[tuple[Any, ...]], sql: Sql, trigger: RowTrigger) -> Table:
    """The table as it is now. Refused: it is none whose rows can be watched."""
    schema, name = trigger.schema, trigger.table
    values = {"schema": schema, "table": name}
    found = connection.execute(sql["watched_table"], values).fetchone()
    if found is None and schema is None and "." in name:
        schema, _, name = name.partition(".")
        values = {"schema": schema, "table": name}
        found = connection.execute(sql["watched_table"], values).fetchone()
    if found is None:
        raise Refused(
            f"{trigger.name} watches the table {trigger.table!r}, which isn't there. Make it "
            "before triggers are installed, or correct the name (capital letters count)."
        )
    oid, schema, kind, persistence = found
    if schema == sql.schema and name in OURS:  # a role called like it has its tables there too
        raise Refused(f"{name} is no table of the application's. Watch another one.")
    if kind not in ("r", "p") or persistence == "t":
        what = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}.get(
            kind, "a temporary table"
        )
        raise Refused(
            f"{trigger.name} watches {name}, which is {what}; PostgreSQL tells nobody of the rows "
            "that change in it. Watch the tables that are written to."
        )
    rows = connection.execute(sql["watched_columns"], {"oid": oid}).fetchall()
    columns = {row[0]: Column(row[0], row[1], row[2], row[5]) for row in rows if row[3] != "v"}
    key = [row[0] for row in sorted(rows, key=lambda row: row[4] or 0) if row[4]]
    names = Names(trigger, columns, GENERATED)
    children = tuple(
        (row[0], row[1])
        for row in connection.execute(sql["watched_children"], {"oid": oid}).fetchall()
    )
    return Table(oid, schema, name, columns, names.key(name, key), names, children)


def function_body(sql: Sql, trigger: RowTrigger, table: Table, number: int, operation: str) -> str:
    ours = quoted_name(sql.schema)
    old, new = operation in ("update", "delete", "truncate"), operation in ("insert", "update")
    carried = table.names.carried(table.key)
    counted = table.names.counted()
    wanted = []
    if operation == "update":
        sides = [
            f"ROW({', '.join(f'{side}.{quoted_name(c)}' for c in counted or table.columns)})"
            for side in "on"
        ]
        wanted.append(f"record_image_ne({sides[0]}, {sides[1]})")
    if trigger.when is not None:
        tree = conditions.parse(trigger.when)
        wanted.append(condition(trigger, table, tree, old=old, new=new))
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    key = as_json("n" if new else "o", table.columns, table.key)
    statement = (
        f"INSERT INTO {ours}.change (turn, at, trigger_id, cause, key, old, new)\n"
        f"  SELECT pg_current_wal_insert_lsn() - '0/0', (SELECT {ours}.now_us()), {number},\n"
        "    (SELECT nullif(current_setting('backroom.cause', true), '')::uuid),\n"
        f"    {key},\n    {as_json('o', table.columns, carried) if old else 'NULL'},\n"
        f"    {as_json('n', table.columns, carried) if new else 'NULL'}\n"
        f"  FROM {ROWS[operation]}{where}"
    )
    if operation == "truncate":
        # Fires for each partition too; each notes its own rows.
        template = statement.replace("%", "%%").replace(ROWS["truncate"], "ONLY %I.%I AS o")
        statement = f"EXECUTE format({quoted(template)}, TG_TABLE_SCHEMA, TG_TABLE_NAME)"
    return f"\nBEGIN\n  {statement};\n  RETURN NULL;\nEND\n"


def condition(trigger: RowTrigger, table: Table, tree: Any, *, old: bool, new: bool) -> str:
    """A row that isn't there has NULL in every column. What is reckoned with is made a numeric,
    which has no end at which it would fail."""

    def column(side: str, name: str, reckoned: bool) -> str:
        found = table.columns[table.names.own(name)]
        value = f"{side[0]}.{quoted_name(found.name)}"
        if not (old if side == "old" else new):
            value = f"NULL::{found.full_type}"
        return f"{value}::numeric" if reckoned and found.type in NUMBERS else value

    return conditions.render(tree, "postgresql", column)


def as_json(side: str, columns: dict[str, Column], names: Iterable[str]) -> str:
    """A row as the text of a JSON object, put together from pieces where it is wide."""
    given = list(names)
    pieces = [
        "json_build_object("
        + ", ".join(f"{quoted(c)}, {leaf(side, columns[c])}" for c in given[start : start + 40])
        + ")::text"
        for start in range(0, len(given), 40)
    ]
    return one_object(pieces)


def leaf(side: str, column: Column) -> str:
    """A column's value as JSON has it, tagged (`flows/tagged.py`) where JSON lacks it."""
    value = f"{side}.{quoted_name(column.name)}"

    def tagged(tag: str, text: str, *, plain: bool = True) -> str:
        """As our own encoder writes it, without a blank; `plain`: a text that needs no escapes."""
        inner = f"'\"' || {text} || '\"'" if plain else f"to_json({text})::text"
        return f'(\'{{"$":"{tag}","v":\' || {inner} || \'}}\')::json'

    match column.type:
        case "numeric":
            return tagged("decimal", f"{value}::text")
        case "money":
            return tagged("decimal", f"{value}::numeric::text")
        case "bytea":
            return tagged("hex", f"encode({value}, 'hex')")
        case "json" | "jsonb":
            return tagged("json", f"{value}::text", plain=False)
        case "float4" | "float8":
            # A shortest text that reads back as the same number, but for those that are none.
            odd = tagged("float", f"{value}::text")
            return (
                f"CASE WHEN {value} IN ('NaN', 'Infinity', '-Infinity') "
                f"THEN {odd} ELSE to_json({value}) END"
            )
    if column.element in ("numeric", "money"):
        return f"to_json({value}::text[])"
    return value


def create(
    sql: Sql, trigger: RowTrigger, number: int, operation: str, schema: str, name: str
) -> str:
    tables = {
        "insert": " REFERENCING NEW TABLE AS new_rows",
        "update": " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "delete": " REFERENCING OLD TABLE AS old_rows",
        "truncate": "",
    }[operation]
    when = "BEFORE" if operation == "truncate" else "AFTER"
    return (
        f"CREATE TRIGGER {sql_name(trigger.name, operation)} {when} {operation.upper()} ON "
        f"{full(schema, name)}{tables} FOR EACH STATEMENT EXECUTE FUNCTION "
        f"{function_name(sql, number, operation)}()"
    )


def row_statement(sql: Sql, trigger: RowTrigger, number: int, definition: str) -> str:
    values: dict[str, object] = {
        "id": number, "name": trigger.name, "table_name": trigger.table, "flow": trigger.flow,
        "version": trigger.version, "queue": trigger.queue, "priority": trigger.priority,
        "timeout_us": trigger.timeout_us, "expires_us": trigger.expires_us,
        "parameter": trigger.parameter, "coalesced": trigger.coalesce, "own": trigger.own,
        "definition": definition,
    }  # fmt: skip
    subject = "NULL"
    if trigger.subject:
        subject = f"ARRAY[{', '.join(quoted(part) for part in trigger.subject)}]"
    names = [*values, "subject", "installed_at"]
    ours = quoted_name(sql.schema)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[2:])
    return (
        f"INSERT INTO {ours}.trigger ({', '.join(names)}) VALUES ("
        f"{', '.join(literal(value) for value in values.values())}, {subject}, {ours}.now_us()) "
        f"ON CONFLICT (name) DO UPDATE SET {changes}"
    )


def function_name(sql: Sql, number: int, operation: str) -> str:
    return f"{quoted_name(sql.schema)}.watch_{number}_{operation}"


def drop(trigger: str, operation: str, schema: str, table: str) -> str:
    return f"DROP TRIGGER {sql_name(trigger, operation)} ON {full(schema, table)}"


def sql_name(trigger: str, operation: str) -> str:
    return quoted_name(short(f"backroom_{trigger}_{operation}"))


def short(name: str) -> str:
    """PostgreSQL cuts what is longer, with what tells one from another at its end."""
    if len(name) <= NAME_BYTES:
        return name
    head, _, operation = name.rpartition("_")
    return f"{head[: NAME_BYTES - len(operation) - 1]}_{operation}"


def one(connection: Connection[tuple[Any, ...]], statement: str) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 1


def literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            return quoted(str(value))


def dollar(body: str) -> str:
    mark = "$backroom$"
    while mark in body:
        mark = f"${mark.strip('$')}_$"
    return f"{mark}{body}{mark}"


def quoted(text: str) -> str:
    """A literal, whatever standard_conforming_strings is."""
    plain = "'" + text.replace("'", "''") + "'"
    return plain if "\\" not in text else "E" + plain.replace("\\", "\\\\")


def full(schema: str, name: str) -> str:
    return f"{quoted_name(schema)}.{quoted_name(name)}"
