-- Those of these runs that are in a final state.
SELECT
    r.id::text, r.flow, r.queue, r.state, r.priority, r.key, r.attempt, r.input, r.result, r.error,
    r.fraction, r.status, r.created_at, r.available_at, r.started_at, r.finished_at,
    r.parent_id::text, r.cause_id::text, r.worker, r.cancel_reason, r.subject, r.erased_at, r.version
FROM backroom.result AS e
CROSS JOIN LATERAL (SELECT * FROM backroom.run_row AS r WHERE r.id = e.run_id OFFSET 0) AS r
WHERE e.run_id = ANY (%(ids)s::uuid[])
ORDER BY r.id
