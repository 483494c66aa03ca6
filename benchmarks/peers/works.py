"""What is measured of every peer, ours included.

drain     a backlog of no-op jobs, one worker process; and two
latency   from the call that puts a job in, in one process, to its first line in another
start     jobs put in: by one caller, by 64 at once, in bulk
alone     ten checkpointed steps in one run, nothing else going on
steps     200 runs of ten steps at once in one worker process
idle      what a worker costs that has nothing to do: all at once, each with the others' company
crash     a worker killed among 2,000 jobs and another started at once

`idle` and `crash` are measured once, for all peers together: a dead worker's jobs take minutes to
come back with some of them, and waiting costs nothing.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.catalogue import Peer, Settings
from benchmarks.peers.contender import Contest, Stage
from benchmarks.peers.environments import Unavailable

__all__ = ["FULL", "QUICK", "TOGETHER", "WORKS", "Entry", "Measure", "Size"]

FLOWS_AT_ONCE = 200
STEPS = 10
JOBS_KILLED = 2_000
PATIENCE_SECONDS = 90.0  # a round of any work


@dataclass(frozen=True, slots=True)
class Size:
    """How long each work takes, roughly, in one round."""

    drain_seconds: float
    latency_seconds: float
    stamps: int
    start_seconds: float
    alone: int
    idle_seconds: float
    crash_seconds: float  # how long interrupted jobs are waited for


FULL = Size(1.5, 2.5, 60, 0.6, 30, 5.0, 150.0)
QUICK = Size(0.5, 1.0, 20, 0.3, 10, 2.0, 15.0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A peer with its settings, as one line of a table."""

    peer: Peer
    settings: Settings
    label: str

    @property
    def title(self) -> str:
        return f"{self.peer.title} ({self.label})" if self.label else self.peer.title


@dataclass(frozen=True, slots=True)
class Measure:
    """One value. `less_is_better` for times and costs."""

    work: str
    unit: str
    value: float | None
    less_is_better: bool = False
    remark: str = ""


Work = Callable[[Stage, Entry, Size], Iterator[Measure]]


def drain(stage: Stage, entry: Entry, size: Size) -> Iterator[Measure]:
    yield Measure("no-op jobs, 1 process", "jobs/s", drained(stage, entry, size, 1))


def drain_two(stage: Stage, entry: Entry, size: Size) -> Iterator[Measure]:
    yield Measure("no-op jobs, 2 processes", "jobs/s", drained(stage, entry, size, 2))


def drained(stage: Stage, entry: Entry, size: Size, processes: int) -> float:
    peer = entry.peer
    by_default = entry.settings == peer.defaults and peer.defaults_pace is not None
    pace = (by_default and peer.defaults_pace) or peer.pace
    jobs = int(pace * size.drain_seconds * processes)
    with stage.contest(entry.peer) as contest:
        contest.ask("fill", kind="noop", count=jobs)
        workers = contest.start_workers(entry.settings, processes=processes)
        return jobs / from_first_to_last(contest, workers, jobs)


def from_first_to_last(contest: Contest, workers: Sequence[Any], jobs: int) -> float:
    """Seconds from the first body's begin to the last end, committed where there is a commit."""
    contest.go(list(workers))
    began = contest.until("the first job", lambda: contest.diary.begun() > 0)
    ended = contest.until("the backlog", lambda: contest.is_drained(jobs), seconds=PATIENCE_SECONDS)
    return ended - began


def latency(stage: Stage, entry: Entry, size: Size) -> Iterator[Measure]:
    with stage.contest(entry.peer) as contest:
        contest.go(contest.start_workers(entry.settings))
        time.sleep(0.5)  # the worker begins to listen
        contest.ask(
            "stamp", kind="stamp", most=size.stamps + 1, seconds=size.latency_seconds,
            pause=[0.02, 0.06],
        )  # fmt: skip
        delays = [int(words[1]) / 1e6 for words in contest.diary.lines()[1:]]
    yield Measure("start to running, p50", "ms", statistics.median(delays), less_is_better=True)
    yield Measure("start to running, p99", "ms", high(delays), less_is_better=True)


def high(values: Sequence[float]) -> float:
    """The 99th percentile."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def start(stage: Stage, entry: Entry, size: Size) -> Iterator[Measure]:
    names = {"one": "1 caller", "many": "64 callers", "bulk": "1,000 a call"}
    for how, name in names.items():
        with stage.contest(entry.peer) as contest:
            rate = contest.ask("start", how=how, seconds=size.start_seconds)["rate"]
        remark = "" if rate is not None else "has no such call"
        yield Measure(f"jobs started, {name}", "jobs/s", rate, remark=remark)


def alone(stage: Stage, entry: Entry, size: Size) -> Iterator[Measure]:
    with stage.contest(entry.peer) as contest:
        contest.go(contest.start_workers(entry.settings))
        time.sleep(0.5)
        contest.ask(
            "stamp", kind="ten", most=size.alone + 1, seconds=2 * size.latency_seconds,
            pause=[0.01, 0.03],
        )  # fmt: skip
        lines = contest.diary.lines()[1:]
    whole = statistics.median(int(words[1]) / 1e6 for words in lines)
    inside = statistics.median(int(words[2]) / 1e6 for words in lines)
    yield Measure("ten steps alone, start to last line", "ms", whole, less_is_better=True)
    yield Measure("ten steps alone, first line to last", "ms", inside, less_is_better=True)


def steps(stage: Stage, entry: Entry, size: Size) -> Iterator[Measure]:
    wanted = entry.peer.steps_pace * size.drain_seconds * 1.5 / STEPS
    flows = max(FLOWS_AT_ONCE, int(wanted))
    with stage.contest(entry.peer) as contest:
        contest.ask("fill", kind="ten", count=flows)
        workers = contest.start_workers(entry.settings)
        rate = flows * STEPS / from_first_to_last(contest, workers, flows)
    yield Measure(f"durable steps, {FLOWS_AT_ONCE} runs of {STEPS} at once", "steps/s", rate)


WORKS: dict[str, Work] = {
    "drain": drain,
    "drain-two": drain_two,
    "latency": latency,
    "start": start,
    "alone": alone,
    "steps": steps,
}


# For all peers together.


def idle(stage: Stage, entries: Sequence[Entry], size: Size) -> Iterator[tuple[Entry, Measure]]:
    with ExitStack() as stack:
        at_rest: list[tuple[Entry, list[int]]] = []
        for entry in entries:
            try:
                contest = stack.enter_context(stage.contest(entry.peer))
                workers = contest.start_workers(entry.settings)
                contest.go(workers)
            except Unavailable as reason:
                yield entry, Measure("idle worker", "MB", None, remark=str(reason))
            else:
                at_rest.append((entry, [worker.session for worker in workers]))
        time.sleep(2 + size.idle_seconds / 2)
        before = [usage(sessions) for _, sessions in at_rest]
        began = time.monotonic()
        time.sleep(size.idle_seconds)
        after = [usage(sessions) for _, sessions in at_rest]
        elapsed = time.monotonic() - began
    for (entry, _), (_, cpu_before), (resident, cpu_after) in zip(
        at_rest, before, after, strict=True
    ):
        busy = (cpu_after - cpu_before) / elapsed * 100
        yield entry, Measure("idle worker, resident", "MB", resident, less_is_better=True)
        yield entry, Measure("idle worker, of one core", "%", busy, less_is_better=True)


def usage(sessions: Sequence[int]) -> tuple[float, float]:
    """Resident MB and processor seconds of all processes of these sessions."""
    resident = 0.0
    seconds = 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    page = os.sysconf("SC_PAGE_SIZE")
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[3]) in sessions:
            seconds += (int(fields[11]) + int(fields[12])) / ticks
            resident += int(fields[21]) * page / (1 << 20)
    return resident, seconds


def crash(stage: Stage, entries: Sequence[Entry], size: Size) -> Iterator[tuple[Entry, Measure]]:
    """All peers are killed one after another; then what they interrupted is waited for together."""
    turn = threading.Lock()

    def one(entry: Entry) -> list[Measure]:
        try:
            return crashed(stage, entry, size, turn)
        except Exception as reason:
            return [
                Measure("a killed worker", "s", None, remark=f"{type(reason).__name__}: {reason}")
            ]

    with ThreadPoolExecutor(max(1, len(entries))) as pool:
        for entry, measures in zip(entries, pool.map(one, entries), strict=True):
            for measure in measures:
                yield entry, measure


def crashed(stage: Stage, entry: Entry, size: Size, turn: threading.Lock) -> list[Measure]:
    with ExitStack() as stack:
        with turn:
            contest = stack.enter_context(stage.contest(entry.peer))
            contest.ask("fill", kind="slow", count=JOBS_KILLED)
            killed_at, interrupted, finished = killed_in_the_middle(contest, entry)
            contest.go(contest.start_workers(entry.settings, processes=None))
            went_on = contest.until(
                "going on",
                lambda: any(after(contest, killed_at)) or not left(contest),
                seconds=size.crash_seconds,
            )
            patience = time.monotonic() + 30
            while left(contest) - interrupted and time.monotonic() < patience:
                time.sleep(0.05)
        # From here on the others have their turn.
        deadline = killed_at / 1e9 + size.crash_seconds
        while left(contest) and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(0.5)  # what is run twice may come late
        begins = list(after(contest, killed_at))
        missing = left(contest)
    again = sorted({number for number, _ in begins} & finished)
    back = [at for number, at in begins if number in interrupted]
    seconds = (max(back) - killed_at) / 1e9 if back and not missing & interrupted else None
    waited = f"not within {size.crash_seconds:.0f} s" if missing & interrupted else "none was"
    return [
        Measure("killed: going on after", "s", went_on - killed_at / 1e9, less_is_better=True),
        Measure(
            "killed: all interrupted run again after", "s", seconds,
            less_is_better=True, remark="" if seconds is not None else waited,
        ),
        Measure("killed: interrupted", "jobs", float(len(interrupted)), less_is_better=True),
        Measure("killed: finished, and run again", "jobs", float(len(again)), less_is_better=True),
        Measure("killed: not back yet", "jobs", float(len(missing)), less_is_better=True),
    ]  # fmt: skip


def killed_in_the_middle(contest: Contest, entry: Entry) -> tuple[int, set[int], set[int]]:
    """When it was killed, whom that interrupted, and who had finished."""
    workers = contest.start_workers(entry.settings, processes=None)
    contest.go(workers)
    contest.until("half of the jobs", lambda: contest.diary.begun() >= JOBS_KILLED // 2)
    for worker in workers:
        contest.forget(worker)
        worker.kill()
    killed_at = time.monotonic_ns()
    begun = {int(words[1]) for words in contest.diary.lines() if words[0] == "begin"}
    finished = set(JOBS_KILLED_ALL) - left(contest)
    return killed_at, begun - finished, finished


JOBS_KILLED_ALL = frozenset(range(JOBS_KILLED))


def left(contest: Contest) -> set[int]:
    """The jobs that have not ended."""
    ended = {int(words[1]) for words in contest.diary.lines() if words[0] == "end"}
    return set(JOBS_KILLED_ALL - ended)


def after(contest: Contest, moment: int) -> Iterator[tuple[int, int]]:
    """Jobs that began after it, and when."""
    for words in contest.diary.lines():
        if words[0] == "begin" and int(words[2]) > moment:
            yield int(words[1]), int(words[2])


Together = Callable[[Stage, Sequence[Entry], Size], Iterator[tuple[Entry, Measure]]]

TOGETHER: dict[str, Together] = {"idle": idle, "crash": crash}
