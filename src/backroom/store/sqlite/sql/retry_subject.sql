-- What a retry needs to know of a run; the newest attempt number anywhere is the last but one.
SELECT
    coalesce(l.state, e.state), r.flow, r.version, r.queue, r.priority, r.partition, r.parent_id, r.timeout_us,
    e.started_at, l.claimed_at IS NULL AND l.attempt > 0,
    max(
        coalesce(l.attempt, 0),
        coalesce(e.attempt, 0),
        coalesce((SELECT max(attempt) FROM backroom_attempt WHERE run_id = r.id), 0)
    ),
    r.erased_at IS NOT NULL
FROM backroom_run AS r
LEFT JOIN backroom_live AS l ON l.id = r.id
LEFT JOIN backroom_result AS e ON e.run_id = r.id
WHERE r.id = ?
