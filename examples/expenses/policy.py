"""Which claims the company pays. Pure: the same claim gets the same answer on any day."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from examples.expenses.claims import CATEGORIES, CURRENCIES, Claim

__all__ = ["LIMITS", "OLDEST", "RECEIPT_ABOVE", "in_euros", "objection"]

# What a claim of this category may come to, in euros.
LIMITS = {
    "meals": Decimal(150),
    "travel": Decimal(2500),
    "lodging": Decimal(900),
    "equipment": Decimal(1500),
    "training": Decimal(3000),
    "other": Decimal(300),
}
RECEIPT_ABOVE = Decimal(50)  # euros
OLDEST = timedelta(days=90)

# The company's book rates: euros for one unit. Limits are in euros; claims are booked as they came.
RATES = {
    "EUR": Decimal("1"),
    "USD": Decimal("0.92"),
    "GBP": Decimal("1.17"),
    "CHF": Decimal("1.05"),
    "SEK": Decimal("0.088"),
    "PLN": Decimal("0.23"),
}
assert set(RATES) == set(CURRENCIES)
assert set(LIMITS) == set(CATEGORIES)


def in_euros(claim: Claim) -> Decimal:
    return (claim.amount * RATES[claim.currency]).quantize(Decimal("0.01"))


def objection(claim: Claim, *, twin: str | None = None) -> str | None:
    """Why the claim can't be paid; None if it can.

    twin  the number of an earlier claim of the same person for the same amount, day and category
    """
    if claim.currency not in RATES:
        return f"{claim.currency} is not a currency that we pay in ({', '.join(CURRENCIES)})."
    if claim.amount <= 0:
        return f"The amount is {claim.amount:,.2f}; it has to be more than zero."
    if claim.spent_on > claim.submitted_on:
        return f"The money was spent on {claim.spent_on}, after the claim was submitted."
    if claim.submitted_on - claim.spent_on > OLDEST:
        return f"It was spent on {claim.spent_on}, more than {OLDEST.days} days before the claim."
    euros = in_euros(claim)
    limit = LIMITS[claim.category]
    if euros > limit:
        return f"{euros:,.2f} EUR is over the limit of {limit:,} EUR for {claim.category}."
    if euros > RECEIPT_ABOVE and not claim.receipt:
        return f"Above {RECEIPT_ABOVE} EUR a receipt is needed, and none is attached."
    if twin is not None:
        return f"It repeats claim {twin}: same person, amount, day and category."
    return None
