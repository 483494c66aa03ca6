"""Rounds: ours, theirs, ours, theirs, so that a drift of the machine meets all of them alike.

Within a round ours is measured before the first peer, after every third and after the last; what
stands beside a peer's figure is the mean of ours before and after it. A peer that fails is left
out of the rest of that work, and the table says why.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.peers.catalogue import OURS, POSTGRES, SQLITE, Peer
from benchmarks.peers.contender import Stage
from benchmarks.peers.works import TOGETHER, WORKS, Entry, Measure, Size

__all__ = ["Results", "Series", "entries_of", "measured"]

TURNS = 3  # peers between two measurements of ours
BOTH_SETTINGS = {"drain", "drain-two", "latency"}  # where defaults and tuned settings are measured


@dataclass
class Series:
    """All rounds of one entry in one measure, and ours beside each."""

    entry: Entry
    work: str
    unit: str
    less_is_better: bool
    values: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    remark: str = ""

    @property
    def is_ours(self) -> bool:
        return self.entry.peer in OURS

    @property
    def ahead(self) -> float | None:
        """How many times as good ours was, the median of the rounds; below 1 we are behind."""
        pairs = [(our, their) for our, their in zip(self.ours, self.values, strict=False)]
        if self.less_is_better:
            pairs = [(their, our) for our, their in pairs]
        ratios = [better / worse for better, worse in pairs if worse]
        return statistics.median(ratios) if ratios else None


def entries_of(peer: Peer, work: str) -> list[Entry]:
    """With which settings a peer takes part in a work."""
    if work in ("alone", "steps") and not peer.has_steps:
        return []
    if work == "drain-two" and peer.place == SQLITE:
        return []  # one writer at a time
    defaults = Entry(peer, peer.defaults, peer.defaults_are if peer.tuned_is else "")
    if work == "crash" and peer.crash is not None:
        return [Entry(peer, peer.crash, peer.crash_is)]
    if work == "crash" or not peer.tuned_is:
        return [defaults]
    tuned = Entry(peer, peer.tuned, peer.tuned_is)
    return [defaults, tuned] if work in BOTH_SETTINGS and peer not in OURS else [tuned]


def our_place(peer: Peer) -> str:
    """Where ours stands beside it; nothing of ours is on Redis."""
    return SQLITE if peer.place == SQLITE else POSTGRES


def measured(
    stage: Stage, peers: Sequence[Peer], works: Sequence[str], size: Size, rounds: int
) -> Results:
    results = Results()
    for work in works:
        if work in TOGETHER:
            say(f"{work}, all together ...")
            entries = [entry for peer in [*OURS, *peers] for entry in entries_of(peer, work)]
            results.add_together(TOGETHER[work](stage, entries, size))
    for number in range(1, rounds + 1):
        for work in works:
            if work in WORKS:
                for place in (POSTGRES, SQLITE):
                    say(f"round {number} of {rounds}: {work}, {place} ...")
                    beside = [peer for peer in peers if our_place(peer) == place]
                    one_round(stage, results, work, place, beside, size)
    say("")
    return results


def one_round(
    stage: Stage, results: Results, work: str, place: str, peers: Sequence[Peer], size: Size
) -> None:
    def perform(entries: Sequence[Entry]) -> list[tuple[Entry, Measure]]:
        return [
            (entry, measure)
            for entry in entries
            for measure in attempt(stage, results, work, entry, size)
        ]

    ours = [entry for peer in OURS if peer.place == place for entry in entries_of(peer, work)]
    theirs = [entry for peer in peers for entry in entries_of(peer, work)]
    before = perform(ours)
    results.add(before, beside=())
    for turn in range(0, len(theirs), TURNS):
        found = perform(theirs[turn : turn + TURNS])
        now = perform(ours)
        results.add(now, beside=())
        results.add(found, beside=[measure for _, measure in [*before, *now]])
        before = now


def attempt(stage: Stage, results: Results, work: str, entry: Entry, size: Size) -> list[Measure]:
    """Whatever a peer does, the others are still measured."""
    if (entry.title, work) in results.failures:
        return []
    try:
        return list(WORKS[work](stage, entry, size))
    except Exception as reason:
        results.failures[entry.title, work] = f"{type(reason).__name__}: {reason}"
        return []


class Results:
    def __init__(self) -> None:
        self.series: dict[tuple[str, str], Series] = {}
        self.failures: dict[tuple[str, str], str] = {}  # by entry and work

    def add(self, found: Iterable[tuple[Entry, Measure]], beside: Sequence[Measure]) -> None:
        """Keep these figures, and beside each the mean of ours in the same work."""
        for entry, measure in found:
            series = self.series.setdefault(
                (entry.title, measure.work),
                Series(entry, measure.work, measure.unit, measure.less_is_better),
            )
            series.remark = measure.remark
            if measure.value is None:
                continue
            series.values.append(measure.value)
            ours = [other.value for other in beside if other.work == measure.work]
            known = [value for value in ours if value is not None]
            if known:
                series.ours.append(statistics.mean(known))

    def add_together(self, found: Iterable[tuple[Entry, Measure]]) -> None:
        all_found = list(found)
        for entry, measure in all_found:
            beside = [
                other
                for theirs, other in all_found
                if theirs.peer in OURS and theirs.peer.place == our_place(entry.peer)
            ]
            self.add([(entry, measure)], [] if entry.peer in OURS else beside)


def say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
