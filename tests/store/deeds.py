"""Random deeds on three stores: what is asked for, chosen by what there is.

A kind of deed makes a verb, or None if there is nothing to do it to. Most look for a run that fits,
some make one fit first, and once in a while one is late or makes no sense, on purpose.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from backroom.records.erasure import Erased
from backroom.records.queues import Pruned, QueueRules
from backroom.records.runs import Claims, NewRun, Started, StepRow, WaitRow, WorkerRow
from backroom.records.states import State
from backroom.rules.windows import window
from backroom.store.verbs import (
    Again,
    AsDeclared,
    Attention,
    Cancel,
    Claim,
    CloseBreaker,
    Declare,
    Emit,
    Erase,
    Expire,
    HandBack,
    Lock,
    Locked,
    Park,
    Pause,
    Probe,
    Probed,
    Progress,
    Prune,
    Reconcile,
    Register,
    Renew,
    Reschedule,
    Rescue,
    Resume,
    Retire,
    Revive,
    SaveStep,
    SaveWaits,
    Settle,
    Start,
    Strike,
    Verb,
)
from tests.store.desk import HOUR, MINUTE, SECOND, child, event, timer
from tests.store.model import Row
from tests.store.trio import Different, Trio

__all__ = ["KINDS", "Player", "played"]

DAY = 24 * HOUR
FLOWS = ("flow", "other", "other@2")
PLAIN = ("default", "plain")
QUEUES = (*PLAIN, "limited", "parted", "rated", "full")
WORKERS = ("anna", "bert", "carl")
EVENTS = ("go", "stop")
LOCKS = ("door", "roof", "till")
SERVICES = ("bank", "post")
ADDRESSES = ("a#1", "b#1", "pay[order 7]", "chunks#1.0/a#1", "chunks#1.1/b#1")
PATHS = ("", "gather#1.0/", "gather#1.1/")
LEASES = (MINUTE, HOUR)

ALONE = {
    "register", "renew", "retire", "rescue", "reconcile", "erase", "repeat",
    "save_a_step_that_forgets",
}  # fmt: skip
"""Never in a batch with others: no order is promised between them. (What is forgotten is forgotten
behind all checkpoints of the batch.)"""

KINDS: dict[str, Callable[[Player], Verb | None]] = {}


def kind(make: Callable[[Player], Verb | None]) -> Callable[[Player], Verb | None]:
    KINDS[make.__name__] = make
    return make


class Player:
    """Who does the deeds: the same ones for the same seed."""

    def __init__(self, trio: Trio, seed: int) -> None:
        self.trio = trio
        self.t = trio.tables
        self.chance = random.Random(seed)
        self.succeeded: Counter[str] = Counter()
        self._ids = 0

    def play(self, batches: int) -> None:
        for number in range(1, batches + 1):
            if self.chance.random() < 0.3:
                lengths = [0, 1, SECOND, SECOND, 10 * SECOND, MINUTE, HOUR, 3 * DAY]
                self.trio.set_clock(self.trio.now + self.chance.choice(lengths))
            names = self.chance.sample(sorted(KINDS), self.chance.choice([1, 1, 1, 3]))
            if ALONE & set(names):
                names = names[:1]
            self.do(*names)
            if number % 10 == 0:
                self.trio.look_through_readers(self.chance)

    def do(self, *names: str) -> None:
        batch = [(name, verb) for name in names if (verb := KINDS[name](self))]
        if batch:
            answers = self.trio.do([verb for _, verb in batch])
            for (name, verb), answer in zip(batch, answers, strict=True):
                self.succeeded[name] += succeeded(verb, answer)
            self.succeeded += Counter()  # without the zeros

    # --- what there is

    def new_id(self, version: int = 7) -> str:
        self._ids += 1
        return str(UUID(int=self._ids << 96 | version << 76 | 8 << 60))

    def pick(self, rows: list[Row]) -> Row | None:
        return self.chance.choice(rows) if rows else None

    def hot(self, *states: State) -> list[Row]:
        return [r for r in self.t.live.values() if not states or r["state"] in states]

    def running(self) -> tuple[str, int] | None:
        """A running run and its attempt; once in a while an attempt that is over."""
        row = self.pick(self.hot(State.RUNNING))
        late = self.chance.random() < 0.05
        return (row["id"], row["attempt"] - late) if row else None

    def some_run(self) -> str:
        row = self.pick(list(self.t.run.values()))
        return row["id"] if row and self.chance.random() < 0.98 else self.new_id()


def succeeded(verb: Verb, answer: object) -> bool:
    """Whether this deed has had an effect worth the name."""
    match answer:
        case Exception():
            return False
        case Started(created=made) | Locked(held=made) | Probed(go=made):
            return made
        case Claims(runs=runs):
            return bool(runs)
        case Pruned(count=count):
            return count > 0
        case Erased(runs=runs):
            return bool(runs)
        case tuple() | frozenset() | int():
            return bool(answer)
    return verb is not None


# --- doors ----------------------------------------------------------------------------------------


def new_run(p: Player, run_id: str | None = None, **given: Any) -> NewRun:
    chance = p.chance
    queue = chance.choice(QUEUES)
    parent = p.pick(p.hot())
    flow = chance.choice(("flow", "other"))
    options: dict[str, Any] = {
        "queue": queue,
        "priority": chance.choice([0, 5, 5, 9]),
        "delay_us": chance.choice([0, 0, 0, SECOND, HOUR]),
        "timeout_us": chance.choice([None, None, HOUR]),
        "expires_us": chance.choice([None, None, MINUTE]),
        "cause_id": parent["id"] if parent and chance.random() < 0.3 else None,
        "partition": chance.choice("xyz") if queue == "parted" else None,
        "subject": chance.choice([None, "person"]),
        "version": chance.choice([1, 1, 2]) if flow == "other" else 1,
    }
    return NewRun(run_id or p.new_id(), flow, '{"n": 1}', **(options | given))


@kind
def start(p: Player) -> Verb:
    return Start(new_run(p))


@kind
def start_with_a_key(p: Player) -> Verb:
    return Start(new_run(p, key=p.chance.choice("klmnop")))


@kind
def start_at_a_time(p: Player) -> Verb:
    at = p.trio.now + p.chance.choice([-HOUR, 0, MINUTE])
    return Start(new_run(p, at=at, expires_at=at + HOUR))


@kind
def start_a_child(p: Player) -> Verb | None:
    parent = p.pick(p.hot())
    if not parent:
        return None
    of = parent["id"]
    return Start(new_run(p, parent_id=of, cause_id=of, delay_us=0, depth=1))


@kind
def start_after_others(p: Player) -> Verb:
    """Most of the time after runs that are alive."""
    alive = [row["id"] for row in p.hot()]
    leaders = p.chance.sample(alive, min(len(alive), p.chance.choice([1, 1, 2])))
    if not leaders or p.chance.random() < 0.2:
        leaders.append(p.some_run())
    leaders = list(dict.fromkeys(leaders))
    return Start(new_run(p, after=tuple(leaders), after_any_end=p.chance.random() < 0.5))


@kind
def emit(p: Player) -> Verb:
    known = sorted(p.t.event)
    event_id = p.chance.choice(known) if known and p.chance.random() < 0.1 else p.new_id()
    row = p.pick(p.hot())
    run_id = row["id"] if row and p.chance.random() < 0.8 else p.some_run()
    return Emit(run_id, event_id, p.chance.choice(EVENTS), '"payload"')


@kind
def cancel(p: Player) -> Verb:
    return Cancel(p.some_run(), "had enough")


def resting(p: Player) -> str:
    over = [*p.t.result, *(row["id"] for row in p.hot(State.NEEDS_ATTENTION))]
    return p.chance.choice(over) if over else p.some_run()


def newest_attempt(p: Player, run_id: str) -> int:
    rows = [p.t.live.get(run_id), p.t.result.get(run_id)]
    numbers = [row["attempt"] for row in rows if row]
    numbers += [number for of, number in p.t.attempt if of == run_id]
    return max(numbers, default=0)


@kind
def revive(p: Player) -> Verb:
    run_id = resting(p)
    return Revive(run_id, newest_attempt(p, run_id))


@kind
def rewind(p: Player) -> Verb:
    run_id = resting(p)
    addresses = [step["address"] for step in p.t.steps_of(run_id)]
    drops = tuple(p.chance.sample(addresses, p.chance.randint(0, len(addresses))))
    note = '{"by": "a person"}'
    keeps = (checkpoint(p, address="kept#1"),)
    return Revive(run_id, newest_attempt(p, run_id), "rewound", note, drops, keeps, False)


@kind
def reschedule(p: Player) -> Verb:
    row = p.pick(p.hot(State.SCHEDULED, State.READY))
    at = p.chance.choice([None, p.trio.now + HOUR, p.trio.now - HOUR])
    return Reschedule(row["id"] if row else p.some_run(), at, SECOND)


# --- claims ---------------------------------------------------------------------------------------


def claims(p: Player, among: tuple[str, ...], *, ruled: bool) -> Verb:
    queues = tuple(p.chance.sample(among, p.chance.randint(1, len(among))))
    return Claim(p.chance.choice(WORKERS), queues, FLOWS, p.chance.randint(1, 4), ruled=ruled)


@kind
def claim(p: Player) -> Verb:
    """Queues with rules are passed over."""
    return claims(p, QUEUES, ruled=False)


@kind
def claim_by_rules(p: Player) -> Verb:
    return claims(p, QUEUES, ruled=True)


@kind
def claim_of_one_flow(p: Player) -> Verb:
    return Claim(p.chance.choice(WORKERS), QUEUES, ("flow",), 3, ruled=p.chance.random() < 0.5)


@kind
def claim_a_suspect(p: Player) -> Verb:
    """Its worker has died twice; most of the time somebody is made one."""
    if p.chance.random() < 0.7:
        doomed = new_run(p, queue="doomed", delay_us=0, partition=None)
        p.trio.do([Start(doomed)])
        for _ in range(2):
            p.trio.do([Claim("dora", ("doomed",), FLOWS, 1)])
            p.trio.do([Retire("dora")])
    queues = ("doomed", *QUEUES)
    ruled = p.chance.random() < 0.7
    return Claim(p.chance.choice(WORKERS), queues, FLOWS, 1, suspects=True, ruled=ruled)


# --- queues ---------------------------------------------------------------------------------------

RULES = (
    QueueRules("limited", concurrency=2),
    QueueRules("parted", concurrency=4, concurrency_per_partition=1),
    QueueRules("parted", concurrency_per_partition=2),
    QueueRules("rated", rate=3, per_us=MINUTE, burst=2),
    QueueRules("full", max_waiting=3),
    QueueRules("limited"),
)


@kind
def declare(p: Player) -> Verb:
    return Declare(p.chance.choice(RULES))


@kind
def declare_by_an_operator(p: Player) -> Verb:
    return Declare(p.chance.choice((*RULES, QueueRules("limited", concurrency=1))), "an operator")


@kind
def as_declared(p: Player) -> Verb:
    return AsDeclared(p.chance.choice(QUEUES))


@kind
def pause(p: Player) -> Verb | None:
    return Pause(p.chance.choice(QUEUES), "a person") if p.chance.random() < 0.3 else None


@kind
def resume(p: Player) -> Verb:
    return Resume(p.chance.choice(QUEUES))


# --- sweeping -------------------------------------------------------------------------------------


@kind
def expire(p: Player) -> Verb:
    return Expire()


@kind
def prune(p: Player) -> Verb:
    older = p.chance.choice([SECOND, HOUR, DAY, 10 * DAY])
    return Prune(older, limit=p.chance.choice([3, 100]), dry_run=p.chance.random() < 0.3)


@kind
def erase(p: Player) -> Verb:
    runs = sorted({p.some_run() for _ in range(2)} | {resting(p)})
    return Erase(tuple(runs), p.new_id(), "a clerk", p.chance.random() < 0.2)


# --- checkpoints ----------------------------------------------------------------------------------


def checkpoint(p: Player, **given: Any) -> StepRow:
    address = p.chance.choice(ADDRESSES)
    state = p.chance.choice(["done", "done", "failed", "trying"])
    options: dict[str, Any] = {
        "address": address,
        "name": "a",
        "state": state,
        "kind": "step",
        "result": "1" if state == "done" else None,
        "error": None if state == "done" else '{"kind": "E"}',
        "fingerprint": None,
        "tries": p.chance.choice([1, 1, 2]),
        "started_at": p.trio.now - SECOND,
        "finished_at": p.trio.now,
    }
    return StepRow(**(options | given))


@kind
def save_a_step(p: Player) -> Verb | None:
    clears = p.chance.random() < 0.5
    held = p.running()
    return held and SaveStep(*held, checkpoint(p, fingerprint="f"), clears_starts=clears)


@kind
def save_a_step_that_consumes(p: Player) -> Verb | None:
    """Most of the time somebody has sent the event just before."""
    held = p.running()
    if not held:
        return None
    if p.chance.random() < 0.7:
        p.trio.do([Emit(held[0], p.new_id(), "go", '"payload"')])
    unread = [e["id"] for e in p.t.mail_of(held[0])]
    if not unread:
        return None
    step = checkpoint(p, kind="event", address=f"event#{len(p.trio.done)}")
    return SaveStep(*held, step, p.chance.choice(unread))


@kind
def save_a_step_that_starts(p: Player) -> Verb | None:
    held = p.running()
    if not held:
        return None
    parent = p.chance.choice([None, held[0]])
    key = p.chance.choice([None, "klmnop"[len(p.trio.done) % 6]])
    runs = tuple(new_run(p, parent_id=parent, cause_id=held[0], depth=1, key=key) for _ in range(2))
    return SaveStep(*held, checkpoint(p, kind="start"), starts=runs)


@kind
def save_a_step_that_forgets(p: Player) -> Verb | None:
    held = p.running()
    forgets = p.chance.choice(["chunks#1.0/", "chunks#1.1/"])
    return held and SaveStep(*held, checkpoint(p, address="chunks#1"), forgets=forgets)


@kind
def register_an_undo(p: Player) -> Verb | None:
    held = p.running()
    address = f"undo {p.chance.choice(ADDRESSES)}"
    return held and SaveStep(*held, checkpoint(p, address=address, kind="undo"))


@kind
def go_backwards(p: Player) -> Verb | None:
    held = p.running()
    return held and SaveStep(*held, checkpoint(p, address="rollback", kind="rollback"))


@kind
def begin_the_alternative(p: Player) -> Verb | None:
    held = p.running()
    step = checkpoint(p, address="otherwise", kind="rollback", name="begun")
    return held and SaveStep(*held, step)


@kind
def save_waits(p: Player) -> Verb | None:
    held = p.running()
    return held and SaveWaits(*held, waits(p, held[0]))


@kind
def progress(p: Player) -> Verb | None:
    held = p.running()
    values = p.chance.choice([(0.25, None), (None, "half"), (0.5, "more")])
    return held and Progress(*held, *values)


# --- locks and breakers ---------------------------------------------------------------------------


def request(p: Player, held: tuple[str, int]) -> Lock:
    address = f"{p.chance.choice(PATHS)}lock#{p.chance.choice('12')}"
    names = p.chance.sample(LOCKS, p.chance.choice([1, 1, 2]))
    return Lock(*held, address, tuple(names), address)


@kind
def lock(p: Player) -> Verb | None:
    held = p.running()
    return held and request(p, held)


@kind
def park_for_a_lock(p: Player) -> Verb | None:
    held = p.running()
    if not held:
        return None
    asked = request(p, held)
    p.trio.do([asked])
    return Park(*held, (WaitRow(asked.address, "lock", ", ".join(asked.names)),))


@kind
def give_locks_back(p: Player) -> Verb | None:
    """Where some are held, or waited for."""
    running = {row["id"]: row["attempt"] for row in p.hot(State.RUNNING)}
    asked = p.pick([k for k in p.t.lock.values() if k["run_id"] in running])
    if not asked:
        return None
    step = checkpoint(p, address=asked["address"], kind="lock")
    return SaveStep(asked["run_id"], running[asked["run_id"]], step, releases=True)


@kind
def strike(p: Player) -> Verb | None:
    held = p.running()
    failed = Strike(p.chance.choice(SERVICES), p.chance.choice([1, 2]), MINUTE, "Timeout")
    return held and SaveStep(*held, checkpoint(p, state="trying"), strike=failed)


@kind
def mend(p: Player) -> Verb | None:
    held = p.running()
    return held and SaveStep(*held, checkpoint(p, state="done"), mends=p.chance.choice(SERVICES))


@kind
def probe(p: Player) -> Verb | None:
    held = p.running()
    name, address = p.chance.choice(SERVICES), p.chance.choice(ADDRESSES)
    return held and Probe(*held, name, address, MINUTE)


@kind
def close_breaker(p: Player) -> Verb:
    """Most of the time one that has failures."""
    return CloseBreaker(p.chance.choice([*p.t.breaker, *p.t.breaker, SERVICES[0]]))


# --- ends of attempts -----------------------------------------------------------------------------


def waits(p: Player, run_id: str) -> tuple[WaitRow, ...]:
    children = [row["id"] for row in p.t.run.values() if row["parent_id"] == run_id]
    service = p.chance.choice(SERVICES)
    offers = [
        timer(p.chance.choice([0, SECOND, DAY])),
        event(p.chance.choice(EVENTS)),
        event(p.chance.choice(EVENTS), delay_us=MINUTE),
        WaitRow(f"breaker:{service}", "breaker", service, HOUR),
        WaitRow("retry", "retry", "a", SECOND),
        *map(child, children[:1]),
    ]
    picked = p.chance.sample(offers, p.chance.randint(1, 2))
    return tuple({wait.address: wait for wait in picked}.values())


def settle(state: State, p: Player) -> Verb | None:
    held = p.running()
    good = state is State.SUCCEEDED
    return held and Settle(*held, state, "1" if good else None, None if good else '{"kind": "E"}')


KINDS["succeed"] = partial(settle, State.SUCCEEDED)
KINDS["fail"] = partial(settle, State.FAILED)
KINDS["be_cancelled"] = partial(settle, State.CANCELLED)


@kind
def park(p: Player) -> Verb | None:
    held = p.running()
    tried = (checkpoint(p),) if p.chance.random() < 0.3 else ()
    backwards, timeless = p.chance.random() < 0.2, p.chance.random() < 0.2
    return held and Park(*held, waits(p, held[0]), tried, backwards, timeless)


@kind
def park_for_a_window(p: Player) -> Verb | None:
    """A parent starts a window of children and parks until all of them have ended."""
    held = p.running()
    if not held:
        return None
    ids = [p.new_id(version=8) for _ in range(3)]
    options = {"delay_us": 0, "queue": "default", "partition": None, "depth": 1}
    runs = tuple(new_run(p, i, parent_id=held[0], cause_id=held[0], **options) for i in ids)
    p.trio.do([SaveStep(*held, checkpoint(p, address="map#1", kind="map"), starts=runs)])
    return Park(*held, (WaitRow("map#1", "children", window(ids[0], ids[-1])),))


@kind
def again(p: Player) -> Verb | None:
    held = p.running()
    return held and Again(*held, p.chance.choice([0, MINUTE]), '{"kind": "E"}')


@kind
def hand_back(p: Player) -> Verb | None:
    held = p.running()
    return held and HandBack(*held)


@kind
def set_aside(p: Player) -> Verb | None:
    held = p.running()
    return held and Attention(*held, '{"kind": "CodeMismatch"}')


@kind
def repeat(p: Player) -> Verb | None:
    """A verb that has been done before, since its answer was lost."""
    done = [verb for verbs in p.trio.done[-20:] for verb in verbs if not isinstance(verb, Claim)]
    return p.chance.choice(done) if done else None


# --- workers --------------------------------------------------------------------------------------


@kind
def register(p: Player) -> Verb:
    worker = p.chance.choice(WORKERS)
    return Register(WorkerRow(worker, f"{worker}'s", concurrency=4, flows=FLOWS), HOUR)


@kind
def renew(p: Player) -> Verb:
    return Renew(WORKERS, p.chance.choice(LEASES))


@kind
def retire(p: Player) -> Verb:
    return Retire(p.chance.choice(WORKERS), lost=p.chance.random() < 0.7)


@kind
def rescue(p: Player) -> Verb:
    return Rescue()


@kind
def reconcile(p: Player) -> Verb:
    worker = p.chance.choice(WORKERS)
    held = [(row["id"], row["attempt"]) for row in p.hot() if row["worker"] == worker]
    return Reconcile(worker, frozenset(held[1:]))


def played(three: Trio, seed: int, batches: int) -> Player:
    """A player whom nothing has told the three apart. Otherwise the test fails, with what led to
    it."""
    player = Player(three, seed)
    try:
        player.play(batches)
    except Different as error:
        last = "\n".join(str(verbs) for verbs in three.done[-5:])
        pytest.fail(f"{error}\nPlayer(three, {seed}).play({batches}); the last of it:\n{last}")
    return player
