"""`simulate`: an author's flow with everything going wrong that can, one after another.

First the flow is performed without faults, and it is counted where something could go wrong. Then
it is performed again and again with a fault at each of these places, then with several at once. The
database is a private one, time is moved, and nothing waits (`cluster.py`), so an execution takes a
few milliseconds and goes the same way every time. The first one that breaks something is made
smaller until nothing can be left out, and told as a story.
"""

from __future__ import annotations

import asyncio
import random
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from inspect import iscoroutinefunction
from random import Random
from typing import Any

from backroom.app.backroom import Backroom
from backroom.flows.failures import read
from backroom.flows.flow import AsyncFlow, Flow, Prepared
from backroom.flows.handles import Run
from backroom.records.errors import BackroomError, Refused
from backroom.records.runs import RunRow
from backroom.records.states import FINAL, State
from backroom.store.sqlite.store import SqliteStore
from backroom.testing import replaying
from backroom.testing.cluster import ALIVE, Cluster, Process, Stuck, quietly
from backroom.testing.databases import Files, private_files
from backroom.testing.faults import Call, Plan
from backroom.testing.recording import FAULTS, Effect, Record, plain, recording, told
from backroom.testing.scripts import (
    RETOLD,
    STEPS,
    Script,
    parse,
    plans,
    random_scripts,
    shorter,
    single_scripts,
    spelt,
)

__all__ = ["Simulated", "Simulation", "SimulationFailed", "simulate"]

PLAYS = 20
LATE_SECONDS = 3600.0
REHEARSALS = (1, 2, 3)  # further executions without faults, with other draws of chance
WAYS = 40  # of events and lives in one execution; more would be a loop

Event = str | tuple[str, Any]
Check = Callable[["Simulated"], None]


@dataclass
class Simulated:
    """One execution, when it is over: what an author's `check` looks at."""

    state: State
    result: Any  # as the flow returned it; None unless it succeeded
    error: str  # why not, in words
    effects: list[Effect]
    calls: dict[str, int]  # how often each step's body was called, by address
    stage: Any  # what `setup` returned
    seed: str
    story: list[str]  # what happened, line by line, as a failure tells it

    def done(self, what: str) -> int:
        """How often this was done to the world outside, as `did` noted."""
        return sum(effect.what == what and not effect.again for effect in self.effects)


@dataclass
class Simulation:
    """What `simulate` has found: nothing, else it would have raised."""

    executions: int
    calls: int  # of the store by the one without faults: the places where it could be cut off
    clean: Simulated
    seeds: list[str] = field(default_factory=list)


class SimulationFailed(AssertionError):
    """An execution broke something. `seed` replays it; `broken` says what, in one line."""

    def __init__(self, message: str, *, seed: str, broken: str) -> None:
        super().__init__(message)
        self.seed = seed
        self.broken = broken


class _Broken(Exception):
    """What an execution broke, and what to do about it."""

    def __init__(self, what: str, remedy: str, marks: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.marks = marks  # lines about this are pointed at


def simulate(
    flow: AsyncFlow[..., Any] | Flow[..., Any] | Prepared[Any],
    /,
    *args: Any,
    events: Sequence[Event] = (),
    check: Check | None = None,
    setup: Callable[[], Any] | None = None,
    failing_steps: bool = False,
    workers: int = 1,
    plays: int | None = None,
    seed: str | None = None,
) -> Simulation:
    """Perform a flow with every fault at every place; raise `SimulationFailed` if that breaks it.

    flow, args     the flow and its arguments; or `flow.prepare(...)`, for arguments by name
    events         what is emitted to the run: names, or (name, payload). Each is sent once the run
                   waits
    check          the author's own conditions: asserts about a `Simulated`, after each execution
    setup          called before each execution: makes the doubles of the world outside anew. What
                   it returns is `Simulated.stage`
    failing_steps  also let each step fail for good, before and after its work; then `check` should
                   know what a failed run must leave behind
    workers        how many workers there are from the outset; a dead one is always replaced
    plays          executions with several faults at once; default 20, or --backroom-plays
    seed           only this execution, as a failure printed it; or --backroom-seed

    Without a `check` a flow is sound if every execution comes to the end that it has without
    faults, and does to the world outside (`did`) what it does without faults, no more and no less.
    Where a fault may rightly change the end (a late event, a failing step) it must still do
    nothing twice.
    """
    prepared = flow if isinstance(flow, Prepared) else flow.prepare(*args)
    app = prepared.spec.app
    if not isinstance(app, Backroom):
        raise Refused("simulate takes a flow that was declared with @app.flow.")
    rehearsal = partial(
        _simulate,
        _Stage(app, prepared, events, check, setup, failing_steps, workers),
        PLAYS if plays is None else plays,
        seed,
    )
    return rehearsal() if asyncio._get_running_loop() is None else _beside(rehearsal)


def _beside(work: Callable[[], Simulation]) -> Simulation:
    """In a thread of its own: the caller's has a loop running."""
    outcome: list[Any] = []

    def body() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=body, name="backroom-simulation")
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    found: Simulation = outcome[0]
    return found


def _simulate(stage: _Stage, plays: int, seed: str | None) -> Simulation:
    seed = seed or replaying.seed
    plays = replaying.plays if replaying.plays is not None else plays
    with private_files() as files:
        clean, record, calls = stage.rehearse(files)
        found = Simulation(1, calls, clean)
        if seed is not None:
            scripts = [parse(seed)]
        else:
            steps = sorted(record.calls) if stage.failing_steps else []
            scripts = single_scripts(
                calls, len(stage.events), steps, timers=stage.has_timers
            )  # fmt: skip
            dice = Random(zlib.crc32(stage.prepared.spec.name.encode()))  # noqa: S311
            scripts = [*scripts, *random_scripts(scripts, plays, dice)]
        for script in scripts:
            broken = stage.broken_by(script, files)
            found.executions += 1
            found.seeds.append(spelt(script))
            if broken is not None:
                if seed is None:
                    script, broken = stage.shrink(script, broken, files)
                raise stage.failure(script, broken, found.executions)
    return found


class _Stage:
    """What is performed, how often soever."""

    def __init__(
        self,
        app: Backroom,
        prepared: Prepared[Any],
        events: Sequence[Event],
        check: Check | None,
        setup: Callable[[], Any] | None,
        failing_steps: bool,
        workers: int,
    ) -> None:
        self.app = app
        self.prepared = prepared
        self.events = [e if isinstance(e, tuple) else (e, None) for e in events]
        self.check = check
        self.setup = setup
        self.failing_steps = failing_steps
        self.workers = workers
        self.has_timers = False
        self.clean: Simulated | None = None
        self.comparable = True  # whether it returns the same whatever chance and clocks say
        self.told: list[tuple[str, str]] = []

    def rehearse(self, files: Files) -> tuple[Simulated, Record, int]:
        """The execution without faults: what the others are measured by."""
        execution = _Execution(self, (), files.fresh())
        try:
            clean = execution.perform()
            if self.check is not None:
                self.check(clean)
            others = [_Execution(self, (), files.fresh()).perform(chance) for chance in REHEARSALS]
        except (_Broken, Stuck, AssertionError) as error:
            self.told = execution.record.lines
            raise self.failure((), _as_broken(error), 1) from error
        self.clean = clean
        self.comparable = all(other.result == clean.result for other in others)
        self.has_timers = execution.slept
        return clean, execution.record, execution.calls

    def broken_by(self, script: Script, files: Files) -> _Broken | None:
        execution = _Execution(self, script, files.fresh())
        try:
            seen = execution.perform()
            self._compare(seen, script)
            if self.check is not None:
                self.check(seen)
        except (_Broken, AssertionError) as error:
            self.told = execution.record.lines
            return _as_broken(error)
        return None

    def shrink(self, script: Script, broken: _Broken, files: Files) -> tuple[Script, _Broken]:
        """Leave out what can be left out."""
        kept = self.told
        smaller = True
        while smaller and len(script) > 1:
            smaller = False
            for less in shorter(script):
                found = self.broken_by(less, files)
                if found is not None:
                    script, broken, kept, smaller = less, found, self.told, True
                    break
        self.told = kept
        return script, broken

    def _compare(self, seen: Simulated, script: Script) -> None:
        """With the execution without faults."""
        clean = self.clean
        assert clean is not None
        retold = any(trouble.kind in RETOLD for trouble in script)
        for what in dict.fromkeys(effect.what for effect in seen.effects):
            times, expected = seen.done(what), clean.done(what)
            if times > max(expected, 1 if retold else expected):
                raise _twice(what, times, expected, seen.effects)
        if retold:
            return
        if seen.state is not clean.state or (self.comparable and seen.result != clean.result):
            raise _other_end(seen, clean)
        for what in dict.fromkeys(effect.what for effect in clean.effects):
            if seen.done(what) < clean.done(what):
                raise _Broken(
                    f"{what!r} was done {_times(seen.done(what))}, without faults "
                    f"{_times(clean.done(what))}.",
                    "What a flow does to the world outside belongs in a step: then it is done in "
                    "whichever attempt comes by first.",
                )

    def failure(self, script: Script, broken: _Broken, executions: int) -> SimulationFailed:
        name = self.prepared.spec.name
        story = "\n".join(self._story(broken.marks))
        where = f"--backroom-seed={spelt(script)}"
        count = f"{len(script)} fault{'' if len(script) == 1 else 's'}"
        found = f"found in execution {executions}" if script else "without any fault"
        message = (
            f"{name}: {broken.what}\n\n{story}\n\n{broken.remedy}\n\n"
            f"Replay it with pytest {where} ({count}, {found})."
        )
        return SimulationFailed(message, seed=spelt(script), broken=broken.what)

    def _story(self, marks: str) -> list[str]:
        told = [
            f"{n:4}  {text}{'   <──' if marks and about == marks else ''}"
            for n, (about, text) in enumerate(self.told, 1)
        ]
        if len(told) > 60:
            told = [*told[:20], f"      … {len(told) - 50} lines left out …", *told[-30:]]
        return told


class _Execution:
    """One performance of the flow, with the troubles of one script."""

    def __init__(self, stage: _Stage, script: Script, database: str) -> None:
        self._stage = stage
        self._script = script
        self._database = database
        self.record = Record()
        self.calls = 0
        self.slept = False
        self._kinds = {trouble.kind for trouble in script}
        self._plans = iter(plans(script, stage.workers))
        self._workers = 2 if "two" in self._kinds else stage.workers
        self._names: dict[str, str] = {}

    def perform(self, chance: int = 0) -> Simulated:
        before = random.getstate()
        # The author's own draws too are the same each time.
        random.seed(zlib.crc32(spelt(self._script).encode()) + chance)
        dice = next((Random(t.number) for t in self._script if t.kind == "two"), None)  # noqa: S311
        made = self._stage.setup() if self._stage.setup is not None else None
        cluster = Cluster(self._stage.app, SqliteStore(self._database), dice=dice)
        cluster.on_call = self._note
        cluster.body = self._body
        cluster.late_seconds = LATE_SECONDS if "timers" in self._kinds else 0.0
        try:
            with quietly(), recording(self.record), cluster.outside():
                row = self._play(cluster)
                self.slept = cluster.jumps > 0
                self._left_aside(cluster, row)
                return self._seen(row, made)
        finally:
            cluster.close()
            random.setstate(before)

    def _play(self, cluster: Cluster) -> RunRow:
        prepared = self._stage.prepared
        new = replace(prepared.new, id=cluster.new_id())
        run: Run[Any]
        (run,) = self._stage.app.start_many([Prepared(prepared.spec, new)])
        self._names[run.id] = new.flow
        waiting = self._events()
        for event, kind in [each for each in waiting if each[1] == "early"]:
            self._emit(run, event)
            waiting.remove((event, kind))
        for _way in range(WAYS + len(waiting)):
            while len(cluster.living()) < self._workers:
                cluster.begin(next(self._plans, Plan()))
            over = cluster.run(partial(self._pauses, cluster, run, waiting))
            row = _row(cluster, run)
            if row.state in FINAL:
                cluster.run(lambda: not cluster.reader.runs(states=ALIVE, limit=1))
                return _row(cluster, run)
            if row.state is State.NEEDS_ATTENTION:
                raise _set_aside(row)
            if len(cluster.living()) < self._workers:
                continue
            if not waiting:
                raise self._in_vain(cluster, run, over=over)
            self._emit(run, waiting.pop(0)[0])
        raise self._in_vain(cluster, run, over=False)

    def _pauses(
        self, cluster: Cluster, run: Run[Any], waiting: Sequence[tuple[tuple[str, Any], str]]
    ) -> bool:
        """Whether the outside has something to do: it sends the next event once the run waits."""
        row = _row(cluster, run)
        if row.state in FINAL or row.state is State.NEEDS_ATTENTION:
            return True
        if len(cluster.living()) < self._workers:
            return True
        return bool(waiting) and waiting[0][1] != "late" and row.state is State.WAITING

    def _events(self) -> list[tuple[tuple[str, Any], str]]:
        """In the order in which they are sent, each with how."""
        listed = list(enumerate(self._stage.events))
        for trouble in self._script:
            if trouble.kind == "swap" and trouble.number + 1 < len(listed):
                n = trouble.number
                listed[n], listed[n + 1] = listed[n + 1], listed[n]
        found = []
        for number, event in listed:
            how = {t.kind for t in self._script if t.what == str(number)}
            kind = "early" if "early" in how else "late" if "late" in how else "once it waits"
            found += [(event, kind)] * (2 if "twice" in how else 1)
        return found

    def _emit(self, run: Run[Any], event: tuple[str, Any]) -> None:
        name, payload = event
        self.record.line(f"the world outside sends the event {name}: {plain(payload)}")
        try:
            run.emit(name, payload).wait()
        except BackroomError as refused:  # the run has ended meanwhile: so it would in production
            self.record.line(f"which is refused: {refused}")

    def _in_vain(self, cluster: Cluster, run: Run[Any], *, over: bool) -> _Broken:
        waits = ", ".join(row.address for row in cluster.reader.waits(run.id)) or "nothing"
        return _Broken(
            f"it doesn't come to its end; it is {_row(cluster, run).state.value} and waits for "
            f"{waits}.",
            "Give the events that it waits for: simulate(..., events=[(name, payload)]). If they "
            "are given, an event was taken where it doesn't belong to.",
        )

    def _left_aside(self, cluster: Cluster, row: RunRow) -> None:
        """What is kept at addresses by which the last attempt hasn't come: it went another way."""
        if row.state is not State.SUCCEEDED:
            return
        asked = cluster.asked.get((row.id, row.attempt), set())
        for step in cluster.reader.steps(row.id):
            if step.kind == "step" and step.address not in asked:
                raise _Broken(
                    f"an earlier attempt has kept {step.address}, and the last one didn't come by "
                    "it: it went another way.",
                    DECIDES,
                    step.address,
                )

    # --- what is seen

    def _note(self, process: Process, call: Call) -> None:
        if process.name == "worker 1":
            self.calls = call.number
        for verb in call.verbs:
            for new in getattr(verb, "starts", ()):
                self._names[new.id] = new.flow
        text = told(call, lambda run_id: self._names.get(run_id, "another run"))
        if text and process.name != "client":
            fault = FAULTS.get(call.fault)
            line = f"✕ {process.name} {fault}: {text}" if fault else f"{process.name} {text}"
            self.record.line(line)

    def _body(
        self, process: Process, run_id: str, address: str, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        own = run_id == next(iter(self._names))
        shown = address if own else f"{address} of {self._names.get(run_id, 'another run')}"
        kinds = {t.kind for t in self._script if t.kind in STEPS and t.what == shown}

        def begin() -> None:
            self.record.calls[shown] += 1
            self.record.line(f"{process.name} called {shown}", shown)
            if "down" in kinds:
                self.record.line(f"✕ {shown} fails before it has done anything")
                raise ConnectionError(f"The simulation let {shown} fail.")

        def end() -> None:
            if "half" in kinds:
                self.record.line(f"✕ {shown} fails when it has done its work")
                raise ConnectionError(f"The simulation let {shown} fail after its work.")

        if iscoroutinefunction(function):

            @wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                begin()
                value = await function(*args, **kwargs)
                end()
                return value

            return wrapped

        @wraps(function)
        def plainly(*args: Any, **kwargs: Any) -> Any:
            begin()
            value = function(*args, **kwargs)
            end()
            return value

        return plainly

    def _seen(self, row: RunRow, made: Any) -> Simulated:
        good = row.state is State.SUCCEEDED
        codec = self._stage.prepared.spec.signature.output
        error = read(row.error)
        return Simulated(
            row.state,
            codec.decode(row.result or "null") if good else None,
            "" if good else f"{error['kind']}: {error['message']}",
            list(self.record.effects),
            dict(self.record.calls),
            made,
            spelt(self._script),
            [text for _about, text in self.record.lines],
        )


def _row(cluster: Cluster, run: Run[Any]) -> RunRow:
    row = cluster.reader.run(run.id)
    assert row is not None, "the run is lost"
    return row


# --- what is broken, and what helps


def _as_broken(error: Exception) -> _Broken:
    if isinstance(error, _Broken):
        return error
    if isinstance(error, Stuck):
        return _Broken(str(error), "Something in it waits for real: a lock, a socket, a process.")
    text = str(error) or "a condition of yours doesn't hold (an assert without a message)"
    return _Broken(f"check failed: {text}", "The condition is your own; the story is above.")


def _twice(what: str, times: int, expected: int, effects: Sequence[Effect]) -> _Broken:
    done = [effect for effect in effects if effect.what == what and not effect.again]
    if any(effect.where == "" for effect in done):
        remedy = (
            "It was done in the flow's own code, which runs again from its first line in every "
            "attempt. Move it into a step, whose result is kept."
        )
    else:
        where = done[-1].where or "the step"
        remedy = (
            f"{where} is called again when its worker dies before its result is kept, or when it "
            "is tried again: nobody can know whether it had done its work. Give whoever does the "
            "work the step's key, current_run().step_key: it is the same on every call, so that "
            "the second one changes nothing. What goes into your own database is done once in a "
            "transaction step, @step(transaction=True)."
        )
    often = f"without faults {_times(expected)}" if expected else "without faults never"
    return _Broken(f"{what!r} was done {_times(times)}, {often}.", remedy, what)


def _times(number: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


DECIDES = (
    "Between its steps a flow must go the same way in every attempt. A random number, a clock, an "
    "environment or a queue that it looks at itself gives another answer the next time: look at "
    "them in a step, whose result is kept."
)


def _set_aside(row: RunRow) -> _Broken:
    error = read(row.error)
    if error["kind"] == "UndoFailed":
        return _Broken(f"its undo failed: {error['message']}", "An undo must come through.")
    return _Broken(f"it was set aside for a person. {error['message']}", DECIDES)


def _other_end(seen: Simulated, clean: Simulated) -> _Broken:
    def told(which: Simulated) -> str:
        if which.state is State.SUCCEEDED:
            return f"with {plain(which.result)}"
        return f"as {which.state.value} ({which.error})"

    return _Broken(f"it ended {told(seen)}, without faults {told(clean)}.", DECIDES)
