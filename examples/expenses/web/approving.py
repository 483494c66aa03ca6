"""The approver's inbox, and the decision."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from backroom import errors
from examples.expenses import lookup, submitting
from examples.expenses.claims import Decision, is_unfit
from examples.expenses.history import history
from examples.expenses.letters import decider
from examples.expenses.web.claims import visible
from examples.expenses.web.pages import Acting, Problem, back_to, fragment, page

__all__ = ["router"]

router = APIRouter()
COMMENT_CHARS = 500
VERSION_LIMIT = 2**31 - 1  # what the column holds


@router.get("/inbox")
def inbox(request: Request, actor: Acting, part: str = "") -> Response:
    if not actor.approves:
        raise Problem(
            403, "No inbox",
            f"{actor.name} approves nothing. Act as an approver to see what waits for a decision.",
        )  # fmt: skip
    content: dict[str, Any] = {"found": lookup.inbox(actor.id), "size": lookup.inbox_size(actor.id)}
    if part == "live":
        return fragment(request, "_inbox.html", **content)
    return page(request, "inbox.html", **content)


@router.post("/claims/{number}/decision")
def decide(
    request: Request,
    actor: Acting,
    number: str,
    version: Annotated[int, Form(ge=1, le=VERSION_LIMIT)],
    answer: Annotated[str, Form()] = "",
    comment: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "",
) -> Response:
    line = visible(number, actor)
    if line.row.approver != actor.id:
        raise Problem(403, "Not yours to decide", f"{decider(line.row.approver)} decides this.")
    comment = " ".join(comment.split())
    problem = ""
    if answer not in ("approve", "reject"):
        problem = "Say whether you approve or reject it."
    elif answer == "reject" and not comment:
        problem = "Say why: the claimant will be told."
    elif any(is_unfit(character) for character in comment):
        problem = "The comment has characters that can't be shown."
    elif len(comment) > COMMENT_CHARS:
        problem = f"A comment has at most {COMMENT_CHARS} characters; this one has {len(comment)}."
    if problem:
        return page(
            request, "claim.html", status=422, line=line, history=history(line.row),
            receipt=lookup.receipt(line.row.id), may_decide=line.row.state == "awaiting",
            problem=problem, comment=comment,
        )  # fmt: skip
    decision = Decision(answer == "approve", actor.id, comment)
    try:
        submitting.decide(number, version, decision)
    except submitting.AlreadyDecided:
        _refuse_other_decision(number, decision)
    except errors.Refused as error:
        raise Problem(409, "Its run takes no decision", str(error)) from error
    said = "approved" if decision.approved else "rejected"
    return back_to("/inbox" if back == "inbox" else f"/claims/{number}", said=said)


def _refuse_other_decision(number: str, decision: Decision) -> None:
    """A second click on the same button is no mistake; another decision is."""
    line = lookup.claim(number)
    assert line is not None
    row = line.row
    same = row.decided_by == decision.by and (row.state != "rejected") == decision.approved
    if same and row.reason == decision.comment:
        return
    title, why = "Not up for a decision", "The page was old, or came too early."
    if row.decided_by:
        by = decider(row.decided_by)
        title, why = "Decided already", f"{by[0].upper()}{by[1:]} was faster."
    raise Problem(
        409, title,
        f"Claim {number} is {line.label.lower()}. {why} Nothing was changed by this click.",
    )  # fmt: skip
