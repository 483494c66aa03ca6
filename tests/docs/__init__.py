"""The documentation, held to the code: its examples run, its tables match, its links lead somewhere."""
