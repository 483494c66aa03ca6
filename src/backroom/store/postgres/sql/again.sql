WITH given AS MATERIALIZED (
    SELECT l.place, g.id, g.attempt, l.worker, l.claimed_at, g.delay_us, g.error
    FROM unnest(
        %(ids)s::uuid[], %(attempts)s::int[], %(delays)s::bigint[], %(errors)s::text[]
    ) AS g (id, attempt, delay_us, error)
    CROSS JOIN LATERAL (
        SELECT l.ctid AS place, l.worker, l.claimed_at FROM backroom.live AS l
        WHERE l.id = g.id AND l.attempt = g.attempt AND l.state = 'running' OFFSET 0
    ) AS l
), tried AS (
    INSERT INTO backroom.attempt (run_id, attempt, worker, started_at, ended_at, outcome, error)
    SELECT
        g.id, g.attempt, g.worker, coalesce(g.claimed_at, 0), backroom.now_us(), 'failed', g.error
    FROM given AS g
    ON CONFLICT DO NOTHING
)
UPDATE backroom.live AS l
SET state = 'scheduled', failures = l.failures + 1, starts = 0,
    priority = l.priority %% 10, worker = NULL,
    available_at = backroom.now_us()
        + CASE WHEN l.cancel_reason IS NULL THEN g.delay_us ELSE 0 END
FROM given AS g WHERE l.ctid = g.place
