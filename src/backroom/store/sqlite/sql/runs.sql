-- A page of runs, newest first; ids rise with time. A filter that is NULL lets all pass.
SELECT * FROM (
    SELECT
        r.id, r.flow, r.queue,
        CASE
            WHEN e.state IS NOT NULL THEN e.state
            WHEN l.state = 'scheduled' AND l.available_at <= (SELECT now_us FROM backroom_clock) THEN 'ready'
            ELSE l.state
        END AS state,
        r.priority, r.key, coalesce(e.attempt, l.attempt), r.input, e.result, coalesce(e.error, l.error),
        p.fraction, p.status, r.created_at,
        CASE WHEN l.available_at < 9223372036854775807 AND l.state <> 'running' THEN l.available_at END,
        coalesce(e.started_at, l.started_at), e.finished_at,
        r.parent_id, r.cause_id, coalesce(e.worker, l.worker), l.cancel_reason
    FROM backroom_run AS r
    LEFT JOIN backroom_live AS l ON l.id = r.id
    LEFT JOIN backroom_result AS e ON e.run_id = r.id
    LEFT JOIN backroom_progress AS p ON p.run_id = r.id
) AS x
WHERE (?1 IS NULL OR x.id < ?1)
  AND (?2 IS NULL OR x.flow = ?2)
  AND (?3 IS NULL OR x.queue = ?3)
  AND (?4 IS NULL OR x.parent_id = ?4)
  AND (?5 IS NULL OR x.state IN (SELECT value FROM json_each(?5)))
ORDER BY x.id DESC
LIMIT ?6
