-- The ended children that these runs wait for; the last column is the waiting run.
SELECT
    r.id::text, r.flow, r.queue, r.state, r.priority, r.key, r.attempt, r.input, r.result, r.error,
    r.fraction, r.status, r.created_at, r.available_at, r.started_at, r.finished_at,
    r.parent_id::text, r.cause_id::text, r.worker, r.cancel_reason, r.subject, r.erased_at, r.version,
    w.run_id::text
FROM backroom.wait AS w
CROSS JOIN LATERAL (
    SELECT e.run_id FROM backroom.result AS e
    WHERE e.run_id = CASE WHEN w.kind = 'child' THEN w.name::uuid END OFFSET 0
) AS e
CROSS JOIN LATERAL (SELECT * FROM backroom.run_row AS r WHERE r.id = e.run_id OFFSET 0) AS r
WHERE w.run_id = ANY (%(ids)s::uuid[])
ORDER BY r.id
