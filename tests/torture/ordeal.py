"""Real workers and callers on one database, and somebody who troubles them.

    with Ordeal(database, folder, seed=7) as ordeal:
        for kill in range(20):
            ordeal.allow(100 * (kill + 1))     # so many runs may have been asked for
            ordeal.kill_one()
        found = ordeal.end()                   # all is let come to its end and counted

Three workers of the nursery, whose leases run out when they die, and `backroom worker` with two
children and its supervisor. Two callers. All are replaced at once when they die.

`reach`: the address that workers and callers use, if it isn't the database's own (a proxy).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType

from backroom.records.runs import RunRow
from backroom.records.states import State
from backroom.testing import eventually
from tests.engine.processes import ROOT, Program, program
from tests.torture.labour import EVENT, FOLDER, PACE, app
from tests.torture.ledger import Balance, balance, unheard
from tests.torture.nursery import AT_ONCE, LEASE
from tests.torture.sabotage import SABOTAGE

__all__ = ["Ordeal", "seed"]

BACKLOG = 2_000  # runs that may wait before further trouble
CALMLY_SECONDS = 8.0  # a supervisor waits ever longer to replace children that die young


def seed() -> int:
    """BACKROOM_TEST_SEED repeats a run, as far as processes can be repeated."""
    return int(os.environ.get("BACKROOM_TEST_SEED") or random.randrange(2**32))


class Ordeal:
    def __init__(
        self,
        database: str,
        folder: Path,
        *,
        seed: int,
        reach: str | None = None,
        lease: float = 1.0,
        pace: float = 0.001,
        workers: int = 3,
        supervised: int = 2,
        callers: int = 2,
        at_once: int = 20,
        sabotage: str = "",
        env: dict[str, str] | None = None,
    ) -> None:
        self.database = database
        self.folder = folder
        self.lease = lease
        self.chance = random.Random(seed)
        self.kills = 0
        self.stops = 0
        self.set_aside = 0
        self.found = Balance()
        self._counts = workers, supervised, callers
        self._environment = {
            "BACKROOM_DATABASE": reach or database,
            FOLDER: str(folder),
            LEASE: str(lease),
            AT_ONCE: str(at_once),
            PACE: str(pace),
            SABOTAGE: sabotage,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        } | (env or {})
        self._stack = ExitStack()
        self.workers: list[int] = []
        self.callers: list[int] = []
        self.supervisor: Program | None = None
        self._supervisor_next = 0.0
        self._read: dict[Path, int] = {}
        self._numbers: set[bytes] = set()

    def __enter__(self) -> Ordeal:
        self.allow(0)
        app.override(database=self.database)
        self._stack.callback(app.close)
        app.open()
        workers, supervised, callers = self._counts
        try:
            self._nursery = self._stack.enter_context(self._started_nursery())
            self.workers = [self._born("worker") for _ in range(workers)]
            self.callers = [self._born(f"caller {mine} {callers}") for mine in range(callers)]
            if supervised:
                self.supervisor = self._stack.enter_context(
                    program(
                        *("worker", "-n", str(supervised), "--lease", str(self.lease)),
                        *("--concurrency", "32", "--log-level", "warning"),
                        database=self._environment["BACKROOM_DATABASE"],
                        folder=self.folder,
                        app="tests.torture.labour:app",
                        env=self._environment,
                    )
                )
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for pid in (*self.workers, *self.callers):
            signalled(pid, signal.SIGKILL)
        self._stack.close()

    def _started_nursery(self) -> subprocess.Popen[str]:
        log = self._stack.enter_context((self.folder / "nursery.log").open("wb"))
        return subprocess.Popen(
            [sys.executable, "-m", "tests.torture.nursery"],
            env=os.environ | self._environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip

    def _born(self, what: str) -> int:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(what + "\n")
        self._nursery.stdin.flush()
        return int(self._nursery.stdout.readline())

    # --- how far

    def allow(self, runs: int) -> None:
        path = self.folder / "allowed"
        written = path.with_name("allowed-")
        written.write_text(str(runs))
        written.rename(path)
        self.allowed = runs

    def catch_up(self, within: float = 300.0) -> None:
        """Wait until not too much is left of what was allowed."""
        eventually(lambda: self._asked() > self.allowed - BACKLOG, within=within)
        eventually(lambda: self._alive() < BACKLOG, within=within)

    def _asked(self) -> int:
        """How many runs have been asked for, and an answer given if there could be one."""
        for path in (*self.folder.glob("asked-*"), *self.folder.glob("accepted-*")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                lines = file.read()
            self._read[path] = self._read.get(path, 0) + lines.rfind(b"\n") + 1
            for line in lines[: lines.rfind(b"\n") + 1].splitlines():
                what = line.split()[0]
                if what.startswith(b"run-"):
                    self._numbers.add(what)
        return len(self._numbers)

    def _alive(self) -> int:
        rows = app.office.read(lambda reader: reader.queues("default")).result(60)
        return sum(row.due + row.later + row.parked + row.running + row.aside for row in rows)

    # --- trouble

    def kill_one(self) -> None:
        """Mostly a worker; now and then a caller, a supervised child, or a supervisor."""
        draw = self.chance.random()
        if draw < 0.1:
            place = self.chance.randrange(len(self.callers))
            signalled(self.callers[place], signal.SIGKILL)
            self.callers[place] = self._born(f"caller {place} {len(self.callers)}")
        elif draw < 0.3 and self._kill_child():
            pass
        else:
            place = self.chance.randrange(len(self.workers))
            signalled(self.workers[place], signal.SIGKILL)
            self.workers[place] = self._born("worker")
        self.kills += 1

    def _kill_child(self) -> bool:
        now = time.monotonic()
        if self.supervisor is None or now < self._supervisor_next:
            return False
        children = self.supervisor.children()
        if not children:
            return False
        self._supervisor_next = now + CALMLY_SECONDS
        signalled(self.chance.choice(children), signal.SIGKILL)
        return True

    def stop_one(self) -> None:
        """Stop a worker's process beyond its lease, so that its runs are in other hands."""
        children = self.supervisor.children() if self.supervisor is not None else []
        victim = self.chance.choice(self.workers + children)
        signalled(victim, signal.SIGSTOP)
        time.sleep(self.lease * self.chance.uniform(2, 4))
        signalled(victim, signal.SIGCONT)
        self.stops += 1

    # --- the end

    def end(self, patience: float = 120.0) -> Balance:
        """Let all come to its end: what nobody emitted is emitted, what was set aside is taken up
        again, as a person would. Then count."""
        eventually(lambda: self._asked() == self.allowed, within=patience)
        for number, run_id in unheard(self.folder).items():
            run = app.run(run_id)
            if not run.status().wait(60).is_final:
                run.emit(EVENT, number, key="once").wait(60)
        eventually(self._is_over, within=patience)
        self.found = self.so_far(over=True)
        return self.found

    def so_far(self, *, over: bool = False) -> Balance:
        look = partial(balance, folder=self.folder, over=over)
        return app.office.read(look).result(600)

    def _is_over(self) -> bool:
        for row in self._aside():
            self.set_aside += 1
            app.run(row.id).retry(by="the test").wait(60)
        return self._alive() == 0

    def _aside(self) -> list[RunRow]:
        states = (State.NEEDS_ATTENTION,)
        return app.office.read(lambda reader: reader.runs(states=states)).result(60)


def signalled(pid: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
