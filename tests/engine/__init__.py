"""The engine, from its lanes to the supervising process."""
