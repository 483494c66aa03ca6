"""`backroom list` and `backroom show`: looking, without the application's code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import click

from backroom.cli.opening import database_options, opened
from backroom.cli.printing import (
    ago,
    iso,
    print_json,
    print_table,
    shortened,
    stored,
    styled,
    took,
)
from backroom.flows.failures import read
from backroom.flows.recovery import Undo, undos_of
from backroom.flows.rewinding import REFUSED, is_own
from backroom.records.errors import RunNotFound
from backroom.records.runs import AttemptRow, Mail, RunRow, StepRow, WaitRow, served_as
from backroom.records.states import State
from backroom.store.protocol import Reader

__all__ = ["list_command", "show_command"]

REMARK_COLUMNS = 120  # of a list; `show` and --json have all of it
ACTS = ("retried", "rewound", "undone")  # what people did, and no attempt


@click.command("list", short_help="List runs.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="Only runs in this state; may be repeated.",
)
@click.option("--flow", help="Only runs of this flow.")
@click.option("--queue", help="Only runs of this queue.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@click.option("--before", metavar="RUN", help="Only runs older than this one: the next page.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def list_command(
    states: tuple[str, ...],
    flow: str | None,
    queue: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
    database: str | None,
    app: str | None,
) -> None:
    """List runs, the newest first."""
    wanted = [State(state) for state in states]

    def look(reader: Reader) -> tuple[int, list[RunRow]]:
        runs = reader.runs(flow=flow, queue=queue, states=wanted, before=before, limit=limit)
        return reader.now(), runs

    with opened(database, app) as backroom:
        now, runs = backroom.office.read(look).result()
    if as_json:
        print_json([run_as_json(run) for run in runs])
        return
    if not runs:
        click.echo("No runs." if not (states or flow or queue or before) else "No such runs.")
        return
    rows = [
        [run.id, run.flow, styled(run.state), ago(run.created_at, now), remark(run, now)]
        for run in runs
    ]
    print_table(["run", "flow", "state", "created", "remark"], rows, last="remark")
    if len(runs) == limit:
        click.echo(f"Older ones: --before {runs[-1].id}", err=True)


def told(text: str) -> str:
    """A kept error, as its kind and its message, if it has any."""
    error = read(text)
    return f"{error['kind']}: {error['message']}" if error["message"] else str(error["kind"])


def remark(run: RunRow, now: int) -> str:
    if run.error is not None and run.state is not State.SUCCEEDED:
        return shortened(one_line(told(run.error)), REMARK_COLUMNS)
    if run.status:
        percent = f"{run.progress:.0%} " if run.progress is not None else ""
        return percent + " ".join(run.status.split())
    if run.state in (State.SCHEDULED, State.WAITING) and (due := ago(run.available_at, now)) != "-":
        return f"due {due}"
    return f"key {run.key}" if run.key else ""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that there is to see of a run."""

    now: int
    run: RunRow
    steps: list[StepRow]
    waits: list[WaitRow]
    attempts: list[AttemptRow]
    mail: list[Mail]
    children: list[RunRow]


@click.command("show", short_help="Show a run with all that belongs to it.")
@click.argument("run_id", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def show_command(run_id: str, as_json: bool, database: str | None, app: str | None) -> None:
    """Show a run: input, result, steps, waits, attempts and errors."""

    def look(reader: Reader) -> Seen:
        run = reader.run(run_id)
        if run is None:
            raise RunNotFound(run_id)
        return Seen(
            reader.now(), run, reader.steps(run_id), reader.waits(run_id),
            reader.attempts(run_id), reader.mail([run_id]), reader.runs(parent_id=run_id),
        )  # fmt: skip

    with opened(database, app) as backroom:
        seen = backroom.office.read(look).result()
    if as_json:
        print_json(seen_as_json(seen))
    else:
        print_seen(seen)


# --- for machines


def run_as_json(run: RunRow) -> dict[str, Any]:
    return {
        "id": run.id,
        "flow": run.flow,
        "version": run.version,
        "state": run.state.value,
        "queue": run.queue,
        "priority": run.priority,
        "key": run.key,
        "attempt": run.attempt,
        "input": stored(run.input),
        "result": stored(run.result),
        "error": None if run.error is None else read(run.error),
        "progress": run.progress,
        "status": run.status,
        "created_at": iso(run.created_at),
        "available_at": iso(run.available_at),
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "parent_id": run.parent_id,
        "cause_id": run.cause_id,
        "worker": run.worker,
        "cancel_reason": run.cancel_reason,
        "subject": run.subject,
        "erased_at": iso(run.erased_at),
    }


def seen_as_json(seen: Seen) -> dict[str, Any]:
    return run_as_json(seen.run) | {
        "steps": [
            {
                "address": step.address, "name": step.name, "kind": step.kind,
                "state": step.state, "tries": step.tries, "result": stored(step.result),
                "error": None if step.error is None else read(step.error),
                "started_at": iso(step.started_at), "finished_at": iso(step.finished_at),
            }
            for step in seen.steps
        ],
        "undos": [
            {"step": u.step, "state": u.state, "note": u.note, "by": u.by, "error": u.error}
            for u in undos_of(seen.steps)
        ],
        "waits": [
            {"address": w.address, "kind": w.kind, "name": w.name, "due_at": iso(w.due_at)}
            for w in seen.waits
        ],
        "attempts": [
            {
                "attempt": a.attempt, "outcome": a.outcome, "worker": a.worker,
                "started_at": iso(a.started_at), "ended_at": iso(a.ended_at),
                "error": None if a.error is None else read(a.error),
            }
            for a in seen.attempts
        ],
        "events": [
            {
                "id": m.id, "name": m.name, "payload": stored(m.payload),
                "created_at": iso(m.created_at),
            }
            for m in seen.mail
        ],
        "children": [
            {"id": child.id, "flow": child.flow, "state": child.state.value}
            for child in seen.children
        ],
    }  # fmt: skip


# --- for people


def print_seen(seen: Seen) -> None:
    run, now = seen.run, seen.now
    facts = [
        ("flow", click.style(served_as(run.flow, run.version), bold=True)),
        ("state", styled(run.state) + (f", asked to cancel: {run.cancel_reason}"
         if run.cancel_reason is not None and run.state is State.RUNNING else "")),
        ("progress", progress(run)),
        ("key", run.key or ""),
        ("subject", run.subject or ""),
        ("queue", f"{run.queue}, priority {run.priority}"),
        ("attempt", attempt(seen) + (f", worker {run.worker}" if run.worker else "")),
        ("created", when(run.created_at, now)),
        ("due", when(run.available_at, now) if is_coming(run) else ""),
        ("started", when(run.started_at, now)),
        ("finished", when(run.finished_at, now) + lasted(run)),
        ("erased", when(run.erased_at, now)),
        ("parent", run.parent_id or ""),
        ("cause", run.cause_id if run.cause_id and run.cause_id != run.parent_id else ""),
    ]  # fmt: skip
    click.secho(f"Run {run.id}", bold=True)
    for name, value in facts:
        if value:
            click.echo(f"  {name:<10}{value}")
    payload("Input", run.input)
    payload("Result", run.result)
    if run.error is not None:
        print_error("Error", run.error)
    own = [step for step in seen.steps if is_own(step) and step.kind != REFUSED]
    if own:
        section("Steps")
        print_table(["step", "kind", "state", "tries", "took", "result"],
            [step_row(step) for step in by_time(own)], last="result",
        )  # fmt: skip
    if undos := undos_of(seen.steps):
        section("Undos, in the order in which they run")
        print_table(["step", "state", "note"], [undo_row(undo) for undo in undos], last="note")
    for step in by_time(seen.steps):
        if step.kind == REFUSED:
            print_refused(step, now)
        elif step.error is not None and not is_told(step.error, run.error):
            print_error(f"Error of {named(step)}", step.error)
    if seen.waits:
        section("Waits")
        print_table(["for", "name", "due"],
            [[wait.kind, wait.name or wait.address, ago(wait.due_at, now)] for wait in seen.waits],
        )  # fmt: skip
    if seen.mail:
        section("Unread events")
        print_table(["event", "came", "payload"],
            [[m.name, ago(m.created_at, now), compact(m.payload)] for m in seen.mail],
            last="payload",
        )  # fmt: skip
    if seen.children:
        section("Children")
        print_table(["run", "flow", "state"],
            [[child.id, child.flow, styled(child.state)] for child in seen.children],
        )  # fmt: skip
    if seen.attempts:
        section("Attempts that ended otherwise than well, and what was done about it")
        print_table(["attempt", "outcome", "ended", "after", "remark"],
            [attempt_row(attempt, now) for attempt in seen.attempts], last="remark",
        )  # fmt: skip


def attempt(seen: Seen) -> str:
    """Which one it is; a run that has waited is in its second and nothing is wrong with it."""
    bad = sum(row.outcome not in ACTS for row in seen.attempts)
    if seen.run.attempt < 2 or not seen.run.started_at:
        return str(seen.run.attempt)
    return f"{seen.run.attempt}, {f'{bad} of which ended badly' if bad else 'none ended badly'}"


def section(title: str) -> None:
    click.secho(f"\n{title}", bold=True)


def payload(title: str, text: str | None) -> None:
    if text is not None:
        section(title)
        for line in json.dumps(stored(text), indent=2, ensure_ascii=False).splitlines():
            click.echo(f"  {line}")


def print_error(title: str, text: str) -> None:
    error = read(text)
    section(title)
    click.secho(f"  {told(text)}", fg="red")
    for line in str(error["traceback"]).rstrip().splitlines():
        click.echo(f"  {line}")


def print_refused(step: StepRow, now: int) -> None:
    section(f"Events {step.name} that were refused, since they don't fit")
    came = "it came" if step.tries == 1 else f"the last one of {step.tries:,} came"
    click.echo(f"  {came} {ago(step.started_at, now)}: {compact(step.result)}")
    click.secho(f"  {told(step.error or '')}", fg="red")


def named(step: StepRow) -> str:
    undone = step.address.removeprefix("undo ")
    if undone == step.address:
        return f"step {step.address}"
    return f"undoing {undone.removesuffix(':done')}"


def is_told(step_error: str, run_error: str | None) -> bool:
    """Whether the run's error has the step's in it, as its cause."""
    last_line = str(read(step_error)["traceback"]).rstrip().rpartition("\n")[2]
    return bool(last_line) and last_line in str(read(run_error)["traceback"])


def compact(text: str | None) -> str:
    return "" if text is None else json.dumps(stored(text), ensure_ascii=False)


def step_row(step: StepRow) -> list[str]:
    length = took(max(0, step.finished_at - step.started_at)) if step.finished_at else "-"
    what = compact(step.result) if step.error is None else told(step.error)
    return [step.address, step.kind, step.state, str(step.tries), length, one_line(what)]


def undo_row(undo: Undo) -> list[str]:
    by = f" ({undo.by})" if undo.by else ""
    return [undo.step, undo.state.replace("_", " "), one_line(undo.error or f"{undo.note}{by}")]


def attempt_row(attempt: AttemptRow, now: int) -> list[str]:
    what = told(attempt.error) if attempt.error is not None else ""
    length = took(max(0, attempt.ended_at - attempt.started_at)) if attempt.started_at else "-"
    return [str(attempt.attempt), attempt.outcome, ago(attempt.ended_at, now), length,
            one_line(what)]  # fmt: skip


def one_line(text: str) -> str:
    return " ".join(text.split())


def by_time(steps: list[StepRow]) -> list[StepRow]:
    # By the end: a wait "starts" with the event that ends it, which may be older than all else.
    return sorted(steps, key=lambda step: (step.finished_at, step.address))


def progress(run: RunRow) -> str:
    told = [] if run.progress is None else [f"{run.progress:.0%}"]
    return " ".join([*told, run.status or ""]).strip()


def when(at: int | None, now: int) -> str:
    text = iso(at)
    return f"{text} ({ago(at, now)})" if text else ""


def is_coming(run: RunRow) -> bool:
    return run.state in (State.SCHEDULED, State.WAITING, State.READY)


def lasted(run: RunRow) -> str:
    if run.started_at is None or run.finished_at is None:
        return ""
    return f", took {took(max(0, run.finished_at - run.started_at))}"
