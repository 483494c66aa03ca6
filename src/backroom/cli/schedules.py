"""`backroom schedules`: what starts by itself, and when; pausing, adding, removing it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import click

from backroom.cli.opening import database_options, impatient, opened, user_name
from backroom.cli.printing import ago, iso, print_json, print_table
from backroom.records.errors import Refused
from backroom.records.schedules import SlotRow
from backroom.schedules.access import Schedule, preview
from backroom.schedules.calendars import calendar_of
from backroom.store.protocol import Reader
from backroom.store.verbs import PutSchedule

__all__ = ["schedules_command"]

NAME = click.argument("name", metavar="NAME")


@click.group("schedules", short_help="What starts by itself: list, preview, pause, add, remove.")
def schedules_command() -> None:
    """Schedules: flows that start by a calendar, each slot once however many workers there are."""


@schedules_command.command("list")
@click.option("--retired", is_flag=True, help="Also those that start nothing any more.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def list_schedules(retired: bool, as_json: bool, database: str | None, app: str | None) -> None:
    """List schedules with their next times."""

    def look(reader: Reader) -> tuple[int, list[Schedule]]:
        return reader.now(), [preview(row, 1) for row in reader.schedules()]

    with opened(database, app) as backroom:
        now, found = backroom.office.read(look).result()
    found = [schedule for schedule in found if retired or not schedule.retired]
    if as_json:
        print_json([as_plain(schedule) for schedule in found])
    elif not found:
        click.echo("There are no schedules.")
    else:
        rows = [
            [
                schedule.name,
                schedule.flow,
                told(schedule),
                shown(schedule.next),
                stands(schedule, now),
            ]
            for schedule in found
        ]
        print_table(["schedule", "flow", "calendar", "next", "stands"], rows, last="stands")


@schedules_command.command("show")
@NAME
@click.option("--slots", default=20, help="How many of its last slots.", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def show_schedule(
    name: str, slots: int, as_json: bool, database: str | None, app: str | None
) -> None:
    """Show a schedule, and what became of its last slots."""
    with opened(database, app) as backroom:
        schedule = backroom.schedules.show(name).wait()
        found = backroom.schedules.slots(name, slots).wait()
        now = backroom.office.read(lambda reader: reader.now()).result()
    if as_json:
        print_json(as_plain(schedule) | {"slots": [slot_as_plain(slot) for slot in found]})
        return
    click.echo(
        f"{schedule.name} starts {schedule.flow} by {told(schedule)}; {stands(schedule, now)}"
    )
    for moment in schedule.next:
        click.echo(f"  next {moment.isoformat(sep=' ')}")
    if found:
        rows = [
            [str(iso(slot.at)), str(slot.count), slot.decision, slot.run_id or slot.reason or ""]
            for slot in found
        ]
        print_table(["slot", "count", "decision", "run or reason"], rows, last="run or reason")


@schedules_command.command("next")
@NAME
@click.option("--count", default=5, help="How many.", show_default=True)
@database_options
def next_slots(name: str, count: int, database: str | None, app: str | None) -> None:
    """Print when a schedule's next slots start."""
    with opened(database, app) as backroom:
        for moment in backroom.schedules.next(name, count).wait():
            click.echo(moment.isoformat(sep=" "))


@schedules_command.command("pause")
@NAME
@click.option("--by", default="", help="Who, or why; default: your user name.")
@database_options
def pause_schedule(name: str, by: str, database: str | None, app: str | None) -> None:
    """Let a schedule start nothing; its slots are skipped until it goes on."""
    with opened(database, app) as backroom:
        impatient(backroom).schedules.pause(name, by=by or user_name()).wait()
    click.echo(f"{name} is paused. Go on with: backroom schedules resume {name}")


@schedules_command.command("resume")
@NAME
@database_options
def resume_schedule(name: str, database: str | None, app: str | None) -> None:
    """Let a paused schedule go on."""
    with opened(database, app) as backroom:
        impatient(backroom).schedules.resume(name).wait()
    click.echo(f"{name} goes on.")


@schedules_command.command("add")
@NAME
@click.argument("flow", metavar="FLOW")
@click.option("--cron", help="A cron expression, five fields or six with the second first.")
@click.option("--every", type=float, metavar="SECONDS", help="An interval.")
@click.option("--rrule", help="A rule of RFC 5545.")
@click.option("--at", help="A single moment, ISO 8601 with its offset.")
@click.option("--tz", help="The time zone of --cron or --rrule.")
@click.option("--begin", help="From when --every (a moment) or --rrule (a local time) counts.")
@click.option("--input", "given", default="{}", help="The flow's arguments, a JSON object.")
@click.option("--options", default="{}", help='A JSON object: {"missed": "skip", "slot": "day"}.')
@click.option("--by", default="", help="Who, or why; default: your user name.")
@database_options
def add_schedule(
    name: str,
    flow: str,
    cron: str | None,
    every: float | None,
    rrule: str | None,
    at: str | None,
    tz: str | None,
    begin: str | None,
    given: str,
    options: str,
    by: str,
    database: str | None,
    app: str | None,
) -> None:
    """Add a schedule, or change one that was added so."""
    from backroom.flows.steps import check_name
    from backroom.schedules.planning import options_of

    told = {"cron": cron, "every": every, "rrule": rrule, "at": at, "tz": tz, "begin": begin}
    calendar = {key: value for key, value in told.items() if value is not None}
    if len(calendar.keys() & {"cron", "every", "rrule", "at"}) != 1:
        raise Refused("Say when: one of --cron, --every, --rrule and --at.")
    text = json.dumps(calendar_of(json.dumps(calendar)).as_json())
    options_of(options)
    check_name(name, "schedule")
    check_name(flow, "flow")
    try:
        is_object = isinstance(json.loads(given), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise Refused("The input is a JSON object: the flow's parameters by name.")
    verb = PutSchedule(name, flow, text, given, options, by or user_name())
    with opened(database, app) as backroom:
        impatient(backroom).office.doors.future(verb).result()
        (moment, *_) = backroom.schedules.next(name, 1).wait() or (None,)
    click.echo(f"{name} is added. Next: {moment.isoformat(sep=' ') if moment else 'never'}")


@schedules_command.command("remove")
@NAME
@database_options
def remove_schedule(name: str, database: str | None, app: str | None) -> None:
    """Let a schedule start nothing more. One that code declares is taken out there."""
    with opened(database, app) as backroom:
        impatient(backroom).schedules.remove(name).wait()
    click.echo(f"{name} is removed.")


def told(schedule: Schedule) -> str:
    return schedule.row.calendar if schedule.error else str(calendar_of(schedule.row.calendar))


def shown(moments: tuple[datetime, ...]) -> str:
    return moments[0].isoformat(sep=" ") if moments else "-"


def stands(schedule: Schedule, now: int) -> str:
    row = schedule.row
    if schedule.error:
        return click.style(f"can't be read: {schedule.error}", fg="red")
    if row.retired_at is not None:
        return f"retired {ago(row.retired_at, now)}"
    if row.is_paused:
        by = f" by {row.paused_by}" if row.paused_by else ""
        return click.style(f"paused{by} {ago(row.paused_at or now, now)}", fg="yellow")
    return "over" if not schedule.next else "on"


def as_plain(schedule: Schedule) -> dict[str, Any]:
    row = schedule.row
    return {
        "name": row.name,
        "flow": row.flow,
        "calendar": json.loads(row.calendar),
        "options": json.loads(row.options),
        "input": json.loads(row.input),
        "source": row.source,
        "made_by": row.made_by,
        "next": [moment.isoformat() for moment in schedule.next],
        "paused_by": schedule.paused_by,
        "retired_at": iso(row.retired_at),
        "error": schedule.error,
    }


def slot_as_plain(slot: SlotRow) -> dict[str, Any]:
    return {
        "at": iso(slot.at),
        "last_at": iso(slot.last_at),
        "count": slot.count,
        "decision": slot.decision,
        "run": slot.run_id,
        "reason": slot.reason,
        "decided_at": iso(slot.decided_at),
    }
