"""`retry`, `rewind` and `undone`: what a person does about a run that has stopped."""

from __future__ import annotations

from collections.abc import Sequence

import click

from backroom.cli.opening import database_options, for_each, impatient, opened, user_name
from backroom.cli.printing import print_json
from backroom.flows.rewinding import Rewind

__all__ = ["retry_command", "rewind_command", "undone_command"]

SHOWN = 20  # runs that are listed one by one


@click.command("retry", short_help="Take failed runs up again.")
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option("--by", default="", help="Who, or why; default: your user name.")
@database_options
def retry_command(run_ids: tuple[str, ...], by: str, database: str | None, app: str | None) -> None:
    """Take failed, cancelled or set-aside runs up again from where they stopped.

    Finished steps stay, and what has failed gets all its tries anew. A run whose undo has failed
    goes on with that.
    """
    with opened(database, app) as backroom:

        def retry(run_id: str) -> None:
            impatient(backroom).run(run_id).retry(by=by or user_name()).wait()
            click.echo(f"{run_id} is ready again.")

        for_each(run_ids, retry)


@click.command("rewind", short_help="Do a run again from an earlier step on.")
@click.argument("run_id", metavar="RUN")
@click.option("--to", required=True, metavar="STEP", help="The step, as `backroom show` calls it.")
@click.option("--yes", is_flag=True, help="Do it; without this it is only shown what it means.")
@click.option("--by", default="", help="Who, or why; default: your user name.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def rewind_command(
    run_id: str, to: str, yes: bool, by: str, as_json: bool, database: str | None, app: str | None
) -> None:
    """Take a run that has ended or is set aside up again from an earlier step.

    That step goes, with all that began after it, and is done again. First look at what that means;
    then do it with --yes.
    """
    with opened(database, app) as backroom:
        run = impatient(backroom).run(run_id)
        plan = run.rewind(to, by=by or user_name(), dry_run=not yes).wait()
    if as_json:
        print_json(plan_as_json(plan) | {"done": yes})
        return
    print_plan(plan)
    if yes:
        click.echo(f"\n{run_id} is ready again.")
    else:
        click.echo("\nNothing has been changed yet. To do it, add --yes.")


def plan_as_json(plan: Rewind) -> dict[str, object]:
    return {
        "run_id": plan.run_id,
        "to": plan.to,
        "again": plan.again,
        "stays": plan.stays,
        "undone": plan.undone,
        "events": plan.events,
        "children": plan.children,
    }


def print_plan(plan: Rewind) -> None:
    undone = set(plan.undone)
    again = [
        f"{step} (what it did has been undone)" if step in undone else step for step in plan.again
    ]
    listed("Done again, from the first on", again)
    listed("Stays as it is", plan.stays or ["nothing"])
    listed("Lies in the mailbox again, to be read a second time", plan.events)
    listed("Stays as it is, and another run is started in its place", shortened(plan.children))


def listed(title: str, lines: Sequence[str]) -> None:
    if lines:
        click.secho(title, bold=True)
        for line in lines:
            click.echo(f"  {line}")


def shortened(runs: Sequence[str]) -> list[str]:
    left = len(runs) - SHOWN
    return [*runs[:SHOWN], *([f"and {left:,} more"] if left > 0 else [])]


@click.command("undone", short_help="Say that a step has been undone by hand.")
@click.argument("run_id", metavar="RUN")
@click.argument("steps", metavar="STEP...", nargs=-1, required=True)
@click.option("--note", required=True, help="How; kept with the run.")
@click.option("--by", default="", help="Who; default: your user name.")
@database_options
def undone_command(
    run_id: str, steps: tuple[str, ...], note: str, by: str, database: str | None, app: str | None
) -> None:
    """Say that steps whose undo has failed have been undone by hand.

    The run goes on with what is still open. `backroom show` lists that.
    """
    with opened(database, app) as backroom:
        run = impatient(backroom).run(run_id)
        run.mark_undone(*steps, note=note, by=by or user_name()).wait()
    click.echo(f"It is kept that {', '.join(steps)} of {run_id} has been undone by hand.")
