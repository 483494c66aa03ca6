-- Takes an ended or set-aside run up again, without some of its checkpoints. The hot row comes (back)
-- with an attempt number above every earlier one, and that number is kept as this act's own.
WITH subject AS MATERIALIZED (
    SELECT
        r.id, r.flow, r.version, r.erased_at, r.queue, r.priority, r.partition, r.parent_id, r.timeout_us, e.started_at,
        coalesce(e.state, l.state) AS state, backroom.now_us() AS now,
        greatest(
            l.attempt, e.attempt,
            (SELECT max(a.attempt) FROM backroom.attempt AS a WHERE a.run_id = r.id), 0
        ) AS newest,
        EXISTS (
            SELECT 1 FROM backroom.attempt AS a
            WHERE a.run_id = r.id AND a.attempt = %(attempt)s::int + 1
              AND a.outcome = %(act)s::text AND a.error = %(note)s::text OFFSET 0
        ) AS done,
        EXISTS (
            SELECT 1 FROM unnest(%(ended)s::text[]) AS g (runs)
            CROSS JOIN LATERAL (
                SELECT 1 FROM backroom.live AS c
                WHERE c.id BETWEEN
                    split_part(g.runs, '/', 1)::uuid AND split_part(g.runs, '/', 2)::uuid OFFSET 0
            ) AS c
        ) AS hindered
    FROM backroom.run AS r
    LEFT JOIN backroom.live AS l ON l.id = r.id
    LEFT JOIN backroom.result AS e ON e.run_id = r.id
    WHERE r.id = %(id)s::uuid
), wanted AS MATERIALIZED (
    SELECT s.* FROM subject AS s
    WHERE s.newest = %(attempt)s::int AND NOT s.done AND NOT s.hindered AND s.erased_at IS NULL
      AND s.state IN ('succeeded', 'failed', 'cancelled', 'needs_attention')
), unended AS (
    DELETE FROM backroom.result AS e USING wanted AS s WHERE e.run_id = s.id
), dropped AS (
    DELETE FROM backroom.step AS t USING wanted AS s
    WHERE t.run_id = s.id AND t.address = ANY (%(drops)s::text[])
), returned AS (
    UPDATE backroom.event AS m SET consumed_at = NULL, consumed_by = NULL
    FROM wanted AS s
    WHERE m.run_id = s.id AND m.consumed_at IS NOT NULL AND m.consumed_by = ANY (%(drops)s::text[])
), forgotten AS (
    DELETE FROM backroom.wait AS w USING wanted AS s
    WHERE w.run_id = s.id AND (%(waits)s::boolean OR w.kind = 'retry')
), told AS (
    INSERT INTO backroom.attempt (run_id, attempt, started_at, ended_at, outcome, error)
    SELECT s.id, s.newest + 1, s.now, s.now, %(act)s::text, %(note)s::text FROM wanted AS s
), kept AS (
    INSERT INTO backroom.step AS t (
        run_id, address, name, kind, state, result, error, tries, attempt, started_at, finished_at
    )
    SELECT
        s.id, g.address, g.name, g.kind, g.state, g.result, g.error, g.tries, s.newest + 1,
        g.started_at, g.finished_at
    FROM wanted AS s
    CROSS JOIN unnest(
        %(addresses)s::text[], %(names)s::text[], %(kinds)s::text[], %(states)s::text[],
        %(results)s::text[], %(errors)s::text[], %(tries)s::int[], %(starts)s::bigint[],
        %(ends)s::bigint[]
    ) AS g (address, name, kind, state, result, error, tries, started_at, finished_at)
    ON CONFLICT (run_id, address) DO UPDATE SET
        name = excluded.name, kind = excluded.kind, state = excluded.state,
        result = excluded.result, error = excluded.error, fingerprint = NULL,
        tries = excluded.tries, attempt = excluded.attempt, started_at = excluded.started_at,
        finished_at = excluded.finished_at
), revived AS (
    INSERT INTO backroom.live AS l (
        id, flow, queue, priority, state, available_at, attempt, started_at, deadline_at, parent_id,
        partition
    )
    SELECT
        s.id, s.flow || CASE WHEN s.version > 1 THEN '@' || s.version ELSE '' END, s.queue, s.priority,
        'ready', s.now, s.newest + 1, s.started_at,
        s.now + s.timeout_us, s.parent_id, s.partition
    FROM wanted AS s
    ON CONFLICT (id) DO UPDATE SET
        state = 'ready', available_at = excluded.available_at, attempt = excluded.attempt,
        starts = 0, failures = 0, worker = NULL, claimed_at = NULL, cancel_reason = NULL,
        error = NULL, deadline_at = excluded.deadline_at, expires_at = NULL
)
SELECT s.state, s.done OR w.id IS NOT NULL, s.erased_at IS NOT NULL
FROM subject AS s LEFT JOIN wanted AS w ON true
