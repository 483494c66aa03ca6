"""Calls whose order a replay couldn't know are refused; those that have an order, a key or a branch
of their own are not."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from backroom import Backroom, Retry, current_run, gather, sleep, step
from backroom.records.errors import RunFailed
from backroom.testing import at_work
from tests.flows.house import checkpoints, result


@step
async def fetch(name: str) -> str:
    return name


@step
def fetch_plainly(name: str) -> str:
    return name


async def in_a_task() -> None:
    async def task() -> None:
        await fetch("a")

    await asyncio.create_task(task())


async def in_a_task_group() -> None:
    async def task(name: str) -> None:
        await fetch(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(task("a"))
        group.create_task(task("b"))


async def in_asyncio_gather() -> None:
    async def task(name: str) -> None:
        await fetch(name)

    await asyncio.gather(task("a"), task("b"))


async def in_a_wait_inside_a_task() -> None:
    async def task() -> None:
        await sleep(1)

    await asyncio.create_task(task())


async def in_two_threads() -> None:
    both_inside = threading.Barrier(2, timeout=0.5)

    @step
    def meet(name: str) -> None:
        both_inside.wait()

    await asyncio.gather(asyncio.to_thread(meet, "a"), asyncio.to_thread(meet, "b"))


@pytest.mark.parametrize(
    "body",
    [in_a_task, in_a_task_group, in_asyncio_gather, in_a_wait_inside_a_task, in_two_threads],
    ids=lambda body: body.__name__,
)
def test_calls_from_elsewhere_are_refused(
    sqlite_app: Backroom, body: Callable[[], Awaitable[None]]
) -> None:
    @sqlite_app.flow
    async def job() -> str:
        try:
            await body()
        except BaseExceptionGroup as group:
            return type(group.exceptions[0]).__name__
        except Exception as error:
            return type(error).__name__
        return "went through"

    with at_work(sqlite_app):
        assert result(job.start()) == "AmbiguousStep"


def test_a_def_flows_own_threads_are_refused(sqlite_app: Backroom) -> None:
    @sqlite_app.flow
    def job() -> None:
        with ThreadPoolExecutor() as pool:
            pool.submit(copy_context().run, fetch_plainly, "a").result()

    with at_work(sqlite_app), pytest.raises(RunFailed, match=r"using\(key="):
        result(job.start())


def test_a_key_gives_a_call_a_place_wherever_it_is_made(app: Backroom) -> None:
    ran: list[str] = []

    @step(retry=Retry(attempts=2, delay_seconds=0.01))
    async def work(name: str) -> str:
        ran.append(name)
        if ran.count(name) == 1 and name == "b":
            raise ConnectionError("busy")
        return name

    @step
    def work_plainly(name: str) -> str:
        ran.append(name)
        return name

    @app.flow
    async def job() -> list[str]:
        async def task(name: str) -> str:
            return await work.using(key=name)(name)

        def in_thread(name: str) -> str:
            return work_plainly.using(key=name)(name)

        words = await asyncio.gather(
            task("a"),
            task("b"),
            asyncio.to_thread(in_thread, "c"),
            asyncio.to_thread(in_thread, "d"),
        )
        await sleep(0.001)
        return list(words)

    with at_work(app):
        run = job.start()
        assert result(run) == ["a", "b", "c", "d"]
        assert {"work[a]", "work[b]", "work_plainly[c]"} <= checkpoints(app, run).keys()
    assert sorted(ran) == ["a", "b", "b", "c", "d"]


def test_one_key_at_once_from_two_sides_is_refused(sqlite_app: Backroom) -> None:
    go_on = asyncio.Event()
    ran: list[int] = []

    @step
    async def charge() -> None:
        ran.append(1)
        await go_on.wait()

    @sqlite_app.flow
    async def job() -> str:
        first = asyncio.create_task(charge.using(key="k")())
        await asyncio.sleep(0)
        try:
            await charge.using(key="k")()
        except Exception as error:
            return str(error)
        finally:
            go_on.set()
            await first
        return "charged twice"

    with at_work(sqlite_app):
        assert "with this very key already" in result(job.start())
    assert ran == [1]


def test_one_key_again_later_is_the_same_call(app: Backroom) -> None:
    ran: list[int] = []

    @step
    async def charge() -> str:
        ran.append(1)
        key = current_run().step_key
        assert key is not None
        return key

    @app.flow
    async def job() -> list[str]:
        call = charge.using(key="k")
        return [await call(), await call(), await charge.using(key="other")()]

    with at_work(app):
        one, same, other = result(job.start())
    assert one == same != other
    assert len(ran) == 2


def test_the_same_call_in_several_branches_has_a_place_in_each(app: Backroom) -> None:
    @app.flow
    async def job() -> list[tuple[str, str]]:
        async def branch(name: str) -> tuple[str, str]:
            inner = await gather(fetch(name), fetch.using(key="k")(name + "k"))
            return inner[0], inner[1]

        return list(await gather(branch("a"), branch("b")))

    with at_work(app):
        run = job.start()
        assert result(run) == [("a", "ak"), ("b", "bk")]
        calls = ("fetch#1", "fetch[k]")
        assert sorted(checkpoints(app, run)) == [
            f"gather#1.{branch}/{call}" for branch in (0, 1) for call in calls
        ]


def test_gather_takes_plain_functions_in_either_colour(app: Backroom) -> None:
    @app.flow
    async def job() -> tuple[str, str]:
        return await gather(lambda: fetch_plainly("a"), fetch("b"))

    @app.flow
    def job_plainly() -> tuple[str, str]:
        return gather(lambda: fetch_plainly("a"), lambda: fetch_plainly("b")).wait()

    @app.flow
    def wrongly() -> tuple[str, str]:
        return gather(fetch("a"), fetch("b")).wait()

    with at_work(app):
        assert result(job.start()) == result(job_plainly.start()) == ("a", "b")
        with pytest.raises(RunFailed, match="takes functions without arguments"):
            result(wrongly.start())
