"""What happened to a claim: its own row and its run's steps, in the words of this application."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from examples.expenses import views
from examples.expenses.database import reading
from examples.expenses.letters import decider
from examples.expenses.people import person
from examples.expenses.tables import ClaimRow

__all__ = ["Entry", "history"]


@dataclass(frozen=True)
class Entry:
    """One thing that happened. tone: plain, good or bad."""

    at: datetime
    text: str
    detail: str = ""
    tone: str = "plain"


def history(row: ClaimRow) -> list[Entry]:
    """Oldest first."""
    claimant = person(row.claimant).name
    came = f"{claimant} submitted it" if row.source == "form" else f"Loaded from {row.source}"
    entries = [Entry(row.submitted_at, came)]
    if row.decided_at is not None and row.decided_by not in ("policy", "deadline"):
        verb, tone = ("rejected", "bad") if row.state == "rejected" else ("approved", "good")
        entries.append(
            Entry(row.decided_at, f"{decider(row.decided_by)} {verb} it", row.reason, tone)
        )
    steps = views.steps()
    query = select(steps).where(steps.c.run_id == row.run_id, steps.c.kind == "step")
    with reading() as session:
        for step in session.execute(query):
            at = views.moment(step.finished_at)
            if at is not None and (entry := _entry(row, step.name, step.state, step.tries, at)):
                entries.append(entry)
    return sorted(entries, key=lambda entry: entry.at)


def _entry(row: ClaimRow, name: str, state: str, tries: int, at: datetime) -> Entry | None:
    text = _what(row, name)
    if text is None:
        return None
    if state == "failed":
        return Entry(at, f"Failed: {text}", "", "bad")
    if state == "trying":
        return Entry(at, f"Not yet: {text}", f"Try {tries} failed, another follows.")
    decided_here = {"check": "policy", "decline_unanswered": "deadline"}.get(name)
    if decided_here is not None and row.decided_by == decided_here:
        return Entry(at, text, row.reason, "bad")
    detail = f"It took {tries} tries." if tries > 1 else ""
    return Entry(at, text, detail, "good" if name == "book" else "plain")


def _what(row: ClaimRow, step: str) -> str | None:
    match step:
        case "check":
            return "Checked against the policy"
        case "ask_approver":
            return f"{person(row.approver).name} was asked by mail"
        case "remind_approver":
            return f"{person(row.approver).name} was reminded by mail"
        case "decline_unanswered":
            return "The deadline passed"
        case "book":
            return f"{row.amount:,.2f} {row.currency} booked in the ledger"
        case "tell_claimant":
            return f"{person(row.claimant).name} was told by mail"
        case _:
            return None
