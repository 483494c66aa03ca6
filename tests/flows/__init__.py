"""What authors write, performed by a real worker: on both databases, with and without wake-ups."""
