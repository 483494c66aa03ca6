"""What authors do, small enough to be played with a fault at every single call.

A scenario declares its flows on an application and gives back what the world outside does; what it
must see in the end, whatever failed in between, stands beside it.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from backroom import (
    Backroom,
    Retry,
    Rollback,
    Run,
    State,
    chunks,
    current_run,
    first,
    gather,
    progress,
    sleep,
    step,
    wait_for_event,
)
from backroom.errors import StepFailed
from backroom.flows.flow import AsyncFlow
from tests.promises.site import Declare, Hand, Site

__all__ = ["SCENARIOS", "Scenario"]

SOON = Retry(attempts=3, delay_seconds=0.001)
MOMENT = 0.001  # seconds: long enough to park
DAY = 86_400.0


@dataclass(frozen=True)
class Scenario:
    declare: Declare
    sees: object
    runs: int
    """How many runs there are in the end."""


SCENARIOS: dict[str, Scenario] = {}


def scenario(*, sees: object, runs: int) -> Callable[[Declare], Declare]:
    def add(declare: Declare) -> Declare:
        SCENARIOS[declare.__name__] = Scenario(declare, sees, runs)
        return declare

    return add


def one_step(app: Backroom, hand: Hand) -> AsyncFlow[[], int]:
    """The least flow there is to play with, for scenarios about how a run comes about."""

    @step
    async def work() -> int:
        hand.works()
        return 1

    @app.flow
    async def job() -> int:
        return await work()

    return job


def one_numbered_step(app: Backroom, hand: Hand) -> AsyncFlow[[int], int]:
    """The same where it has to be told which run did what."""

    @step
    async def work(n: int) -> int:
        hand.works()
        return n

    @app.flow
    async def job(n: int) -> int:
        return await work(n)

    return job


@scenario(sees=("succeeded", "[1,2,3]"), runs=1)
def steps_in_sequence(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def add(n: int) -> int:
        hand.works()
        return n + 1

    @app.flow
    async def job() -> list[int]:
        counted = [await add(0)]
        progress(0.5, status="half way")
        counted.append(await add(counted[-1]))
        counted.append(await add(counted[-1]))
        return counted

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", "[1,2]"), runs=1)
def def_steps_in_a_def_flow(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    def add(n: int) -> int:
        hand.works()
        return n + 1

    @app.flow
    def job() -> list[int]:
        one = add(0)
        return [one, add(one)]

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", '["a fetched charged","b fetched charged"]'), runs=1)
def parallel_steps(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def fetch(name: str) -> str:
        hand.works()
        return f"{name} fetched"

    @step
    def charge(what: str) -> str:
        hand.works()
        return f"{what} charged"

    @app.flow
    async def job() -> tuple[str, str]:
        async def branch(name: str) -> str:
            return await asyncio.to_thread(charge, await fetch(name))

        return await gather(branch("a"), branch("b"))

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", '"through at the third try"'), runs=1)
def a_retried_step(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step(retry=SOON)
    async def flaky() -> str:
        hand.works()
        if current_run().tries < 3:
            raise ConnectionError("busy")
        return "through at the third try"

    @app.flow
    async def job() -> str:
        return await flaky()

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", '"faxed"'), runs=1)
def an_alternative(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    async def fax() -> str:
        hand.works()
        return "faxed"

    @step(otherwise=fax)
    async def mail() -> str:
        hand.works()
        raise ConnectionError("no network")

    @app.flow
    async def job() -> str:
        sent = await mail()
        await sleep(MOMENT)
        return sent

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", "3"), runs=1)
def sleeps(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def add(n: int) -> int:
        hand.works()
        return n + 1

    @app.flow
    async def job() -> int:
        one = await add(0)
        await sleep(MOMENT)
        two = await add(one)
        await sleep(MOMENT)
        return await add(two)

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", '["early",1]'), runs=1)
def an_event_before_the_wait(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def note() -> int:
        hand.works()
        return 1

    @app.flow
    async def job() -> tuple[str, int]:
        return await wait_for_event("word", str), await note()

    def play(site: Site) -> object:
        run = job.start()
        run.emit("word", "early").wait()
        return site.end(run)

    return play


@scenario(sees=("succeeded", '[1,"late","later"]'), runs=1)
def an_event_after_the_wait(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def note() -> int:
        hand.works()
        return 1

    @app.flow
    async def job() -> tuple[int, str, str]:
        noted = await note()
        return noted, await wait_for_event("word", str), await wait_for_event("word", str)

    def play(site: Site) -> object:
        run = job.start()
        site.parked(run)
        run.emit("word", "late").wait()
        run.emit("word", "later").wait()
        return site.end(run)

    return play


@scenario(sees=("succeeded", '["yes",null,"still there"]'), runs=1)
def first_of_several(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @app.flow
    async def job() -> tuple[str | None, str | None, str]:
        answer = await first(wait_for_event("answer", str), sleep(days=1000))
        none = await first(sleep(MOMENT), wait_for_event("other", str))
        return answer, none, await wait_for_event("other", str)

    def play(site: Site) -> object:
        run = job.start()
        site.parked(run)
        run.emit("answer", "yes").wait()
        site.until(lambda: len(site.reader.steps(run.id)) >= 2)
        run.emit("other", "still there").wait()
        return site.end(run)

    return play


@scenario(sees=("succeeded", "[4,9,1]"), runs=4)
def awaited_children(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def square(n: int) -> int:
        hand.works()
        return n * n

    @app.flow
    async def child(n: int) -> int:
        return await square(n)

    @app.flow
    async def job() -> tuple[int, int, int]:
        two, three = await gather(child(2), child(3))
        return two, three, await child(1)

    return lambda site: site.end(job.start())


@scenario(sees=(("succeeded", "4"), ("succeeded", '"alone"')), runs=3)
def started_children(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def square(n: int) -> int:
        hand.works()
        return n * n

    @app.flow
    async def child(n: int) -> int:
        return await square(n)

    @app.flow
    async def loner() -> str:
        return await wait_for_event("word", str)

    @app.flow
    async def job() -> int:
        started = await child.start(2)
        other = await loner.using(detached=True).start()
        await other.emit("word", "alone")
        return await started.result()

    def play(site: Site) -> object:
        run = job.start()
        how = site.end(run)
        (other,) = site.reader.runs(flow="loner")
        return how, site.end(app.run(other.id))

    return play


@scenario(sees=(("succeeded", "7"), ("succeeded", "7")), runs=3)
def children_with_a_key(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def work(n: int) -> int:
        hand.works()
        return n

    @app.flow
    async def child() -> int:
        return await work(7)

    @app.flow
    async def job() -> int:
        return await child.using(key="the one")()

    def play(site: Site) -> object:
        one, other = job.start(), job.start()
        return site.end(one), site.end(other)

    return play


@scenario(sees=[("cancelled", None), ("cancelled", None)], runs=2)
def a_cancel(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @app.flow
    async def child() -> None:
        await wait_for_event("never")

    @step
    async def work() -> None:
        hand.works()

    @app.flow
    async def job() -> None:
        await work()
        await child()

    def play(site: Site) -> object:
        run = job.start()
        site.parked(run)
        run.cancel("no more").wait()
        site.end(run)
        site.until(lambda: len(site.reader.runs(states=[State.CANCELLED])) == 2)
        return [site.end(app.run(row.id)) for row in site.reader.runs()]

    return play


@scenario(sees=("succeeded", '"through"'), runs=1)
def a_retried_run(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def good() -> None:
        hand.works()

    @step
    async def bad() -> str:
        hand.works()
        if current_run().attempt < 2:
            raise ConnectionError("busy")
        return "through"

    @app.flow(retry=SOON)
    async def job() -> str:
        await good()
        return await bad()

    return lambda site: site.end(job.start())


@scenario(sees=("failed", None), runs=1)
def undoing(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    async def give_back(n: int, charged: int | None) -> None:
        hand.works()

    @step(undo=give_back)
    async def charge(n: int) -> int:
        hand.works()
        return n

    @app.flow
    async def job() -> None:
        await charge(1)
        await charge(2)
        raise Rollback("declined")

    return lambda site: site.end(job.start())


@scenario(sees=[("failed", None), ("succeeded", "[1,2]")], runs=1)
def a_run_that_a_person_retries(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def good() -> int:
        hand.works()
        return 1

    @step
    async def bad() -> int:
        hand.works_once_mended()
        return 2

    @app.flow
    async def job() -> list[int]:
        return [await good(), await bad()]

    def play(site: Site) -> object:
        run = job.start()
        before = site.end(run)
        site.table.mended = True
        run.retry().wait()
        return [before, site.end(run)]

    return play


@scenario(sees=[["undone", "undone"], ("failed", None)], runs=1)
def an_undo_that_fails_and_a_retry(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    async def give_back(n: int, charged: int | None) -> None:
        hand.works_once_mended() if n == 2 else hand.works()

    @step(undo=give_back, undo_retry=Retry(attempts=2, delay_seconds=0.001))
    async def charge(n: int) -> int:
        hand.works()
        return n

    @app.flow
    async def job() -> None:
        await charge(1)
        await charge(2)
        raise Rollback("declined")

    def play(site: Site) -> object:
        run = job.start()
        site.aside(run)
        site.table.mended = True
        run.retry().wait()
        end = site.end(run)
        return [[undo.state for undo in run.undos().wait()], end]

    return play


@scenario(sees=[["by_hand", "undone"], ("cancelled", None)], runs=1)
def an_undo_that_a_person_has_done(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    def give_back(n: int, charged: int | None) -> None:
        hand.works_once_mended() if n == 2 else hand.works()

    @step(undo=give_back, undo_retry=Retry(attempts=1))
    def charge(n: int) -> int:
        hand.works()
        return n

    @app.flow
    def job() -> None:
        charge(1)
        charge(2)
        wait_for_event("never").wait()

    def play(site: Site) -> object:
        run = job.start()
        site.parked(run)
        run.cancel("no more").wait()
        site.aside(run)
        run.mark_undone("charge#2", note="by hand").wait()
        end = site.end(run)
        return [[undo.state for undo in run.undos().wait()], end]

    return play


@scenario(sees=[("succeeded", '[1,"word",1]'), ("succeeded", '[1,"word",1]')], runs=2)
def a_rewind(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def work(n: int) -> int:
        hand.works()
        return n

    @app.flow
    async def child() -> int:
        return await work(1)

    @app.flow
    async def job() -> tuple[int, str, int]:
        kept = await child.using(key="the one")()
        word = await wait_for_event("word", str)
        return kept, word, await work(1)

    def play(site: Site) -> object:
        run = job.start()
        run.emit("word", "word").wait()
        before = site.end(run)
        run.rewind("event word#1").wait()
        return [before, site.end(run)]

    return play


@scenario(sees=[("succeeded", "1"), ("succeeded", "2"), 2], runs=2)
def starts_in_the_callers_transaction(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    job = one_numbered_step(app, hand)

    def play(site: Site) -> object:
        def book(connection: Any, n: int) -> str:
            connection.execute(f"INSERT INTO booked VALUES ({int(n)})")
            return job.using(on=connection).start(n).id

        if "://" in site.database:
            with psycopg.connect(site.database) as server:
                server.execute("CREATE TABLE booked (n int)")
                server.commit()
                one = book(server, 1)
                server.commit()
                book(server, 13)
                server.rollback()
                other = book(server, 2)
                server.commit()
                cursor = server.execute("SELECT count(*) FROM booked")
                (booked,) = cursor.fetchone() or (0,)
        else:
            with closing(sqlite3.connect(site.database, isolation_level=None)) as file:
                file.execute("CREATE TABLE booked (n int)")
                file.execute("BEGIN IMMEDIATE")
                one = book(file, 1)
                file.execute("COMMIT")
                file.execute("BEGIN IMMEDIATE")
                book(file, 13)
                file.execute("ROLLBACK")
                file.execute("BEGIN IMMEDIATE")
                other = book(file, 2)
                file.execute("COMMIT")
                (booked,) = file.execute("SELECT count(*) FROM booked").fetchone()
        return [site.end(app.run(one)), site.end(app.run(other)), booked]

    return play


@scenario(sees=([True, False, False, True], ("succeeded", '"a"'), ("succeeded", '"b"')), runs=2)
def keyed_starts(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def work(word: str) -> str:
        hand.works()
        return word

    @app.flow
    async def job(word: str) -> str:
        return await work(word)

    def play(site: Site) -> object:
        one = job.using(key="one")
        runs = [one.start("a"), one.start("x"), one.start("y"), job.using(key="two").start("b")]
        created = [run.created for run in runs]
        return created, site.end(runs[1]), site.end(runs[3])

    return play


@scenario(sees=[("succeeded", str(n)) for n in range(30)], runs=30)
def many_starts(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    job = one_numbered_step(app, hand)

    def play(site: Site) -> object:
        runs = app.start_many(job.prepare(n) for n in range(30))
        return [site.end(run) for run in runs]

    return play


@scenario(sees=("succeeded", "[0,1,4,9,16]"), runs=6)
def a_map(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def square(n: int) -> int:
        hand.works()
        return n * n

    @app.flow
    async def child(n: int) -> int:
        return await square(n)

    @app.flow
    async def job() -> list[int]:
        done = await child.map(range(5), window=2)
        return [n async for n in done.results()]

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", "10"), runs=1)
def a_walk_in_chunks(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def add(numbers: list[int]) -> int:
        hand.works()
        return sum(numbers)

    @app.flow
    async def job() -> int:
        async for chunk in chunks(range(5), size=2):
            await add(list(chunk))
        return 10

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", '["slept",1]'), runs=1)
def a_branch_that_sleeps(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def work() -> int:
        hand.works()
        return 1

    @app.flow
    async def job() -> tuple[str, int]:
        async def rest() -> str:
            await sleep(days=3)
            return "slept"

        slept, worked = await gather(rest(), work())
        return slept, worked

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", "1"), runs=1)
def a_delayed_start(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    job = one_step(app, hand)

    return lambda site: site.end(job.using(delay=3600).start())


@scenario(sees=("succeeded", "3"), runs=3)
def nested_children(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def add(n: int) -> int:
        hand.works()
        return n + 1

    @app.flow
    async def inner() -> int:
        return await add(0)

    @app.flow
    async def middle() -> int:
        return await add(await inner())

    @app.flow
    async def outer() -> int:
        return await add(await middle())

    return lambda site: site.end(outer.start())


@scenario(sees=("failed", None), runs=1)
def a_step_that_fails_for_good(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step(retry=SOON)
    async def never() -> None:
        hand.works()
        raise ConnectionError("closed for ever")

    @app.flow
    async def job() -> None:
        await never()

    return lambda site: site.end(job.start())


@scenario(sees=[("failed", None), "failed"], runs=2)
def a_child_that_fails(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def work() -> None:
        hand.works()
        raise ConnectionError("closed")

    @app.flow
    async def child() -> None:
        await work()

    @app.flow
    async def job() -> None:
        await child()

    def play(site: Site) -> object:
        how = site.end(job.start())
        (row,) = site.reader.runs(flow="child")
        return [how, row.state.value]

    return play


@scenario(sees=("succeeded", "[1,2,3,4]"), runs=1)
def branches_in_threads(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    def add(n: int) -> int:
        hand.works()
        return n + 1

    @app.flow
    def job() -> list[int]:
        one, two = gather(lambda: add(0), lambda: add(1)).wait()
        sleep(days=1).wait()
        return [one, two, add(2), add(3)]

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", '["a","b"]'), runs=1)
def keyed_steps(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def work(word: str) -> str:
        hand.works()
        return word

    @app.flow
    async def job() -> list[str]:
        return [await work.using(key="one")("a"), await work.using(key="two")("b")]

    return lambda site: site.end(job.start())


@scenario(sees=("failed", None), runs=1)
def a_run_that_takes_too_long(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def work() -> None:
        hand.works()

    @app.flow(timeout=60)
    async def job() -> None:
        await work()
        await sleep(days=2)

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", '"too late"'), runs=1)
def a_step_that_takes_too_long(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step(timeout=5)
    async def slow() -> str:
        hand.works()
        await asyncio.sleep(60)
        return "in time"

    @app.flow
    async def job() -> str:
        try:
            return await slow()
        except StepFailed:
            return "too late"

    return lambda site: site.end(job.start())


@scenario(sees=[("succeeded", "0"), ("succeeded", "1"), ("succeeded", "2")], runs=3)
def a_queue_with_a_limit(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def work(n: int) -> int:
        hand.works()
        return n

    @app.flow(concurrency=1)
    async def job(n: int) -> int:
        return await work(n)

    def play(site: Site) -> object:
        runs = [job.start(n) for n in range(3)]
        return [site.end(run) for run in runs]

    return play


@scenario(sees=("succeeded", "1"), runs=1)
def a_paused_queue(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    job = one_step(app, hand)

    def play(site: Site) -> object:
        app.pause("default").wait()
        run = job.start()
        site.work()
        app.resume("default").wait()
        return site.end(run)

    return play


@scenario(sees=[("succeeded", "1"), ("succeeded", "2")], runs=2)
def the_urgent_one_first(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    job = one_numbered_step(app, hand)

    def play(site: Site) -> object:
        late, soon = job.using(priority=9).start(1), job.using(priority=0).start(2)
        return [site.end(late), site.end(soon)]

    return play


@scenario(sees=("succeeded", '"sent"'), runs=2)
def an_event_from_a_flow(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def note() -> None:
        hand.works()

    @app.flow
    async def listener() -> str:
        return await wait_for_event("word", str)

    @app.flow
    async def job() -> str:
        child = await listener.start()
        await note()
        await child.emit("word", "sent")
        return await child.result()

    return lambda site: site.end(job.start())


@scenario(sees=("succeeded", "1"), runs=1)
def a_run_that_is_moved(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    job = one_step(app, hand)

    def play(site: Site) -> object:
        run = job.using(delay=86_400).start()
        run.reschedule(delay=60).wait()
        return site.end(run)

    return play


@scenario(sees=("cancelled", None), runs=1)
def an_undo_after_a_cancel(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    async def give_back(n: int, charged: int | None) -> None:
        hand.works()

    @step(undo=give_back)
    async def charge(n: int) -> int:
        hand.works()
        return n

    @app.flow
    async def job() -> None:
        await charge(1)
        await wait_for_event("never")

    def play(site: Site) -> object:
        run = job.start()
        site.parked(run)
        run.cancel("no more").wait()
        return site.end(run)

    return play


@scenario(sees=[("cancelled", None), ("succeeded", '"alone"')], runs=2)
def a_detached_child_outlives_a_cancel(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @app.flow
    async def loner() -> str:
        return await wait_for_event("word", str)

    @app.flow
    async def job() -> None:
        await loner.using(detached=True).start()
        await wait_for_event("never")

    def play(site: Site) -> object:
        run = job.start()
        site.parked(run)
        (child,) = site.reader.runs(flow="loner")
        run.cancel().wait()
        how = site.end(run)
        other: Run[str] = app.run(child.id)
        other.emit("word", "alone").wait()
        return [how, site.end(other)]

    return play


@step(process=True)
def doubled(n: int) -> int:
    """In a process of its own, so it must be found by its name."""
    return 2 * n


@scenario(sees=("succeeded", "[1,2]"), runs=1)
def a_step_in_a_process_of_its_own(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step
    async def work() -> int:
        hand.works()
        return 1

    @app.flow
    async def job() -> list[int]:
        one = await work()
        return [one, await asyncio.to_thread(doubled, one)]

    return lambda site: site.end(job.start())


@scenario(sees=[("succeeded", "7"), [7]], runs=1)
def a_step_with_its_own_transaction(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    @step(transaction=True)
    def book(connection: Any, n: int) -> int:
        hand.works()
        connection.execute(f"INSERT INTO booked VALUES ({int(n)})")
        return n

    @app.flow
    def job() -> int:
        return book(7)

    def play(site: Site) -> object:
        with closing(connected(site.database)) as connection:
            connection.execute("CREATE TABLE booked (n int)")
            end = site.end(job.start())
            return [end, [n for (n,) in connection.execute("SELECT n FROM booked").fetchall()]]

    return play


def connected(database: str) -> Any:
    """A connection of the application's own, each of whose statements is committed."""
    if "://" in database:
        return psycopg.connect(database, autocommit=True)
    return sqlite3.connect(database, isolation_level=None)


@scenario(sees=[("cancelled", None), ("succeeded", "1")], runs=2)
def a_run_that_expires(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    job = one_step(app, hand)

    @app.flow(queue="slow", expires=1)
    async def brief() -> None:
        raise AssertionError("it should have expired")

    def play(site: Site) -> object:
        app.pause("slow").wait()
        run = brief.start()
        other = job.start()
        return [site.end(run), site.end(other)]

    return play


@scenario(sees=[("succeeded", "1"), True, ("succeeded", "1")], runs=1)
def old_runs_are_removed(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    job = one_step(app, hand)

    def play(site: Site) -> object:
        run = job.start()
        end = site.end(run)
        site.cluster.move_clock(3 * DAY)
        young = job.start()
        app.prune(older_than=DAY).wait()
        return [end, site.reader.run(run.id) is None, site.end(young)]

    return play


@scenario(sees=("succeeded", "1"), runs=2)
def a_start_whose_await_was_forgotten(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    other = one_step(app, hand)

    @app.flow
    async def job_that_forgets() -> int:
        other.start()
        return 1

    return lambda site: site.end(job_that_forgets.start())


@scenario(sees=[("succeeded", "0"), ("succeeded", "1"), ("succeeded", "2")], runs=3)
def an_operators_limit(app: Backroom, hand: Hand) -> Callable[[Site], object]:
    job = one_numbered_step(app, hand)

    def play(site: Site) -> object:
        app.limit("default", concurrency=1, by="ann").wait()
        runs = [job.start(n) for n in range(3)]
        ends = [site.end(run) for run in runs]
        app.as_declared("default").wait()
        return ends

    return play
