"""When does a run start by itself? Causes that are declared on a flow.

changes.py     `on_change`: a row of the application's tables changes
"""
