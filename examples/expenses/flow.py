"""What happens to a claim: the flow `review`, read from top to bottom.

    submitted ─▶ check ─▶ ask the approver ─▶ decision? ─2 days─▶ remind ─▶ decision? ─2 days─┐
                   │                              │                             │             ▼
                   │ objection           approved │ rejected           approved │ rejected  decline
                   │                      ┌───────┴──────┐                      ▼             │
                   ▼                      ▼              ▼                  (the same)        ▼
             tell the claimant          book ─▶ tell the claimant                  tell the claimant

Nothing of this is held in memory while the approver thinks: the run is a row. A process that dies
anywhere here is replaced by another, which goes on after the last step whose result was kept.

Steps may still run again if a process dies between doing the work and keeping the result. Each is
written for that: `check` and `book` look at what is there first, mails carry the step's key.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from backroom import Retry, current_run, first, progress, sleep, step, wait_for_event
from examples.expenses import letters
from examples.expenses.app import app
from examples.expenses.claims import Claim, Decision
from examples.expenses.config import config
from examples.expenses.database import writing
from examples.expenses.people import approver_of
from examples.expenses.policy import objection
from examples.expenses.sending import TRY_LATER, send
from examples.expenses.tables import BookingRow, ClaimRow

__all__ = ["Outcome", "app", "review"]

PATIENT = Retry(attempts=12, delay_seconds=0.5, max_delay_seconds=120, on=TRY_LATER)


@dataclass(frozen=True)
class Outcome:
    paid: bool
    booked: Decimal
    currency: str
    by: str
    comment: str


@app.flow(key="claim.number")
async def review(claim: Claim) -> Outcome:
    approver = approver_of(claim.claimant)
    progress(0.1, status="Checking against the policy")
    problem = await asyncio.to_thread(check, claim)
    if problem is not None:
        return await turn_down(claim, Decision(False, "policy", problem))

    progress(0.3, status=f"Asking {approver.name} for approval")
    await ask_approver(claim)

    progress(0.5, status=f"Waiting for {approver.name}")
    decision = await first(wait_for_event("decision", Decision), sleep(config.remind_after))
    if decision is None:
        await remind_approver(claim)
        progress(0.6, status=f"Waiting for {approver.name}, who was reminded")
        decision = await first(wait_for_event("decision", Decision), sleep(config.decline_after))
    if decision is None:
        decision = await asyncio.to_thread(decline_unanswered, claim.number)
    if not decision.approved:
        return await turn_down(claim, decision)

    progress(0.8, status="Booking")
    booked = await asyncio.to_thread(book, claim.number)
    progress(0.9, status=f"Booked, writing to {letters.given_name(claim.claimant)}")
    await tell_claimant(claim, decision)
    progress(1.0, status="Paid")
    return Outcome(True, booked, claim.currency, decision.by, decision.comment)


async def turn_down(claim: Claim, decision: Decision) -> Outcome:
    progress(0.9, status=f"Not paid, writing to {letters.given_name(claim.claimant)}")
    await tell_claimant(claim, decision)
    progress(1.0, status="Not paid")
    return Outcome(False, Decimal(0), claim.currency, decision.by, decision.comment)


# --- steps that write the application's tables, each in one transaction of its own


@step
def check(claim: Claim) -> str | None:
    """The policy's objection, if there is one; the claim is then rejected, else awaits approval."""
    with writing() as session:
        row = _locked(session, claim.number)
        if row.state != "submitted":  # done by a try that died before its result was kept
            return row.reason if row.decided_by == "policy" else None
        problem = objection(claim, twin=_twin(session, row))
        if problem is None:
            row.state = "awaiting"
        else:
            _close(row, "rejected", "policy", problem)
        return problem


@step
def decline_unanswered(number: str) -> Decision:
    """The deadline has passed. If the approver decided at the last moment, that stands."""
    with writing() as session:
        row = _locked(session, number)
        if row.state == "awaiting":
            days = (config.remind_after + config.decline_after).total_seconds() / 86400
            _close(row, "rejected", "deadline", f"Nobody decided within {days:g} days.")
        return Decision(row.state != "rejected", row.decided_by, row.reason)


@step
def book(number: str) -> Decimal:
    """Write the ledger, once: whoever comes second finds the booking there."""
    key = current_run().step_key
    assert key is not None
    with writing() as session:
        row = _locked(session, number)
        booked = session.scalar(select(BookingRow).where(BookingRow.claim_id == row.id))
        if booked is None:
            booked = BookingRow(
                claim_id=row.id, step_key=key, amount_cents=row.amount_cents,
                currency=row.currency, booked_at=datetime.now(UTC),
            )  # fmt: skip
            session.add(booked)
            row.state = "paid"
        return booked.amount


def _locked(session: Session, number: str) -> ClaimRow:
    return session.scalars(
        select(ClaimRow).where(ClaimRow.number == number).with_for_update()
    ).one()


def _close(row: ClaimRow, state: str, by: str, reason: str) -> None:
    row.state = state
    row.decided_by = by
    row.decided_at = datetime.now(UTC)
    row.reason = reason
    row.version += 1


def _twin(session: Session, row: ClaimRow) -> str | None:
    """An earlier claim for the same thing that is paid or may be."""
    return session.scalar(
        select(ClaimRow.number)
        .where(
            ClaimRow.id < row.id,
            ClaimRow.claimant == row.claimant,
            ClaimRow.spent_on == row.spent_on,
            ClaimRow.amount_cents == row.amount_cents,
            ClaimRow.currency == row.currency,
            ClaimRow.category == row.category,
            ClaimRow.state != "rejected",
        )
        .order_by(ClaimRow.id)
        .limit(1)
    )


# --- steps that send mail


@step(retry=PATIENT, timeout=30)
async def ask_approver(claim: Claim) -> None:
    await send(letters.request(claim))


@step(retry=PATIENT, timeout=30)
async def remind_approver(claim: Claim) -> None:
    await send(letters.reminder(claim))


@step(retry=PATIENT, timeout=30)
async def tell_claimant(claim: Claim, decision: Decision) -> None:
    await send(letters.answer(claim, decision))
