"""What all pages share: rendering, and who is acting."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from examples.expenses import lookup
from examples.expenses.claims import CATEGORIES, CURRENCIES
from examples.expenses.letters import decider
from examples.expenses.people import PEOPLE, Person, approvers, claimants, person

__all__ = ["Acting", "Problem", "back_to", "fragment", "page"]

HERE = Path(__file__).parent
COOKIE = "acting"

# After a redirect `?said=` names what a page confirms; only these can be said.
SAID = {
    "submitted": "Your claim is in. The check runs in the background; you can leave this page.",
    "approved": "Approved. The claim is being booked.",
    "rejected": "Rejected. The claimant is being told.",
    "acting": "You act as {name} now.",
}


class Problem(Exception):
    """A page that says why something can't be done."""

    def __init__(self, status: int, title: str, text: str) -> None:
        self.status = status
        self.title = title
        self.text = text
        super().__init__(title)


def acting(request: Request) -> Person:
    """Whom the cookie names; without one the first claimant."""
    return PEOPLE.get(request.cookies.get(COOKIE, "")) or claimants()[0]


def known(request: Request) -> Person:
    """The same for whoever does something: nobody acts as another by a wrong cookie."""
    named = request.cookies.get(COOKIE, "")
    if named and named not in PEOPLE:
        raise Problem(
            403, "Nobody of that name",
            f"This browser's cookie says {named[:40]!r}, and nobody here is called so. Choose "
            "above whom to act as.",
        )  # fmt: skip
    return acting(request)


Acting = Annotated[Person, Depends(known)]


def page(request: Request, template: str, /, *, status: int = 200, **context: Any) -> HTMLResponse:
    actor = acting(request)
    path = request.url.path
    said = SAID.get(request.query_params.get("said", ""), "").format(name=actor.name)
    html = templates.get_template(template).render(
        actor=actor,
        path=path,
        back=path if request.method == "GET" else "/claims",
        said=said,
        waiting=lookup.inbox_size(actor.id) if actor.approves else 0,
        now=datetime.now(UTC),
        **context,
    )
    return HTMLResponse(html, status)


def fragment(request: Request, template: str, /, **context: Any) -> Response:
    """The live part of a page, which the script fetches every few seconds; 304 if unchanged."""
    html = templates.get_template(template).render(
        actor=acting(request), path=request.url.path, now=datetime.now(UTC), **context
    )
    tag = f'"{hashlib.blake2b(html.encode(), digest_size=12).hexdigest()}"'
    headers = {"ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return HTMLResponse(html, headers=headers)


def back_to(path: str, *, said: str | None = None) -> RedirectResponse:
    return RedirectResponse(f"{path}?{urlencode({'said': said})}" if said else path, 303)


# --- words and numbers, as people read them


def money(amount: Decimal) -> str:
    return f"{amount:,.2f}".replace("-", "\N{MINUS SIGN}")


def day(value: date) -> str:
    return f"{value.day} {value:%b %Y}"


def moment(value: datetime) -> str:
    return f"{value.day} {value:%b %Y, %H:%M:%S}"


def size(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    return f"{count / 1024 / 1024:.1f} MB" if count >= 1024 * 1024 else f"{count / 1024:.0f} KB"


templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters.update(
    money=money, day=day, moment=moment, size=size, decider=decider,
    name=lambda person_id: person(person_id).name,
    category=lambda category: CATEGORIES[category],
)  # fmt: skip
templates.globals.update(
    categories=CATEGORIES, currencies=CURRENCIES, claimants=claimants(), approvers=approvers(),
)  # fmt: skip
