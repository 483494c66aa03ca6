-- A call of an outside service has failed. Enough in a row open its breaker, and so does the one that
-- was to try it; what began before it opened doesn't count.
INSERT INTO backroom.breaker AS b (name, failures, failed_at, open_until, error)
SELECT
    %(name)s, 1, backroom.now_us(),
    CASE WHEN %(failures)s::int <= 1 THEN backroom.now_us() + %(pause_us)s::bigint END, %(error)s
WHERE EXISTS (
    SELECT 1 FROM backroom.live AS l
    WHERE l.id = %(id)s::uuid AND l.attempt = %(attempt)s::int AND l.state = 'running' OFFSET 0
) AND NOT EXISTS (
    SELECT 1 FROM backroom.step AS s
    WHERE s.run_id = %(id)s::uuid AND s.address = %(address)s AND s.attempt = %(attempt)s::int
      AND s.tries = %(tries)s::int AND s.state = %(state)s OFFSET 0
)
ON CONFLICT (name) DO UPDATE SET
    failures = b.failures + 1, failed_at = excluded.failed_at, error = excluded.error,
    probe = NULL, probe_until = NULL,
    open_until = CASE WHEN b.open_until IS NOT NULL OR b.failures + 1 >= %(failures)s::int
        THEN excluded.failed_at + %(pause_us)s::bigint END
WHERE b.open_until IS NULL OR b.probe = %(probe)s
