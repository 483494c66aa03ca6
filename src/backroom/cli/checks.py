"""`backroom check`: would the runs that are under way still fit this code?"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from backroom.app.backroom import Backroom
from backroom.app.stores import make_store
from backroom.cli.opening import database_options, required_app
from backroom.cli.printing import print_json, print_table, styled
from backroom.records.errors import Refused
from backroom.records.runs import RunRow

__all__ = ["check_command"]


@click.command("check", short_help="Say which runs under way no longer fit this code.")
@click.option("--flow", help="Only runs of this flow.")
@click.option("--limit", type=click.IntRange(1), help="Only so many, the newest first.")
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=10.0, show_default=True,
    help="How long the own code of one flow may take.",
)  # fmt: skip
@click.option(
    "--allow-unreached",
    is_flag=True,
    help="Let pass what a step that was put in keeps out of reach.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def check_command(
    flow: str | None,
    limit: int | None,
    seconds: float,
    allow_unreached: bool,
    as_json: bool,
    database: str | None,
    app: str | None,
) -> None:
    """Replay every run under way from its checkpoints against this code, and list those that no
    longer fit.

    Nothing is written, and no step is called: where a step would be, the replay stops. The code of
    a flow between its steps does run. A role that can only read is enough. Exit code 1 if something
    doesn't fit.
    """
    backroom = required_app(app, database)
    with contextlib.redirect_stdout(sys.stderr):  # what flows print isn't the answer
        checked, found = check(backroom, flow, limit, seconds)
    if allow_unreached:
        found = [(row, finding) for row, finding in found if finding.kind != "unreached"]
    if as_json:
        print_json(
            {
                "checked": checked,
                "findings": [
                    {
                        "run": row.id, "flow": row.flow, "state": row.state.value,
                        "kind": finding.kind, "address": finding.address, "what": finding.what,
                    }
                    for row, finding in found
                ],
            }
        )  # fmt: skip
    elif found:
        rows = [
            [row.id, row.flow, styled(row.state), f.kind, f.address or "-", f.what]
            for row, f in found
        ]
        print_table(["run", "flow", "state", "finding", "address", "what"], rows, last="what")
        click.echo(remedies({finding.kind for _row, finding in found}), err=True)
    else:
        click.echo(f"{checked:,} runs are under way, and all of them fit.")
    if found:
        sys.exit(1)


def check(
    backroom: Backroom, flow: str | None, limit: int | None, seconds: float
) -> tuple[int, list[tuple[RunRow, Any]]]:
    """How many were checked, and what was found. Opens a reading line only."""
    from backroom.flows.checking import check_run, runs_under_way, still_office

    store = make_store(backroom.settings)
    store.check_schema()
    reader = store.reader()
    office = still_office(store)
    performer = backroom.performer(no_executor)
    checked = 0
    found = []
    try:
        with backroom.seated(office):
            for row in runs_under_way(reader, flow, limit):
                checked += 1
                finding = check_run(performer, office, reader, row, seconds=seconds)
                if finding is not None:
                    found.append((row, finding))
    finally:
        reader.close()
        office.close()
    return checked, found


def no_executor() -> Any:
    raise Refused("Nothing is performed in a check.")


REMEDIES = {
    "mismatch": "mismatch: such a run will be set aside for a person. Keep the name and the "
    "arguments of steps that runs have kept, or give the changed step another name.",
    "unreached": "unreached: a step that was renamed needs aliases=(old name,), else it is done "
    "again. If a step was only put in before it, all is well: --allow-unreached.",
    "fails": "fails: the flow's own code raises; such a run will fail.",
    "unfinished": "unfinished: the flow's own code waits for something. Give it more --seconds, or "
    "move that into a step.",
}


def remedies(kinds: set[str]) -> str:
    return "\n".join(text for kind, text in REMEDIES.items() if kind in kinds)
