"""`cancel`, `reschedule` and `emit`: acting on runs, without the application's code."""

from __future__ import annotations

import click

from backroom.cli.opening import database_options, for_each, impatient, opened
from backroom.cli.payloads import moment, parsed, seconds
from backroom.records.states import FINAL, State

__all__ = ["cancel_command", "emit_command", "reschedule_command"]


@click.command("cancel", short_help="Cancel runs.")
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option("--reason", default="", help="Kept with the run.")
@database_options
def cancel_command(
    run_ids: tuple[str, ...], reason: str, database: str | None, app: str | None
) -> None:
    """Cancel runs, and the children that belong to them."""
    with opened(database, app) as backroom:

        def cancel(run_id: str) -> None:
            state = impatient(backroom).run(run_id).cancel(reason).wait()
            if state is State.CANCELLED:
                click.echo(f"{run_id} is cancelled.")
            elif state in FINAL:
                click.echo(f"{run_id} had ended already: {state}.")
            elif state is State.NEEDS_ATTENTION:
                click.echo(f"{run_id} is being undone already, and waits for a person to retry it.")
            else:
                click.echo(f"{run_id} is asked to stop.")

        for_each(run_ids, cancel)


@click.command("reschedule", short_help="Move runs to another time.")
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option("--delay", metavar="TIME", help="To 90, 15min, 2h, 3d from now.")
@click.option("--at", metavar="MOMENT", help="To a moment, as in 2026-03-01T08:00:00+01:00.")
@database_options
def reschedule_command(
    run_ids: tuple[str, ...], delay: str | None, at: str | None, database: str | None,
    app: str | None,
) -> None:  # fmt: skip
    """Move runs that haven't begun to another time; --delay 0: to now."""
    after, moment_at = seconds(delay), moment(at)
    if (after is None) == (moment_at is None):
        raise click.UsageError("Say when: either --delay or --at.")
    with opened(database, app) as backroom:

        def reschedule(run_id: str) -> None:
            run = impatient(backroom).run(run_id)
            run.reschedule(delay=after, at=moment_at).wait()
            due = run.status().wait().available_at
            when = "now" if due is None else due.isoformat(timespec="seconds")
            click.echo(f"{run_id} is due {when}.")

        for_each(run_ids, reschedule)


@click.command("emit", short_help="Put an event into a run's mailbox.")
@click.argument("run_id", metavar="RUN")
@click.argument("event", metavar="EVENT")
@click.argument("payload", metavar="[JSON]", required=False)
@click.option("--key", help="The same key again is the same event.")
@database_options
def emit_command(
    run_id: str,
    event: str,
    payload: str | None,
    key: str | None,
    database: str | None,
    app: str | None,
) -> None:
    """Put an event into a run's mailbox.

    JSON is its payload, for example '{"ok": true}'; - reads it from standard input.
    """
    value = None if payload is None else parsed(payload, "the payload")
    with opened(database, app) as backroom:
        impatient(backroom).run(run_id).emit(event, value, key=key).wait()
    click.echo(f"Event {event} is in the mailbox of {run_id}.")
