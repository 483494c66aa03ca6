"""What the pages show. Claims come from our own tables, how far they are from backroom's views.

`backroom_runs` and `backroom_steps` are public and stable, so one join tells a whole page what its
claims are doing right now; no handle is asked row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Select, func, select

from examples.expenses import views
from examples.expenses.database import reading
from examples.expenses.letters import decider
from examples.expenses.people import person
from examples.expenses.tables import BookingRow, ClaimRow, MailRow, ReceiptRow, RefusedRow

__all__ = [
    "FILTERS", "PAGE", "Line", "Page", "Totals", "claim", "claims_of", "inbox",
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
    run_due: datetime | None  # when it goes on by itself

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
    def outlook(self) -> str:
        """What happens if nobody does anything."""
        if self.row.state != "awaiting" or self.run_state != "waiting" or self.run_due is None:
            return ""
        due = f"{self.run_due.day} {self.run_due:%b %Y, %H:%M} UTC"
        if "reminded" in (self.run_text or ""):
            return f"Without a decision it is declined on {due}."
        return f"Without a decision {person(self.row.approver).name} is reminded on {due}."

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


# --- claims with their runs


def _lines(*, newest_first: bool = True) -> Select[Any]:
    runs = views.runs()
    return (
        select(
            ClaimRow, runs.c.state, runs.c.status, runs.c.progress, runs.c.attempt, runs.c.error,
            runs.c.available_at,
        )
        .outerjoin(runs, runs.c.id == ClaimRow.run_id)
        .order_by(ClaimRow.id.desc() if newest_first else ClaimRow.id)
    )  # fmt: skip


def _line(found: Row[Any]) -> Line:
    row, state, text, progress, attempt, error, due = tuple[Any, ...](found)
    return Line(row, state, text, progress, attempt, error, views.moment(due))
