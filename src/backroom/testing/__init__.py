"""Tools for tests of flows.

    at_work     a worker in this process, a clock to move: a run as in production, without waiting
    simulate    a flow with every fault at every place; says what it did twice, and how to mend it
    did         notes what a test's double of the world outside was asked to do
    eventually  waits for what another thread or process will do

The database is a real one and so is the worker. Only time is moved, and in a simulation it is
decided who goes first.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backroom.testing.recording import Effect, did
    from backroom.testing.simulation import Simulated, Simulation, SimulationFailed, simulate
    from backroom.testing.waiting import eventually
    from backroom.testing.workbench import Workbench, at_work

__all__ = [
    "Effect",
    "Simulated",
    "Simulation",
    "SimulationFailed",
    "Workbench",
    "at_work",
    "did",
    "eventually",
    "simulate",
]

_HOMES = {
    "Effect": "recording",
    "Simulated": "simulation",
    "Simulation": "simulation",
    "SimulationFailed": "simulation",
    "Workbench": "workbench",
    "at_work": "workbench",
    "did": "recording",
    "eventually": "waiting",
    "simulate": "simulation",
}


def __getattr__(name: str) -> Any:
    """Load a name at its first use: pytest loads the plug-in beside it in every project."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"backroom.testing has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"backroom.testing.{home}"), name)
    globals()[name] = value
    return value
