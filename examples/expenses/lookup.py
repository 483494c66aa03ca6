"""What the pages show. Claims come from our own tables, how far they are from backroom's views.

`backroom_runs` and `backroom_steps` are public and stable, so one join tells a whole page what its
claims are doing right now; no handle is asked row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import FromClause, Row, Select, column, func, select, table
from sqlalchemy.orm import Session

from examples.expenses.app import app
from examples.expenses.database import is_sqlite, reading
from examples.expenses.letters import decider
from examples.expenses.people import person
from examples.expenses.tables import BookingRow, ClaimRow, MailRow, ReceiptRow, RefusedRow

__all__ = [
    "FILTERS", "PAGE", "Entry", "Line", "Page", "Totals", "claim", "claims_of", "history", "inbox",
    "inbox_size", "ledger", "mail", "mails", "receipt", "refused_lines", "totals",
]  # fmt: skip

PAGE = 50  # rows on one page
FILTERS = {
    "all": (),
    "open": ("submitted", "awaiting", "approved"),
    "paid": ("paid",),
    "rejected": ("rejected",),
}
BROKEN = ("failed", "cancelled", "needs_attention")


@dataclass(frozen=True)
class Line:
    """A claim with where its run stands."""

    row: ClaimRow
    run_state: str | None
    run_text: str | None  # what the flow last said of itself
    run_progress: float | None
    run_attempt: int | None
    run_error: str | None

    @property
    def is_broken(self) -> bool:
        return self.run_state in BROKEN

    @property
    def is_settled(self) -> bool:
        return self.run_state == "succeeded" or self.is_broken

    @property
    def tone(self) -> str:
        """How the badge looks: work, wait, good, bad."""
        if self.is_broken or self.row.state == "rejected":
            return "bad"
        return {"awaiting": "wait", "paid": "good"}.get(self.row.state, "work")

    @property
    def label(self) -> str:
        if self.is_broken:
            return "Stopped"
        return {
            "submitted": "Checking", "awaiting": "Awaiting approval", "approved": "Approved",
            "paid": "Paid", "rejected": "Rejected",
        }[self.row.state]  # fmt: skip

    @property
    def note(self) -> str:
        """One more line on where it stands."""
        if self.is_broken:
            return "An administrator has to look at its run."
        if self.row.state == "rejected":
            return self.row.reason
        if self.run_state == "succeeded":
            return f"Approved by {decider(self.row.decided_by)}"
        return self.run_text or "In the queue"


@dataclass(frozen=True)
class Page:
    lines: tuple[Line, ...]
    older: int | None  # where the next page begins


@dataclass(frozen=True)
class Entry:
    """One thing that happened to a claim."""

    at: datetime
    text: str
    detail: str = ""
    tone: str = "plain"


@dataclass(frozen=True)
class Totals:
    currency: str
    count: int
    amount: Decimal


# --- claims


def claims_of(person_id: str, chosen: str, before: int | None) -> Page:
    query = _lines().where(ClaimRow.claimant == person_id)
    states = FILTERS[chosen]
    if states:
        query = query.where(ClaimRow.state.in_(states))
    if before is not None:
        query = query.where(ClaimRow.id < before)
    with reading() as session:
        found = [_line(row) for row in session.execute(query.limit(PAGE + 1))]
    more = len(found) > PAGE
    return Page(tuple(found[:PAGE]), found[PAGE - 1].row.id if more else None)


def inbox(person_id: str) -> Page:
    """What waits for this approver, oldest first."""
    query = (
        _lines(newest_first=False)
        .where(ClaimRow.approver == person_id, ClaimRow.state == "awaiting")
        .limit(PAGE)
    )
    with reading() as session:
        return Page(tuple(_line(row) for row in session.execute(query)), None)


def inbox_size(person_id: str) -> int:
    with reading() as session:
        return session.scalars(
            select(func.count())
            .select_from(ClaimRow)
            .where(ClaimRow.approver == person_id, ClaimRow.state == "awaiting")
        ).one()


def claim(number: str) -> Line | None:
    with reading() as session:
        found = session.execute(_lines().where(ClaimRow.number == number)).first()
    return None if found is None else _line(found)


def receipt(claim_id: int) -> ReceiptRow | None:
    with reading() as session:
        return session.get(ReceiptRow, claim_id)


def history(line: Line) -> list[Entry]:
    """What happened, oldest first: the run's steps, in the words of this application."""
    row = line.row
    claimant, approver = person(row.claimant).name, person(row.approver).name
    came = f"{claimant} submitted it" if row.source == "form" else f"Loaded from {row.source}"
    entries = [Entry(row.submitted_at, came)]
    if row.decided_at is not None and row.decided_by not in ("policy", "deadline"):
        verb = "rejected" if row.state == "rejected" else "approved"
        entries.append(
            Entry(
                row.decided_at,
                f"{decider(row.decided_by)} {verb} it",
                row.reason,
                "bad" if row.state == "rejected" else "good",
            )
        )
    amount = f"{row.amount:,.2f} {row.currency}"
    told = {
        "check": ("Checked against the policy", "plain"),
        "ask_approver": (f"{approver} was asked by mail", "plain"),
        "remind_approver": (f"{approver} was reminded by mail", "plain"),
        "decline_unanswered": ("The deadline passed", "plain"),
        "book": (f"{amount} booked in the ledger", "good"),
        "tell_claimant": (f"{claimant} was told by mail", "plain"),
    }
    with reading() as session:
        for step in _steps(session, row.run_id):
            if step.name not in told:
                continue
            text, tone = told[step.name]
            detail = ""
            if step.name == "check" and row.decided_by == "policy":
                detail, tone = row.reason, "bad"
            if step.name == "decline_unanswered" and row.decided_by == "deadline":
                detail, tone = row.reason, "bad"
            if step.state == "failed":
                text, tone = f"Failed: {text[0].lower()}{text[1:]}", "bad"
            elif step.state == "trying":
                text, detail = (
                    f"Trying again: {text[0].lower()}{text[1:]}",
                    f"Try {step.tries} failed, another follows.",
                )
            elif step.tries > 1:
                detail = f"{detail} After {step.tries} tries.".strip()
            entries.append(Entry(_moment(step.finished_at), text, detail, tone))
    return sorted(entries, key=lambda entry: entry.at)


# --- money, mail, refused lines


def totals() -> list[Totals]:
    """What is booked, by currency."""
    query = (
        select(BookingRow.currency, func.count(), func.sum(BookingRow.amount_cents))
        .group_by(BookingRow.currency)
        .order_by(BookingRow.currency)
    )
    with reading() as session:
        return [
            Totals(currency, count, Decimal(int(cents)).scaleb(-2))
            for currency, count, cents in session.execute(query)
        ]


def ledger(before: int | None) -> tuple[Sequence[Row[BookingRow, ClaimRow]], int | None]:
    query = (
        select(BookingRow, ClaimRow)
        .join(ClaimRow, ClaimRow.id == BookingRow.claim_id)
        .order_by(BookingRow.id.desc())
        .limit(PAGE + 1)
    )
    if before is not None:
        query = query.where(BookingRow.id < before)
    with reading() as session:
        found = session.execute(query).all()
    return found[:PAGE], found[PAGE - 1][0].id if len(found) > PAGE else None


def mails(recipient: str | None, before: int | None) -> tuple[Sequence[MailRow], int | None]:
    query = select(MailRow).order_by(MailRow.id.desc()).limit(PAGE + 1)
    if recipient is not None:
        query = query.where(MailRow.recipient == recipient)
    if before is not None:
        query = query.where(MailRow.id < before)
    with reading() as session:
        found = session.scalars(query).all()
    return found[:PAGE], found[PAGE - 1].id if len(found) > PAGE else None


def mail(mail_id: int) -> MailRow | None:
    with reading() as session:
        return session.get(MailRow, mail_id)


def refused_lines(limit: int = 200) -> Sequence[RefusedRow]:
    with reading() as session:
        return session.scalars(
            select(RefusedRow).order_by(RefusedRow.source, RefusedRow.line).limit(limit)
        ).all()


# --- backroom's views


def _view(name: str, *columns: str) -> FromClause:
    """`backroom_runs` on SQLite, `backroom.runs` on PostgreSQL."""
    if is_sqlite():
        return table(f"backroom_{name}", *(column(each) for each in columns))
    return table(name, *(column(each) for each in columns), schema=app.settings.schema_name)


def _lines(*, newest_first: bool = True) -> Select[Any]:
    runs = _view("runs", "id", "state", "status", "progress", "attempt", "error")
    order = ClaimRow.id.desc() if newest_first else ClaimRow.id
    return (
        select(ClaimRow, runs.c.state, runs.c.status, runs.c.progress, runs.c.attempt, runs.c.error)
        .outerjoin(runs, runs.c.id == ClaimRow.run_id)
        .order_by(order)
    )


def _line(found: Row[Any]) -> Line:
    row, state, text, progress, attempt, error = found
    return Line(row, state, text, progress, attempt, error)


def _steps(session: Session, run_id: str) -> Sequence[Row[Any]]:
    steps = _view("steps", "run_id", "name", "kind", "state", "tries", "attempt", "finished_at")
    return session.execute(
        select(steps).where(steps.c.run_id == run_id, steps.c.kind == "step")
    ).all()


def _moment(value: datetime | str) -> datetime:
    """The views give a timestamp on PostgreSQL and ISO text on SQLite."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.astimezone(UTC)
