-- Where they stand: schema, table, operation, and whether they fire.
SELECT n.nspname, c.relname, split_part(p.proname, '_', 3), t.tgenabled::text
FROM pg_proc AS p
JOIN pg_trigger AS t ON t.tgfoid = p.oid
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.proname LIKE 'watch\_' || %(id)s::text || '\_%%'
  AND p.pronamespace = (SELECT k.relnamespace FROM pg_class AS k WHERE k.oid = to_regclass('backroom.trigger'))
ORDER BY 1, 2, 3
