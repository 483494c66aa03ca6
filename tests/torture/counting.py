"""The application of `test_worker_fences.py`, as its workers import it.

Every step says by whom it was done, so the checkpoints and the results tell whose writes counted.
"""

import os
import time

from backroom import Backroom, current_run, step

app = Backroom()

STEPS = 8


@step
def count(n: int) -> tuple[int, int, int]:
    time.sleep(0.005)  # long enough to be stopped in the middle
    return n, current_run().attempt, os.getpid()


@app.flow
def counting() -> list[tuple[int, int, int]]:
    """Each step's number, the attempt that did it, and in which process."""
    return [count(n) for n in range(STEPS)]
