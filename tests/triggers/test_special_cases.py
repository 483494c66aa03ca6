"""Ways of writing, kinds of tables and kinds of values: each works, or is refused with a reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from backroom import Backroom, BackroomError, Change
from tests.triggers.conftest import Outsider


@pytest.fixture
def server(outside: Outsider) -> Outsider:
    if outside.is_sqlite:
        pytest.skip("of PostgreSQL alone")
    return outside


@pytest.fixture
def file(outside: Outsider) -> Outsider:
    if not outside.is_sqlite:
        pytest.skip("of SQLite alone")
    return outside


def watch(app: Backroom, table: Any, **given: Any) -> None:
    @app.on_change(table, **given)
    @app.flow
    async def review(change: Change) -> None: ...

    app.install_triggers()


def told(outside: Outsider) -> list[tuple[Any, ...]]:
    return [
        (c.operation, *c.key.values(), c.old and c.old["a"], c.new and c.new["a"])
        for c in outside.changes()
    ]


# --- ways of writing


def test_an_upsert_is_what_it_did(app: Backroom, outside: Outsider) -> None:
    outside("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t")
    for a in ("x", "y", "y"):
        outside(f"INSERT INTO t VALUES (1, '{a}') ON CONFLICT (id) DO UPDATE SET a = excluded.a")
    assert told(outside) == [("insert", 1, None, "x"), ("update", 1, "x", "y")]


def test_what_a_cascade_changes_counts(app: Backroom, outside: Outsider) -> None:
    outside("CREATE TABLE p (id integer PRIMARY KEY)")
    outside(
        "CREATE TABLE t (id integer PRIMARY KEY, a integer REFERENCES p (id) "
        "ON DELETE CASCADE ON UPDATE CASCADE)"
    )
    watch(app, "t")
    outside("INSERT INTO p VALUES (1)")
    outside("INSERT INTO t VALUES (7, 1)")
    outside("UPDATE p SET id = 2")
    outside("DELETE FROM p")
    assert told(outside) == [
        ("insert", 7, None, 1), ("update", 7, 1, 2), ("delete", 7, 2, None)
    ]  # fmt: skip


def test_rows_whose_keys_change_are_told_apart(app: Backroom, outside: Outsider) -> None:
    outside("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t", update=True)
    outside("INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')")
    outside("UPDATE t SET id = id + 100, a = a || '!'")
    pairs = [(c.old, c.new) for c in outside.changes()]
    assert sorted((o["id"], n["id"], o["a"], n["a"]) for o, n in pairs) == [
        (1, 101, "x", "x!"), (2, 102, "y", "y!"), (3, 103, "z", "z!"),
    ]  # fmt: skip


def test_replace_is_an_insert(app: Backroom, file: Outsider) -> None:
    file("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t")
    file("REPLACE INTO t VALUES (1, 'x')")
    file("INSERT OR REPLACE INTO t VALUES (1, 'y')")
    file("PRAGMA recursive_triggers = ON")
    file("REPLACE INTO t VALUES (1, 'z')")
    file("INSERT OR IGNORE INTO t VALUES (1, 'ignored'), (2, 'kept')")
    assert told(file) == [
        ("insert", 1, None, "x"), ("insert", 1, None, "y"), ("delete", 1, "y", None),
        ("insert", 1, None, "z"), ("insert", 2, None, "kept"),
    ]  # fmt: skip


def test_copy_merge_and_truncate(app: Backroom, server: Outsider) -> None:
    server("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t")
    with server.connection.cursor().copy("COPY t FROM STDIN") as copy:
        copy.write_row((1, "x"))
        copy.write_row((2, "y"))
    server("TRUNCATE t")
    assert sorted(told(server)) == [
        ("delete", 1, "x", None), ("delete", 2, "y", None),
        ("insert", 1, None, "x"), ("insert", 2, None, "y"),
    ]  # fmt: skip


def test_partitions_through_the_parent_and_directly(app: Backroom, server: Outsider) -> None:
    server("CREATE TABLE t (id integer PRIMARY KEY, a text) PARTITION BY RANGE (id)")
    server("CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (100)")
    # Another order of columns than its parent's.
    server("CREATE TABLE t_high (a text, id integer NOT NULL)")
    server("ALTER TABLE t ATTACH PARTITION t_high FOR VALUES FROM (100) TO (200)")
    watch(app, "t")
    server("INSERT INTO t VALUES (1, 'x'), (101, 'y')")
    server("INSERT INTO t_high (id, a) VALUES (102, 'z')")
    server("UPDATE t SET a = a || '!', id = CASE WHEN id = 1 THEN 199 ELSE id END")
    server("TRUNCATE t")
    assert sorted(told(server)) == [
        ("delete", 101, "y!", None), ("delete", 102, "z!", None), ("delete", 199, "x!", None),
        ("insert", 1, None, "x"), ("insert", 101, None, "y"), ("insert", 102, None, "z"),
        ("update", 101, "y", "y!"), ("update", 102, "z", "z!"), ("update", 199, "x", "x!"),
    ]  # fmt: skip
    server("CREATE TABLE t_more PARTITION OF t FOR VALUES FROM (200) TO (300)")
    (plan,) = app.install_triggers()
    assert any("t_more" in found for found in plan.found)
    server("INSERT INTO t_more VALUES (250, 'new')")
    assert told(server)[-1] == ("insert", 250, None, "new")


def test_the_writer_needs_no_right_on_our_tables(app: Backroom, server: Outsider) -> None:
    server("CREATE TABLE public.t (id integer PRIMARY KEY, a text)")
    watch(app, "public.t")
    role = "writer_" + server.connection.info.dbname[-12:]
    server(f"CREATE ROLE {role}")
    server(f"GRANT ALL ON public.t TO {role}")
    server(f"SET ROLE {role}")
    server("INSERT INTO public.t VALUES (1, 'x')")
    server("RESET ROLE")
    server(f"DROP OWNED BY {role}")
    server(f"DROP ROLE {role}")
    assert told(server) == [("insert", 1, None, "x")]


def test_the_applications_last_value_stays_its_own(app: Backroom, server: Outsider) -> None:
    server("CREATE TABLE t (id serial PRIMARY KEY, a text)")
    watch(app, "t")
    server("INSERT INTO t (a) VALUES ('x')")
    assert server("SELECT lastval()") == [(1,)]


def test_the_applications_last_row_stays_its_own(app: Backroom, file: Outsider) -> None:
    file("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t")
    file("INSERT INTO t VALUES (70, 'x')")
    assert file("SELECT last_insert_rowid(), changes()") == [(70, 1)]


# --- kinds of tables


def test_odd_names(app: Backroom, outside: Outsider) -> None:
    outside('CREATE TABLE "Odd ""table"" \'%s" ("the key" integer PRIMARY KEY, "a" text, "%" text)')
    watch(app, 'Odd "table" \'%s', columns=["%"], when="new.\"%\" <> 'no'")
    outside('INSERT INTO "Odd ""table"" \'%s" VALUES (1, \'x\', \'y\')')
    outside('UPDATE "Odd ""table"" \'%s" SET "%" = \'z\'')
    (change,) = outside.changes()
    assert (change.key, change.new) == ({"the key": 1}, {"the key": 1, "a": "x", "%": "z"})


def test_a_key_of_several_columns(app: Backroom, outside: Outsider) -> None:
    outside("CREATE TABLE t (b text, a integer, c text, PRIMARY KEY (c, b))")
    watch(app, "t", insert=True)
    outside("INSERT INTO t VALUES ('b', 1, 'c')")
    assert list(outside.changes()[0].key.items()) == [("c", "c"), ("b", "b")]


def test_a_table_without_a_primary_key(app: Backroom, outside: Outsider) -> None:
    outside("CREATE TABLE t (id integer, a text)")
    with pytest.raises(BackroomError, match="no primary key"):
        watch(app, "t")
    app.on_change("t", insert=True, key=["ID"], name="named")(app.handle("review"))
    app.office.store.install_triggers(
        [trigger for trigger in app.row_triggers if trigger.name == "named"]
    )
    outside("INSERT INTO t VALUES (1, 'x')")
    assert told(outside) == [("insert", 1, None, "x")]


@pytest.mark.parametrize("table", ["nowhere", "v", "backroom_run", "run"])
def test_what_cannot_be_watched_is_refused(app: Backroom, outside: Outsider, table: str) -> None:
    outside("CREATE TABLE t (id integer PRIMARY KEY)")
    outside("CREATE VIEW v AS SELECT * FROM t")
    with pytest.raises(BackroomError):
        watch(app, table)


def test_a_generated_column(app: Backroom, outside: Outsider) -> None:
    outside(
        "CREATE TABLE t (id integer PRIMARY KEY, b integer, "
        "a integer GENERATED ALWAYS AS (b * 2) STORED)"
    )
    watch(app, "t", update=True, columns=["a"])
    outside("INSERT INTO t (id, b) VALUES (1, 1)")
    outside("UPDATE t SET b = 2")
    assert told(outside) == [("update", 1, 2, 4)]


def test_a_wide_table(app: Backroom, outside: Outsider) -> None:
    names = [f"c{n}" for n in range(150)]
    outside(f"CREATE TABLE t (id integer PRIMARY KEY, {', '.join(f'{n} integer' for n in names)})")
    watch(app, "t", insert=True)
    outside(f"INSERT INTO t VALUES ({', '.join(str(n) for n in range(151))})")
    assert outside.changes()[0].new == {"id": 0} | {f"c{n}": n + 1 for n in range(150)}


# --- kinds of values


def test_values_of_sqlite(app: Backroom, file: Outsider) -> None:
    file("CREATE TABLE t (id integer PRIMARY KEY, a, doc JSON)")
    watch(app, "t", insert=True)
    values: list[Any] = [
        b"\x00\xff", 'a "quoted" {"$": "hex"} text', 0.1 + 0.2, float("inf"), -float("inf"), None,
        2**63 - 1, "", "x\0y", "ß → 😀", 1e300, "x" * 2_000_000,
    ]  # fmt: skip
    for value in values:
        file("INSERT INTO t (a) VALUES (?)", value)
    assert [change.new["a"] for change in file.changes()] == values


def test_documents_and_texts_that_are_no_text(app: Backroom, file: Outsider) -> None:
    file("CREATE TABLE t (id integer PRIMARY KEY, a JSON)")
    watch(app, "t", insert=True)
    document = {"$": "decimal", "v": [1.5, None, {"deep": True}]}
    file("INSERT INTO t (a) VALUES (?)", json.dumps(document))
    file("INSERT INTO t (a) VALUES ('no json')")
    file("INSERT INTO t (a) VALUES (CAST(x'61ff62' AS TEXT))")
    assert [c.new["a"] for c in file.changes()] == [document, "no json", "a\ufffdb"]


def test_values_of_postgresql(app: Backroom, server: Outsider) -> None:
    server("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    server(
        "CREATE TABLE t (id integer PRIMARY KEY, cash money, raw bytea, many int[], exact numeric, "
        "at timestamptz, doc jsonb, text_doc json, id2 uuid, odd float8, m mood, prices numeric[], "
        "spot point, none text)"
    )
    watch(app, "t", when="new.m = 'happy' AND new.exact > 1")
    server("SET timezone = 'Asia/Kathmandu'")
    server(
        "INSERT INTO t VALUES (1, '12.50', '\\x00ff', '{1,2}', 1.10000000000000000000001, "
        '\'2026-01-02 03:04:05.678901+00\', \'{"$": "x", "n": [1.5]}\', \'{"b": 1}\', '
        "'01a20c82-0000-7000-8000-000000000001', 'NaN', 'happy', '{1.10,2}', '(1,2)', NULL)"
    )
    server("UPDATE t SET text_doc = '{\"b\": 2}', spot = '(1,2)'")
    server("UPDATE t SET spot = '(1,3)'")
    first, second, third = server.changes()
    new = first.new
    assert (new["cash"], new["raw"], new["many"]) == (Decimal("12.50"), b"\x00\xff", [1, 2])
    assert new["exact"] == Decimal("1.10000000000000000000001")
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert datetime.fromisoformat(new["at"]) == moment
    assert (new["doc"], new["text_doc"]) == ({"$": "x", "n": [1.5]}, {"b": 1})
    assert new["id2"] == "01a20c82-0000-7000-8000-000000000001"
    assert str(new["odd"]) == "nan"
    assert (new["m"], new["prices"], new["none"]) == ("happy", ["1.10", "2"], None)
    assert (second.new["text_doc"], third.new["spot"]) == ({"b": 2}, "(1,3)")


# --- what becomes of them in the user's own migrations


def test_a_table_that_was_rebuilt_is_seen_and_repaired(app: Backroom, outside: Outsider) -> None:
    outside("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t")
    outside("INSERT INTO t VALUES (1, 'x')")
    outside("CREATE TABLE t_new (id integer PRIMARY KEY, a text, b text)")
    outside("INSERT INTO t_new SELECT id, a, NULL FROM t")
    outside("DROP TABLE t")
    outside("ALTER TABLE t_new RENAME TO t")
    (plan,) = app.office.store.plan_triggers(app.row_triggers)
    assert any("missing" in found for found in plan.found)
    assert plan.statements
    app.install_triggers()
    (plan,) = app.office.store.plan_triggers(app.row_triggers)
    assert (plan.found, plan.statements) == ((), ())
    outside("UPDATE t SET b = 'y'")
    assert outside.changes()[-1].new == {"id": 1, "a": "x", "b": "y"}


def test_a_column_more_is_seen(app: Backroom, outside: Outsider) -> None:
    outside("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t")
    outside("ALTER TABLE t ADD COLUMN b text")
    (plan,) = app.office.store.plan_triggers(app.row_triggers)
    assert any("not as it was installed" in found for found in plan.found)
    app.install_triggers()
    outside("INSERT INTO t VALUES (1, 'x', 'y')")
    assert outside.changes()[0].new["b"] == "y"


def test_a_column_that_a_trigger_names_is_not_dropped_under_it(
    app: Backroom, file: Outsider
) -> None:
    file("CREATE TABLE t (id integer PRIMARY KEY, a text, b text)")
    watch(app, "t", columns=["b"], carry=["b"])
    file("ALTER TABLE t DROP COLUMN a")
    with pytest.raises(Exception, match="trigger"):
        file("ALTER TABLE t DROP COLUMN b")


def test_a_trigger_that_was_switched_off_is_seen(app: Backroom, server: Outsider) -> None:
    server("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t", insert=True)
    server("ALTER TABLE t DISABLE TRIGGER USER")
    (plan,) = app.install_triggers()
    assert any("disabled" in found for found in plan.found)
    server("INSERT INTO t VALUES (1, 'x')")
    assert told(server) == [("insert", 1, None, "x")]


def test_another_declaration_takes_the_place_of_the_first(
    app: Backroom, database: str, outside: Outsider
) -> None:
    outside("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t")
    later = Backroom(database)
    watch(later, "t", update=True, carry=["a"])
    outside("INSERT INTO t VALUES (1, 'x')")
    outside("UPDATE t SET a = 'y'")
    outside("DELETE FROM t")
    assert told(outside) == [("update", 1, "x", "y")]
    later.close()


def test_what_is_removed_leaves_nothing(app: Backroom, outside: Outsider) -> None:
    outside("CREATE TABLE t (id integer PRIMARY KEY, a text)")
    watch(app, "t")
    outside("INSERT INTO t VALUES (1, 'x')")
    plan = app.office.store.remove_trigger("review", dry_run=True)
    assert any("DROP TRIGGER" in statement for statement in plan.statements)
    assert outside.fire() == 1
    app.office.store.remove_trigger("review")
    assert app.office.read(lambda reader: reader.triggers()).result() == []
    outside("UPDATE t SET a = 'y'")
    assert outside.fire() == 0
    assert app.office.store.remove_trigger("review").statements == ()
