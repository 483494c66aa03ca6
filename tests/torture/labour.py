"""The application that is tortured: what its bodies do, they write down outside the database.

A body's line in the journal says which step of which run it is, and in which attempt; the
checkpoint says the same. So it can be told afterwards, without any clock, whether a step ran again
after it had been kept (`tests/torture/ledger.py`).

BACKROOM_TEST_SABOTAGE takes a protection away, to see that it would be missed.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from backroom import current_run, step, wait_for_event
from tests.torture.sabotage import Sabotaged

FOLDER = "BACKROOM_TEST_MARKS"
PACE = "BACKROOM_TEST_PACE"  # seconds of a body, to be interrupted in
STEPS = 3
EVERY = 5  # one run in so many waits for an event
EVENT = "go"

Done = tuple[int, int]  # the step's number, and the attempt that did it

app = Sabotaged()
_journals: dict[int, int] = {}


def journal(run_id: str, number: int, attempt: int) -> None:
    pid = os.getpid()
    if pid not in _journals:
        path = Path(os.environ[FOLDER]) / f"journal-{pid}-{os.urandom(4).hex()}"
        _journals[pid] = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(_journals[pid], f"{run_id} {number} {attempt}\n".encode())


@step
async def work(number: int) -> Done:
    run = current_run()
    journal(run.id, number, run.attempt)
    await asyncio.sleep(float(os.environ[PACE]))
    return number, run.attempt


@step
def toil(number: int) -> Done:
    run = current_run()
    journal(run.id, number, run.attempt)
    time.sleep(float(os.environ[PACE]))
    return number, run.attempt


@app.flow
async def labour(number: int) -> tuple[int, list[Done]]:
    """What it heard, and what it has done."""
    done = [await work(0)]
    heard = await wait_for_event(EVENT, int) if number % EVERY == 0 else number
    done += [await work(n) for n in range(1, STEPS)]
    return heard, done


@app.flow
def drudge(number: int) -> tuple[int, list[Done]]:
    return number, [toil(n) for n in range(STEPS)]
