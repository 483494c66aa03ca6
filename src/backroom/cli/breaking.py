"""`backroom breakers`: outside services that fail, and calling them again."""

from __future__ import annotations

import click

from backroom.cli.opening import database_options, impatient, opened
from backroom.cli.printing import ago, iso, print_json, print_table
from backroom.records.runs import BreakerRow
from backroom.store.protocol import Reader

__all__ = ["breakers_command"]


@click.command("breakers", short_help="List the breakers that count failures, or close one.")
@click.option("--close", metavar="NAME", help="Forget its failures: the service is called again.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def breakers_command(
    close: str | None, as_json: bool, database: str | None, app: str | None
) -> None:
    """List the breakers whose services have failed lately: how often in a row, and until when
    nobody calls. A service that works isn't listed."""

    def look(reader: Reader) -> tuple[int, list[BreakerRow]]:
        return reader.now(), reader.breakers()

    with opened(database, app) as backroom:
        if close is not None:
            there = impatient(backroom).close_breaker(close).wait()
            click.echo(f"{close} is closed." if there else f"{close} has counted no failures.")
            return
        now, breakers = backroom.office.read(look).result()
    if as_json:
        print_json([as_plain(breaker, now) for breaker in breakers])
    elif not breakers:
        click.echo("No breaker has counted a failure.")
    else:
        rows = [
            [
                row.name,
                stands(row, now),
                str(row.failures),
                ago(row.failed_at, now),
                row.error or "",
            ]
            for row in breakers
        ]
        print_table(["breaker", "stands", "failures", "last", "error"], rows, last="error")


def stands(row: BreakerRow, now: int) -> str:
    if row.open_until is None:
        return "closed"
    if row.open_until > now:
        return f"open, tried {ago(row.open_until, now)}"
    return "being tried" if row.probe_until and row.probe_until > now else "open, to be tried"


def as_plain(row: BreakerRow, now: int) -> dict[str, object]:
    return {
        "name": row.name,
        "stands": stands(row, now).partition(",")[0],
        "failures": row.failures,
        "failed_at": iso(row.failed_at),
        "open_until": iso(row.open_until),
        "error": row.error,
    }
