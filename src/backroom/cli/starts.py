"""`backroom start`: the one look-up that needs the application's code, to check the arguments."""

from __future__ import annotations

import json

import click

from backroom.cli.opening import impatient, required_app
from backroom.cli.payloads import arguments, moment, seconds
from backroom.cli.printing import print_json, stored
from backroom.flows.failures import ended_badly
from backroom.records.states import State

__all__ = ["start_command"]


@click.command("start", short_help="Store a run of a flow.")
@click.argument("flow")
@click.option("--arg", "pairs", multiple=True, metavar="NAME=JSON", help="One argument.")
@click.option("--input", "whole", metavar="JSON", help="All arguments by name; -: from stdin.")
@click.option("--key", help="Same flow and key: same run.")
@click.option("--delay", metavar="TIME", help="Start after 90, 15min, 2h, 3d.")
@click.option("--at", metavar="MOMENT", help="Start at, as in 2026-03-01T08:00:00+01:00.")
@click.option("--queue", help="The queue; default: the flow's.")
@click.option("--priority", type=click.IntRange(0, 9), help="0, the most urgent, to 9.")
@click.option("--wait", is_flag=True, help="Wait for the result and print it.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--app", metavar="MODULE:NAME", help="The application that has the flow.")
@click.option("--database", metavar="ADDRESS", help="A SQLite file or postgresql:// address.")
def start_command(
    flow: str,
    pairs: tuple[str, ...],
    whole: str | None,
    key: str | None,
    delay: str | None,
    at: str | None,
    queue: str | None,
    priority: int | None,
    wait: bool,
    as_json: bool,
    app: str | None,
    database: str | None,
) -> None:
    """Store a run of FLOW and print its id."""
    given = arguments(pairs, whole)
    after, moment_at = seconds(delay), moment(at)
    backroom = required_app(app, database)
    try:
        found = backroom.handle(flow)
        signature = found.spec.signature
        signature.bind((), given)
        values = signature.decode(json.dumps(given))
        impatient(backroom)
        run = found.using(key=key, delay=after, at=moment_at, queue=queue, priority=priority).start(
            **values
        )
        told = {"id": run.id, "flow": flow, "created": run.created}
        if not as_json:
            click.echo(run.id)
            if not run.created:
                click.echo("The key has that run already; nothing new was stored.", err=True)
        if wait:
            row = backroom.office.ended(run.id).result()
            if as_json:
                told |= {"state": row.state.value, "result": stored(row.result)}
                if row.state is not State.SUCCEEDED:
                    told |= {"error": str(ended_badly(row))}
            elif row.state is State.SUCCEEDED:
                print_json(stored(row.result))
            else:
                raise ended_badly(row)
        if as_json:
            print_json(told)
        if wait and told.get("error"):
            raise SystemExit(1)
    finally:
        backroom.close()
