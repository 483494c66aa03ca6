"""How cost grows: with the backlog, with history, with what runs at once, with size.

`make bench-growth` measures and prints; `python -m benchmarks.growth --help` lists what can be
chosen. Nothing here is compared with anybody: what counts is the shape of each curve.

    __main__.py    the command
    curves.py      what is measured
    copies.py      a million runs by SQL, copies of a real one
    report.py      tables and plot
"""
