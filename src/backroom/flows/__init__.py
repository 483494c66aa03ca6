"""What authors write: flows, steps, waits, and how a flow is replayed from its checkpoints."""
