"""How fast backroom is, beside the database it stands on.

`make bench` measures and prints; `python -m benchmarks --help` lists what can be chosen. Every
figure stands beside the raw database: the same rows, written by the least SQL that does it, on the
same machine in the same minute. A machine's absolute figures drift by a third from hour to hour,
the ratio of two figures taken in turn doesn't, so the ratio is what to compare between commits.

Durability is never traded: SQLite in WAL mode with synchronous=FULL, PostgreSQL with fsync and
synchronous_commit on, for both sides.

    __main__.py        the command: what to measure, how often, where to put it
    works.py           what is measured: one function a row of the table
    raw.py             the same writes without backroom: the loops, for both databases
    raw_sqlite.py, raw_postgres.py    their SQL
    places.py          a new database for every round
    application.py     the flows that are performed
    worker.py          the measured worker process, with a line to its parent
    child.py           the parent's end of that line
    machine.py         what it ran on, and how steady that was
    report.py          medians, ranges, ratios; the table
"""
