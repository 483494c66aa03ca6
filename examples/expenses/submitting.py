"""What people do to claims, each in one transaction with what it means to the flow.

submit   the claim, its receipt and its run exist together or not at all
decide   the decision in the claim's row and the event to its run likewise; the first one stands
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from examples.expenses.app import app
from examples.expenses.claims import Claim, Decision
from examples.expenses.database import writing
from examples.expenses.flow import review
from examples.expenses.people import approver_of
from examples.expenses.tables import ClaimRow, ReceiptRow

__all__ = ["AlreadyDecided", "Receipt", "SentBefore", "decide", "new_row", "submit"]


# What a claimant writes into the form, beside the receipt.
WRITTEN = ("claimant", "amount_cents", "currency", "spent_on", "category", "description")


@dataclass(frozen=True)
class Receipt:
    filename: str
    content_type: str
    content: bytes


class AlreadyDecided(Exception):
    """Somebody was faster, or it isn't up for a decision."""


class SentBefore(Exception):
    """This form was sent before, with other content; `number` is the claim that came of it."""

    def __init__(self, number: str) -> None:
        self.number = number
        super().__init__(number)


def submit(claim: Claim, receipt: Receipt | None, *, form_token: str) -> str:
    """Store a claim and start its run; the claim's number.

    form_token  made with the form: sending the same form again gives the same claim; SentBefore if
                it was changed in between
    """
    try:
        with writing() as session:
            known = _sent_before(session, claim, receipt, form_token)
            if known is not None:
                return known
            row = new_row(claim, source="form", form_token=form_token)
            row.number = uuid4().hex  # until the row has an id to be numbered by
            session.add(row)
            session.flush()
            row.number = f"E-{row.id:05d}"
            if receipt is not None:
                session.add(
                    ReceiptRow(
                        claim_id=row.id, filename=receipt.filename,
                        content_type=receipt.content_type, content=receipt.content,
                    )
                )  # fmt: skip
            session.flush()
            run = review.using(on=session).start(replace(claim, number=row.number))
            row.run_id = run.id
            return row.number
    except IntegrityError:
        # On PostgreSQL two clicks may both have looked before either wrote. One is there now.
        with writing() as session:
            known = _sent_before(session, claim, receipt, form_token)
            if known is None:
                raise
            return known


def _sent_before(
    session: Session, claim: Claim, receipt: Receipt | None, form_token: str
) -> str | None:
    """The number of the claim that this form has made already."""
    row = session.scalar(select(ClaimRow).where(ClaimRow.form_token == form_token))
    if row is None:
        return None
    new = new_row(claim, source="form")
    same = all(getattr(row, name) == getattr(new, name) for name in WRITTEN)
    kept = session.scalar(select(ReceiptRow.content).where(ReceiptRow.claim_id == row.id))
    if not same or kept != (None if receipt is None else receipt.content):
        raise SentBefore(row.number)
    return row.number


def new_row(claim: Claim, *, source: str, form_token: str | None = None) -> ClaimRow:
    return ClaimRow(
        number=claim.number,
        claimant=claim.claimant,
        approver=approver_of(claim.claimant).id,
        amount_cents=int(claim.amount.scaleb(2)),
        currency=claim.currency,
        spent_on=claim.spent_on,
        submitted_on=claim.submitted_on,
        category=claim.category,
        description=claim.description,
        receipt=claim.receipt,
        form_token=form_token,
        source=source,
        submitted_at=datetime.now(UTC),
        state="submitted",
        version=1,
    )


def decide(number: str, version: int, decision: Decision) -> None:
    """Record a decision and tell the run; AlreadyDecided unless the claim is as it was seen."""
    with writing() as session:
        if not _take(session, number, version, decision):
            raise AlreadyDecided(number)
        run_id = session.scalar(select(ClaimRow.run_id).where(ClaimRow.number == number))
        assert run_id
        app.run(run_id).emit("decision", decision, key="decision", on=session)


def _take(session: Session, number: str, version: int, decision: Decision) -> bool:
    changed = session.execute(
        update(ClaimRow)
        .where(ClaimRow.number == number, ClaimRow.version == version, ClaimRow.state == "awaiting")
        .values(
            state="approved" if decision.approved else "rejected",
            reason=decision.comment,
            decided_by=decision.by,
            decided_at=datetime.now(UTC),
            version=version + 1,
        )
        .returning(ClaimRow.id)
    )
    return changed.first() is not None
