-- A table by its exact name; without a schema the one that is found first.
SELECT c.oid, n.nspname, c.relkind::text, c.relpersistence::text
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = %(table)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND CASE
    WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s
END
