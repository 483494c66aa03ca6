"""Many writers at once: nothing is missed, nothing is made up, and the changes of a row keep their
order. The naive way, a cursor over a list of changes, is held to the same and loses."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg

from backroom import Backroom
from backroom.store.verbs import Fire
from tests.triggers import stormy
from tests.triggers.conftest import Outsider
from tests.triggers.storm import Storm, committed, connect, faults, prepare

QUIET = {"missed": 0, "phantom": 0, "out of turn": 0}


def test_many_writers_while_workers_take_changes_up(
    app: Backroom, database: str, outside: Outsider
) -> None:
    prepare(database, stormy.TABLES, rows=5)
    app.on_change("item", update=True)(app.flow(stormy.note.spec.function))
    app.install_triggers()
    others = [Backroom(database) for _ in range(2)]
    over = threading.Event()

    def take(worker: Backroom) -> None:
        while not over.is_set():
            worker.office.doors.call(Fire(7))
        worker.close()

    takers = [threading.Thread(target=take, args=(worker,)) for worker in others]
    for taker in takers:
        taker.start()
    try:
        Storm(database, writers=8, changes=25, rows=5, slow=0.1).blow()
    finally:
        over.set()
        for taker in takers:
            taker.join()
    seen: dict[int, list[tuple[int, int]]] = {}
    lines = dict(line_of_runs(outside))
    for run in outside.runs():
        (change,) = app.flows["note"].signature.decode(run.input).values()
        place = (lines[run.id], (change.old["n"], change.new["n"]))
        seen.setdefault(change.key["id"], []).append(place)  # type: ignore[arg-type]
    in_line = {row: [pair for _, pair in sorted(places)] for row, places in seen.items()}
    assert faults(committed(database), in_line) == QUIET  # type: ignore[arg-type]
    assert sum(committed(database).values()) > 150


def line_of_runs(outside: Outsider) -> list[tuple[str, int]]:
    """Each run's place in the line of its row."""
    outside.fire()
    table = "backroom_live" if outside.is_sqlite else "backroom.live"
    return [(str(run_id), turn) for run_id, turn in outside(f"SELECT id, turn FROM {table}")]


def test_a_cursor_over_a_list_of_changes_loses_what_commits_late(postgres_dsn: str) -> None:
    """The twin that shows what the storm is able to see: numbers are given before the commit."""
    database = postgres_dsn
    prepare(database, stormy.TABLES, rows=2)
    with closing(connect(database)) as reader, psycopg.connect(database) as slow:
        reader.execute("CREATE TABLE log (number bigserial PRIMARY KEY, id int, was int, n int)")
        reader.execute(
            "CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log "
            "(id, was, n) VALUES (NEW.id, OLD.n, NEW.n); RETURN NEW; END $$"
        )
        reader.execute(
            "CREATE TRIGGER log_it AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION log_it()"
        )
        cursor = 0
        seen: dict[int, list[tuple[int, int]]] = {}

        def read_on() -> None:
            nonlocal cursor
            query = "SELECT number, id, was, n FROM log WHERE number > %s ORDER BY number"
            for number, row, was, n in reader.execute(query, (cursor,)).fetchall():
                cursor = number
                seen.setdefault(row, []).append((was, n))

        slow.execute("UPDATE item SET n = n + 1 WHERE id = 0")
        with closing(connect(database)) as quick:
            quick.execute("UPDATE item SET n = n + 1 WHERE id = 1")
        read_on()
        slow.commit()
        read_on()
    assert faults(committed(database), seen) == QUIET | {"missed": 1}
