"""An application that is deployed again and again: its old and its new code, side by side.

Which of them a worker imports stands in a file, so a restart may bring in the other one. What
differs is all that may differ while runs are in flight (docs/guides/deploying.md):

    plain      steps added, removed and reordered, without a new version
    ship       version 1 in the old code, 1 and 2 in the new
    letter     was called `mail` in the old code
    fresh      only the new code has it
    long       longer than the grace: handed back again and again
"""

from __future__ import annotations

import asyncio
import os
from itertools import count

from backroom import Backroom, current_run, sleep, step
from tests.engine.supervised import FOLDER, folder

__all__ = ["expected", "new_code", "old_code"]


@step
async def a(number: int) -> int:
    return number


@step
async def b(number: int) -> int:
    return number


@step
async def c(number: int) -> int:
    return number


@step
async def tick(number: int, seconds: float) -> tuple[int, bool]:
    """The attempt that it is, and whether there will be no more restarts."""
    await asyncio.sleep(seconds)  # the load of this test; nothing waits for it to be over
    return current_run().attempt, (folder() / "rolled").exists()


async def long(seconds: float) -> list[tuple[int, int]]:
    ticks = []
    for number in count():
        attempt, rolled = await tick(number, seconds)
        ticks.append((number, attempt))
        if rolled:
            break
    return ticks


async def ship_1(number: int) -> list[int]:
    done = await a(number)
    await sleep(0.05)
    return [1, await b(done)]


def old_code(app: Backroom) -> Backroom:
    app.flow(long)
    app.flow(name="ship")(ship_1)

    @app.flow
    async def plain(number: int) -> int:
        done = [await a(number), await b(number)]
        await sleep(0.05)
        return sum(done) + await c(number)

    @app.flow
    async def mail(number: int) -> int:
        done = await a(number)
        await sleep(0.05)
        return await b(done)

    return app


def new_code(app: Backroom) -> Backroom:
    app.flow(long)
    app.flow(name="ship")(ship_1)

    @app.flow(version=2)
    async def ship(number: int) -> list[int]:
        await sleep(0.05)
        return [2, await c(await b(number))]

    @app.flow
    async def plain(number: int) -> int:
        done = [await c(number), await a(number)]
        await sleep(0.05)
        return sum(done) + await a(number)

    @app.flow(aliases=("mail",))
    async def letter(number: int) -> int:
        done = await a(number)
        await sleep(0.05)
        return await b(done)

    @app.flow
    async def fresh(number: int) -> int:
        await sleep(0.05)
        return await a(number)

    return app


def expected(flow: str, number: int) -> object:
    """What a run has to return, whichever code began it and whichever ended it."""
    if flow.startswith("ship"):
        return [2 if flow == "ship@2" else 1, number]
    return 3 * number if flow == "plain" else number


def release() -> str:
    return (folder() / "release").read_text()


if FOLDER in os.environ:
    app = new_code(Backroom()) if release() == "new" else old_code(Backroom())
