"""Code changes while runs are under way: what is kept still counts, or a person is asked.

Every test has an old program, which takes a run up to a wait, and a new one that goes on with it.
Nothing is matched silently with what it wasn't made for.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, make_dataclass
from typing import Any

import pytest

from backroom import Backroom, Run, State, gather, sleep, step, wait_for_event
from backroom.records.errors import CodeMismatch, RunFailed
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, checkpoints, outcome, parked, result

Declare = Callable[[Backroom], object]


@dataclass
class Deployments:
    """Programs on one database, one after the other."""

    database: str

    @contextmanager
    def of(self, declare: Declare) -> Iterator[Backroom]:
        app = Backroom(self.database, poll=0.02)
        declare(app)
        with at_work(app):
            yield app
        app.close()

    def started(self, declare: Declare, *args: Any) -> Run[Any]:
        """A run that the old program has taken up to its wait."""
        with self.of(declare) as app:
            run = app.handle("job").start(*args)
            parked(run)
        return run

    def goes_on(self, declare: Declare, run: Run[Any]) -> Any:
        """What the new program makes of it once its event has come."""
        with self.of(declare) as app:
            same = app.run(run.id)
            same.emit("go").wait()
            return result(same)

    def is_set_aside(self, declare: Declare, run: Run[Any]) -> str:
        """Why the new program asks for a person."""
        with self.of(declare) as app:
            same = app.run(run.id)
            same.emit("go", key="once").wait()
            assert outcome(same) is State.NEEDS_ATTENTION
            error = same.status().wait().error
            assert error is not None
            return error

    def is_retried(self, declare: Declare, run: Run[Any]) -> Any:
        """What comes of it when a person has deployed this and retried the run."""
        with self.of(declare) as app:
            same = app.run(run.id)
            same.retry().wait()
            return result(same)


@pytest.fixture
def deployments(database: str) -> Deployments:
    return Deployments(database)


class Ran(list[str]):
    """Steps that note that they ran."""

    def step(self, name: str, value: Any = None, **options: Any) -> Any:
        async def body() -> Any:
            self.append(name)
            return name if value is None else value

        return step(name=name, **options)(body)


@pytest.fixture
def ran() -> Ran:
    return Ran()


def pair(ran: Ran) -> Declare:
    """The old program of most tests: a, b, a wait, c."""
    a, b, c = ran.step("a"), ran.step("b"), ran.step("c")

    def declare(app: Backroom) -> None:
        @app.flow
        async def job() -> list[str]:
            done = [await a(), await b()]
            await wait_for_event("go")
            return [*done, await c()]

    return declare


# --- changes that change nothing ----------------------------------------------------------------


def test_the_same_code_goes_on_where_it_was(deployments: Deployments, ran: Ran) -> None:
    run = deployments.started(pair(ran))
    assert deployments.goes_on(pair(ran), run) == ["a", "b", "c"]
    assert ran == ["a", "b", "c"]


def test_steps_can_be_inserted_anywhere(deployments: Deployments, ran: Ran) -> None:
    a, b, c, new = ran.step("a"), ran.step("b"), ran.step("c"), ran.step("new")

    def changed(app: Backroom) -> None:
        @app.flow
        async def job() -> list[str]:
            done = [await new(), await a(), await new(), await b()]
            await wait_for_event("go")
            return [*done, await new(), await c()]

    run = deployments.started(pair(ran))
    assert deployments.goes_on(changed, run) == ["new", "a", "new", "b", "new", "c"]
    assert ran == ["a", "b", "new", "new", "new", "c"]


def test_steps_can_be_removed_and_reordered(deployments: Deployments, ran: Ran) -> None:
    b, c = ran.step("b"), ran.step("c")

    def changed(app: Backroom) -> None:
        @app.flow
        async def job() -> list[str]:
            done = [await c(), await b()]
            await wait_for_event("go")
            return done

    run = deployments.started(pair(ran))
    assert deployments.goes_on(changed, run) == ["c", "b"]
    assert ran == ["a", "b", "c"]


def test_a_loop_may_have_more_rounds_or_fewer(deployments: Deployments, ran: Ran) -> None:
    a = ran.step("a")

    def rounds(before: int, after: int) -> Declare:
        def declare(app: Backroom) -> None:
            @app.flow
            async def job() -> int:
                for _ in range(before):
                    await a()
                await wait_for_event("go")
                for _ in range(after):
                    await a()
                return before + after

        return declare

    run = deployments.started(rounds(2, 0))
    assert deployments.goes_on(rounds(3, 1), run) == 4
    assert len(ran) == 4
    run = deployments.started(rounds(2, 0))
    assert deployments.goes_on(rounds(1, 1), run) == 2
    assert len(ran) == 6


def test_a_wait_can_be_inserted_before_what_is_kept(deployments: Deployments, ran: Ran) -> None:
    a, b, c = ran.step("a"), ran.step("b"), ran.step("c")

    def changed(app: Backroom) -> None:
        @app.flow
        async def job() -> list[str]:
            await sleep(0.001)
            done = [await a(), await b()]
            await wait_for_event("go")
            return [*done, await c()]

    run = deployments.started(pair(ran))
    assert deployments.goes_on(changed, run) == ["a", "b", "c"]
    assert ran == ["a", "b", "c"]


def test_a_renamed_step_is_found_under_its_former_name(deployments: Deployments, ran: Ran) -> None:
    a, b = ran.step("first_letter", aliases=("a",)), ran.step("b")

    def changed(app: Backroom) -> None:
        @app.flow
        async def job() -> list[str]:
            done = [await a(), await b(), await a()]
            await wait_for_event("go")
            return done

    run = deployments.started(pair(ran))
    assert deployments.goes_on(changed, run) == ["a", "b", "first_letter"]
    assert ran == ["a", "b", "first_letter"]


def test_a_renamed_step_in_a_branch_with_a_key_is_found_too(
    deployments: Deployments, ran: Ran
) -> None:
    def program(name: str, aliases: tuple[str, ...]) -> Declare:
        keyed, counted = ran.step(name, aliases=aliases), ran.step("x")

        def declare(app: Backroom) -> None:
            @app.flow
            async def job() -> list[Any]:
                async def branch(key: str) -> list[str]:
                    return [await keyed.using(key=key)(), await counted()]

                done = await gather(branch("a"), branch("a/b]"))
                await wait_for_event("go")
                return list(done)

        return declare

    run = deployments.started(program("old", ()))
    expected = [["old", "x"], ["old", "x"]]
    assert deployments.goes_on(program("new", ("older", "old")), run) == expected
    assert sorted(ran) == ["old", "old", "x", "x"]


def test_a_renamed_flow_goes_on_and_starts_no_child_twice(
    deployments: Deployments, ran: Ran
) -> None:
    def program(child_name: str, child_aliases: tuple[str, ...]) -> Declare:
        a = ran.step("a")

        def declare(app: Backroom) -> None:
            @app.flow(name=child_name, aliases=child_aliases)
            async def child() -> str:
                done: str = await a()
                return done

            @app.flow
            async def job() -> list[str]:
                started = await child.start()
                done = [await child(), await started.result()]
                await wait_for_event("go")
                return [*done, await child()]

        return declare

    run = deployments.started(program("old", ()))
    assert deployments.goes_on(program("new", ("old",)), run) == ["a", "a", "a"]
    assert len(ran) == 3


def test_runs_of_a_renamed_flow_are_claimed_under_its_alias(
    deployments: Deployments, ran: Ran
) -> None:
    def renamed(app: Backroom) -> None:
        @app.flow(name="new_job", aliases=("job",))
        async def anything() -> str:
            await wait_for_event("go")
            return "under its alias"

    run = deployments.started(pair(ran))
    assert deployments.goes_on(renamed, run) == "under its alias"


def test_a_field_with_a_default_can_be_added_to_an_argument(deployments: Deployments) -> None:
    def program(*fields: Any) -> Declare:
        order = make_dataclass("Order", [("id", int), *fields])

        async def body(order: Any) -> int:
            number: int = order.id
            return number

        body.__annotations__["order"] = order
        charge = step(name="charge")(body)

        def declare(app: Backroom) -> None:
            @app.flow
            async def job() -> int:
                charged: int = await charge(order(7))
                await wait_for_event("go")
                return charged

        return declare

    run = deployments.started(program())
    assert deployments.goes_on(program(("note", str, "")), run) == 7


# --- changes that need a person -----------------------------------------------------------------


def test_other_arguments_are_noticed_and_can_be_mended(deployments: Deployments) -> None:
    charged: list[int] = []

    @step
    async def charge(amount: int) -> int:
        charged.append(amount)
        return amount

    def program(amount: int) -> Declare:
        def declare(app: Backroom) -> None:
            @app.flow
            async def job() -> int:
                paid = await charge(amount)
                await wait_for_event("go")
                return paid

        return declare

    run = deployments.started(program(5))
    error = deployments.is_set_aside(program(6), run)
    assert "CodeMismatch: The code no longer matches what is kept at charge#1" in error
    assert "other arguments" in error
    assert "Deploy code that fits, then retry the run" in error
    assert deployments.is_retried(program(5), run) == 5
    assert charged == [5]


def test_arguments_may_differ_where_the_author_says_so(deployments: Deployments) -> None:
    @step(check_input=False)
    async def charge(amount: int) -> int:
        return amount

    def program(amount: int) -> Declare:
        def declare(app: Backroom) -> None:
            @app.flow
            async def job() -> int:
                paid = await charge(amount)
                await wait_for_event("go")
                return paid

        return declare

    run = deployments.started(program(5))
    assert deployments.goes_on(program(6), run) == 5


def test_a_result_of_another_type_is_noticed(deployments: Deployments) -> None:
    def program(kind: type, value: Any) -> Declare:
        async def body() -> Any:
            return value

        body.__annotations__["return"] = kind
        look = step(name="look")(body)

        def declare(app: Backroom) -> None:
            @app.flow
            async def job() -> str:
                seen = await look()
                await wait_for_event("go")
                return type(seen).__name__

        return declare

    run = deployments.started(program(str, "abc"))
    error = deployments.is_set_aside(program(int, 1), run)
    assert "kept at look#1: its type has changed" in error
    assert deployments.is_retried(program(str, "abc"), run) == "str"


def test_a_step_where_a_wait_was_is_noticed(deployments: Deployments, ran: Ran) -> None:
    def old(app: Backroom) -> None:
        @app.flow
        async def job() -> str:
            await sleep(0.001)
            await wait_for_event("go")
            return "slept"

    step_called_sleep = ran.step("sleep")

    def new(app: Backroom) -> None:
        @app.flow
        async def job() -> str:
            await step_called_sleep()
            await wait_for_event("go")
            return "stepped"

    with deployments.of(old) as app:
        run = app.handle("job").start()
        eventually(lambda: checkpoints(app, run) == {"sleep#1": "done"}, within=LONG)
        parked(run)
    error = deployments.is_set_aside(new, run)
    assert "kept at sleep#1: a timer is kept there, the code asks for a step" in error
    assert deployments.is_retried(old, run) == "slept"
    assert ran == []


def test_an_events_other_type_is_noticed(deployments: Deployments) -> None:
    def program(kind: Any) -> Declare:
        def declare(app: Backroom) -> None:
            @app.flow
            async def job() -> str:
                heard = await wait_for_event("word", kind)
                await wait_for_event("go")
                return str(heard)

        return declare

    with deployments.of(program(str)) as app:
        run = app.handle("job").start()
        run.emit("word", "abc").wait()
        eventually(lambda: checkpoints(app, run), within=LONG)
        parked(run)
    assert "event word#1" in deployments.is_set_aside(program(int), run)
    assert deployments.is_retried(program(str), run) == "abc"


@pytest.mark.parametrize("where", ["body", "branch", "task group", "thread"])
def test_no_except_clause_takes_a_mismatch_for_a_failure(
    deployments: Deployments, where: str
) -> None:
    @step
    async def charge(amount: int) -> int:
        return amount

    @step(name="charge")
    def charge_plainly(amount: int) -> int:
        return amount

    def program(amount: int) -> Declare:
        async def call() -> int:
            if where == "branch":
                return (await gather(charge(amount)))[0]
            if where == "task group":
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(charge(amount))
                return task.result()
            if where == "thread":
                return await asyncio.to_thread(charge_plainly, amount)
            return await charge(amount)

        def declare(app: Backroom) -> None:
            @app.flow
            async def job() -> str:
                try:
                    await call()
                except Exception:
                    return "took it for a failure"
                await wait_for_event("go")
                return "went on"

        return declare

    run = deployments.started(program(5))
    assert "CodeMismatch" in deployments.is_set_aside(program(6), run)
    assert deployments.is_retried(program(5), run) == "went on"


def test_an_input_that_no_longer_fits_is_set_aside_before_any_code_runs(
    deployments: Deployments, ran: Ran
) -> None:
    a = ran.step("a")

    def old(app: Backroom) -> None:
        @app.flow
        async def job(n: int) -> str:
            await wait_for_event("go")
            return "old"

    def new(app: Backroom) -> None:
        @app.flow
        async def job(n: int, must: str) -> str:
            await a()
            return "new"

    def with_default(app: Backroom) -> None:
        @app.flow
        async def job(n: int, may: str = "default") -> str:
            return may

    run = deployments.started(old, 1)
    error = deployments.is_set_aside(new, run)
    assert "InvalidInput" in error
    assert "must" in error
    assert ran == []
    assert deployments.is_retried(with_default, run) == "default"


def test_two_steps_of_one_name_in_a_run_are_refused(deployments: Deployments, ran: Ran) -> None:
    a, other = ran.step("a"), ran.step("a", "other")

    def declare(app: Backroom) -> None:
        @app.flow
        async def job() -> list[str]:
            return [await a(), await other()]

    refused = pytest.raises(RunFailed, match=r"Two different steps .* called 'a'")
    with deployments.of(declare) as app, refused:
        result(app.handle("job").start())
    assert ran == ["a"]


def test_a_mismatch_tells_its_address() -> None:
    assert CodeMismatch("charge#1", "it is odd").address == "charge#1"
