"""`backroom backup` and `backroom restore`: a copy of the database, and bringing it back."""

from __future__ import annotations

from pathlib import Path

import click

from backroom.app.stores import make_store
from backroom.cli.opening import database_options, opened, shown, user_name
from backroom.engine.world import World
from backroom.records.errors import Refused, StoreError
from backroom.store.protocol import Store

__all__ = ["backup_command", "restore_command"]


@click.command("backup", short_help="Copy a SQLite database while it is used.")
@click.argument("file", type=click.Path(path_type=Path))
@database_options
def backup_command(file: Path, database: str | None, app: str | None) -> None:
    """Copy the SQLite database to FILE, the application's own tables included.

    Workers and the application may go on. PostgreSQL is backed up with its own tools.
    """
    with opened(database, app) as backroom:
        store = make_store(backroom.settings)
        try:
            store.backup(file)
        finally:
            store.close()
    click.echo(f"{file} holds all that was committed so far, {file.stat().st_size:,} bytes.")


@click.command("restore", short_help="Put a backup in the database's place.")
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False
)
@click.option("--replace", is_flag=True, help="Although there is a database: it is lost.")
@click.option("--by", default="", help="Who, or why; default: your user name.")
@database_options
def restore_command(
    file: Path | None, replace: bool, by: str, database: str | None, app: str | None
) -> None:
    """Put the backup FILE in the place of the SQLite database.

    On PostgreSQL, restore with its own tools, then run this without FILE. Either way, runs that
    were running at the time of the backup are ready again, and workers of before are shut out:
    nothing they still send is taken.
    """
    with opened(database, app) as backroom:
        store = make_store(backroom.settings)
        address = shown(backroom.settings.database)
        try:
            if file is not None and not replace and has_tables(store):
                raise Refused(
                    f"{address} is a database already. Pass --replace if it is to be lost."
                )
            released = store.restore(file, World().new_id(), by or user_name())
        finally:
            store.close()
    number = "1 run is" if released == 1 else f"{released:,} runs are"
    click.echo(f"{address} is restored. {number} ready again that were running then.")


def has_tables(store: Store) -> bool:
    try:
        return store.schema_version() is not None
    except StoreError:
        return True  # something is there, whatever it is
