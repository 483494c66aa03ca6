"""A store behind PgBouncer in transaction mode: every transaction may meet another connection."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from backroom import Backroom, step
from backroom.engine.world import World
from backroom.records.runs import NewRun
from backroom.records.states import State
from backroom.store.postgres import PostgresStore
from backroom.store.postgres.link import Address
from backroom.store.verbs import Settle, Start
from tests.flows.house import result
from tests.store.desk import Desk

pytestmark = pytest.mark.pgbouncer


@pytest.fixture(params=[None, True, False], ids=["by itself", "prepared", "unprepared"])
def store(pooled_dsn: str, request: pytest.FixtureRequest) -> Iterator[PostgresStore]:
    store = PostgresStore(pooled_dsn, prepare=request.param)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def desk(store: PostgresStore, pooled_dsn: str) -> Iterator[Desk]:
    desk = Desk(store, pooled_dsn)
    yield desk
    desk.close()


def test_many_sessions_share_few_connections_and_mix_nothing_up(
    store: PostgresStore, pooled_dsn: str
) -> None:
    """Each uses every statement often enough for it to be prepared, if that is wanted."""

    def work(name: str) -> int:
        desk = Desk(store, pooled_dsn)
        for _ in range(10):
            assert desk.do(Start(NewRun(world.new_id(), "flow", queue=name)))
            run = desk.claim(worker=name, queues=(name,))
            desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, f'"{name}"'))
            assert desk.row(run.id).result == f'"{name}"'
        desk.close()
        return 10

    world = World()
    names = [f"queue-{number}" for number in range(12)]
    with ThreadPoolExecutor(len(names)) as threads:
        assert sum(threads.map(work, names)) == 120
    reader = store.reader()
    assert all(len(reader.runs(queue=n, states=[State.SUCCEEDED])) == 10 for n in names)
    reader.close()


def test_settings_of_a_transaction_do_not_stay_with_the_connection(desk: Desk) -> None:
    desk.start()
    for _ in range(20):
        assert desk.query("SHOW enable_seqscan") == [("on",)]


def test_a_pooler_is_noticed_and_a_server_too(pooled_dsn: str, postgres_dsn: str) -> None:
    pooled, direct = Address(pooled_dsn), Address(postgres_dsn)
    with pooled.connect(), direct.connect():
        assert pooled.prepare_threshold is None
        assert direct.prepare_threshold is not None


def test_psycopg_never_names_two_statements_alike(pooled_dsn: str) -> None:
    """Names that two clients share would execute the statement of the other one, in silence."""
    address = Address(pooled_dsn, 0, insist=True)
    with ExitStack() as stack:
        first, second = (stack.enter_context(address.connect()) for _ in range(2))
        names = []
        for connection, statement in ((first, "SELECT 1"), (second, "SELECT 2")):
            connection.execute(statement, prepare=True)
            names += [name for name in connection._prepared._names.values() if name]
        assert len(set(names)) == 2


def test_no_bell_is_heard_through_the_pooler(store: PostgresStore) -> None:
    assert store.bell() is None


def test_a_bell_past_the_pooler_rings(pooled_dsn: str, postgres_dsn: str) -> None:
    store = PostgresStore(pooled_dsn, listen_dsn=postgres_dsn)
    bell = store.bell()
    assert bell is not None
    bell.close()
    store.close()


def test_flows_work_through_the_pooler(pooled_dsn: str) -> None:
    app = Backroom(pooled_dsn, poll=0.02)

    @step
    def add(a: int, b: int) -> int:
        return a + b

    @app.flow
    def total(numbers: list[int]) -> int:
        found = 0
        for number in numbers:
            found = add(found, number)
        return found

    with app.working():
        runs = [total.start(list(range(n))) for n in range(20)]
        assert [result(run) for run in runs] == [sum(range(n)) for n in range(20)]
    app.close()
