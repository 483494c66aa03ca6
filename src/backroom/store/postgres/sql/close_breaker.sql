-- Forgets a breaker's failures and wakes who waits for it. `probe`: only if it isn't open or this is the
-- call that was to try it; NULL: whatever the case.
WITH gone AS (
    DELETE FROM backroom.breaker AS b
    WHERE b.name = %(name)s
      AND (%(probe)s::text IS NULL OR b.open_until IS NULL OR b.probe = %(probe)s)
    RETURNING b.name
), woken AS (
    UPDATE backroom.live AS l
    SET state = 'ready', available_at = least(l.available_at, backroom.now_us())
    WHERE l.state || '' = 'waiting' AND l.id = ANY (ARRAY(
        SELECT w.run_id FROM gone AS g
        CROSS JOIN LATERAL (
            SELECT w.run_id FROM backroom.wait AS w
            WHERE w.kind = 'breaker' AND w.name = g.name OFFSET 0
        ) AS w
    ))
)
SELECT count(*) > 0 FROM gone AS g
