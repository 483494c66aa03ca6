INSERT INTO backroom.progress AS p (run_id, fraction, status, updated_at)
SELECT g.id, g.fraction, g.status, backroom.now_us()
FROM unnest(
    %(ids)s::uuid[], %(attempts)s::int[], %(fractions)s::float8[], %(statuses)s::text[]
) AS g (id, attempt, fraction, status)
CROSS JOIN LATERAL (
    SELECT 1 FROM backroom.live AS l
    WHERE l.id = g.id AND l.attempt = g.attempt AND l.state = 'running' OFFSET 0
) AS held
ON CONFLICT (run_id) DO UPDATE SET
    fraction = coalesce(excluded.fraction, p.fraction),
    status = coalesce(excluded.status, p.status),
    updated_at = excluded.updated_at
