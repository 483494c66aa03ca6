WITH given AS MATERIALIZED (
    SELECT l.place, g.id, g.attempt, l.worker, l.claimed_at, g.error
    FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(errors)s::text[]) AS g (id, attempt, error)
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
SET state = 'needs_attention', available_at = 9223372036854775807, priority = l.priority %% 10,
    worker = NULL, error = g.error
FROM given AS g WHERE l.ctid = g.place
