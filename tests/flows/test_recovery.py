"""What a person can do about a run that failed or was set aside: retry, rewind, mark as undone."""

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from backroom import (
    Backroom,
    Retry,
    Rollback,
    Run,
    State,
    chunks,
    current_run,
    errors,
    first,
    gather,
    lock,
    sleep,
    step,
    wait_for_event,
)
from backroom.flows.recovery import Undo
from backroom.flows.rewinding import Rewind
from backroom.flows.steps import AsyncStep
from backroom.records.runs import AttemptRow, RunRow
from backroom.store.verbs import Claim, Retire
from backroom.testing import eventually
from tests.flows.house import LONG, EvenChance, checkpoints, outcome, parked, result, steps

ONE_TRY = Retry(attempts=1)


class World:
    """What has been done outside, in order; and what is broken there."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.keys: dict[str, list[str | None]] = {}
        self.broken: set[str] = set()

    def does(self, what: str) -> None:
        self.keys.setdefault(what, []).append(current_run().step_key)
        if what in self.broken:
            raise ConnectionError(f"{what} can't be reached")
        self.done.append(what)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    made = Backroom(database, world=EvenChance(), poll=0.02)
    yield made
    made.close()


def doer(world: World, retry: Retry | None = None) -> AsyncStep[[str], int]:
    """A step that does something, and returns how often that has been done."""

    @step(name="do", retry=retry)
    async def do(what: str) -> int:
        world.does(what)
        return world.done.count(what)

    return do


def history(app: Backroom, run: Run[Any]) -> list[str]:
    rows: list[AttemptRow] = app.office.read(lambda r: r.attempts(run.id)).result(LONG)
    return [row.outcome for row in rows]


def row_of(app: Backroom, run: Run[Any]) -> RunRow:
    row = app.office.read(lambda reader: reader.run(run.id)).result(LONG)
    assert row is not None
    return row


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(errors.Refused) as caught:
        act()
    return str(caught.value)


def rewound(run: Run[Any], to: str) -> Rewind:
    return run.rewind(to).wait(LONG)


# --- retry


def test_a_failed_run_goes_on_with_what_it_failed_of(app: Backroom, world: World) -> None:
    do = doer(world, Retry(attempts=2, delay_seconds=0))

    @app.flow
    async def job() -> None:
        for what in ("a", "b", "c"):
            await do.using(key=what)(what)

    world.broken = {"b"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        world.broken = set()
        run.retry(by="ann").wait(LONG)
        result(run)
    assert world.done == ["a", "b", "c"]
    assert len(world.keys["b"]) == 3, "its attempts were counted anew"
    assert len(set(world.keys["b"])) == 1, "a retry is a repetition: the other side may know it"
    assert history(app, run) == ["failed", "retried"]


def test_a_failure_that_the_flow_has_dealt_with_stays(app: Backroom, world: World) -> None:
    """Else the card would be charged although the bill has been sent."""

    do = doer(world)

    @app.flow(retry=Retry(attempts=2, delay_seconds=0))
    async def job() -> str:
        try:
            await do.using(key="card")("card")
            paid = "by card"
        except errors.StepFailed:
            await do.using(key="bill")("bill")
            paid = "by bill"
            await do.using(key="ship")("ship")
        return paid

    world.broken = {"card", "ship"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        world.broken = set()
        run.retry().wait(LONG)
        assert result(run) == "by bill"
    assert world.done == ["bill", "ship"]
    assert [len(world.keys[what]) for what in ("card", "bill", "ship")] == [1, 1, 3]


@pytest.mark.parametrize("colour", ["async", "def"])
def test_all_branches_that_failed_are_tried_again(app: Backroom, world: World, colour: str) -> None:
    """Only one of them could be raised, but the flow has dealt with none."""

    do = doer(world)

    @step(name="do_in_thread")
    def do_in_thread(what: str) -> None:
        world.does(what)

    @app.flow
    async def async_job() -> None:
        await gather(*[do.using(key=what)(what) for what in "abc"])

    @app.flow
    def def_job() -> None:
        branches = [(lambda what=what: do_in_thread.using(key=what)(what)) for what in "abc"]
        gather(*branches).wait()

    world.broken = {"a", "c"}
    with app.working():
        run = async_job.start() if colour == "async" else def_job.start()
        assert outcome(run) is State.FAILED
        world.broken = set()
        run.retry().wait(LONG)
        assert outcome(run) is State.SUCCEEDED
    assert sorted(world.done) == ["a", "b", "c"]


def test_where_the_flow_raised_of_its_own_all_that_failed_is_tried_again(
    app: Backroom, world: World
) -> None:
    do = doer(world)

    @app.flow
    async def job() -> None:
        failed = 0
        for what in "ab":
            try:
                await do.using(key=what)(what)
            except errors.StepFailed:
                failed += 1
        if failed:
            raise ValueError(f"{failed} failed")

    world.broken = {"a", "b"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        world.broken = set()
        run.retry().wait(LONG)
        assert outcome(run) is State.SUCCEEDED
    assert world.done == ["a", "b"]


def test_a_run_that_failed_of_its_child_goes_on_once_the_child_has_been_retried(
    app: Backroom, world: World
) -> None:
    do = doer(world)

    @app.flow
    async def child() -> str:
        await do("child")
        return "mended"

    @app.flow
    async def job() -> str:
        return await child()

    world.broken = {"child"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        (below,) = app.office.read(lambda r: r.runs(parent_id=run.id)).result(LONG)
        world.broken = set()
        app.run(below.id).retry().wait(LONG)
        run.retry().wait(LONG)
        assert result(run) == "mended"


def test_a_run_that_has_been_undone_is_not_retried(app: Backroom, world: World) -> None:
    job = saga(app, world)
    world.broken = {"c"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        before = row_of(app, run)
        told = refused(lambda: run.retry().wait(LONG))
    assert "taken back" in told
    assert "rewind this one to a#1" in told
    assert row_of(app, run) == before
    assert world.done == ["a", "b", "undo b", "undo a"]


def test_a_retry_goes_on_with_the_open_undos(app: Backroom, world: World) -> None:
    job = saga(app, world)
    world.broken = {"c", "undo b"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.NEEDS_ATTENTION
        run.retry().wait(LONG)
        eventually(lambda: history(app, run) == ["failed", "retried", "failed"], within=LONG)
        assert outcome(run) is State.NEEDS_ATTENTION, "still broken: set aside again"
        world.broken = set()
        run.retry().wait(LONG)
        assert outcome(run) is State.FAILED
    assert world.done == ["a", "b", "undo b", "undo a"]
    assert len(world.keys["undo b"]) == 2 + 2 + 1
    assert history(app, run) == ["failed", "retried", "failed", "retried", "failed"]


def test_a_cancelled_run_goes_on_where_it_was(app: Backroom, world: World) -> None:
    do = doer(world)

    @app.flow
    async def job() -> str:
        await do.using(key="a")("a")
        word = await wait_for_event("go", str)
        await do.using(key="b")("b")
        return word

    with app.working():
        run = job.start()
        parked(run)
        assert run.cancel("by mistake").wait(LONG) is State.CANCELLED
        run.retry().wait(LONG)
        parked(run)
        run.emit("go", "on").wait(LONG)
        assert result(run) == "on"
    assert world.done == ["a", "b"]


def test_a_run_whose_code_no_longer_fits_goes_on_with_code_that_does(
    database: str, world: World
) -> None:
    def declare(app: Backroom, fits: bool) -> Any:
        do = doer(world)

        @app.flow
        async def job() -> None:
            try:
                await do.using(key="card")("card")
            except errors.StepFailed:
                await do.using(key="bill")("bill" if fits else "something else")
            await wait_for_event("go")

        return job

    world.broken = {"card"}
    before = Backroom(database, poll=0.02)
    flow = declare(before, True)
    with before.working():
        run = flow.start()
        parked(run)
    before.close()
    wrong = Backroom(database, poll=0.02)
    declare(wrong, False)
    with wrong.working():
        wrong.run(run.id).emit("go").wait(LONG)
        assert outcome(wrong.run(run.id)) is State.NEEDS_ATTENTION
        assert "CodeMismatch" in (row_of(wrong, run).error or "")
    wrong.close()
    world.broken = set()
    right = Backroom(database, poll=0.02)
    declare(right, True)
    with right.working():
        right.run(run.id).retry().wait(LONG)
        assert outcome(right.run(run.id)) is State.SUCCEEDED
    right.close()
    assert world.done == ["bill"], "the failure that was dealt with has stayed"
    assert len(world.keys["card"]) == 1


def test_a_run_that_killed_its_workers_goes_on_from_its_last_checkpoint(
    app: Backroom, world: World
) -> None:
    do = doer(world)

    @app.flow
    async def job() -> None:
        await do.using(key="a")("a")
        await wait_for_event("go")
        await do.using(key="b")("b")

    with app.working():
        run = job.start()
        parked(run)
    run.emit("go").wait(LONG)
    for suspects in (False, False, True):
        claim = Claim("victim", ("default",), ("job",), 1, {}, suspects)
        claims = app.office.doors.future(claim).result(LONG)
        assert [claimed.id for claimed in claims.runs] == [run.id]
        app.office.doors.future(Retire("victim", lost=True)).result(LONG)
    assert row_of(app, run).state is State.NEEDS_ATTENTION
    assert "Poison" in (row_of(app, run).error or "")
    run.retry().wait(LONG)
    with app.working():
        assert outcome(run) is State.SUCCEEDED
    assert world.done == ["a", "b"]


def saga(app: Backroom, world: World) -> Any:
    """Steps a and b with undos, and c without."""

    def take_back(what: str) -> Any:
        async def undo(outcome: str | None) -> None:
            world.does(f"undo {what}")

        return undo

    def declare(what: str) -> Any:
        @step(
            name=what,
            undo=take_back(what),
            undo_retry=Retry(attempts=2, delay_seconds=0),
        )
        async def do() -> str:
            world.does(what)
            return what

        return do

    a, b = declare("a"), declare("b")

    @step
    async def c() -> str:
        world.does("c")
        return "c"

    @app.flow
    async def job() -> str:
        return "".join([await a(), await b(), await c()])

    return job


# --- undone by hand


def test_what_a_person_has_undone_is_passed_over(app: Backroom, world: World) -> None:
    job = saga(app, world)
    world.broken = {"c", "undo b"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.NEEDS_ATTENTION
        before = run.undos().wait(LONG)
        assert [(undo.step, undo.state) for undo in before] == [("b#1", "failed"), ("a#1", "open")]
        assert "undo b can't be reached" in (before[0].error or "")
        run.mark_undone("b#1", note="I have refunded it myself", by="ann").wait(LONG)
        assert outcome(run) is State.FAILED
    assert world.done == ["a", "b", "undo a"]
    assert run.undos().wait(LONG) == [
        Undo("b#1", "by_hand", "I have refunded it myself", "ann"),
        Undo("a#1", "undone"),
    ]
    assert history(app, run) == ["failed", "undone", "failed"]
    assert "ConnectionError" in (row_of(app, run).error or ""), "it failed of c, and still has"


def test_all_that_is_open_can_be_undone_by_hand_at_once(app: Backroom, world: World) -> None:
    job = saga(app, world)
    world.broken = {"c", "undo b"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.NEEDS_ATTENTION
        run.mark_undone("a#1", "b#1", note="both of them").wait(LONG)
        assert outcome(run) is State.FAILED
    assert world.done == ["a", "b"]


def test_marking_what_is_not_open_is_refused(app: Backroom, world: World) -> None:
    job = saga(app, world)
    world.broken = {"c", "undo a"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.NEEDS_ATTENTION
        mark = run.mark_undone
        assert "Open are: a#1." in refused(lambda: mark("b#1", note="yes").wait(LONG))
        assert "Open are: a#1." in refused(lambda: mark("c#1", note="yes").wait(LONG))
        assert "Nothing" in refused(lambda: mark(note="yes").wait(LONG))
        assert "note" in refused(lambda: mark("a#1", note=" ").wait(LONG))
        assert "at most" in refused(lambda: mark("a#1", note="x" * 501).wait(LONG))
        mark("a#1", note="yes").wait(LONG)
        assert outcome(run) is State.FAILED
        assert "no undo of it waits" in refused(lambda: mark("a#1", note="yes").wait(LONG))


# --- rewind


def test_a_run_is_done_again_from_a_step_on(app: Backroom, world: World) -> None:
    do = doer(world)

    @app.flow
    async def job() -> list[int]:
        return [await do.using(key=what)(what) for what in "abc"]

    with app.working():
        run = job.start()
        assert result(run) == [1, 1, 1]
        plan = run.rewind("do[b]", dry_run=True).wait(LONG)
        assert (plan.again, plan.stays) == (("do[b]", "do[c]"), ("do[a]",))
        assert run.status().wait(LONG).state is State.SUCCEEDED, "a dry run changes nothing"
        assert run.rewind("do[b]", by="ann").wait(LONG) == plan
        assert result(run) == [1, 2, 2]
    assert world.done == ["a", "b", "c", "b", "c"]
    assert history(app, run) == ["rewound"]
    assert len(set(world.keys["b"])) == 2, "it isn't a repetition of what was done before"
    assert [kept for kept in checkpoints(app, run)] == ["do[a]", "do[b]", "do[c]", "rewind"]


def test_a_step_that_is_tried_again_after_a_rewind_keeps_its_new_key(
    app: Backroom, world: World
) -> None:
    do = doer(world, Retry(attempts=2, delay_seconds=0.001))

    @app.flow
    async def job() -> None:
        await do("a")

    with app.working():
        run = job.start()
        result(run)
        for rounds in (2, 3):
            world.broken = {"a"}
            run.rewind("do#1").wait(LONG)
            assert outcome(run) is State.FAILED
            world.broken = set()
            run.retry().wait(LONG)
            result(run)
            assert len(set(world.keys["a"])) == rounds
    assert len(world.keys["a"]) == 1 + 3 + 3


def test_events_lie_in_the_mailbox_again(app: Backroom, world: World) -> None:
    @app.flow
    async def job() -> list[Any]:
        one = await wait_for_event("word", str)
        two = await first(wait_for_event("word", str), sleep(days=1))
        three = await first(wait_for_event("word", str), sleep(0.001))
        return [one, two, three]

    with app.working():
        run = job.start()
        for word in ("a", "b"):
            run.emit("word", word).wait(LONG)
        assert result(run) == ["a", "b", None]
        plan = run.rewind("first#1").wait(LONG)
        assert plan.events == ("word",)
        assert result(run) == ["a", "b", None]
        run.rewind("event word#1").wait(LONG)
        assert result(run) == ["a", "b", None]


def test_children_that_are_started_again_are_new_ones(app: Backroom, world: World) -> None:
    @app.flow
    async def child(n: int) -> str:
        return current_run().id

    @app.flow
    async def job() -> list[str]:
        one = await child(1)
        two = await child.using(key="the one")(2)
        mapped = [found async for found in (await child.map([3, 4])).results()]
        return [one, two, *mapped]

    with app.working():
        run = job.start()
        before = result(run)
        plan = run.rewind("start child#1").wait(LONG)
        assert set(plan.children) == {before[0], *before[2:]}
        after = result(run)
    assert before[1] == after[1], "a child with a key is found again by its key"
    assert not {before[0], *before[2:]} & {after[0], *after[2:]}
    assert len(app.office.read(lambda r: r.runs(flow="child")).result(LONG)) == 7


def test_a_child_whose_start_stays_is_found_again(app: Backroom, world: World) -> None:
    do = doer(world)

    @app.flow
    async def child() -> str:
        return current_run().id

    @app.flow
    async def job() -> str:
        started = await child.start()
        await do("a")
        return await started.result()

    with app.working():
        run = job.start()
        before = result(run)
        assert run.rewind("do#1").wait(LONG).children == ()
        assert result(run) == before


def test_a_run_whose_child_is_alive_and_would_be_started_again_is_not_rewound(
    app: Backroom,
) -> None:
    @app.flow
    async def child() -> None:
        await wait_for_event("never")

    @app.flow
    async def job() -> None:
        await child.start()
        raise ValueError

    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        (below,) = app.office.read(lambda r: r.runs(flow="child")).result(LONG)
        told = refused(lambda: run.rewind("start child#1").wait(LONG))
        assert below.id in told
        assert "Cancel it" in told
        app.run(below.id).cancel().wait(LONG)
        run.rewind("start child#1").wait(LONG)
        assert outcome(run) is State.FAILED


def test_a_run_that_was_undone_is_rewound_to_what_was_undone_first_or_before(
    app: Backroom, world: World
) -> None:
    job = saga(app, world)
    world.broken = {"c"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        for to in ("b#1", "c#1"):
            told = refused(partial(rewound, run, to))
            assert "a#1" in told
            assert "has been undone" in told
        world.broken = set()
        plan = run.rewind("a#1").wait(LONG)
        assert (plan.again, plan.undone) == (("a#1", "b#1", "c#1"), ("a#1", "b#1"))
        assert result(run) == "abc"
    assert world.done == ["a", "b", "undo b", "undo a", "a", "b", "c"]
    assert len(set(world.keys["a"])) == 2, "the other side may remember that it was undone"


def test_what_is_done_again_is_undone_again(app: Backroom, world: World) -> None:
    job = saga(app, world)
    world.broken = {"c"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        run.rewind("a#1").wait(LONG)
        assert outcome(run) is State.FAILED
    assert world.done == ["a", "b", "undo b", "undo a"] * 2
    assert len(set(world.keys["undo a"])) == 2


def test_a_step_that_can_be_undone_and_was_not_is_not_done_again(
    app: Backroom, world: World
) -> None:
    job = saga(app, world)
    with app.working():
        run = job.start()
        assert result(run) == "abc"
        told = refused(lambda: run.rewind("b#1").wait(LONG))
        assert "b#1 of run" in told
        assert "hasn't been" in told
        run.rewind("c#1").wait(LONG)
        assert result(run) == "abc"
    assert world.done == ["a", "b", "c", "c"]


def test_a_run_whose_undo_has_failed_is_finished_first(app: Backroom, world: World) -> None:
    job = saga(app, world)
    world.broken = {"c", "undo a"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.NEEDS_ATTENTION
        assert "was tried and has failed" in refused(lambda: run.rewind("b#1").wait(LONG))
        assert "hasn't been" in refused(lambda: run.rewind("a#1").wait(LONG))
        run.mark_undone("a#1", note="by hand").wait(LONG)
        assert outcome(run) is State.FAILED
        world.broken = set()
        run.rewind("a#1").wait(LONG)
        assert result(run) == "abc"


def test_a_run_that_goes_on_undoing_is_alive_and_left_alone(app: Backroom, world: World) -> None:
    job = saga(app, world)
    world.broken = {"c", "undo b"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.NEEDS_ATTENTION
    run.mark_undone("b#1", note="by hand").wait(LONG)
    assert run.cancel().wait(LONG) is State.READY
    assert "alive" in refused(lambda: run.rewind("b#1").wait(LONG))
    assert "can't be retried" in refused(lambda: run.retry().wait(LONG))


def test_the_past_of_a_walk_can_not_be_entered_again(app: Backroom, world: World) -> None:
    @step(undo=lambda n, done: world.does(f"undo {n}"))
    def book(n: int) -> None:
        world.does(f"book {n}")

    @step
    def last(n: int) -> None:
        world.does(f"last {n}")

    @app.flow
    def job() -> None:
        for chunk in chunks([0, 1, 2], size=1):
            for n in chunk:
                book(n)
                last(n)

    world.broken = {"last 2"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        told = refused(lambda: run.rewind("chunks#1.0/book#1").wait(LONG))
        assert "chunks#1 has passed" in told
        world.broken = set()
        run.rewind("chunks#1").wait(LONG)
        assert outcome(run) is State.SUCCEEDED
    again = [f"{what} {n}" for n in range(3) for what in ("book", "last")]
    assert world.done[-6:] == again


def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(
    app: Backroom, world: World
) -> None:
    job = saga(app, world)
    with app.working():
        run = job.start()
        result(run)
        assert "a#1, b#1, c#1." in refused(lambda: run.rewind("d#1").wait(LONG))
        for hidden in ("undo a#1", "rollback", "rewind"):
            assert "has no checkpoint" in refused(partial(rewound, run, hidden))
    with pytest.raises(errors.RunNotFound):
        app.run("01890000-0000-7000-8000-000000000000").rewind("a#1").wait(LONG)


@pytest.mark.parametrize("how", ["waiting", "running"])
def test_a_run_that_is_alive_is_not_rewound(app: Backroom, world: World, how: str) -> None:
    @step
    async def do() -> None: ...

    @app.flow
    async def job() -> None:
        await do()
        if how == "running":
            await asyncio.Event().wait()
        await wait_for_event("never")

    with app.working(grace=0):
        run = job.start()
        eventually(lambda: run.status().wait(LONG).state.value == how, within=LONG)
        eventually(lambda: steps(app, run), within=LONG)
        assert f"is {how}" in refused(lambda: run.rewind("do#1").wait(LONG))
        run.cancel().wait(LONG)
        eventually(lambda: outcome(run) is State.CANCELLED, within=LONG)


def test_a_rewind_can_be_awaited(app: Backroom, world: World) -> None:
    do = doer(world)

    @app.flow
    async def job() -> int:
        return await do("a")

    with app.working():
        run = job.start()
        result(run)

        async def again() -> int:
            plan = await run.rewind("do#1")
            assert plan.again == ("do#1",)
            return await run.result()

        assert asyncio.run(again()) == 2


def test_the_error_of_a_run_tells_what_it_failed_of(app: Backroom, world: World) -> None:
    do = doer(world)

    @app.flow
    async def job() -> None:
        try:
            await do.using(key="a")("a")
        except errors.StepFailed as error:
            raise LookupError("no a") from error

    world.broken = {"a"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
    assert json.loads(row_of(app, run).error or "")["failed"] == ["do[a]"]


def test_a_rollback_names_no_step(app: Backroom, world: World) -> None:
    @app.flow
    async def job() -> None:
        raise Rollback("declined")

    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
    assert "failed" not in json.loads(row_of(app, run).error or "")


# --- with what else there is


def with_alternative(app: Backroom, world: World) -> Any:
    """Step a with an undo; then the flow fails, and its alternative does b, with an undo, and c."""

    async def undo_a(done: None) -> None:
        world.does("undo a")

    async def undo_b(done: None) -> None:
        world.does("undo b")

    @step(undo=undo_a, undo_retry=ONE_TRY)
    async def a() -> None:
        world.does("a")

    @step(undo=undo_b, undo_retry=ONE_TRY)
    async def b() -> None:
        world.does("b")

    @step
    async def c() -> str:
        world.does("c")
        return "by other means"

    async def instead() -> str:
        await b()
        await wait_for_event("go")
        return await c()

    @app.flow(otherwise=instead)
    async def job() -> str:
        await a()
        raise Rollback("never mind")

    return job


def test_an_alternative_that_waits_can_be_cancelled_and_is_undone(
    app: Backroom, world: World
) -> None:
    job = with_alternative(app, world)
    with app.working():
        run = job.start()
        parked(run)
        run.cancel("stop").wait(LONG)
        assert outcome(run) is State.CANCELLED
        assert "taken back" in refused(lambda: run.retry().wait(LONG))
    assert world.done == ["a", "undo a", "b", "undo b"]


def test_an_alternative_that_waits_past_the_time_out_of_its_run_rests(
    app: Backroom, world: World
) -> None:
    job = with_alternative(app, world)
    with app.working():
        run = job.using(timeout=0.2).start()
        parked(run)
        app.office.store.move_clock(1_000_000)
        assert row_of(app, run).available_at is None, "only the event wakes it"
        run.emit("go").wait(LONG)
        assert result(run) == "by other means"
    assert row_of(app, run).attempt == 2


def test_an_alternative_that_was_undone_is_not_retried_but_rewound(
    app: Backroom, world: World
) -> None:
    job = with_alternative(app, world)
    world.broken = {"c"}
    with app.working():
        run = job.start()
        run.emit("go").wait(LONG)
        assert outcome(run) is State.FAILED
        assert "taken back" in refused(lambda: run.retry().wait(LONG))
        world.broken = set()
        plan = run.rewind("otherwise/b#1").wait(LONG)
        assert plan.again == ("otherwise/b#1", "otherwise/event go#1", "otherwise/c#1")
        assert result(run) == "by other means"
    assert world.done == ["a", "undo a", "b", "undo b", "b", "c"]


def test_an_undo_of_an_alternative_that_fails_is_finished_by_a_person(
    app: Backroom, world: World
) -> None:
    job = with_alternative(app, world)
    world.broken = {"c", "undo b"}
    with app.working():
        run = job.start()
        run.emit("go").wait(LONG)
        assert outcome(run) is State.NEEDS_ATTENTION
        states = [(undo.step, undo.state) for undo in run.undos().wait(LONG)]
        assert states == [("otherwise/b#1", "failed"), ("a#1", "undone")]
        run.mark_undone("otherwise/b#1", note="by hand").wait(LONG)
        assert outcome(run) is State.FAILED
    assert world.done == ["a", "undo a", "b"]


def test_a_flow_that_is_rewound_from_its_alternative_begins_before_it(
    app: Backroom, world: World
) -> None:
    job = with_alternative(app, world)
    world.broken = {"c"}
    with app.working():
        run = job.start()
        run.emit("go").wait(LONG)
        assert outcome(run) is State.FAILED
        world.broken = set()
        run.rewind("a#1").wait(LONG)
        assert result(run) == "by other means"
    assert world.done == ["a", "undo a", "b", "undo b", "a", "undo a", "b", "c"]


@pytest.mark.parametrize("dealt_with", [True, False])
def test_a_lock_is_taken_again_with_the_step_that_failed_in_it(
    app: Backroom, world: World, dealt_with: bool
) -> None:
    held: list[int] = []

    @step
    async def do(what: str) -> None:
        held.append(len(await asyncio.wrap_future(app.office.read(lambda r: r.locks()))))
        world.does(what)

    @app.flow
    async def job() -> None:
        try:
            async with lock("account"):
                await do.using(key="a")("a")
        except errors.StepFailed:
            if not dealt_with:
                raise
        await do.using(key="b")("b")

    world.broken = {"a", "b"}
    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
        world.broken = set()
        run.retry().wait(LONG)
        assert outcome(run) is State.SUCCEEDED
    assert world.done == (["b"] if dealt_with else ["a", "b"])
    assert held == ([1, 0, 0] if dealt_with else [1, 1, 0])
