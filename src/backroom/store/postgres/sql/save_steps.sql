INSERT INTO backroom.step AS s (
    run_id, address, name, kind, state, result, error, fingerprint, tries, attempt, started_at,
    finished_at
)
SELECT
    g.run_id, g.address, g.name, g.kind, g.state, g.result, g.error, g.fingerprint, g.tries,
    g.attempt, g.started_at, g.finished_at
FROM unnest(
    %(run_ids)s::uuid[], %(attempts)s::int[], %(addresses)s::text[], %(names)s::text[],
    %(kinds)s::text[], %(states)s::text[], %(results)s::text[], %(errors)s::text[],
    %(fingerprints)s::text[], %(tries)s::int[], %(starts)s::bigint[], %(ends)s::bigint[]
) AS g (
    run_id, attempt, address, name, kind, state, result, error, fingerprint, tries, started_at,
    finished_at
)
CROSS JOIN LATERAL (
    SELECT 1 FROM backroom.live AS l
    WHERE l.id = g.run_id AND l.attempt = g.attempt AND l.state = 'running' OFFSET 0
) AS held
ON CONFLICT (run_id, address) DO UPDATE SET
    name = excluded.name, kind = excluded.kind, state = excluded.state, result = excluded.result,
    error = excluded.error, fingerprint = excluded.fingerprint, tries = excluded.tries,
    attempt = excluded.attempt, started_at = excluded.started_at, finished_at = excluded.finished_at
