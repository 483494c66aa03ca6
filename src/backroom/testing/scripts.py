"""Scripts: which troubles an execution has. It is text, so that it can be replayed.

after:3+twice:0     worker 1 dies when its third call has been stored, and the first event is
                    sent twice

before:N after:N    a worker dies at its Nth call: before, or when it has been stored
stall:N             it stands still for longer than its lease; then it sends that call
lost:N error:N      the answer to that call is lost; the call doesn't arrive
2.after:N           the same of the second worker, which takes over from the first
two:N               two workers from the outset; N decides who goes first, every time
early:N late:N      the Nth event is sent before anything begins, or when nothing else happens
twice:N swap:N      it is sent twice; it comes after the one behind it
timers:late         every timer is seen an hour after it was due
down:STEP half:STEP every call of that step fails: before, or when it has done its work
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from backroom.records.errors import Refused
from backroom.testing.faults import Fault, Plan

__all__ = ["Script", "Trouble", "parse", "plans", "random_scripts", "single_scripts", "spelt"]

CALLS = {
    "before": Fault.KILLED_BEFORE,
    "after": Fault.KILLED_AFTER,
    "stall": Fault.STALLED,
    "lost": Fault.UNKNOWN,
    "error": Fault.ERROR,
}
EVENTS = ("early", "late", "twice", "swap")
STEPS = ("down", "half")
RETOLD = {"late", "twice", "swap", "timers", *STEPS}  # may rightly lead to another end
INTERLEAVINGS = 4


@dataclass(frozen=True, slots=True)
class Trouble:
    kind: str
    what: str
    worker: int = 1

    @property
    def number(self) -> int:
        return int(self.what)

    def __str__(self) -> str:
        return f"{f'{self.worker}.' if self.worker > 1 else ''}{self.kind}:{self.what}"


Script = tuple[Trouble, ...]


def spelt(script: Script) -> str:
    return "+".join(str(trouble) for trouble in script) or "none"


def parse(text: str) -> Script:
    """The script that `spelt` has spelt."""
    return () if text == "none" else tuple(_trouble(word) for word in text.split("+"))


def _trouble(word: str) -> Trouble:
    who, dot, rest = word.partition(".")
    if not (dot and who.isdigit()):
        who, rest = "1", word
    kind, _, what = rest.partition(":")
    numbered = kind in CALLS or kind in EVENTS or kind == "two"
    if not what or not (kind in STEPS or kind == "timers" or (numbered and what.isdigit())):
        raise Refused(
            f"{word!r} is no trouble of a simulation. Use the seed as it was printed, for example "
            "after:3+twice:0."
        )
    return Trouble(kind, what, int(who))


def plans(script: Script, workers: int) -> list[Plan]:
    """What goes wrong for each worker, in the order in which they begin."""
    last = max([workers, *(t.worker for t in script)])
    return [
        Plan(
            {t.number: CALLS[t.kind] for t in script if t.kind in CALLS and t.worker == worker},
        )
        for worker in range(1, last + 1)
    ]


def single_scripts(calls: int, events: int, steps: Sequence[str], *, timers: bool) -> list[Script]:
    """One trouble each: everything that can go wrong once."""
    found = [Trouble(kind, str(n)) for n in range(1, calls + 1) for kind in ("before", "after")]
    found += [Trouble("two", str(n)) for n in range(INTERLEAVINGS)]
    found += [Trouble("stall", str(n)) for n in range(2, calls + 1)]
    for n in range(events):
        found += [Trouble(kind, str(n)) for kind in EVENTS if kind != "swap" or n + 1 < events]
    if timers:
        found.append(Trouble("timers", "late"))
    found += [Trouble(kind, address) for address in steps for kind in STEPS]
    return [(trouble,) for trouble in found]


def random_scripts(singles: Sequence[Script], plays: int, dice: Random) -> Iterable[Script]:
    """Several troubles each, over several workers' lives."""
    if not singles:
        return
    for _ in range(plays):
        chosen: dict[str, Trouble] = {}
        for _trouble_number in range(dice.randint(2, 4)):
            (trouble,) = dice.choice(singles)
            if trouble.kind in CALLS:
                kind = dice.choice([trouble.kind, trouble.kind, "lost", "error"])
                trouble = Trouble(kind, trouble.what, dice.randint(1, 3))
            chosen.setdefault(f"{trouble.worker}.{trouble.kind}.{trouble.what}", trouble)
        yield tuple(chosen.values())


def shorter(script: Script) -> Iterable[Script]:
    """The same with one trouble less."""
    for place in range(len(script)):
        yield (*script[:place], *script[place + 1 :])
