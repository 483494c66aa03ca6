"""The application's own tables. backroom's stand beside them, in the same database."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from examples.expenses.claims import Claim

__all__ = ["Base", "BookingRow", "ClaimRow", "MailRow", "ReceiptRow", "RefusedRow", "RunId"]


class Base(DeclarativeBase):
    pass


class Moment(TypeDecorator[datetime]):
    """A moment with its zone, which SQLite would lose."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        found: datetime = value
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


# The ids of runs as backroom's views give them, so that joins need no casts.
RunId = String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


class ClaimRow(Base):
    """A claim and how it was decided.

    state  submitted → awaiting → approved → paid, or rejected from any but the last
    version  rises with every decision: who decides has to have seen the current one
    """

    __tablename__ = "claim"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[str] = mapped_column(String(40), unique=True)
    claimant: Mapped[str] = mapped_column(String(60))
    approver: Mapped[str] = mapped_column(String(60))
    amount_cents: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    spent_on: Mapped[date] = mapped_column(Date)
    submitted_on: Mapped[date] = mapped_column(Date)
    category: Mapped[str] = mapped_column(String(20))
    description: Mapped[str] = mapped_column(Text)
    receipt: Mapped[str] = mapped_column(Text, default="")
    form_token: Mapped[str | None] = mapped_column(String(40), unique=True)
    source: Mapped[str] = mapped_column(Text, default="form")
    submitted_at: Mapped[datetime] = mapped_column(Moment)
    run_id: Mapped[str | None] = mapped_column(RunId, index=True)
    state: Mapped[str] = mapped_column(String(12), default="submitted")
    reason: Mapped[str] = mapped_column(Text, default="")
    decided_by: Mapped[str] = mapped_column(String(60), default="")
    decided_at: Mapped[datetime | None] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Integer, default=1)

    __table_args__ = (
        Index("claim_of_person", "claimant", "id"),
        Index("claim_to_approve", "approver", "state", "id"),
        Index("claim_twins", "claimant", "spent_on", "amount_cents"),
    )

    @property
    def amount(self) -> Decimal:
        return Decimal(self.amount_cents).scaleb(-2)

    def as_claim(self) -> Claim:
        return Claim(
            self.number, self.claimant, self.amount, self.currency, self.spent_on,
            self.submitted_on, self.category, self.description, self.receipt,
        )  # fmt: skip


class ReceiptRow(Base):
    __tablename__ = "receipt"

    claim_id: Mapped[int] = mapped_column(ForeignKey("claim.id"), primary_key=True)
    filename: Mapped[str] = mapped_column(Text)
    content_type: Mapped[str] = mapped_column(String(40))
    content: Mapped[bytes] = mapped_column(LargeBinary)


class BookingRow(Base):
    """The ledger. The unique claim makes a second booking impossible, whoever tries it."""

    __tablename__ = "booking"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    claim_id: Mapped[int] = mapped_column(ForeignKey("claim.id"), unique=True)
    step_key: Mapped[str] = mapped_column(String(40), unique=True)
    amount_cents: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    booked_at: Mapped[datetime] = mapped_column(Moment)

    @property
    def amount(self) -> Decimal:
        return Decimal(self.amount_cents).scaleb(-2)


class MailRow(Base):
    """What the catch-all mailbox took in. A mail that comes again is counted, not shown twice."""

    __tablename__ = "mail"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    message_id: Mapped[str] = mapped_column(Text, unique=True)
    sender: Mapped[str] = mapped_column(Text)
    recipient: Mapped[str] = mapped_column(Text, index=True)
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    claim: Mapped[str] = mapped_column(Text, default="", index=True)
    received_at: Mapped[datetime] = mapped_column(Moment)
    deliveries: Mapped[int] = mapped_column(Integer, default=1)


class RefusedRow(Base):
    """A line of a CSV file that is no claim, with the reason."""

    __tablename__ = "refused_line"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    line: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(Text)
    excerpt: Mapped[str] = mapped_column(Text)

    __table_args__ = (UniqueConstraint("source", "line", "digest"),)
