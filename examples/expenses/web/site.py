"""The ASGI application: `uvicorn examples.expenses.web:site`, or under `backroom serve`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from backroom import errors
from examples.expenses import database
from examples.expenses.app import app
from examples.expenses.config import config
from examples.expenses.mailbox import catch_all
from examples.expenses.web import approving, claims, records
from examples.expenses.web.doors import Headers, SameOrigin, SizeLimit
from examples.expenses.web.pages import HERE, Problem, page

__all__ = ["site"]


@asynccontextmanager
async def lifespan(_site: FastAPI) -> AsyncIterator[None]:
    """backroom's tables first, then ours, then the mailbox; a database that can't be reached is
    known before the first request."""
    async with app.lifespan():
        await asyncio.to_thread(database.engine)
        mailbox = catch_all()
        await asyncio.to_thread(mailbox.__enter__)
        try:
            yield
        finally:
            await asyncio.to_thread(mailbox.__exit__, None, None, None)
            await asyncio.to_thread(database.close)


def refuse(_scope: Scope, status: int, title: str, text: str) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await asyncio.to_thread(
            page, request, "problem.html", status=status, title=title, text=text
        )
        await response(scope, receive, send)

    return answer


site = FastAPI(title="Expenses", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
site.mount("/static", StaticFiles(directory=HERE.parent / "static"), name="static")
site.include_router(claims.router)
site.include_router(approving.router)
site.include_router(records.router)
site.add_middleware(
    SizeLimit, limit_bytes=max(config.receipt_bytes, config.csv_bytes) + 256 * 1024, refuse=refuse
)
site.add_middleware(SameOrigin, refuse=refuse)
site.add_middleware(Headers)


@site.exception_handler(Problem)
def problem(request: Request, error: Problem) -> Response:
    return page(request, "problem.html", status=error.status, title=error.title, text=error.text)


@site.exception_handler(HTTPException)
def http_error(request: Request, error: HTTPException) -> Response:
    title = HTTPStatus(error.status_code).phrase
    text = {
        404: "There is nothing at this address.",
        405: "This address doesn't take that kind of request.",
    }.get(error.status_code, str(error.detail))
    return page(request, "problem.html", status=error.status_code, title=title, text=text)


@site.exception_handler(RequestValidationError)
def bad_request(request: Request, error: RequestValidationError) -> Response:
    fields = ", ".join(sorted({str(each["loc"][-1]) for each in error.errors()}))
    return page(
        request, "problem.html", status=422, title="That can't be read",
        text=f"Something is wrong with: {fields}. Go back and correct it.",
    )  # fmt: skip


@site.exception_handler(errors.StoreError)
def store_error(_request: Request, error: errors.StoreError) -> Response:
    """No page can be rendered without the database; and the cause belongs in the log, not on it."""
    logging.getLogger("expenses").error("The database can't be used: %s", error)
    return Response(
        "The database can't be reached right now. Nothing was lost; try again in a moment.\n",
        503, {"Retry-After": "5"}, "text/plain",
    )  # fmt: skip
