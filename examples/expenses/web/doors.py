"""Middleware: what comes in and goes out of every request, whatever page it is for.

Headers        a strict content policy: nothing inline, nothing from elsewhere
SameOrigin     forms are taken from our own pages only
SizeLimit      a body that is too large is refused before it is stored anywhere
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers as RequestHeaders
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Headers", "SameOrigin", "SizeLimit"]

Refuse = Callable[[Scope, int, str, str], ASGIApp]
"""Makes the page that says no: scope, status, title, text."""

POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
    "connect-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
))  # fmt: skip
DRAIN_BYTES = 64 * 1024 * 1024  # read and thrown away, so that the browser gets to see the answer


class Headers:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class SameOrigin:
    """Another site's page can post forms to ours. Browsers say where a form comes from."""

    def __init__(self, app: ASGIApp, *, refuse: Refuse) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            headers = RequestHeaders(scope=scope)
            origin = headers.get("origin")
            foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
            if foreign or headers.get("sec-fetch-site") == "cross-site":
                app = self._refuse(
                    scope, 403, "That came from another site",
                    "Forms are taken from these pages only. Open the page here and send it again.",
                )  # fmt: skip
        await app(scope, receive, send)


class SizeLimit:
    def __init__(self, app: ASGIApp, *, limit_bytes: int, refuse: Refuse) -> None:
        self._app = app
        self._limit_bytes = limit_bytes
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        no = self._refuse(
            scope, 413, "That is too large",
            f"At most {self._limit_bytes // 1024 // 1024} MB can be sent at once. "
            "Make the file smaller, or split it.",
        )  # fmt: skip
        announced = RequestHeaders(scope=scope).get("content-length", "0")
        if not announced.isdigit() or int(announced) > self._limit_bytes:
            await _drain(receive)
            return await no(scope, receive, send)

        taken = 0
        more = True

        async def counted() -> Message:
            nonlocal taken, more
            message = await receive()
            more = message.get("more_body", False)
            taken += len(message.get("body", b""))
            if taken > self._limit_bytes:
                raise _TooLarge
            return message

        async def unless_too_large(message: Message) -> None:
            if taken <= self._limit_bytes:
                await send(message)

        # Whoever reads the form may turn the error into an answer of its own; ours is given.
        with contextlib.suppress(_TooLarge):
            await self._app(scope, counted, unless_too_large)
        if taken > self._limit_bytes:
            if more:
                await _drain(receive)
            await no(scope, receive, send)


class _TooLarge(Exception):
    """A body without an announced length grew beyond the limit."""


async def _drain(receive: Receive) -> None:
    taken = 0
    while taken < DRAIN_BYTES:
        message = await receive()
        taken += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
