"""A cancelled await takes nothing with it: neither the work nor the thread that does it."""

from __future__ import annotations

import asyncio

from backroom import Backroom


def test_a_cancelled_await_harms_neither_the_start_nor_the_threads(database: str) -> None:
    app = Backroom(database)

    @app.flow
    async def double(n: int) -> int:
        return 2 * n

    async def start_and_give_up() -> str:
        run = double.start(21)
        waiting = asyncio.ensure_future(_await(run.status()))
        result = asyncio.ensure_future(_await(run.result()))
        for task in (waiting, result):
            task.cancel()
        await asyncio.gather(waiting, result, return_exceptions=True)
        return run.id

    async def _await(pending: object) -> object:
        return await pending  # type: ignore[misc]

    try:
        ids = [asyncio.run(start_and_give_up()) for _ in range(20)]
        app.close()  # commits what is under way
        with app.working():
            results = [app.run(run_id).result().wait(30) for run_id in ids]
        assert results == [42] * 20
    finally:
        app.close()
