"""`backroom queues`, `pause` and `resume`: how queues stand, and stopping them for a while."""

from __future__ import annotations

from typing import Any

import click

from backroom.cli.opening import database_options, impatient, opened, user_name
from backroom.cli.printing import ago, iso, print_json, print_table, took
from backroom.records.queues import QueueRow, QueueRules
from backroom.store.protocol import Reader

__all__ = ["pause_command", "queues_command", "resume_command"]


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
            "; ".join([*paused(queue, now), *told(queue.rules)]),
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


def waiting_for(queue: QueueRow, now: int) -> str:
    return "-" if queue.oldest_due_at is None else took(max(0, now - queue.oldest_due_at))


def paused(queue: QueueRow, now: int) -> list[str]:
    if queue.paused_at is None:
        return []
    by = f" by {queue.paused_by}" if queue.paused_by else ""
    return [click.style(f"paused{by} {ago(queue.paused_at, now)}", fg="yellow")]


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
        "concurrency": rules.concurrency,
        "concurrency_per_partition": rules.concurrency_per_partition,
        "rate": rules.rate,
        "per_seconds": None if rules.per_us is None else rules.per_us / 1_000_000,
        "burst": rules.burst,
        "max_waiting": rules.max_waiting,
    }
