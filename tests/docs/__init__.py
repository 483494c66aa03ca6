"""The documentation, held to the code: examples run, tables match, links lead somewhere."""
