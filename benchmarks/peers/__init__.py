"""How fast backroom is, beside the programs that one would use instead.

`make bench-peers` installs each of them into an environment of its own, runs it and backroom in
turn in one run, and prints a table; `python -m benchmarks.peers --help` lists what can be chosen.

    __main__.py        the command
    catalogue.py       who is measured, with which settings, and what to know about it
    constraints.txt    the releases that are installed
    environments.py    a virtual environment for each, and a Redis server for those that need one
    contender.py       one of them at work: its database, its processes, what they have noted
    works.py           what is measured
    measuring.py       rounds: ours, theirs, ours, theirs
    report.py          medians, ranges, ratios; table and plot

    line.py            what runs in a peer's process; with diary.py and the adapter all that does
    diary.py           how bodies in any process tell that they began and ended
    adapters/          one module a peer: make its tables, put jobs in, work on them

An adapter is the only place that knows its peer. It runs in that peer's environment, where our
packages aren't installed: like `line.py` and `diary.py` it imports nothing of ours. backroom is
measured by the same works through an adapter of its own.

Every job of every peer is one of four bodies with one integer: `noop`; `stamp`, which notes how
long ago it was called; `slow`, which takes five milliseconds and is killed in the middle; `ten`,
which makes ten checkpointed steps.
"""
