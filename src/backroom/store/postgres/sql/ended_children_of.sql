-- The ended children that these runs wait for; the last column is the waiting run.
SELECT
    r.id::text, r.flow, r.queue,
    CASE
        WHEN e.state IS NOT NULL THEN e.state
        WHEN l.state = 'scheduled' AND l.available_at <= backroom.now_us() THEN 'ready'
        ELSE l.state
    END,
    r.priority, r.key, coalesce(e.attempt, l.attempt), r.input, e.result,
    coalesce(e.error, l.error), p.fraction, p.status, r.created_at,
    CASE WHEN l.available_at < 9223372036854775807 AND l.state <> 'running' THEN l.available_at END,
    coalesce(e.started_at, l.started_at), e.finished_at, r.parent_id::text, r.cause_id::text,
    coalesce(e.worker, l.worker), l.cancel_reason,
    w.run_id::text
FROM backroom.wait AS w
JOIN backroom.result AS e ON e.run_id = CASE WHEN w.kind = 'child' THEN w.name::uuid END
JOIN backroom.run AS r ON r.id = e.run_id
LEFT JOIN backroom.live AS l ON l.id = r.id
LEFT JOIN backroom.progress AS p ON p.run_id = r.id
WHERE w.run_id = ANY (%(ids)s::uuid[]) AND w.kind = 'child'
ORDER BY r.id
