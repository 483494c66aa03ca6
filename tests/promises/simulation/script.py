"""Scripts: what callers ask for and what goes wrong, each at its time. They are text.

    dice 4711
    workers 3
    0.000 start line 1          run 1 of the flow `line`
    0.350 crash 2               the worker in place 2 dies
    1.200 emit 1 7              run 1 gets the word 7

A seed makes a script. One that fails is made smaller, and kept as text: that still means the same
when the generator has been changed.

What callers do

    start FLOW N, emit N WORD, cancel N, retry N, move N, again N (the same start once more, with
    the same key), pause QUEUE, resume QUEUE, prune, limit N (of the queue `narrow`)

What goes wrong

    crash W       the worker in place W dies; its supervisor sees it and replaces it
    machine W     it dies with its supervisor: nobody gives its lease up
    stop W S      it stands still for S seconds, and is not renewed (SIGSTOP)
    starve W S    it gets no turn for S seconds, and its supervisor doesn't notice
    hold W S      what it wants to commit waits for S seconds, while its loop goes on
    call W FAULT  its next call of the database fails; W = 0: the caller's
    rate W R      its successor's clock goes R times as fast
    leap W S      its clock leaps ahead
    restart W     it is asked to stop, and another one begins
    forward S, back S   the database's clock is set
    deaf S        no doorbell rings for S seconds
    late S        the supervisors renew nothing for S seconds
    outage S      the database can't be reached for S seconds
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random

__all__ = ["Act", "Script", "parse", "script_of", "smaller"]

ACTS_SECONDS = 10.0
FLOWS = {
    "line": 4, "threads": 1, "nap": 3, "collect": 5, "race": 3, "saga": 5, "family": 2, "fan": 2,
    "narrow": 3, "shared": 3, "paced": 2, "booked": 3, "guarded": 2, "trying": 2, "again": 2,
    "broken": 2, "walk": 2, "delayed": 1, "keyed": 3, "expiring": 1, "hasty": 1, "poison": 1,
}  # fmt: skip
QUEUES = ("default", "narrow", "shared", "paced")
FAULTS = ("error", "unknown", "vanished", "before", "after")
WAIT_FOR_WORDS = ("collect", "race", "saga")


@dataclass(frozen=True, slots=True)
class Act:
    at: float
    what: str
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([f"{self.at:.3f}", self.what, *self.words])


@dataclass(frozen=True, slots=True)
class Script:
    dice: int
    workers: int
    acts: tuple[Act, ...]

    def __str__(self) -> str:
        head = [f"dice {self.dice}", f"workers {self.workers}"]
        return "\n".join([*head, *map(str, self.acts)])


def parse(text: str) -> Script:
    """The script that `str` has made; lines that begin with # are for people."""
    lines = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    heads = {line[0]: int(line[1]) for line in lines if line[0] in ("dice", "workers")}
    acts = [Act(float(at), what, tuple(words)) for at, what, *words in lines if at not in heads]
    return Script(heads["dice"], heads["workers"], tuple(acts))


def script_of(seed: int) -> Script:
    dice = Random(seed)
    workers = dice.randint(1, 4)
    acts = [*_asked(dice), *_wrong(dice, workers)]
    return Script(seed, workers, tuple(sorted(acts, key=lambda act: act.at)))


def _asked(dice: Random) -> Iterator[Act]:
    """What callers do."""
    names = list(FLOWS)
    for number in range(1, dice.randint(4, 14) + 1):
        at = round(dice.uniform(0, ACTS_SECONDS * 0.6), 3)
        (flow,) = dice.choices(names, [FLOWS[name] for name in names])
        if flow == "poison" and dice.random() < 0.7:
            flow = "line"
        yield Act(at, "start", (flow, str(number)))

        def later(at: float = at) -> float:
            return round(at + dice.expovariate(0.5), 3)

        if flow in WAIT_FOR_WORDS:
            for word in range(dice.randint(0, 3)):
                yield Act(later(), "emit", (str(number), str(number * 10 + word)))
        if dice.random() < 0.15:
            yield Act(later(), "cancel", (str(number),))
        if flow == "broken" or dice.random() < 0.05:
            yield Act(later(), "retry", (str(number),))
        if flow == "delayed":
            yield Act(later(), "move", (str(number),))
        if flow == "keyed":
            yield Act(later(), "again", (str(number),))
    if dice.random() < 0.3:
        queue = dice.choice(QUEUES)
        at = round(dice.uniform(0, 5), 3)
        yield Act(at, "pause", (queue,))
        yield Act(round(at + dice.uniform(0.1, 3), 3), "resume", (queue,))
    if dice.random() < 0.3:
        yield Act(round(dice.uniform(3, ACTS_SECONDS), 3), "prune")
    if dice.random() < 0.2:
        yield Act(round(dice.uniform(0, 5), 3), "limit", (str(dice.randint(1, 3)),))


def _wrong(dice: Random, workers: int) -> Iterator[Act]:
    """What goes wrong: sometimes little, sometimes very much."""
    for _ in range(dice.choice([0, 1, 2, 3, 5, 8, 13])):
        at = round(dice.uniform(0, ACTS_SECONDS), 3)
        worker = str(dice.randint(1, workers))
        what, make = dice.choice(TROUBLES)
        yield Act(at, what, tuple(make(dice, worker)))


def _seconds(least: float, most: float) -> Callable[[Random, str], Iterable[str]]:
    return lambda dice, worker: (f"{dice.uniform(least, most):.2f}",)


def _worker_and(*words: str) -> Callable[[Random, str], Iterable[str]]:
    return lambda dice, worker: (worker, *([dice.choice(words)] if words else []))


TROUBLES: list[tuple[str, Callable[[Random, str], Iterable[str]]]] = [
    ("crash", _worker_and()),
    ("crash", _worker_and()),
    ("machine", _worker_and()),
    ("stop", _worker_and("0.50", "2.50", "4.50", "8.00")),
    ("starve", _worker_and("0.50", "2.50", "4.50")),
    ("hold", _worker_and("0.20", "1.00", "4.50")),
    ("call", _worker_and(*FAULTS)),
    ("call", _worker_and(*FAULTS)),
    ("call", _worker_and(*FAULTS)),
    ("call", lambda dice, worker: ("0", dice.choice(FAULTS))),
    ("rate", _worker_and("0.50", "0.75", "1.50", "2.00")),
    ("leap", _worker_and("1.00", "5.00", "60.00")),
    ("restart", _worker_and()),
    ("forward", _seconds(0.5, 20)),
    ("back", _seconds(0.1, 5)),
    ("deaf", _seconds(0.5, 6)),
    ("late", _seconds(1, 6)),
    ("outage", _seconds(0.2, 4)),
]


def smaller(script: Script, fails: Callable[[Script], bool], *, looks: int = 300) -> Script:
    """The same failure with fewer acts: halves are left out, then quarters, down to single ones."""
    size = max(1, len(script.acts) // 2)
    while looks > 0:
        left_out = False
        for start in range(0, len(script.acts), size):
            less = _without(script, start, size)
            looks -= 1
            if fails(less):
                script, left_out = less, True
                break
            if looks <= 0:
                return script
        if left_out:
            continue
        if size == 1:
            break
        size = max(1, size // 2)
    while script.workers > 1 and looks > 0:
        fewer = replace(script, workers=script.workers - 1)
        looks -= 1
        if not fails(fewer):
            break
        script = fewer
    return script


def _without(script: Script, start: int, size: int) -> Script:
    """Without these acts, and without those that belong to a start among them."""
    gone = script.acts[start : start + size]
    runs = {act.words[1] for act in gone if act.what == "start"}
    kept = [
        act
        for act in (*script.acts[:start], *script.acts[start + size :])
        if not (act.what in ("emit", "cancel", "retry", "move", "again") and act.words[0] in runs)
    ]
    return replace(script, acts=tuple(kept))
