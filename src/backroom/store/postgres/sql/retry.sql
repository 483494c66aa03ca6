-- Takes an ended or set-aside run up again. The result goes, with the checkpoints that are not
-- done; the hot row comes (back) with an attempt number above every earlier one. Having an attempt
-- and no claimed_at marks it as retried and not yet claimed, so that a repeated call is known.
WITH subject AS MATERIALIZED (
    SELECT
        r.id, r.flow, r.version, r.queue, r.priority, r.partition, r.parent_id, r.timeout_us, e.started_at,
        coalesce(e.state, l.state) AS state,
        l.id IS NOT NULL AS live,
        coalesce(l.state = 'ready' AND l.claimed_at IS NULL AND l.attempt > 0, false) AS retried,
        1 + greatest(
            l.attempt, e.attempt,
            (SELECT max(a.attempt) FROM backroom.attempt AS a WHERE a.run_id = r.id), 0
        ) AS attempt,
        backroom.now_us() AS now
    FROM backroom.run AS r
    LEFT JOIN backroom.live AS l ON l.id = r.id
    LEFT JOIN backroom.result AS e ON e.run_id = r.id
    WHERE r.id = %(id)s::uuid
), wanted AS MATERIALIZED (
    SELECT s.* FROM subject AS s WHERE s.state IN ('failed', 'cancelled', 'needs_attention')
), unended AS (
    -- Whoever erases the run at this moment has its result locked, and marks its error.
    DELETE FROM backroom.result AS e USING wanted AS s
    WHERE e.run_id = s.id AND e.error IS DISTINCT FROM %(erased)s
    RETURNING e.run_id
), taken AS MATERIALIZED (
    SELECT s.* FROM wanted AS s
    WHERE s.live OR EXISTS (SELECT 1 FROM unended AS e WHERE e.run_id = s.id)
), undone AS (
    DELETE FROM backroom.step AS t USING taken AS s WHERE t.run_id = s.id AND t.state <> 'done'
), forgotten AS (
    DELETE FROM backroom.wait AS w USING taken AS s WHERE w.run_id = s.id
), revived AS (
    INSERT INTO backroom.live AS l (
        id, flow, queue, priority, state, available_at, attempt, started_at, deadline_at, parent_id,
        partition
    )
    SELECT
        s.id, s.flow || CASE WHEN s.version > 1 THEN '@' || s.version ELSE '' END, s.queue, s.priority, 'ready', s.now, s.attempt, s.started_at,
        s.now + s.timeout_us, s.parent_id, s.partition
    FROM taken AS s
    ON CONFLICT (id) DO UPDATE SET
        state = 'ready', available_at = excluded.available_at, attempt = excluded.attempt,
        starts = 0, failures = 0, worker = NULL, claimed_at = NULL, cancel_reason = NULL,
        error = NULL, deadline_at = excluded.deadline_at, expires_at = NULL
    RETURNING l.id
)
SELECT s.state, s.retried, EXISTS (SELECT 1 FROM revived) FROM subject AS s
