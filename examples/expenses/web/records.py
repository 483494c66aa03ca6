"""Ledger, mailbox, loading, and acting as somebody."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import Response

from examples.expenses import loading, lookup
from examples.expenses.config import config
from examples.expenses.people import PEOPLE, Person
from examples.expenses.web.pages import COOKIE, Acting, Problem, back_to, fragment, page

__all__ = ["router"]

router = APIRouter()
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get("/ledger")
def ledger(request: Request, before: Before = None) -> Response:
    bookings, older = lookup.ledger(before)
    return page(request, "ledger.html", bookings=bookings, older=older, totals=lookup.totals())


@router.get("/mailbox")
def mailbox(
    request: Request, actor: Acting, whose: str = "all", before: Before = None, part: str = ""
) -> Response:
    whose = whose if whose in ("all", "mine") else "all"
    found, older = lookup.mails(actor.address if whose == "mine" else None, before)
    if part == "live":
        return fragment(request, "_mails.html", mails=found, older=older, whose=whose)
    return page(
        request, "mailbox.html", mails=found, older=older, whose=whose, before=before,
        server=f"{config.smtp_host}:{config.smtp_port}" if config.smtp_host else "",
    )  # fmt: skip


@router.get("/mailbox/{mail_id}")
def mail(request: Request, mail_id: int) -> Response:
    found = lookup.mail(mail_id) if 0 < mail_id < 2**31 else None
    if found is None:
        raise Problem(404, "No such mail", "The mailbox has no mail of that number.")
    return page(request, "mail.html", mail=found)


@router.get("/load")
def load_form(request: Request) -> Response:
    return _load_page(request)


@router.post("/load")
def load(request: Request, file: Annotated[UploadFile | None, File()] = None) -> Response:
    if file is None or not file.filename:
        return _load_page(request, problem="Choose a file first.")
    content = file.file.read(config.csv_bytes + 1)
    if len(content) > config.csv_bytes:
        return _load_page(
            request, problem=f"The file is larger than {config.csv_bytes // 1024 // 1024} MB."
        )
    source = "".join(
        c for c in file.filename.replace("\\", "/").rsplit("/", 1)[-1] if c.isprintable()
    )
    try:
        report = loading.load(content, source[-100:] or "upload.csv")
    except loading.NoClaims as error:
        return _load_page(request, problem=str(error))
    return page(
        request, "load.html", problem="", report=report, refused=(), columns=loading.COLUMNS
    )


def _load_page(request: Request, problem: str = "") -> Response:
    return page(
        request, "load.html", status=422 if problem else 200, problem=problem, report=None,
        refused=lookup.refused_lines(), columns=loading.COLUMNS,
    )  # fmt: skip


@router.post("/acting")
def act(person: Annotated[str, Form()] = "", back: Annotated[str, Form()] = "/claims") -> Response:
    if person not in PEOPLE:
        raise Problem(422, "Nobody of that name", "Choose one of the people in the list.")
    response = back_to(_landing(back, PEOPLE[person]), said="acting")
    response.set_cookie(COOKIE, person, max_age=30 * 86400, httponly=True, samesite="lax")
    return response


def _landing(path: str, actor: Person) -> str:
    """The page they were on, if the new person may see it; never a page of another site."""
    if path in ("/claims/new", "/ledger", "/mailbox", "/load"):
        return path
    number = re.fullmatch(r"/claims/([A-Za-z0-9-]{1,40})", path)
    line = lookup.claim(number[1]) if number else None
    if line is not None and actor.id in (line.row.claimant, line.row.approver):
        return path
    return "/inbox" if actor.approves else "/claims"
