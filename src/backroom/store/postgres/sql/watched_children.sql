-- Partitions and child tables, of any depth.
WITH RECURSIVE below AS (
    SELECT i.inhrelid AS oid FROM pg_inherits AS i WHERE i.inhparent = %(oid)s::oid
    UNION
    SELECT i.inhrelid FROM below AS b JOIN pg_inherits AS i ON i.inhparent = b.oid
)
SELECT n.nspname, c.relname
FROM below AS b JOIN pg_class AS c ON c.oid = b.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
ORDER BY 1, 2
