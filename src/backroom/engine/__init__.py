"""What moves runs forward: lanes, claims, attempts, leases. Knows user code only as a `Handler`."""
