-- As runs, for states other than succeeded: these are few among many, so they are looked up in the
-- hot table and in the index of bad ends instead of passing over all that went well.
SELECT
    r.id::text, r.flow, r.queue, v.state,
    r.priority, r.key, coalesce(e.attempt, l.attempt), r.input, e.result,
    coalesce(e.error, l.error), p.fraction, p.status, r.created_at,
    CASE WHEN l.available_at < 9223372036854775807 AND l.state <> 'running' THEN l.available_at END,
    coalesce(e.started_at, l.started_at), e.finished_at, r.parent_id::text, r.cause_id::text,
    coalesce(e.worker, l.worker), l.cancel_reason
FROM (
    SELECT l.id FROM backroom.live AS l WHERE cardinality(%(live)s::text[]) > 0
    UNION ALL
    SELECT e.run_id FROM backroom.result AS e
    WHERE e.state <> 'succeeded' AND e.state = ANY (%(bad)s::text[])
) AS few
JOIN backroom.run AS r ON r.id = few.id
LEFT JOIN backroom.live AS l ON l.id = r.id
LEFT JOIN backroom.result AS e ON e.run_id = r.id
LEFT JOIN backroom.progress AS p ON p.run_id = r.id
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN e.state IS NOT NULL THEN e.state
        WHEN l.state = 'scheduled' AND l.available_at <= backroom.now_us() THEN 'ready'
        ELSE l.state
    END AS state
) AS v
WHERE (%(states)s::text[] IS NULL OR v.state = ANY (%(states)s::text[]))
  AND (%(flow)s::text IS NULL OR r.flow = %(flow)s)
  AND (%(queue)s::text IS NULL OR r.queue = %(queue)s)
  AND (%(parent_id)s::uuid IS NULL OR r.parent_id = %(parent_id)s::uuid)
  AND (%(before)s::uuid IS NULL OR r.id < %(before)s::uuid)
ORDER BY r.id DESC
LIMIT %(limit)s::int
