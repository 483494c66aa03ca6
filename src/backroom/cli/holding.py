"""`backroom locks`: what runs hold, and how many wait for it."""

from __future__ import annotations

import click

from backroom.cli.opening import database_options, opened
from backroom.cli.printing import ago, iso, print_json, print_table
from backroom.records.runs import HeldLock
from backroom.store.protocol import Reader

__all__ = ["locks_command"]


@click.command("locks", short_help="List the locks that runs hold.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def locks_command(as_json: bool, database: str | None, app: str | None) -> None:
    """List the locks that are held: by which run, since when, and how many wait for each."""

    def look(reader: Reader) -> tuple[int, list[HeldLock]]:
        return reader.now(), reader.locks()

    with opened(database, app) as backroom:
        now, locks = backroom.office.read(look).result()
    if as_json:
        print_json([
            {
                "name": lock.name, "run_id": lock.run_id, "held_at": iso(lock.held_at),
                "waiting": lock.waiting,
            }
            for lock in locks
        ])  # fmt: skip
    elif not locks:
        click.echo("No run holds a lock.")
    else:
        rows = [
            [lock.run_id, ago(lock.held_at, now), str(lock.waiting), lock.name] for lock in locks
        ]
        print_table(["run", "held", "waiting", "lock"], rows, last="lock")
