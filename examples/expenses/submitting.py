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

__all__ = ["AlreadyDecided", "Receipt", "decide", "new_row", "submit"]


@dataclass(frozen=True)
class Receipt:
    filename: str
    content_type: str
    content: bytes


class AlreadyDecided(Exception):
    """Somebody was faster, or it isn't up for a decision."""


def submit(claim: Claim, receipt: Receipt | None, *, form_token: str) -> str:
    """Store a claim and start its run; the claim's number.

    form_token  made with the form: sending the same form again gives the same claim
    """
    try:
        with writing() as session:
            known = session.scalar(select(ClaimRow.number).where(ClaimRow.form_token == form_token))
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
            known = session.scalar(select(ClaimRow.number).where(ClaimRow.form_token == form_token))
            if known is None:
                raise
            return known


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
