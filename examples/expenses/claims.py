"""A claim as a value, and how text from people becomes one.

Reading is about shape only: is the amount a number, the date a date, the text not absurd? Whether
the company will pay is decided by policy.py, later and in the background.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from examples.expenses.people import PEOPLE

__all__ = ["CATEGORIES", "CURRENCIES", "Claim", "Decision", "Unreadable", "is_unfit", "read_claim"]

CURRENCIES = ("EUR", "USD", "GBP", "CHF", "SEK", "PLN")
CATEGORIES = {
    "meals": "Meals",
    "travel": "Travel",
    "lodging": "Lodging",
    "equipment": "Equipment",
    "training": "Training",
    "other": "Other",
}
DESCRIPTION_CHARS = 500
AMOUNT_LIMIT = Decimal(10_000_000)


@dataclass(frozen=True)
class Claim:
    """What a person asks for. It is the flow's input: backroom keeps it with its types."""

    number: str
    claimant: str
    amount: Decimal
    currency: str
    spent_on: date
    submitted_on: date
    category: str
    description: str
    receipt: str = ""  # the file's name, or a reference to a paper receipt; empty: none


@dataclass(frozen=True)
class Decision:
    """The payload of the event "decision", and what a run went by."""

    approved: bool
    by: str
    comment: str = ""


class Unreadable(Exception):
    """Text that is no claim. `problems`: what is wrong, by field."""

    def __init__(self, problems: dict[str, str]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field}: {problem}" for field, problem in problems.items()))


def read_claim(text: Mapping[str, str], *, submitted_on: date, claimant: str, number: str) -> Claim:
    """The claim that these texts describe; Unreadable with all that is wrong with them."""
    problems: dict[str, str] = {}

    def read(field: str) -> str:
        value = unicodedata.normalize("NFC", text.get(field) or "").replace("\r\n", "\n").strip()
        if not value and field != "receipt":
            problems[field] = "is missing"
        elif any(is_unfit(c) and not (c == "\n" and field == "description") for c in value):
            problems[field] = "has characters that can't be shown"
        return value

    if claimant not in PEOPLE:
        problems["claimant"] = f"{claimant[:40]!r} doesn't work here" if claimant else "is missing"
    amount = _amount(read("amount"), problems)
    currency = read("currency").upper()
    if "currency" not in problems and not re.fullmatch(r"[A-Z]{3}", currency):
        problems["currency"] = "is a code of three letters, such as EUR"
    spent_on = _date(read("date"), problems)
    category = read("category").lower()
    if "category" not in problems and category not in CATEGORIES:
        problems["category"] = f"is one of {', '.join(CATEGORIES)}"
    description = read("description")
    if len(description) > DESCRIPTION_CHARS:
        problems["description"] = (
            f"has {len(description):,} characters; at most {DESCRIPTION_CHARS} are read"
        )
    elif "description" not in problems and not re.search(r"\w{2}", description):
        problems["description"] = "says nothing that an approver could judge"
    receipt = read("receipt")
    if len(receipt) > 200:
        problems["receipt"] = "has a name of more than 200 characters"
    if problems:
        raise Unreadable(problems)
    assert amount is not None
    assert spent_on is not None
    return Claim(
        number, claimant, amount, currency, spent_on, submitted_on, category, description, receipt
    )


def is_unfit(character: str) -> bool:
    """Control characters, halves of characters, and those that turn the text around them."""
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Co")
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
    )


def _amount(text: str, problems: dict[str, str]) -> Decimal | None:
    if "amount" in problems:
        return None
    try:
        # Decimal("1_0") and Arabic digits are numbers to Python and typing errors to people.
        amount = Decimal(text) if re.fullmatch(r"[+-]?[0-9]*\.?[0-9]*", text) else None
    except InvalidOperation:
        amount = None
    if amount is None:
        problems["amount"] = "is not a number such as 1234.50"
    elif abs(amount) >= AMOUNT_LIMIT:  # first: what is longer than Decimal counts can't be rounded
        problems["amount"] = "is beyond all reason"
    elif amount != amount.quantize(Decimal("0.01")):
        problems["amount"] = "has more than two decimals"
    else:
        return amount.quantize(Decimal("0.01"))
    return None


def _date(text: str, problems: dict[str, str]) -> date | None:
    if "date" in problems:
        return None
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    problems["date"] = "is not a day such as 2025-03-31"
    return None
