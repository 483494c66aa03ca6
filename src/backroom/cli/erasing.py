"""`backroom erase` and `backroom audit`: blanking what is kept of a person, and who did."""

from __future__ import annotations

import json

import click

from backroom.cli.opening import database_options, impatient, opened, user_name
from backroom.cli.printing import ago, iso, print_json, print_table
from backroom.records.erasure import AuditRow
from backroom.store.protocol import Reader

__all__ = ["audit_command", "erase_command"]


@click.command("erase", short_help="Erase what is kept of a person.")
@click.argument("run_ids", metavar="[RUN]...", nargs=-1)
@click.option("--subject", help="All runs about this subject.")
@click.option("--cancel", is_flag=True, help="Ask those that have not ended to stop first.")
@click.option("--dry-run", is_flag=True, help="Only say which.")
@click.option(
    "--rewrite",
    is_flag=True,
    help="Write the tables anew afterwards, so that no trace is left in their free space.",
)
@click.option("--by", default="", help="Who, or why; default: your user name.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def erase_command(
    run_ids: tuple[str, ...], subject: str | None, cancel: bool, dry_run: bool, rewrite: bool,
    by: str, as_json: bool, database: str | None, app: str | None,
) -> None:  # fmt: skip
    """Blank the payloads of ended runs: of all about a subject, or of those named.

    Inputs, results, errors, events, keys and the subject go. That there was such a run, its flow,
    states and times stay. Exit code 1 if some could not be erased. Copies elsewhere (backups, logs)
    are not touched.
    """
    if (subject is None) == (not run_ids):
        raise click.UsageError("Say what to erase: runs, or --subject.")
    with opened(database, app) as backroom:
        erased = (
            impatient(backroom)
            .erase(
                subject=subject, runs=run_ids, cancel=cancel, dry_run=dry_run,
                by=by or user_name(),
            )
            .wait()
        )  # fmt: skip
        if rewrite and not dry_run:
            backroom.office.store.rewrite()
    if as_json:
        print_json({
            "erased": [] if dry_run else list(erased.runs), "found": list(erased.runs),
            "refused": [{"id": run_id, "reason": why} for run_id, why in erased.refused],
        })  # fmt: skip
    else:
        number = "1 run" if len(erased.runs) == 1 else f"{len(erased.runs):,} runs"
        click.echo(f"{number} would be erased." if dry_run else f"Erased {number}.")
        for run_id, why in erased.refused:
            click.echo(f"{run_id} stays as it is: {why}.")
    if erased.refused:
        raise SystemExit(1)


@click.command("audit", short_help="Show what was done that leaves no other trace.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@database_options
def audit_command(limit: int, as_json: bool, database: str | None, app: str | None) -> None:
    """Show who erased which runs, and when a backup was put in place, the newest first."""

    def look(reader: Reader) -> tuple[int, list[AuditRow]]:
        return reader.now(), reader.audit(limit)

    with opened(database, app) as backroom:
        now, deeds = backroom.office.read(look).result()
    if as_json:
        print_json([
            {"id": deed.id, "at": iso(deed.at), "act": deed.act, "by": deed.by}
            | json.loads(deed.what)
            for deed in deeds
        ])  # fmt: skip
        return
    if not deeds:
        click.echo("Nothing.")
        return
    rows = [
        [iso(deed.at) or "", ago(deed.at, now), deed.act, deed.by, told(deed)] for deed in deeds
    ]
    print_table(["at", "", "act", "by", "what"], rows, last="what")


def told(deed: AuditRow) -> str:
    what = json.loads(deed.what)
    return " ".join(what["runs"]) if "runs" in what else json.dumps(what)
