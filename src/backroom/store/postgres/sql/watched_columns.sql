-- The columns of a table in their order: name, type, of what if an array, how generated, place in the
-- primary key, full name of the type.
SELECT
    a.attname, b.typname, e.typname, a.attgenerated::text,
    (SELECT k.place FROM pg_index AS i, unnest(i.indkey) WITH ORDINALITY AS k (number, place)
     WHERE i.indrelid = a.attrelid AND i.indisprimary AND k.number = a.attnum),
    quote_ident(s.nspname) || '.' || quote_ident(t.typname)
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
JOIN pg_namespace AS s ON s.oid = t.typnamespace
JOIN pg_type AS b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
LEFT JOIN pg_type AS e ON e.oid = b.typelem AND b.typcategory = 'A'
WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
