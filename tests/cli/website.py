"""A web application that answers with the process that performed a run."""

from __future__ import annotations

from typing import Any

from tests.engine.supervised import app


async def website(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        app.close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    run = await app.start("quick")
    body = str(await run.result()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
