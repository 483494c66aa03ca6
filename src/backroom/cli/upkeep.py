"""`backroom migrate` and `backroom doctor`: the database's tables, and what may be wrong."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import click

from backroom.app.backroom import Backroom
from backroom.app.settings import Settings, load, origins, unknown_variables
from backroom.app.stores import make_store
from backroom.cli.loading import load_app
from backroom.cli.opening import database_options, opened, shown
from backroom.cli.printing import print_json, print_table, took
from backroom.cli.triggers import difference
from backroom.engine.world import World
from backroom.records.errors import BackroomError
from backroom.records.runs import RunRow, served_as
from backroom.records.states import FINAL, State
from backroom.store.protocol import Reader, Store

__all__ = ["doctor_command", "migrate_command"]


@click.command("migrate", short_help="Create or update the tables.")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if something is missing.")
@database_options
def migrate_command(check: bool, database: str | None, app: str | None) -> None:
    """Create or update backroom's tables."""
    with opened(database, app) as backroom:
        store = make_store(backroom.settings)
        address = shown(backroom.settings.database)
        try:
            if check:
                store.check_schema()
                click.echo(f"{address} is up to date.")
                return
            applied = store.migrate()
        finally:
            store.close()
    for name in applied:
        click.echo(f"Applied {name}.")
    click.echo(f"{address} is up to date.")


Finding = tuple[str, str, str]  # level (ok, warning, error), what, remedy

CLOCK_SECONDS = 5.0  # how far clocks may be apart before it is said
LATE_US = 5 * 60 * 1_000_000  # how long the oldest due run may wait before it is said
LOOKED_AT = 5_000  # unfinished runs whose flows are looked at
COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command("doctor", short_help="Look for what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--strict", is_flag=True, help="Exit code 1 on warnings as well.")
@database_options
def doctor_command(as_json: bool, strict: bool, database: str | None, app: str | None) -> None:
    """Look for what is wrong, and say what to do about it. Exit code 1 on errors."""
    settings = load(database=database)
    findings = [
        ("warning", said, "Correct its name, or unset it.") for said in unknown_variables().values()
    ]
    target = app or settings.app
    backroom: Backroom | None = None
    if target:
        try:
            backroom = load_app(target)
            backroom.override(database=database)
            settings = backroom.settings
        except BackroomError as error:
            cause, _, remedy = str(error).partition(". ")
            findings.append(("error", f"{cause}.", remedy))
        else:
            findings.append(about_app(target, backroom))
    given = {"database": database} if backroom is None else backroom.given
    rows = in_force(settings, given)
    findings += look_at_database(settings, backroom)
    if as_json:
        report = {
            "settings": {name: {"value": value, "from": source} for name, value, source in rows},
            "findings": [
                {"level": level, "what": what, "remedy": remedy} for level, what, remedy in findings
            ],
        }
        print_json(report)
    else:
        print_table(["setting", "value", "from"], rows, last="from")
        click.echo()
        for finding in findings:
            print_finding(*finding)
    bad = {"error", "warning"} if strict else {"error"}
    sys.exit(int(any(level in bad for level, _, _ in findings)))


def in_force(settings: Settings, given: dict[str, Any]) -> list[list[str]]:
    sources = origins(given)
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        text = ", ".join(value) if isinstance(value, tuple) else str(value)
        public = field.alias or name
        rows.append([public, shown(text) or "-", sources[public]])
    return rows


def about_app(target: str, backroom: Backroom) -> Finding:
    names = sorted(backroom.flows)
    if not names:
        return (
            "warning",
            f"{target} has no flows.",
            "Import the modules that define them where the Backroom is made.",
        )
    return ("ok", f"{target} has {counted(len(names), 'flow')}: {', '.join(names)}.", "")


def look_at_database(settings: Settings, backroom: Backroom | None) -> list[Finding]:
    """The store's own findings; and if its tables can be read, those about what is in them."""
    try:
        store = make_store(settings)
    except BackroomError as error:
        cause, _, remedy = str(error).partition(". ")
        return [("error", f"{cause}.", remedy)]
    try:
        findings = list(store.diagnose())
        try:
            store.check_schema()
        except BackroomError:
            return findings  # diagnose has said it
        return findings + look_at_work(store, backroom)
    except BackroomError as error:
        cause, _, remedy = str(error).partition(". ")
        return [*findings, ("error", f"{cause}.", remedy)]
    finally:
        store.close()


def look_at_work(store: Store, backroom: Backroom | None) -> list[Finding]:
    reader = store.reader()
    try:
        return [
            *about_clock(reader),
            *about_workers(reader),
            *about_service(reader),
            *about_aside(reader),
            *about_queues(reader),
            *about_triggers(store, reader, backroom),
            *(about_flows(reader, backroom) if backroom is not None else ()),
        ]
    finally:
        reader.close()


def about_clock(reader: Reader) -> Iterator[Finding]:
    """The database's clock decides what is due. One that differs from this machine's surprises
    whoever starts runs at a time that they reckon here."""
    off = (reader.now() - World().now_us()) / 1_000_000
    if abs(off) < CLOCK_SECONDS:
        yield ("ok", "The database's clock and this machine's agree.", "")
        return
    yield (
        "warning",
        f"The database's clock is {took(int(abs(off) * 1_000_000))} "
        f"{'ahead of' if off > 0 else 'behind'} this machine's.",
        "Set both by a time server. What is due is decided by the database's clock alone.",
    )


def about_triggers(store: Store, reader: Reader, backroom: Backroom | None) -> Iterator[Finding]:
    """Triggers on tables: whether the tables have them as declared, and whether changes wait."""
    now = reader.now()
    rows = {row.name: row for row in reader.triggers()}
    declared = backroom.row_triggers if backroom is not None else ()
    for trigger in declared:
        if found := difference(store, trigger):
            what = f"The trigger {trigger.name} is not as declared: {found.rstrip('.')}."
            yield ("error", what, "Run `backroom triggers install`.")
    if backroom is not None:
        for name in sorted(rows.keys() - {trigger.name for trigger in declared}):
            what = f"The trigger {name} is installed and not declared."
            yield ("warning", what, f"Run `backroom triggers remove {name}`.")
    for name, row in rows.items():
        late = row.oldest_at is not None and now - row.oldest_at > LATE_US
        if late and row.paused_at is None:
            what = f"{counted(row.pending, 'change')} of the trigger {name}, not runs yet for long."
            yield ("warning", what, "Start a worker whose application declares it.")
    if rows:
        yield ("ok", f"{counted(len(rows), 'trigger')} on tables: {', '.join(rows)}.", "")


def about_service(reader: Reader) -> Iterator[Finding]:
    """What is due and nobody alive would perform, for want of the queue or of the flow."""
    now = reader.now()
    alive = [worker for worker in reader.workers() if worker.lease_until > now]
    if not alive:
        return  # it has been said
    queues = {queue for worker in alive for queue in worker.queues}
    flows = {flow for worker in alive for flow in worker.flows}
    left: dict[tuple[str, str], int] = {}
    for run in list(unfinished(reader, State.READY)):
        flow = served_as(run.flow, run.version)
        if run.queue not in queues:
            left["queue", run.queue] = left.get(("queue", run.queue), 0) + 1
        elif flow not in flows:
            left["flow", flow] = left.get(("flow", flow), 0) + 1
    for (what, name), number in sorted(left.items()):
        yield (
            "warning",
            f"{counted(number, 'run')} due of the {what} {name}, which no worker serves.",
            "Start a worker with --queues that name it."
            if what == "queue"
            else "Start a worker whose application has it.",
        )
    if not left:
        yield ("ok", "Whatever is due is served by some worker.", "")


def about_workers(reader: Reader) -> Iterator[Finding]:
    now = reader.now()
    alive = [worker for worker in reader.workers() if worker.lease_until > now]
    if alive:
        names = ", ".join(worker.name for worker in alive)
        yield ("ok", f"{counted(len(alive), 'worker')} alive: {names}.", "")
        return
    waiting = sum(q.due + q.later + q.parked + q.running + q.aside for q in reader.queues())
    if not waiting:
        yield ("ok", "No worker is alive, and no run waits for one.", "")
        return
    yield (
        "warning",
        f"No worker is alive, and {counted(waiting, 'run')} not finished.",
        "Start one: `backroom worker module:app`.",
    )


def about_aside(reader: Reader) -> Iterator[Finding]:
    aside = sum(queue.aside for queue in reader.queues())
    if aside:
        yield (
            "warning",
            f"{counted(aside, 'run')} set aside for a person to decide.",
            "See `backroom list --state needs_attention`, then retry or cancel.",
        )


def about_queues(reader: Reader) -> Iterator[Finding]:
    for queue in reader.queues():
        name = queue.rules.name
        if queue.paused_at is not None:
            by = f" by {queue.paused_by}" if queue.paused_by else ""
            yield (
                "warning",
                f"The queue {name} is paused{by}, and {counted(queue.due, 'run')} due in it.",
                f"Let it go on with `backroom resume {name}`.",
            )
        elif queue.oldest_due_at is not None:
            waited = reader.now() - queue.oldest_due_at
            if waited > LATE_US:
                yield (
                    "warning",
                    f"{counted(queue.due, 'run')} due in the queue {name}, the oldest for "
                    f"{took(waited)}.",
                    "Add workers, or look at what its limits are: `backroom queues`.",
                )


def about_flows(reader: Reader, backroom: Backroom) -> Iterator[Finding]:
    known = backroom.flows
    unknown: dict[str, int] = {}
    for run in unfinished(reader):
        flow = served_as(run.flow, run.version)
        if flow not in known:
            unknown[flow] = unknown.get(flow, 0) + 1
    for flow, number in sorted(unknown.items()):
        yield (
            "warning",
            f"{counted(number, 'unfinished run')} of the flow {flow}, which the application "
            "doesn't have.",
            f"Bring the flow back, give the new one aliases=({flow!r},), or cancel the runs."
            if "@" not in flow
            else "Bring that version of the flow back, or cancel the runs.",
        )
    if not unknown:
        yield ("ok", "Every unfinished run belongs to a flow of the application.", "")


def unfinished(reader: Reader, *only: State) -> Iterator[RunRow]:
    states = only or [state for state in State if state not in FINAL]
    before, seen = None, 0
    while seen < LOOKED_AT:
        page = reader.runs(states=states, before=before, limit=1_000)
        yield from page
        if len(page) < 1_000:
            return
        before, seen = page[-1].id, seen + len(page)


def counted(number: int, noun: str) -> str:
    """`1 worker is`, `3 workers are`: for sentences that go on about them."""
    if noun in ("run", "worker"):
        verb = "is" if number == 1 else "are"
        return f"{number:,} {noun}{'' if number == 1 else 's'} {verb}"
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_finding(level: str, what: str, remedy: str) -> None:
    """The level, the cause, and below it the remedy, wrapped at the width of the terminal."""
    width = max(40, min(shutil.get_terminal_size().columns, 100)) - 9
    mark = click.style(f"{level:<9}", fg=COLOURS[level])
    blank = " " * 9
    lines = [line for part in what.splitlines() for line in textwrap.wrap(part, width) or [""]]
    lines += [line for part in remedy.splitlines() for line in textwrap.wrap(part, width) or [""]]
    for i, line in enumerate(lines):
        click.echo((mark if i == 0 else blank) + line)
