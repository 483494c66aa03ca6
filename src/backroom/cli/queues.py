"""`backroom queues`, `pause`, `resume` and `limit`: how queues stand, and changing that."""

from __future__ import annotations

from typing import Any

import click

from backroom.cli.opening import database_options, impatient, opened, user_name
from backroom.cli.printing import ago, iso, print_json, print_table, took
from backroom.records.queues import QueueRow, QueueRules
from backroom.store.protocol import Reader

__all__ = ["limit_command", "pause_command", "queues_command", "resume_command"]


@click.command("queues", short_help="List queues with their limits.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def queues_command(as_json: bool, database: str | None, app: str | None) -> None:
    """List the queues that have runs or rules: how long the line is, what runs, which limits."""

    def look(reader: Reader) -> tuple[int, list[QueueRow]]:
        return reader.now(), reader.queues()

    with opened(database, app) as backroom:
        now, queues = backroom.office.read(look).result()
    if as_json:
        print_json([queue_as_json(queue) for queue in queues])
        return
    if not queues:
        click.echo("No queue has runs or rules.")
        return
    rows = [
        [
            queue.rules.name, str(queue.due), waiting_for(queue, now), str(queue.running),
            str(queue.later), str(queue.parked), str(queue.aside),
            "; ".join([*paused(queue, now), *told(queue.rules), *changed_by(queue)]),
        ]
        for queue in queues
    ]  # fmt: skip
    heads = ["queue", "due", "oldest", "running", "later", "parked", "aside", "rules"]
    print_table(heads, rows, last="rules")


@click.command("pause", short_help="Let nothing more of a queue begin.")
@click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)
@click.option("--by", default="", help="Who, or why; default: your user name.")
@database_options
def pause_command(queues: tuple[str, ...], by: str, database: str | None, app: str | None) -> None:
    """Let nothing more of a queue begin, on any worker. What is running goes on."""
    with opened(database, app) as backroom:
        for queue in queues:
            impatient(backroom).pause(queue, by=by or user_name()).wait()
            click.echo(f"{queue} is paused. Go on with: backroom resume {queue}")


@click.command("resume", short_help="Let a paused queue go on.")
@click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)
@database_options
def resume_command(queues: tuple[str, ...], database: str | None, app: str | None) -> None:
    """Let a paused queue go on."""
    with opened(database, app) as backroom:
        for queue in queues:
            impatient(backroom).resume(queue).wait()
            click.echo(f"{queue} goes on.")


class Whole(click.ParamType[Any]):
    """A whole number, or `none`."""

    name = "N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        if value == "none":
            return "none"
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor none.", param, ctx)


WHOLE = Whole()


@click.command("limit", short_help="Change the limits of a queue.")
@click.argument("queue", metavar="QUEUE")
@click.option("--concurrency", type=WHOLE, help="How many at once; none: no limit.")
@click.option("--per-partition", type=WHOLE, help="How many of one partition at once.")
@click.option("--rate", type=WHOLE, help="How many begin in a time; see --per.")
@click.option("--per", type=float, help="That time, in seconds.")
@click.option("--burst", type=WHOLE, help="How many of them at once.")
@click.option("--max-waiting", type=WHOLE, help="How many may wait to begin.")
@click.option("--as-declared", is_flag=True, help="Back to what the code declares.")
@click.option("--by", default="", help="Who, or why; default: your user name.")
@database_options
def limit_command(
    queue: str,
    concurrency: int | str | None,
    per_partition: int | str | None,
    rate: int | str | None,
    per: float | None,
    burst: int | str | None,
    max_waiting: int | str | None,
    as_declared: bool,
    by: str,
    database: str | None,
    app: str | None,
) -> None:
    """Change the limits of a queue at once, on all workers.

    What isn't named stays as it is. They stay in force over deploys, whatever the code declares,
    until --as-declared.
    """
    with opened(database, app) as backroom:
        if as_declared:
            there = impatient(backroom).as_declared(queue).wait()
            click.echo(f"{queue} is as the code declares." if there else f"{queue} was already.")
            return
        named = {
            "concurrency": concurrency, "concurrency_per_partition": per_partition, "rate": rate,
            "per": per, "burst": burst, "max_waiting": max_waiting,
        }  # fmt: skip
        changes: dict[str, Any] = {
            name: None if value == "none" else value
            for name, value in named.items()
            if value is not None
        }
        impatient(backroom).limit(queue, by=by or user_name() or "somebody", **changes).wait()
        (row,) = backroom.office.read(lambda reader: reader.queues(queue)).result()
    click.echo(f"{queue}: {'; '.join(told(row.rules)) or 'no limits'}.")


def waiting_for(queue: QueueRow, now: int) -> str:
    return "-" if queue.oldest_due_at is None else took(max(0, now - queue.oldest_due_at))


def paused(queue: QueueRow, now: int) -> list[str]:
    if queue.paused_at is None:
        return []
    by = f" by {queue.paused_by}" if queue.paused_by else ""
    return [click.style(f"paused{by} {ago(queue.paused_at, now)}", fg="yellow")]


def changed_by(queue: QueueRow) -> list[str]:
    return [] if queue.set_by is None else [f"set by {queue.set_by}"]


def told(rules: QueueRules) -> list[str]:
    """The rules of a queue in a few words each."""
    words = []
    if rules.concurrency is not None:
        words.append(f"{rules.concurrency} at once")
    if rules.concurrency_per_partition is not None:
        words.append(f"{rules.concurrency_per_partition} of a partition at once")
    if rules.rate is not None:
        burst = f", {rules.burst} at once" if (rules.burst or 1) > 1 else ""
        words.append(f"{rules.rate} in {took(rules.per_us or 0)}{burst}")
    if rules.max_waiting is not None:
        words.append(f"at most {rules.max_waiting:,} waiting")
    return words


def queue_as_json(queue: QueueRow) -> dict[str, Any]:
    rules = queue.rules
    return {
        "name": rules.name,
        "due": queue.due,
        "oldest_due_at": iso(queue.oldest_due_at),
        "later": queue.later,
        "parked": queue.parked,
        "running": queue.running,
        "aside": queue.aside,
        "paused_at": iso(queue.paused_at),
        "paused_by": queue.paused_by,
        "set_by": queue.set_by,
        "concurrency": rules.concurrency,
        "concurrency_per_partition": rules.concurrency_per_partition,
        "rate": rules.rate,
        "per_seconds": None if rules.per_us is None else rules.per_us / 1_000_000,
        "burst": rules.burst,
        "max_waiting": rules.max_waiting,
    }
