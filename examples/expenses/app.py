"""This application's `Backroom`: its flows, and its line to the database.

The database is the application's own, `expenses.db` in the working directory unless
BACKROOM_DATABASE names another file or a postgresql:// address.
"""

from __future__ import annotations

import os

from backroom import Backroom

__all__ = ["app"]

app = Backroom(os.environ.get("BACKROOM_DATABASE") or "expenses.db")
