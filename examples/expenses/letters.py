"""The mails, as text."""

from __future__ import annotations

from dataclasses import dataclass

from examples.expenses.claims import CATEGORIES, Claim, Decision
from examples.expenses.config import config
from examples.expenses.people import PEOPLE, approver_of, person

__all__ = ["Letter", "answer", "decider", "given_name", "reminder", "request"]


@dataclass(frozen=True)
class Letter:
    to: str
    subject: str
    body: str
    claim: str


def request(claim: Claim) -> Letter:
    approver = approver_of(claim.claimant)
    return Letter(
        approver.address,
        f"{claim.number}: {_money(claim)} to approve, from {person(claim.claimant).name}",
        f"Hello {given_name(approver.id)},\n\n"
        f"{person(claim.claimant).name} asks for {_money(claim)}.\n\n{_facts(claim)}\n"
        f"Approve or reject it here:\n{config.site}/claims/{claim.number}\n",
        claim.number,
    )


def reminder(claim: Claim) -> Letter:
    approver = approver_of(claim.claimant)
    return Letter(
        approver.address,
        f"{claim.number}: still waiting for your decision",
        f"Hello {given_name(approver.id)},\n\n"
        f"{person(claim.claimant).name} is still waiting for {_money(claim)}.\n"
        "Without an answer the claim will be declined by itself.\n\n"
        f"{_facts(claim)}\n{config.site}/claims/{claim.number}\n",
        claim.number,
    )


def answer(claim: Claim, decision: Decision) -> Letter:
    hello = f"Hello {given_name(claim.claimant)},\n\n"
    link = f"\n{config.site}/claims/{claim.number}\n"
    if decision.approved:
        said = f"\nTheir comment: {decision.comment}\n" if decision.comment else ""
        return Letter(
            person(claim.claimant).address,
            f"{claim.number}: {_money(claim)} is booked",
            f"{hello}{decider(decision.by)} approved your claim, and {_money(claim)} is booked "
            f"to be paid out.\n{said}\n{_facts(claim)}{link}",
            claim.number,
        )
    return Letter(
        person(claim.claimant).address,
        f"{claim.number}: {_money(claim)} will not be paid",
        f"{hello}your claim was turned down by {decider(decision.by)}. The reason:\n\n"
        f"    {decision.comment or 'none was given'}\n\n{_facts(claim)}{link}",
        claim.number,
    )


def decider(by: str) -> str:
    """Who decided, for people to read."""
    if by in PEOPLE:
        return PEOPLE[by].name
    return {"policy": "the expense policy", "deadline": "the deadline"}.get(by, by)


def given_name(person_id: str) -> str:
    return person(person_id).name.split()[0]


def _money(claim: Claim) -> str:
    return f"{claim.amount:,.2f} {claim.currency}"


def _facts(claim: Claim) -> str:
    return (
        f"    What      {claim.description}\n"
        f"    Category  {CATEGORIES[claim.category]}\n"
        f"    Spent on  {claim.spent_on}\n"
        f"    Receipt   {claim.receipt or 'none'}\n"
    )
