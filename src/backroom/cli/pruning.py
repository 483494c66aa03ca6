"""`backroom prune`: removing runs that ended long ago."""

from __future__ import annotations

import click

from backroom.cli.opening import database_options, impatient, opened
from backroom.cli.payloads import seconds
from backroom.cli.printing import print_json

__all__ = ["prune_command"]


@click.command("prune", short_help="Remove runs that ended long ago.")
@click.option(
    "--older-than", "older_than", metavar="TIME", required=True,
    help="Runs that ended longer ago than 30d, 12h.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.option("--for", "budget", metavar="TIME", help="Stop after 30s, 5min.")
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def prune_command(
    older_than: str,
    limit: int | None,
    budget: str | None,
    dry_run: bool,
    as_json: bool,
    database: str | None,
    app: str | None,
) -> None:
    """Remove runs that ended long ago, with their steps, events and errors.

    Runs that a live run needs are kept, and those with a key for a week. It works in small
    transactions, so it can be stopped at any moment, and run again. Workers do the same by
    themselves, see the setting keep_days.
    """
    length = seconds(older_than, "--older-than")
    assert length is not None
    with opened(database, app) as backroom:
        pruned = (
            impatient(backroom)
            .prune(
                older_than=length, limit=limit, seconds=seconds(budget, "--for"), dry_run=dry_run
            )
            .wait()
        )
    if as_json:
        print_json({"removed": 0 if dry_run else pruned.count, "found": pruned.count,
                    "kept": pruned.kept, "more": pruned.after is not None})  # fmt: skip
        return
    number = "1 run" if pruned.count == 1 else f"{pruned.count:,} runs"
    click.echo(f"{number} would be removed." if dry_run else f"Removed {number}.")
    if pruned.kept:
        click.echo(f"{pruned.kept:,} as old as that are kept: live runs need them, or their keys.")
    if pruned.after is not None:
        click.echo("There may be more; run it again.")
