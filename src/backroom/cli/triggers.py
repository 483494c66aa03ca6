"""`backroom triggers`: rows of the application's tables that start flows."""

from __future__ import annotations

from typing import Any

import click

from backroom.app.backroom import Backroom
from backroom.cli.opening import database_options, impatient, opened, required_app, user_name
from backroom.cli.printing import ago, iso, print_json, print_table
from backroom.records.errors import Refused
from backroom.records.triggers import FiringRow, Plan, RowTrigger, TriggerRow
from backroom.store.protocol import Reader, Store
from backroom.store.verbs import PauseTrigger

__all__ = ["difference", "triggers_command"]


@click.group("triggers", short_help="Install, look at and remove triggers on tables.")
def triggers_command() -> None:
    """Rows of the application's tables that start flows when they change (on_change)."""


@triggers_command.command("install", short_help="Make the SQL triggers as they are declared.")
@click.option("--dry-run", is_flag=True, help="Print the SQL and do nothing.")
@database_options
def install_command(dry_run: bool, database: str | None, app: str | None) -> None:
    """Make the SQL triggers on the tables as the application declares them.

    What is as declared is left alone. What the code doesn't declare any more is left as well, and
    named: `backroom triggers remove NAME`.
    """
    backroom = required_app(app, database)
    try:
        store = backroom.office.store
        if dry_run:
            plans = store.plan_triggers(backroom.row_triggers)
        else:
            plans = store.install_triggers(backroom.row_triggers)
        left = undeclared(backroom)
    finally:
        backroom.close()
    for plan in plans:
        if dry_run:
            for statement in plan.statements:
                click.echo(f"{statement};\n")
        click.echo(f"{'-- ' if dry_run else ''}{plan.name}: {done(plan, dry_run=dry_run)}")
    for name in left:
        click.echo(
            f"{'-- ' if dry_run else ''}{name} is installed and not declared. "
            f"Remove it: backroom triggers remove {name}"
        )
    if not plans:
        click.echo("The application declares no triggers on tables.")


def done(plan: Plan, *, dry_run: bool) -> str:
    if not plan.statements:
        return "as declared."
    what = "would be installed" if dry_run else "installed"
    return f"{what}; {', '.join(plan.found)}."


def undeclared(backroom: Backroom) -> list[str]:
    declared = {trigger.name for trigger in backroom.row_triggers}
    rows = backroom.office.read(lambda reader: reader.triggers()).result()
    return [row.name for row in rows if row.name not in declared]


@triggers_command.command("status", short_help="List triggers, and how they stand.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def status_command(as_json: bool, database: str | None, app: str | None) -> None:
    """List the triggers that are declared or installed: whether the tables have them as declared,
    and how many changes have started runs."""

    def look(reader: Reader) -> tuple[int, list[TriggerRow]]:
        return reader.now(), reader.triggers()

    with opened(database, app) as backroom:
        now, rows = backroom.office.read(look).result()
        stands = standing(backroom, rows)
    known = {row.name: row for row in rows}
    if as_json:
        print_json([as_plain(name, stands[name], known.get(name)) for name in sorted(stands)])
    elif not stands:
        click.echo("No trigger on a table is declared or installed.")
    else:
        print_table(
            ["trigger", "table", "flow", "runs", "pending", "merged", "refused", "stands"],
            [in_table(name, stands[name], known.get(name), now) for name in sorted(stands)],
            last="stands",
        )


def standing(backroom: Backroom, rows: list[TriggerRow]) -> dict[str, str]:
    """In words, by name; "" where all is as declared."""
    told = {row.name: "" for row in rows}
    if not backroom.flows:
        return told  # without the application nobody knows what is declared
    declared = {trigger.name for trigger in backroom.row_triggers}
    told |= {row.name: "not declared any more" for row in rows if row.name not in declared}
    for trigger in backroom.row_triggers:
        told[trigger.name] = difference(backroom.office.store, trigger)
    return told


def difference(store: Store, trigger: RowTrigger) -> str:
    """How the database differs from what is declared, in words; "": not at all."""
    try:
        (plan,) = store.plan_triggers([trigger])
    except Refused as error:
        return str(error)
    return ", ".join(plan.found)


def in_table(name: str, stands: str, row: TriggerRow | None, now: int) -> list[str]:
    words = click.style(stands, fg="yellow") if stands else "as declared"
    if row is None:
        return [name, "", "", "", "", "", "", words]
    if row.paused_at is not None:
        by = f" by {row.paused_by}" if row.paused_by else ""
        words = f"{click.style(f'paused{by} {ago(row.paused_at, now)}', fg='yellow')}; {words}"
    pending = str(row.pending)
    if row.oldest_at is not None:
        pending += f", oldest {ago(row.oldest_at, now)}"
    return [
        name, row.table, row.flow, str(row.started), pending, str(row.merged), str(row.dropped),
        words,
    ]  # fmt: skip


def as_plain(name: str, stands: str, row: TriggerRow | None) -> dict[str, Any]:
    if row is None:
        return {"name": name, "installed": False, "differs": stands or None}
    return {
        "name": name, "installed": True, "differs": stands or None, "table": row.table,
        "flow": row.flow, "paused_at": iso(row.paused_at), "paused_by": row.paused_by,
        "installed_at": iso(row.installed_at), "started": row.started, "merged": row.merged,
        "refused": row.dropped, "pending": row.pending, "oldest_at": iso(row.oldest_at),
    }  # fmt: skip


@triggers_command.command("remove", short_help="Take triggers off their tables.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--discard", is_flag=True, help="Even if changes would be lost that aren't runs yet.")
@click.option("--dry-run", is_flag=True, help="Print the SQL and do nothing.")
@database_options
def remove_command(
    names: tuple[str, ...], discard: bool, dry_run: bool, database: str | None, app: str | None
) -> None:
    """Take triggers off their tables, with nothing of them left."""
    with opened(database, app) as backroom:
        rows = {row.name: row for row in backroom.office.read(lambda r: r.triggers()).result()}
        for name in names:
            row = rows.get(name)
            if row is None:
                raise Refused(f"No trigger {name!r} is installed. See: backroom triggers status")
            if row.pending and not discard and not dry_run:
                raise Refused(
                    f"{changes(row.pending)} of {name} would be lost that "
                    f"{'is no run' if row.pending == 1 else 'are no runs'} yet. "
                    "Let a worker take them up first, or say --discard."
                )
            plan = backroom.office.store.remove_trigger(name, dry_run=dry_run)
            if dry_run:
                for statement in plan.statements:
                    click.echo(f"{statement};")
            else:
                click.echo(f"{name} is removed.")


@triggers_command.command("pause", short_help="Let changes start nothing for a while.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--by", default="", help="Who, or why; default: your user name.")
@database_options
def pause_trigger_command(
    names: tuple[str, ...], by: str, database: str | None, app: str | None
) -> None:
    """Let changes start nothing until `resume`. They are noted meanwhile, and none is lost."""
    switch(names, database, app, on=False, by=by or user_name())


@triggers_command.command("resume", short_help="Let a paused trigger go on.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@database_options
def resume_trigger_command(names: tuple[str, ...], database: str | None, app: str | None) -> None:
    """Let a paused trigger go on, with what has changed meanwhile."""
    switch(names, database, app, on=True, by="")


def switch(
    names: tuple[str, ...], database: str | None, app: str | None, *, on: bool, by: str
) -> None:
    with opened(database, app) as backroom:
        for name in names:
            if not impatient(backroom).office.doors.call(PauseTrigger(name, on, by)):
                raise Refused(f"No trigger {name!r} is installed. See: backroom triggers status")
            click.echo(
                f"{name} goes on." if on
                else f"{name} is paused. Go on with: backroom triggers resume {name}"
            )  # fmt: skip


@triggers_command.command("why", short_help="Which changes started nothing, and why.")
@click.argument("name", metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def why_command(name: str, as_json: bool, database: str | None, app: str | None) -> None:
    """Tell why changes of a table start nothing: what stands in the way now, and which changes were
    refused. What fails the condition leaves no trace, so that it costs nothing."""

    def look(reader: Reader) -> tuple[int, list[TriggerRow], list[FiringRow]]:
        return reader.now(), reader.triggers(), reader.firings(name)

    with opened(database, app) as backroom:
        now, rows, firings = backroom.office.read(look).result()
        differs = standing(backroom, rows).get(name)
        workers = backroom.office.read(lambda reader: reader.workers()).result()
        declared = {trigger.name: trigger for trigger in backroom.row_triggers}.get(name)
    row = {row.name: row for row in rows}.get(name)
    reasons = list(reasons_of(name, row, differs, alive=any(w.lease_until > now for w in workers)))
    if as_json:
        print_json({"name": name, "reasons": reasons, "refused": [plainly(f) for f in firings]})
        return
    for reason in reasons:
        click.echo(reason)
    for firing in firings:
        click.echo(f"{in_words(firing)}, last {ago(firing.last_at, now)}: {firing.key}")
    if not reasons and not firings:
        click.echo("Nothing stands in the way, and no change was refused.")
    if declared is not None and declared.when is not None:
        click.echo(f"A change starts a run only where: {declared.when}")


def reasons_of(name: str, row: TriggerRow | None, differs: str | None, *, alive: bool) -> list[str]:
    if row is None:
        return [f"{name} is not installed. Run: backroom triggers install"]
    reasons = []
    if row.paused_at is not None:
        by = f" by {row.paused_by}" if row.paused_by else ""
        reasons.append(f"It is paused{by}. Go on with: backroom triggers resume {name}")
    if differs:
        reasons.append(f"It is not as declared: {differs}. Run: backroom triggers install")
    if row.pending and not alive:
        wait = "waits" if row.pending == 1 else "wait"
        reasons.append(f"{changes(row.pending)} {wait}, but no worker is alive. Start one.")
    return reasons


def in_words(firing: FiringRow) -> str:
    what = changes(firing.count)
    if firing.outcome == "own":
        return f"{what} by run {firing.cause_id} of the flow itself ({firing.path})"
    return (
        f"{what} at the end of a chain that is too long ({firing.path}), by run {firing.cause_id}"
    )


def changes(number: int) -> str:
    return "1 change" if number == 1 else f"{number:,} changes"


def plainly(firing: FiringRow) -> dict[str, Any]:
    return {
        "outcome": firing.outcome, "cause_id": firing.cause_id, "count": firing.count,
        "first_at": iso(firing.first_at), "last_at": iso(firing.last_at), "key": firing.key,
        "path": firing.path,
    }  # fmt: skip
