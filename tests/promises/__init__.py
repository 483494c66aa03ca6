"""The tests behind each promise that backroom makes."""
