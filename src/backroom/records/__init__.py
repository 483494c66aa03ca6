"""What exists: frozen values and the errors that speak about them.

The lowest floor. Nothing here does I/O, reads a clock or decides anything; every other room
imports from here and nothing here imports from any of them.
"""
