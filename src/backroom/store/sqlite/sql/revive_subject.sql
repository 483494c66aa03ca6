-- What a revival needs to know of a run: where it stands and its newest attempt number anywhere,
-- what the new live row takes over, and the act that stands under the number that this one would
-- get.
SELECT
    coalesce(l.state, e.state),
    max(
        coalesce(l.attempt, 0),
        coalesce(e.attempt, 0),
        coalesce((SELECT max(attempt) FROM backroom_attempt WHERE run_id = r.id), 0)
    ),
    r.flow, r.version, r.queue, r.priority, r.partition, r.parent_id, r.timeout_us,
    coalesce(e.started_at, l.started_at), r.erased_at IS NOT NULL, a.outcome, a.error
FROM backroom_run AS r
LEFT JOIN backroom_live AS l ON l.id = r.id
LEFT JOIN backroom_result AS e ON e.run_id = r.id
LEFT JOIN backroom_attempt AS a ON a.run_id = r.id AND a.attempt = ?2 + 1
WHERE r.id = ?1
