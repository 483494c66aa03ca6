-- As lock_runs, and with those that end, whoever waits for them (they will be woken).
SELECT l.id::text, l.attempt, l.state FROM backroom.live AS l
WHERE l.id = ANY (ARRAY(
    SELECT unnest(%(ids)s::uuid[])
    UNION ALL
    SELECT unnest(%(ending)s::uuid[])
    UNION ALL
    SELECT w.run_id FROM backroom.wait AS w
    WHERE (w.kind = 'child' OR w.kind = 'after' OR w.kind = 'after_end')
      AND w.name = ANY (%(ending)s::uuid[]::text[])
))
ORDER BY l.id
FOR UPDATE
