"""A flow beside the tasks, with the same Backroom."""

from backroom.django import application

app = application()


@app.flow(queue="parcels")
async def pack(order: int) -> str:
    return f"order {order} is packed"
