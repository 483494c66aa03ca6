"""`backroom why`: why a run isn't running."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from backroom.cli.opening import database_options, opened
from backroom.cli.printing import print_json

__all__ = ["why_command"]


@click.command("why", short_help="Say why a run isn't running.")
@click.argument("run_id", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def why_command(run_id: str, as_json: bool, database: str | None, app: str | None) -> None:
    """Say why a run isn't running: what it waits for, which limit holds it and who uses that up."""
    with opened(database, app) as backroom:
        told = backroom.run(run_id).why().wait()
    if as_json:
        facts = {"run_id": told.run_id, "reason": told.reason, "text": told.text}
        print_json(facts | {"facts": plain(told.facts)})
    else:
        click.echo(told.text)


def plain(value: Any) -> Any:
    """Times as ISO 8601 in UTC, wherever they stand."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value
