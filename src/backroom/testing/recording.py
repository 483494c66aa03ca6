"""What happens in an execution, as it is shown to a person and to the author's own checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from backroom.flows.scope import FlowScope, StepScope, current
from backroom.records.runs import Claims
from backroom.store.verbs import (
    Again,
    Attention,
    Claim,
    Emit,
    HandBack,
    Park,
    Progress,
    SaveStep,
    SaveWaits,
    Settle,
    Verb,
)
from backroom.testing.faults import Call, Fault

__all__ = ["Effect", "Record", "did", "recording"]


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that was done to the world outside.

    where   the address of the step that did it; "" in a flow's own code, None outside of runs
    again   its key was known, so that whoever received it did nothing
    """

    what: str
    where: str | None
    key: str | None = None
    again: bool = False


@dataclass
class Record:
    """One execution, as far as it has come."""

    effects: list[Effect] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)  # of each step's body, by address
    lines: list[tuple[str, str]] = field(default_factory=list)  # (what it is about, in words)
    keys: set[str] = field(default_factory=set)

    def line(self, text: str, about: str = "") -> None:
        self.lines.append((about, text))

    def did(self, what: str, key: str | None) -> bool:
        scope = current.get()
        where = None
        if isinstance(scope, StepScope):
            where = scope.address
        elif isinstance(scope, FlowScope):
            where = ""
        again = key is not None and key in self.keys
        if key is not None:
            self.keys.add(key)
        self.effects.append(Effect(what, where, key, again))
        self.line(f"did {what}" + (", which its key showed to be known" if again else ""), what)
        return not again


_now: list[Record] = []


def did(what: str, *, key: str | None = None) -> bool:
    """Note that something was done to the world outside: a card charged, a mail sent.

    For the doubles that stand in for that world in tests. With a key it behaves like a receiver
    that knows what it has had: False the second time. Outside of a simulation it does nothing and
    answers True.
    """
    return _now[-1].did(what, key) if _now else True


class recording:
    """Within, `did` writes into this record."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def __enter__(self) -> Record:
        _now.append(self._record)
        return self._record

    def __exit__(self, *_: object) -> None:
        _now.pop()


# --- calls of the store in words


def told(call: Call, name_of: Callable[[str], str]) -> str:
    """What a process asked of the database, if a person would want to know."""
    return " and ".join(dict.fromkeys(filter(None, (_verb(v, call, name_of) for v in call.verbs))))


def _verb(verb: Verb, call: Call, name_of: Callable[[str], str]) -> str:
    match verb:
        case Claim():
            runs = [run for a in call.answers if isinstance(a, Claims) for run in a.runs]
            return ", ".join(f"took up {run.flow}, attempt {run.attempt}" for run in runs)
        case SaveStep(step=step) if step.kind == "undo":
            return f"registered the undo of {step.address.removeprefix('undo ')}"
        case SaveStep(step=step) if step.kind == "step":
            return f"kept {KEPT[step.state]} of {step.address}"
        case SaveStep(step=step):
            return f"kept {step.address}"
        case SaveWaits(waits=waits):
            return f"noted that it waits for {', '.join(row.address for row in waits)}"
        case Settle(state=state):
            return f"ended {name_of(verb.run_id)} as {state.value}"
        case Park(waits=waits):
            what = ", ".join(row.address for row in waits)
            return f"put {name_of(verb.run_id)} to sleep until {what}"
        case Again():
            return f"put {name_of(verb.run_id)} back for another attempt"
        case HandBack():
            return f"gave {name_of(verb.run_id)} back"
        case Attention():
            return f"set {name_of(verb.run_id)} aside for a person"
        case Progress():
            return "kept its progress"
        case Emit(name=name):
            return f"sent the event {name}"
        case _:
            return ""


KEPT = {"done": "the result", "failed": "the failure", "trying": "the failed try"}

FAULTS = {
    Fault.KILLED_BEFORE: "dies before it has stored this",
    Fault.KILLED_AFTER: "dies when this has just been stored",
    Fault.STALLED: "stands still for longer than its lease before it stores this",
    Fault.ERROR: "can't reach the database with this, and tries again",
    Fault.VANISHED: "loses this on its way to the database, and tries again",
    Fault.UNKNOWN: "loses the database's answer to this, and tries again",
}


def plain(value: Any) -> str:
    """A value in one short line."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
