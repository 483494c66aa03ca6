"""The application of the terminal's tests."""

from __future__ import annotations

import logging
from decimal import Decimal

from backroom import Backroom, Breaker, Retry, Rollback, lock, progress, step, wait_for_event

app = Backroom()
log = logging.getLogger("shop")


@step
async def weigh(item: str) -> int:
    log.info("weighing")
    return len(item)


@step(retry=Retry(attempts=2, delay_seconds=0.01))
async def charge(amount: Decimal) -> str:
    raise RuntimeError(f"no money: {amount}")


@app.flow(key="order")
async def ship(order: str, copies: int = 1) -> dict[str, int]:
    log.info("shipping")
    return {"weight": await weigh(order) * copies}


@app.flow
async def pay(amount: Decimal) -> str:
    progress(0.5, status="half way")
    await weigh("purse")
    return await charge(amount)


@app.flow
async def ask(question: str) -> str:
    await weigh(question)
    return await wait_for_event("answer", str)


@app.flow
async def hold(name: str) -> None:
    async with lock(name):
        await wait_for_event("go")


broken = False


async def give_back(room: str, booking: str | None) -> None:
    if broken:
        raise ConnectionError(f"{room} doesn't answer")


@step(undo=give_back, undo_retry=Retry(attempts=1))
async def book(room: str) -> str:
    return f"booking of {room}"


@app.flow
async def trip(rooms: list[str]) -> None:
    for room in rooms:
        await book(room)
    raise Rollback("there is no flight")


@step(breaker=Breaker("bank", failures=1, seconds=3600))
async def call() -> None:
    raise ConnectionError("no route")


@app.flow
async def call_bank() -> None:
    await call()
