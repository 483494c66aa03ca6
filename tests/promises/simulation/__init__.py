"""A whole cluster in one thread, from one seed: workers, supervisors, callers, and what goes wrong.

script.py   what is asked for and what goes wrong, when: made from a seed, as text, made smaller
flows.py    the application, and the world outside in which it leaves its marks
life.py     plays a script on `backroom.testing.cluster`
oracle.py   what must hold after each commit, and in the end
"""
