"""Which run killed the worker? Found out without punishing the runs that stood beside it.

A worker performs a hundred runs in one process. When the process dies all of them are lost
together, and nobody knows whose fault it was, or whether it was anybody's: a machine can lose its
power. So deaths in a row without progress are counted for each run, and mean more and more:

    1   an accident      the run is ready again, for anybody, at once
    2   a suspicion      the run is a suspect: it is only performed alone, in a process that
                         performs nothing else
    3   a proof          it was alone: it is set aside as `needs_attention`

Progress (a new checkpoint, a park) clears the count, and a run that is handed back isn't counted.
A run that is no culprit leaves the suspects with its first progress; it never gets to the third
death by the fault of another, since it is alone there.

Suspects stand in lines of their own, ten priorities behind (a run of priority 5 stands in line 15),
which ordinary claims don't look into and so don't have to pass over. A run keeps that place while
it is performed: it tells that the run was alone when its worker died.
"""

from __future__ import annotations

from backroom.records.limits import PRIORITIES

__all__ = ["SUSPECT_AFTER", "SUSPECT_LINES", "lines"]

SUSPECT_AFTER = 2  # deaths in a row; spelled out in the stores' SQL, as is the distance below
SUSPECT_LINES = range(PRIORITIES.stop, 2 * PRIORITIES.stop)


def lines(*, suspects: bool) -> range:
    """The priorities under which a claim looks for runs."""
    return SUSPECT_LINES if suspects else PRIORITIES
