-- Ends runs: the hot rows and the waits go, the results come, whoever waits for them wakes. The rows
-- that end and those that were seen to wait are locked by an earlier statement; what parked while that
-- one waited is locked here. Nobody begins to wait unseen: a Park locks the row that it waits for.
WITH ended AS MATERIALIZED (
    SELECT
        l.place, g.id, l.parent_id, g.attempt, l.worker, l.started_at, l.claimed_at, g.state,
        g.result, g.error
    FROM unnest(
        %(ids)s::uuid[], %(attempts)s::int[], %(states)s::text[], %(results)s::text[],
        %(errors)s::text[]
    ) AS g (id, attempt, state, result, error)
    CROSS JOIN LATERAL (
        SELECT l.ctid AS place, l.parent_id, l.worker, l.started_at, l.claimed_at
        FROM backroom.live AS l
        WHERE l.id = g.id AND l.attempt = g.attempt AND l.state = 'running' OFFSET 0
    ) AS l
), gone AS (
    DELETE FROM backroom.live AS l USING ended AS e WHERE l.ctid = e.place
), kept AS (
    INSERT INTO backroom.result (
        run_id, state, attempt, result, error, worker, started_at, finished_at
    )
    SELECT
        e.id, e.state, e.attempt, e.result, e.error, e.worker, e.started_at, (SELECT backroom.now_us())
    FROM ended AS e
), tried AS (
    INSERT INTO backroom.attempt (run_id, attempt, worker, started_at, ended_at, outcome, error)
    SELECT
        e.id, e.attempt, e.worker, coalesce(e.claimed_at, 0), (SELECT backroom.now_us()), 'failed', e.error
    FROM ended AS e WHERE e.state = 'failed'
    ON CONFLICT DO NOTHING
), forgotten AS (
    DELETE FROM backroom.wait AS w WHERE w.run_id = ANY (ARRAY(SELECT e.id FROM ended AS e))
), waiting AS MATERIALIZED (
    SELECT l.id FROM backroom.live AS l
    WHERE l.state || '' = 'waiting' AND l.id = ANY (ARRAY(
        SELECT w.run_id FROM backroom.wait AS w
        WHERE w.kind = 'child' AND w.name = ANY (ARRAY(SELECT e.id::text FROM ended AS e))
    ))
    ORDER BY l.id FOR UPDATE
)
UPDATE backroom.live AS p
SET state = 'ready', available_at = least(p.available_at, (SELECT backroom.now_us()))
WHERE p.id = ANY (ARRAY(SELECT w.id FROM waiting AS w))
