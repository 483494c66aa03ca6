"""An application with triggers on a table, for the terminal's tests."""

from __future__ import annotations

from backroom import Backroom, Change

app = Backroom()


@app.on_change("expense", update=True, columns=["amount"], when="new.amount > 100")
@app.flow
async def review(change: Change) -> None: ...


@app.on_change("expense", update=True, own_writes=True, name="every")
@app.flow
async def grow(change: Change) -> None: ...
