-- The first of the runs whose ids lie between these two.
SELECT
    r.id::text, r.flow, r.queue, r.state, r.priority, r.key, r.attempt, r.input, r.result, r.error,
    r.fraction, r.status, r.created_at, r.available_at, r.started_at, r.finished_at,
    r.parent_id::text, r.cause_id::text, r.worker, r.cancel_reason, r.subject, r.erased_at, r.version
FROM backroom.run_row AS r
WHERE r.id BETWEEN %(first)s::uuid AND %(last)s::uuid
ORDER BY r.id
LIMIT %(limit)s::int
