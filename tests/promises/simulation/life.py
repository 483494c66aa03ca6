"""One life of a cluster, played from a script.

Each tick somebody gets a turn, or a moment passes. What the script asks for happens at its time.
When the script is over all that is broken is mended, and then everything has to come to its end.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import wraps
from inspect import iscoroutinefunction
from random import Random
from typing import Any

from backroom import Run, current_run
from backroom.records.errors import BackroomError, StoreUnavailable
from backroom.records.runs import Claims
from backroom.records.states import State
from backroom.store.sqlite.store import SqliteStore
from backroom.store.verbs import Register, Renew, Retire, Verb
from backroom.testing.cluster import LEASE_SECONDS, Cluster, Process, quietly
from backroom.testing.databases import Files
from backroom.testing.faults import Call, Died, Fault, Plan
from backroom.testing.recording import told
from tests.promises.simulation import flows
from tests.promises.simulation.flows import EXPECTED, Exploded, Town, app, world
from tests.promises.simulation.oracle import Oracle, Violation
from tests.promises.simulation.script import Script

__all__ = ["Life", "play", "violation"]

FAULTS = {
    "error": Fault.ERROR,
    "unknown": Fault.UNKNOWN,
    "vanished": Fault.VANISHED,
    "before": Fault.KILLED_BEFORE,
    "after": Fault.KILLED_AFTER,
}
RENEWALS_SECONDS = LEASE_SECONDS / 3
STEP_SECONDS = 0.3  # at most, that pass while somebody could go on
PASSES = 0.1  # how likely a moment passes although somebody could go on
HEALING_SECONDS = 120.0  # by then everything has to be over
TICKS = 60_000
LEASE_US = int(LEASE_SECONDS * 1_000_000)


class Killed(Died, SystemExit):
    """A body has killed its process. A SystemExit leaves an event loop at once."""


def violation(script: Script, files: Files) -> Violation | None:
    """What a script breaks."""
    try:
        play(script, files)
    except Violation as found:
        return found
    return None


def play(script: Script, files: Files) -> list[str]:
    """Play a script to its end; what happened, line by line. Raises Violation, which carries the
    same as its notes."""
    path = files.fresh()
    with closing(sqlite3.connect(path, isolation_level=None)) as rows:
        rows.execute("CREATE TABLE ledger (n INTEGER)")
        before = random.getstate()
        random.seed(script.dice)
        life = Life(script, path, rows)
        try:
            with quietly():
                life.play()
        except Violation as found:
            found.add_note("\n".join(life.story[-60:]))
            raise
        finally:
            life.close()
            random.setstate(before)
        return life.story


class Place:
    """Where a worker stands: workers come and go, the place stays."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.rate = 1.0  # of the next one's clock
        self.is_back_at = 0.0
        self.stopped_until = 0.0
        self.is_renewed = True  # while it is stopped
        self.held_until = 0.0
        self.goes = False  # it was asked to stop


class Life:
    def __init__(self, script: Script, path: str, rows: sqlite3.Connection) -> None:
        self._script = script
        self._acts = list(script.acts)
        self._dice = Random(script.dice)
        self.town = flows.now.town = Town()
        self.story: list[str] = []
        self._oracle = Oracle(rows)
        self.town.enters = lambda: self._watched(lambda: self._oracle.entered(self.town.in_section))
        self.cluster = Cluster(app, SqliteStore(path), dice=self._dice, renews=False)
        self.cluster.on_call = self._note
        self.cluster.on_commit = self._committed
        self.cluster.body = self._body
        self.cluster.hears = lambda process: self._at >= self._deaf_until
        self._session = self.cluster.session
        self.cluster.session = _Reachable(self)
        world.new = self.cluster.new_id
        self._began = self.cluster.now
        self._places = [Place() for _ in range(script.workers)]
        self._runs: dict[str, Run[Any]] = {}  # by the number in the script
        self._flows: dict[str, str] = {}
        self._names: dict[str, str] = {}  # by id
        self._results: list[tuple[str, Any]] = []
        self._deaf_until = self._late_until = self._outage_until = 0.0
        self._renews_at = 0.0
        self._entered: set[str] = set()  # workers that have a lease, as far as is known
        self._healing = False
        self._news = True
        self._found: Violation | None = None
        self._restarts = 0
        self._former: list[Process] = []  # callers that have died

    @property
    def _at(self) -> float:
        """Seconds since the beginning."""
        return self.cluster.now - self._began

    def close(self) -> None:
        self.cluster.session = self._session
        self._outage_until = 0.0
        for process in self._former:
            process.close()
        self.cluster.close()

    def play(self) -> None:
        for tick in range(TICKS):
            self._act_what_is_due()
            self._tend()
            self._tick()
            if self._found is not None:
                raise self._found
            if self._news:
                self._news = False
                self._look()
            if self._healing and tick % 4 == 0 and self._is_over():
                return self._check_end()
            if not self._acts and not self._healing and self._at >= self._troubled_until():
                self._heal()
            if self._healing and self._at > self._healed_at + HEALING_SECONDS:
                break
        raise Violation(f"stuck: {self._alive()}")

    # --- ticks

    def _tick(self) -> None:
        dice = self._dice
        if dice.random() >= PASSES and self.cluster.step():
            return
        ahead = [act.at + self._began for act in self._acts[:1]]
        ahead += [at for process in self.cluster.living() if (at := process.next_timer())]
        ahead += [self._began + self._renews_at]
        ahead += [self._began + at for at in self._ends_of_troubles() if at > self._at]
        wait = max(0.0, min(ahead) - self.cluster.now) + 1e-6
        self.cluster.pass_time(min(wait, dice.uniform(0, STEP_SECONDS)) if wait > 0.01 else wait)

    def _ends_of_troubles(self) -> list[float]:
        places = [(p.stopped_until, p.held_until, p.is_back_at) for p in self._places]
        return [
            *(at for times in places for at in times),
            self._deaf_until, self._late_until, self._outage_until,
        ]  # fmt: skip

    def _troubled_until(self) -> float:
        return max(self._ends_of_troubles())

    def _tend(self) -> None:
        """What supervisors do: start, renew, replace."""
        for place in self._places:
            process = place.process
            if process is not None and process.is_over():
                place.process = process = None
                place.goes = False
                place.stopped_until = place.held_until = 0.0
                place.is_back_at = self._at + self._dice.uniform(0, 1)
            if process is None:
                if self._at >= place.is_back_at:
                    self._begin(place)
                continue
            if process.stalled and self._at >= place.stopped_until:
                process.stalled = False
                self._told("goes on", process)
            process.holds_back = self._at < place.held_until
        if self._at >= self._renews_at:
            self._renews_at = self._at + RENEWALS_SECONDS
            self._renew()

    def _begin(self, place: Place) -> None:
        plan = Plan(counts_all=True)
        place.process = self.cluster.begin(plan, rate=place.rate)
        place.rate = 1.0

    def _renew(self) -> None:
        if self._at < self._late_until:
            return
        renewed = {
            place.process.worker.id: place
            for place in self._places
            if place.process is not None
            and place.process.worker is not None
            and place.process.worker.id in self._entered
            and not place.process.is_over()
            and (not place.process.stalled or place.is_renewed)
        }
        try:
            (alive,) = self.cluster.session.apply([Renew(tuple(renewed), LEASE_US)])
        except StoreUnavailable:
            return
        assert isinstance(alive, frozenset)
        for number, (worker_id, place) in enumerate(renewed.items()):
            process = place.process
            assert process is not None
            assert process.worker is not None
            if worker_id in alive:
                process.worker.renewed(process.clock())
                continue
            self._entered.discard(worker_id)
            if number % 2:  # it looks after its lease itself
                self._told("missed its lease", process)
                process.worker.lease_lost()
            else:
                self._told("is killed by its supervisor, since it missed its lease", process)
                self.cluster.died(process)

    # --- what the script says

    def _act_what_is_due(self) -> None:
        while self._acts and self._acts[0].at <= self._at:
            act = self._acts.pop(0)
            self.story.append(f"{self._at:8.3f}  ✱ {' '.join([act.what, *act.words])}")
            getattr(self, f"_act_{act.what}")(*act.words)
            self._news = True

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """A caller asks; None if it doesn't hear of an answer."""
        try:
            with self.cluster.outside():
                return ask()
        except Died:
            self._former.append(self.cluster.client)
            self.cluster.client = Process(self.cluster, "client", Plan(), works=False)
        except BackroomError as refused:
            self.story.append(f"          refused: {refused}")
        return None

    def _act_start(self, flow: str, number: str) -> None:
        self._flows[number] = flow
        n = int(number)
        handle: Any = getattr(flows, flow)
        if flow == "shared":
            args: tuple[Any, ...] = (n, str(n % 2))
        else:
            args = (number,) if flow == "keyed" else (n,)
        if flow == "delayed":
            handle = handle.using(delay=5)
        run = self._asked(lambda: handle.start(*args))
        if run is not None:
            self._accepted(number, run)

    def _accepted(self, number: str, run: Run[Any]) -> None:
        self._runs[number] = run
        self._oracle.accepted.add(run.id)
        ended = self.cluster.client.office.ended(run.id)
        self._results.append((number, (ended, self.cluster.client)))

    def _act_again(self, number: str) -> None:
        """Whoever wasn't answered asks again."""
        known = self._runs.get(number)
        run = self._asked(lambda: flows.keyed.start(number))
        if run is None:
            return
        if known is not None and known.id != run.id and not self._oracle.pruned:
            raise Violation(f"the key {number} has two runs")
        if known is None:
            self._flows[number] = "keyed"
            self._accepted(number, run)

    def _act_emit(self, number: str, word: str) -> None:
        if run := self._runs.get(number):
            self._emit(run, word)

    def _emit(self, run: Run[Any], word: str) -> None:
        def emit() -> bool:
            run.emit("word", int(word)).wait()
            return True

        if self._asked(emit):
            self._oracle.events.add(f"{run.id} {word}")

    def _act_cancel(self, number: str) -> None:
        if run := self._runs.get(number):
            self._asked(lambda: run.cancel("no more").wait())

    def _act_retry(self, number: str) -> None:
        self.town.mended = True
        if run := self._runs.get(number):
            self._asked(lambda: run.retry().wait())

    def _act_move(self, number: str) -> None:
        if run := self._runs.get(number):
            self._asked(lambda: run.reschedule(delay=1).wait())

    def _act_pause(self, queue: str) -> None:
        self._asked(lambda: app.pause(queue).wait())

    def _act_resume(self, queue: str) -> None:
        self._asked(lambda: app.resume(queue).wait())

    def _act_prune(self) -> None:
        self._oracle.pruned = True
        self._asked(lambda: app.prune(older_than=1).wait())

    def _act_limit(self, concurrency: str) -> None:
        self._oracle.narrow_limits.add(int(concurrency))
        self._asked(lambda: app.limit("narrow", concurrency=int(concurrency), by="ann").wait())

    def _standing(self, worker: str) -> Place | None:
        place = self._places[(int(worker) - 1) % len(self._places)]
        return place if place.process is not None else None

    def _act_crash(self, worker: str, *, seen: bool = True) -> None:
        if place := self._standing(worker):
            process = place.process
            assert process is not None
            assert process.worker is not None
            self.cluster.died(process)
            if seen:
                with suppress(StoreUnavailable):
                    retire = Retire(process.worker.id, lost=not place.goes)
                    self._committed(process, [retire], self.cluster.session.apply([retire]))
                self.cluster.ring()

    def _act_machine(self, worker: str) -> None:
        self._act_crash(worker, seen=False)

    def _act_stop(self, worker: str, seconds: str, *, renewed: bool = False) -> None:
        if place := self._standing(worker):
            assert place.process is not None
            place.process.stalled = True
            place.is_renewed = renewed
            place.stopped_until = self._at + float(seconds)

    def _act_starve(self, worker: str, seconds: str) -> None:
        self._act_stop(worker, seconds, renewed=True)

    def _act_hold(self, worker: str, seconds: str) -> None:
        if place := self._standing(worker):
            place.held_until = self._at + float(seconds)

    def _act_call(self, worker: str, fault: str) -> None:
        place = self._standing(worker) if worker != "0" else None
        process = self.cluster.client if worker == "0" else place.process if place else None
        if process is not None:
            process.plan.faults = {process.plan.calls + 1: FAULTS[fault]}

    def _act_rate(self, worker: str, rate: str) -> None:
        self._places[(int(worker) - 1) % len(self._places)].rate = float(rate)

    def _act_leap(self, worker: str, seconds: str) -> None:
        if place := self._standing(worker):
            assert place.process is not None
            place.process.ahead += float(seconds)

    def _act_restart(self, worker: str) -> None:
        if place := self._standing(worker):
            assert place.process is not None
            assert place.process.worker is not None
            place.goes = True
            self._restarts += 1
            place.process.worker.stop()

    def _act_forward(self, seconds: str) -> None:
        self.cluster.store.move_clock(round(float(seconds) * 1_000_000))

    def _act_back(self, seconds: str) -> None:
        self.cluster.store.move_clock(-round(float(seconds) * 1_000_000))

    def _act_deaf(self, seconds: str) -> None:
        self._deaf_until = self._at + float(seconds)

    def _act_late(self, seconds: str) -> None:
        self._late_until = self._at + float(seconds)

    def _act_outage(self, seconds: str) -> None:
        self._outage_until = self._at + float(seconds)

    # --- what is seen

    def _committed(
        self, process: Process, verbs: Sequence[Verb], answers: Sequence[object]
    ) -> None:
        for verb, answer in zip(verbs, answers, strict=True):
            if isinstance(verb, Register):
                self._entered.add(verb.worker.id)
            elif isinstance(answer, Claims):
                self._news = self._news or bool(answer.runs)
            elif not isinstance(verb, Renew) and answer != ():
                self._news = True
        self._watched(lambda: self._oracle.committed(verbs, answers))

    def _watched(self, look: Callable[[], None]) -> None:
        """What the oracle finds while others have the turn is raised when they have ended it."""
        try:
            look()
        except Violation as found:
            self._found = self._found or found

    def _note(self, process: Process, call: Call) -> None:
        for verb in call.verbs:
            for new in getattr(verb, "starts", ()):
                self._names[new.id] = new.flow
            new = getattr(verb, "run", None)
            if new is not None:
                self._names[new.id] = new.flow
        text = told(call, lambda run_id: self._names.get(run_id, "a run"))
        if call.fault is not Fault.NONE:
            text = f"{text or [type(verb).__name__ for verb in call.verbs]} ({call.fault.value})"
        if text:
            self._told(text, process)

    def _told(self, text: str, process: Process) -> None:
        self.story.append(f"{self._at:8.3f}  {process.name} {text}")

    def _body(
        self, process: Process, run_id: str, address: str, function: Callable[..., Any]
    ) -> Callable[..., Any]:
        def begin() -> None:
            run = current_run()
            self._watched(lambda: self._oracle.begins(run.flow, run_id, run.attempt, address))

        if iscoroutinefunction(function):

            @wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                begin()
                try:
                    return await function(*args, **kwargs)
                except Exploded:
                    self._told("is killed by a body", process)
                    self.cluster.died(process)
                    raise Killed from None

            return wrapped

        @wraps(function)
        def plainly(*args: Any, **kwargs: Any) -> Any:
            begin()
            return function(*args, **kwargs)

        return plainly

    def _look(self) -> None:
        reader = self.cluster.reader
        self._oracle.look(reader.queues(), reader.now())

    # --- the end

    def _heal(self) -> None:
        """Mend all that is broken. What has to come from outside still comes."""
        self._healing = True
        self._healed_at = self._at
        self.story.append(f"{self._at:8.3f}  ✱ everything is mended")
        self.town.mended = True
        for process in (self.cluster.client, *self.cluster.processes):
            process.plan.faults = {}
        for name, flow in self._flows.items():
            if name not in self._runs and flow == "keyed":
                self._act_again(name)
        for queue in {act.words[0]: 0 for act in self._script.acts if act.what == "pause"}:
            self._act_resume(queue)
        self._news = True

    def _is_over(self) -> bool:
        """Whether all runs have ended. Who waits for a word gets one; who was set aside goes on."""
        alive = self._oracle.all("SELECT id, flow, state FROM backroom_live")
        for run_id, flow, state in alive:
            if state == "needs_attention":
                self._set_aside(run_id, flow)
            elif state == "waiting":
                waits = "SELECT count(*) FROM backroom_wait WHERE run_id = ? AND kind = 'event'"
                if self._oracle.one(waits, run_id):
                    self._emit(app.run(run_id), str(1000 + len(self._oracle.events)))
        if alive:
            return False
        left = {row.id for row in self.cluster.reader.workers()}
        if left - {p.worker.id for p in self.cluster.living() if p.worker is not None}:
            return False  # somebody still has to take the dead one's row away
        for place in self._places:
            place.is_back_at = float("inf")
            if place.process is not None and place.process.worker is not None and not place.goes:
                place.goes = True
                place.process.worker.stop()
        return not self._oracle.one("SELECT count(*) FROM backroom_worker")

    def _set_aside(self, run_id: str, flow: str) -> None:
        """Three deaths without progress set a run aside, be it the culprit or not."""
        lost = self._oracle.one(
            "SELECT count(*) FROM backroom_attempt WHERE run_id = ? AND outcome = 'lost'", run_id
        )
        error = self._oracle.one("SELECT error FROM backroom_live WHERE id = ?", run_id)
        if lost < 3 or json.loads(error)["kind"] != "Poison":
            raise Violation(f"{flow} was set aside: {error}")
        run: Run[Any] = app.run(run_id)
        if flow == "poison":
            self._asked(lambda: run.cancel("it kills").wait())
        else:
            self._asked(lambda: run.retry().wait())

    def _alive(self) -> str:
        return str(
            self._oracle.all(
                "SELECT flow, state, attempt, starts, available_at - ?, worker FROM backroom_live",
                self.cluster.reader.now(),
            )
        )

    def _check_end(self) -> None:
        self._look()
        self._oracle.nothing_is_left()
        ended = self._oracle.ended()
        cancelled = {act.words[0] for act in self._script.acts if act.what == "cancel"}
        for number, run in self._runs.items():
            if run.id in ended:
                self._check_run(number, *ended[run.id], cancelled=number in cancelled)
            elif not self._oracle.pruned:
                raise Violation(f"the run {number} is gone")
        for number, (future, client) in self._results:
            if client is self.cluster.client and not future.done() and not self._oracle.pruned:
                raise Violation(f"whoever waits for run {number} isn't told that it has ended")
        self._check_books(ended)

    def _check_run(
        self, number: str, flow: str, state: State, result: str | None, *, cancelled: bool
    ) -> None:
        n = int(number)
        may = {State.SUCCEEDED}
        if cancelled or flow in ("poison", "expiring"):
            may.add(State.CANCELLED)
        if flow in ("broken", "hasty") or (flow == "saga" and n % 2):
            may.add(State.FAILED)
        if state not in may or (flow, state) == ("poison", State.SUCCEEDED):
            raise Violation(f"run {number}, {flow}, has {state.value}")
        if state is not State.SUCCEEDED:
            return
        value = json.loads(result or "null")
        if flow in EXPECTED and value != EXPECTED[flow](n):
            raise Violation(f"run {number}, {flow}, returned {value}")
        if flow in ("collect", "race"):
            words = [word for word in (value if flow == "collect" else [value]) if word is not None]
            run_id = self._runs[number].id
            sent = {
                json.loads(word)
                for (word,) in self._oracle.all(
                    "SELECT payload FROM backroom_event WHERE run_id = ?", run_id
                )
            }
            if len(set(words)) < len(words) or not sent.issuperset(words):
                raise Violation(f"run {number}, {flow}, returned {value}; it was sent {sent}")

    def _check_books(self, ended: dict[str, tuple[str, State, str | None]]) -> None:
        for number, run in self._runs.items():
            flow, state, _result = ended.get(run.id, ("", State.FAILED, None))
            n = int(number)
            if flow == "saga":
                moved = [place for what, place in self.town.moved.get(n, []) if what == "moved"]
                back = [place for what, place in self.town.moved.get(n, []) if what != "moved"]
                asked = list(dict.fromkeys(self.town.undos_asked.get(n, [])))
                if state is State.SUCCEEDED and (moved, asked) != ([0, 1, 2], []):
                    raise Violation(f"saga {number} succeeded with {moved}, undone {asked}")
                if state is not State.SUCCEEDED and (
                    back != moved[::-1] or asked != sorted(asked, reverse=True)
                ):
                    raise Violation(f"saga {number} has moved {moved} and taken back {back}")
            if flow == "booked":
                rows = self._oracle.one("SELECT count(*) FROM ledger WHERE n = ?", n)
                if rows > 1 or (state is State.SUCCEEDED and rows != 1):
                    raise Violation(f"the transaction step of run {number} has written {rows} rows")
            if flow == "poison":
                kills = self.town.kills[n]
                if kills > 3 * (1 + self._count("retry", number)) + self._restarts:
                    raise Violation(f"the run {number} has killed {kills} workers")

    def _count(self, what: str, number: str) -> int:
        return sum(act.what == what and act.words[0] == number for act in self._script.acts)


class _Reachable:
    """The cluster's session, while the database can be reached."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        if self._life._at < self._life._outage_until:
            raise StoreUnavailable("The database can't be reached.")
        return self._life._session.apply(verbs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._life._session, name)
