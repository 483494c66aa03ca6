"""Every scenario with a fault at every call of its worker, on PostgreSQL: minutes instead of the
sample that the suite has."""

import pytest

from backroom.testing.faults import Plan
from tests.postgres import Server, drop_database, fresh_database
from tests.promises.scenarios import SCENARIOS
from tests.promises.test_every_crash_point import IN_WORKERS, MOST_CALLS, check, template

__all__ = ["template"]


@pytest.mark.torture
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_every_call_on_postgresql(name: str, template: str, postgres: Server) -> None:
    for fault in IN_WORKERS:
        for at in range(1, MOST_CALLS):
            plan = Plan({at: fault})
            database = fresh_database(postgres, template=template)
            check(database, SCENARIOS[name], plan)
            drop_database(postgres, database)
            if not plan.fired:
                break
