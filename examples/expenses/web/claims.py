"""Submitting claims and watching them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from examples.expenses import lookup, submitting
from examples.expenses.claims import CURRENCIES, Unreadable, read_claim
from examples.expenses.config import config
from examples.expenses.history import history
from examples.expenses.people import Person
from examples.expenses.policy import LIMITS, OLDEST, RECEIPT_ABOVE
from examples.expenses.submitting import Receipt
from examples.expenses.web.pages import Acting, Problem, back_to, fragment, page

__all__ = ["router", "visible"]

router = APIRouter()
Text = Annotated[str, Form()]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1)]

NUMBER = re.compile(r"[A-Za-z0-9-]{1,40}", re.ASCII)

# What a file is, by how it begins; names and announced types are not believed.
KINDS = {
    b"%PDF-": "application/pdf",
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
}


@router.get("/")
def home() -> RedirectResponse:
    return back_to("/claims")


@router.get("/claims")
def mine(
    request: Request,
    actor: Acting,
    state: str = "all",
    before: Before = None,
    part: str = "",
) -> Response:
    chosen = state if state in lookup.FILTERS else "all"
    found = lookup.claims_of(actor.id, chosen, before)
    if part == "live":
        return fragment(request, "_claims.html", found=found, chosen=chosen)
    return page(
        request, "claims.html", found=found, chosen=chosen, filters=lookup.FILTERS, before=before
    )


@router.get("/claims/new")
def form(request: Request) -> Response:
    return _form(request, {"token": str(uuid4()), "currency": "EUR"}, {})


@router.post("/claims")
def submit(
    request: Request,
    actor: Acting,
    amount: Text = "",
    currency: Text = "",
    spent_on: Annotated[str, Form(alias="date")] = "",
    category: Text = "",
    description: Text = "",
    token: Text = "",
    receipt: Annotated[UploadFile | None, File()] = None,
) -> Response:
    given = {
        "amount": amount.replace(",", ".") if amount.count(",") == 1 else amount,
        "currency": currency, "date": spent_on, "category": category, "description": description,
        "token": token,
    }  # fmt: skip
    problems: dict[str, str] = {}
    kept = _receipt(receipt, problems)
    claim = None
    today = datetime.now(UTC).date()
    try:
        claim = read_claim(
            given | {"receipt": kept.filename if kept else ""},
            submitted_on=today, claimant=actor.id, number="",
        )  # fmt: skip
    except Unreadable as error:
        problems = error.problems | problems
    else:
        # The flow would reject these too, but here they can still be corrected.
        if claim.amount <= 0:
            problems["amount"] = "has to be more than zero"
        if claim.currency not in CURRENCIES:
            problems["currency"] = f"is one of {', '.join(CURRENCIES)}"
        if claim.spent_on > today:
            problems["date"] = "is in the future"
    if claim is None or problems:
        return _form(request, given, problems)
    try:
        number = submitting.submit(claim, kept, form_token=_token(token))
    except submitting.SentBefore as before:
        raise Problem(
            409, "Sent before",
            f"This form was sent before, with other content, and is claim {before.number}. What "
            "you sent now was not stored. Open a new form to submit another claim.",
        ) from before  # fmt: skip
    return back_to(f"/claims/{number}", said="submitted")


@router.get("/claims/{number}")
def one(request: Request, actor: Acting, number: str, part: str = "") -> Response:
    line = visible(number, actor)
    content: dict[str, Any] = {
        "line": line,
        "history": history(line.row),
        "may_decide": line.row.state == "awaiting" and line.row.approver == actor.id,
    }
    if part == "live":
        return fragment(request, "_progress.html", **content)
    return page(
        request, "claim.html", receipt=lookup.receipt(line.row.id), problem="", comment="",
        **content,
    )  # fmt: skip


@router.get("/claims/{number}/receipt")
def receipt(actor: Acting, number: str) -> Response:
    line = visible(number, actor)
    found = lookup.receipt(line.row.id)
    if found is None:
        raise Problem(404, "No receipt", f"Nothing was uploaded with claim {number}.")
    return Response(
        found.content,
        media_type=found.content_type,
        headers={
            "Content-Disposition": f'inline; filename="receipt-{number}"',
            # It came from a stranger: it is shown, and can't do anything.
            "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
        },
    )


def visible(number: str, actor: Person) -> lookup.Line:
    """The claim, if this person may see it."""
    line = lookup.claim(number) if NUMBER.fullmatch(number) else None
    if line is None:
        raise Problem(404, "No such claim", f"There is no claim {number[:40]}.")
    if actor.id not in (line.row.claimant, line.row.approver):
        raise Problem(
            403, "Not yours to see",
            "Only the claimant and the approver see a claim. Act as one of them to look at it.",
        )  # fmt: skip
    return line


def _form(request: Request, given: dict[str, str], problems: dict[str, str]) -> Response:
    today = datetime.now(UTC).date()
    return page(
        request, "new.html", status=422 if problems else 200, given=given, problems=problems,
        today=today, oldest=today - OLDEST, limits=LIMITS, receipt_above=RECEIPT_ABOVE,
        receipt_bytes=config.receipt_bytes,
    )  # fmt: skip


def _token(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return str(uuid4())


def _receipt(upload: UploadFile | None, problems: dict[str, str]) -> Receipt | None:
    if upload is None or not upload.filename:
        return None
    content = upload.file.read(config.receipt_bytes + 1)
    if len(content) > config.receipt_bytes:
        problems["receipt"] = f"is larger than {config.receipt_bytes // 1024 // 1024} MB"
        return None
    kind = next((kind for start, kind in KINDS.items() if content.startswith(start)), None)
    if kind is None:
        problems["receipt"] = "is neither a PDF nor a JPEG or PNG picture"
        return None
    # Browsers send a bare name; whoever sends a path meant its last part.
    name = upload.filename.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c for c in name if c.isprintable())[-120:]
    return Receipt(name or "receipt", kind, content)
