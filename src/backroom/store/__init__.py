"""The only place with SQL: what can be asked of a database, and the two rooms that do it."""
