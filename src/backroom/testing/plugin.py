"""The plug-in for pytest: two options for simulations, and an application at work as a fixture.

It is loaded in every project that has backroom installed, so it imports nothing until it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from backroom.app.backroom import Backroom
    from backroom.testing.workbench import Workbench

__all__ = ["backroom_at_work"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("backroom", "simulated flows (backroom.testing.simulate)")
    group.addoption(
        "--backroom-seed",
        metavar="SEED",
        help="replay this execution, as a failed simulation printed it, and no other",
    )
    group.addoption(
        "--backroom-plays",
        metavar="N",
        type=int,
        help="executions with several faults at once in each simulation (default 20)",
    )


def pytest_configure(config: pytest.Config) -> None:
    from backroom.testing import replaying

    replaying.seed = config.getoption("--backroom-seed")
    replaying.plays = config.getoption("--backroom-plays")


@pytest.fixture
def backroom_at_work() -> Iterator[Callable[[Backroom], Workbench]]:
    """`bench = backroom_at_work(app)`: a worker of this application on a private, empty database,
    until the test is over. `bench.move_clock(days=3)` moves its clock."""
    from backroom.testing.workbench import at_work

    with ExitStack() as open_until_the_end:

        def begin(app: Backroom) -> Workbench:
            return open_until_the_end.enter_context(at_work(app, private=True))

        yield begin
