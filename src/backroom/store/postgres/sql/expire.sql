-- Ends runs that haven't begun and have expired, and wakes whoever waits for them. All rows that
-- change are locked in one ascending order; what moved meanwhile is seen under the lock. The ids of
-- those that were part of a window are kept for the next statement, which wakes their parents.
WITH late AS MATERIALIZED (
    SELECT l.id, l.parent_id FROM backroom.live AS l
    WHERE l.expires_at <= backroom.now_us() AND l.expires_at IS NOT NULL AND l.started_at IS NULL
      AND l.state || '' IN ('ready', 'scheduled')
    ORDER BY l.expires_at LIMIT %(limit)s::int
), locked AS MATERIALIZED (
    SELECT l.id, l.state, l.started_at, l.expires_at FROM backroom.live AS l
    WHERE l.id = ANY (ARRAY(
        SELECT e.id FROM late AS e
        UNION ALL
        SELECT w.run_id FROM late AS e
        CROSS JOIN LATERAL (
            SELECT w.run_id FROM backroom.wait AS w
            WHERE w.kind = 'child' AND w.name = e.id::text OFFSET 0
        ) AS w
        UNION ALL
        SELECT e.parent_id FROM late AS e WHERE substr(e.id::text, 15, 1) = '8'
    ))
    ORDER BY l.id FOR UPDATE
), ended AS (
    DELETE FROM backroom.live AS l
    WHERE l.id = ANY (ARRAY(
        SELECT k.id FROM locked AS k
        WHERE k.state IN ('ready', 'scheduled') AND k.started_at IS NULL
          AND k.expires_at <= backroom.now_us()
    ))
    RETURNING l.id, l.attempt
), kept AS (
    INSERT INTO backroom.result (run_id, state, attempt, error, finished_at)
    SELECT
        e.id, 'cancelled', e.attempt,
        json_build_object('kind', 'Cancelled', 'message', 'expired')::text, backroom.now_us()
    FROM ended AS e
), forgotten AS (
    DELETE FROM backroom.wait AS w WHERE w.run_id = ANY (ARRAY(SELECT e.id FROM ended AS e))
), woken AS (
    UPDATE backroom.live AS p
    SET state = 'ready', available_at = least(p.available_at, backroom.now_us())
    WHERE p.state || '' = 'waiting' AND p.id = ANY (ARRAY(
        SELECT w.run_id FROM ended AS e
        CROSS JOIN LATERAL (
            SELECT w.run_id FROM backroom.wait AS w
            WHERE w.kind = 'child' AND w.name = e.id::text OFFSET 0
        ) AS w
    ))
)
SELECT count(*), set_config('backroom.expired', coalesce(
    string_agg(e.id::text, ',') FILTER (WHERE substr(e.id::text, 15, 1) = '8'), ''
), true)
FROM ended AS e
