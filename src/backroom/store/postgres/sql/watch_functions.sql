-- The functions of a trigger: for which operation, and their text.
SELECT split_part(p.proname, '_', 3), p.prosrc
FROM pg_proc AS p
WHERE p.proname LIKE 'watch\_' || %(id)s::text || '\_%%'
  AND p.pronamespace = (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = to_regclass('backroom.trigger'))
