"""What every store must do, asked of SQLite and of PostgreSQL alike.

One file per verb or promise; `desk.py` is how the tests talk to a store. Time moves only by
`Store.move_clock`, so nothing here sleeps. What only one database has is in a folder of its own.
"""
